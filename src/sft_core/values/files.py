"""
What a file is called and what it is said to hold.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Self

import attrs

from sft_core.errors import InvalidFileName, InvalidValue

MAX_FILE_NAME_CHARACTERS: Final = 255

_BIDI: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_RESERVED: Final = frozenset(
    [
        *("con", "prn", "aux", "nul", "conin$", "conout$"),
        *(f"{device}{n}" for device in ("com", "lpt") for n in "0123456789\u00b9\u00b2\u00b3"),
    ],
)


_BLANK: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols that are drawn as nothing: the fillers of Hangul, the empty cell of Braille."""


@attrs.frozen
class FileName:
    """
    The name a person gave a file: one path component, the same to the eye and to the machine.

    1 to 255 characters of any script, after NFC, one of them visible. Refused: separators, control
    and bidi characters, line breaks, lone surrogates and noncharacters, `.` and `..`, a trailing dot
    or surrounding spaces, and the device names that Windows reserves. It is data for people and
    never part of a path or key; who saves a file under it minds the rest of what their own file
    system does not take (`:` or `*` on Windows, more than 255 bytes on Linux).
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read a file name; `InvalidFileName` says what is wrong with it.
        """
        if not isinstance(text, str):
            raise InvalidFileName("the file name must be a string")
        if not 1 <= len(text) <= MAX_FILE_NAME_CHARACTERS:
            raise InvalidFileName(f"the file name must have 1 to {MAX_FILE_NAME_CHARACTERS} characters")
        name = unicodedata.normalize("NFC", text)
        if len(name) > MAX_FILE_NAME_CHARACTERS:
            raise InvalidFileName(f"the file name must have 1 to {MAX_FILE_NAME_CHARACTERS} characters")
        for character in name:
            if fault := _fault_of(character):
                raise InvalidFileName(f"the file name must not hold {fault}")
        if all(unicodedata.category(character)[0] in "CZM" or character in _BLANK for character in name):
            raise InvalidFileName("the file name must hold a visible character")
        if name != name.strip() or name.endswith("."):
            raise InvalidFileName("the file name must not begin or end with a space, nor end with a dot")
        if name.partition(".")[0].rstrip().casefold() in _RESERVED:
            raise InvalidFileName("the file name is reserved by a file system")
        return cls(name)

    @property
    def extension(self) -> str:
        """
        The last suffix with its dot, lower case; empty when there is none.
        """
        stem, dot, suffix = self.value.rpartition(".")
        return f".{suffix.lower()}" if dot and stem else ""

    def __str__(self) -> str:
        return self.value


def _fault_of(character: str) -> str:
    """
    What is wrong with a character in a file name; nothing, mostly.
    """
    if character in "/\\":
        return "a path separator"
    if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "control or bidi characters"
    # Unicode 16, section 23.7.
    if ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
        return "noncharacters"
    return ""


_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")


@attrs.frozen
class MediaType:
    """
    A media type without parameters (RFC 6838, section 4.2), lower case.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Read the type of a Content-Type value, leaving its parameters out; refuse a malformed one.
        """
        essence = text.partition(";")[0].strip().lower() if isinstance(text, str) else ""
        if not _MEDIA_TYPE.fullmatch(essence):
            raise InvalidValue("media_type", "is not a media type")
        return cls(essence)

    def __str__(self) -> str:
        return self.value


OCTET_STREAM: Final = MediaType("application/octet-stream")
