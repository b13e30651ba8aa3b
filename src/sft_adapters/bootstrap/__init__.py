"""
The composition root: from an environment to a running application.
"""

from sft_adapters.bootstrap.service import open_service

__all__ = ["open_service"]
