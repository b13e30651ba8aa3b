"""
What an operator may set: names, units, defaults, bounds and their validation.
"""

from sft_adapters.settings.model import Settings

__all__ = ["Settings"]
