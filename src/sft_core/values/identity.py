"""
What people are known by.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Self

import attrs

from sft_core.errors import InvalidValue

_EMAIL: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?",
)


@attrs.frozen
class EmailAddress:
    """
    An e-mail address (RFC 5321 dot-string at a domain name, at most 254 characters), lower-cased.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read an address; letters are folded to lower case so that one mailbox is one account.
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
    A user name: 3 to 50 letters, digits or `. _ -` of any script, kept as typed after NFC.

    Two names that differ only by case are one name: compare by `key`.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read a user name or say what is wrong with it.
        """
        if not isinstance(text, str):
            raise InvalidValue("username", "must be a string")
        if not 3 <= len(text) <= 50:
            raise InvalidValue("username", "must have 3 to 50 characters")
        name = unicodedata.normalize("NFC", text)
        if not 3 <= len(name) <= 50:
            raise InvalidValue("username", "must have 3 to 50 characters")
        if not all(
            character in "._-" or unicodedata.category(character)[0] in "LN" or unicodedata.combining(character)
            for character in name
        ):
            raise InvalidValue("username", "may hold letters, digits, '.', '_' and '-' only")
        return cls(name)

    @property
    def key(self) -> str:
        """
        The form in which user names are compared: compatibility-folded and case-folded.
        """
        return unicodedata.normalize("NFKC", self.value).casefold()

    def __str__(self) -> str:
        return self.value
