"""
File names and media types.
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
"""Letters and symbols without a visible glyph: the Hangul fillers and the empty Braille cell."""


@attrs.frozen
class FileName:
    """
    A file name given by a user: one path component, displayed as it is.

    1 to 255 characters of any script, NFC-normalised, at least one of them visible. Rejected are separators, control
    and bidi characters, line breaks, lone surrogates and noncharacters, `.` and `..`, a trailing dot, surrounding
    spaces, and the device names that Windows reserves. The name is for display and never part of a path or key. A
    client that saves a file under it handles the other limits of its own file system (`:` or `*` on Windows, 255 bytes
    on Linux).
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        if not isinstance(text, str):
            raise InvalidFileName("the file name must be a string")
        bound = MAX_FILE_NAME_CHARACTERS
        if not 1 <= len(text) <= bound or len(name := unicodedata.normalize("NFC", text)) > bound:
            raise InvalidFileName(f"the file name must have 1 to {MAX_FILE_NAME_CHARACTERS} characters")
        for character in name:
            if fault := _fault_of(character):
                raise InvalidFileName(f"the file name must not contain {fault}")
        if all(unicodedata.category(character)[0] in "CZM" or character in _BLANK for character in name):
            raise InvalidFileName("the file name must contain a visible character")
        if name != name.strip() or name.endswith("."):
            raise InvalidFileName("the file name must not begin or end with a space, nor end with a dot")
        if name.partition(".")[0].rstrip().casefold() in _RESERVED:
            raise InvalidFileName("the file name is reserved by a file system")
        return cls(name)

    @property
    def extension(self) -> str:
        """
        The last suffix with its dot, in lower case; empty if there is none.
        """
        stem, dot, suffix = self.value.rpartition(".")
        return f".{suffix.lower()}" if dot and stem else ""

    def __str__(self) -> str:
        return self.value


def _fault_of(character: str) -> str:
    if character in "/\\":
        return "a path separator"
    if character in _BIDI or unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
        return "control or bidi characters"
    # Noncharacters: Unicode 16, section 23.7.
    if ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF:
        return "noncharacters"
    return ""


_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,63}/[a-z0-9!#$&^_.+-]{1,63}")


@attrs.frozen
class MediaType:
    """
    A media type without parameters (RFC 6838, section 4.2), in lower case.
    """

    value: str

    @classmethod
    def parse(cls, text: object) -> Self:
        """
        Parse a Content-Type value without its parameters; raise `InvalidValue` if it is malformed.
        """
        essence = text.partition(";")[0].strip().lower() if isinstance(text, str) else ""
        if not _MEDIA_TYPE.fullmatch(essence):
            raise InvalidValue("media_type", "is not a media type")
        return cls(essence)

    def __str__(self) -> str:
        return self.value


OCTET_STREAM: Final = MediaType("application/octet-stream")
