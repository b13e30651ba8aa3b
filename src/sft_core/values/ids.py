"""
Identifiers: one type for each kind of thing, so that none is taken for another.
"""

from __future__ import annotations

from typing import Self
from uuid import UUID

import attrs

from sft_core.errors import InvalidValue


@attrs.frozen(order=True)
class Id:
    """
    An identifier: a UUID, version 7 when we made it (RFC 9562, section 5.7), opaque to callers.
    """

    value: UUID

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read the canonical spelling (36 characters, lower case, hyphens); refuse every other.
        """
        if isinstance(text, str) and len(text) == 36:
            try:
                value = UUID(text)
            except ValueError:
                value = None
            if value is not None and str(value) == text:
                return cls(value)
        raise InvalidValue("id", "not an identifier")

    @property
    def bytes(self) -> bytes:
        """
        The 16 bytes of the UUID, big-endian.
        """
        return self.value.bytes

    def __str__(self) -> str:
        return str(self.value)


class UserId(Id):
    """
    Names a user.
    """


class SessionId(Id):
    """
    Names a sign-in and the family of refresh tokens that descends from it.
    """


class FileId(Id):
    """
    Names a file.
    """


class LinkId(Id):
    """
    Names a share link.
    """
