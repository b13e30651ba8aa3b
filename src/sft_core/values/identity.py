"""
Identifiers, a separate type for each kind of object; e-mail addresses; user names.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Self
from uuid import UUID

import attrs

from sft_core.errors import InvalidValue

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
)


@attrs.frozen(order=True)
class Id:
    """
    An opaque identifier: a UUID, of version 7 if this service made it (RFC 9562).
    """

    value: UUID

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Parse the canonical form (36 characters, lower case, hyphens); raise `InvalidValue` for any other.
        """
        if isinstance(text, str) and _UUID.fullmatch(text):
            return cls(UUID(text))
        raise InvalidValue("id", "is not an identifier")

    @property
    def bytes(self) -> bytes:
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


@attrs.frozen
class EmailAddress:
    """
    A lower-case e-mail address: dot-string at domain name (RFC 5321), at most 254 characters.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Validate an address and fold it to lower case: one mailbox is one account.
        """
        if not isinstance(text, str):
            raise InvalidValue("email", "must be a string")
        local, _, _ = text.partition("@")
        if len(text) > 254 or len(local) > 64 or not _EMAIL.fullmatch(text):
            raise InvalidValue("email", "is not a valid e-mail address")
        return cls(text.lower())

    def __str__(self) -> str:
        return self.value


@attrs.frozen
class Username:
    """
    A user name: 3 to 50 letters, digits, or `. _ -`, of any script.

    It is NFC-normalised, its case kept as typed. Names that differ only by case are equal: compare them by `key`.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        if not isinstance(text, str):
            raise InvalidValue("username", "must be a string")
        if not 3 <= len(text) <= 50 or not 3 <= len(name := unicodedata.normalize("NFC", text)) <= 50:
            raise InvalidValue("username", "must have 3 to 50 characters")
        if not all(
            character in "._-" or unicodedata.category(character)[0] in "LN" or unicodedata.combining(character)
            for character in name
        ):
            raise InvalidValue("username", "may contain only letters, digits, '.', '_' and '-'")
        return cls(name)

    @property
    def key(self) -> str:
        return unicodedata.normalize("NFKC", self.value).casefold()

    def __str__(self) -> str:
        return self.value
