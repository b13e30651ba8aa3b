"""
Drivers: adapters that let the system machine operate a library or a service.
"""

from sft_adapters.testkit.drivers.http import HttpDriver
from sft_adapters.testkit.drivers.library import LibraryDriver
from sft_adapters.testkit.drivers.protocol import Driver, Refused, SeenFile, Tokens

__all__ = ["Driver", "HttpDriver", "LibraryDriver", "Refused", "SeenFile", "Tokens"]
