"""
The base class of the error tree.
"""

from __future__ import annotations

from typing import ClassVar


class SftError(Exception):
    """
    Base of every error that the library raises on purpose.

    `code` never changes once released. `public` is one sentence for the caller, `detail` one for logs.
    """

    code: ClassVar[str] = "error"
    public: str = "The request could not be completed."

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail or self.public)
        self.detail = detail
