"""
The base class of the error tree.
"""

from __future__ import annotations

from typing import ClassVar


class SftError(Exception):
    """
    Base of every error that the library raises on purpose.

    `code` never changes once released. `public` is one sentence for the caller, `detail` one for logs.
    A subclass states them in its class statement; a sentence too long for that is in its body.
    """

    code: ClassVar[str] = "error"
    public: str = "The request could not be completed."

    def __init_subclass__(cls, *, code: str = "", public: str = "") -> None:
        super().__init_subclass__()
        cls.code, cls.public = code or cls.code, public or cls.public

    def __init__(self, detail: str = "", *, public: str = "") -> None:
        self.public = public or self.public
        super().__init__(detail or self.public)
        self.detail = detail
