"""
State machines: random operations on an adapter or a system, checked against a model.
"""

from sft_adapters.testkit.machines.blobs import blob_machine
from sft_adapters.testkit.machines.budgets import budget
from sft_adapters.testkit.machines.clauses import BrokenClause, Clause
from sft_adapters.testkit.machines.system import system_machine

__all__ = ["BrokenClause", "Clause", "blob_machine", "budget", "system_machine"]
