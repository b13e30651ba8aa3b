"""
Identifiers: a separate type for each kind of object, so that they cannot be confused.
"""

from __future__ import annotations

from typing import Self
from uuid import UUID

import attrs

from sft_core.errors import InvalidValue


@attrs.frozen(order=True)
class Id:
    """
    An identifier, opaque to callers.

    It is a UUID, of version 7 if this service made it (RFC 9562, section 5.7).
    """

    value: UUID

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Parse the canonical form (36 characters, lower case, hyphens); raise `InvalidValue` for any other.
        """
        if isinstance(text, str) and len(text) == 36:
            try:
                value = UUID(text)
            except ValueError:
                value = None
            if value is not None and str(value) == text:
                return cls(value)
        raise InvalidValue("id", "is not an identifier")

    @property
    def bytes(self) -> bytes:
        """
        The 16 bytes of the UUID in big-endian order.
        """
        return self.value.bytes

    def __str__(self) -> str:
        return str(self.value)


class UserId(Id):
    """
    The id of a user.
    """


class SessionId(Id):
    """
    The id of a session and its refresh-token family.
    """


class FileId(Id):
    """
    The id of a file.
    """


class LinkId(Id):
    """
    The id of a share link.
    """
