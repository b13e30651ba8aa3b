"""
Base of the machines: rules that check clauses, and a final check after the run.
"""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine

from sft_adapters.testkit.machines.clauses import BrokenClause, Clause


class ClauseMachine(RuleBasedStateMachine):
    """
    A state machine that stops at the first violated clause.

    At the end of a run without a violation it checks everything once more.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = False

    def require(self, clause: Clause, holds: object, seen: str) -> None:
        """
        Raise `BrokenClause` unless `holds` is true.
        """
        if not holds:
            self.has_failed = True
            raise BrokenClause(clause, seen)

    def require_equal(self, clause: Clause, *, seen: object, expected: object) -> None:
        """
        Raise `BrokenClause` unless `seen` equals `expected`.
        """
        self.require(clause, seen == expected, f"{_short(seen)} was seen where {_short(expected)} is expected")

    def final_check(self) -> None:
        """
        Check everything once more; by default nothing.
        """

    def close_resources(self) -> None:
        """
        Close the resources of the machine; by default none.
        """

    def teardown(self) -> None:
        """
        Run the final check, unless a clause is already violated, and close the resources.
        """
        try:
            if not self.has_failed:
                self.final_check()
        finally:
            self.close_resources()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
