"""
File names in headers: read from forms (RFC 7578), written for downloads (RFC 6266, RFC 8187).
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from sft_core.errors import InvalidValue
from sft_core.values import FileName

_PARAMETER: Final = re.compile(
    r';[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*"|[^;"\s][^;]*)?[ \t]*',
    flags=re.DOTALL,
)
_EXTENDED: Final = re.compile(
    r"([A-Za-z0-9!#$%&+^_`{}~.-]+)'[A-Za-z0-9-]*'((?:[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-Fa-f]{2})*)"
)
# A backslash escapes a quote or a backslash only: browsers send others as they stand.
_QUOTED_PAIR: Final = re.compile(r'\\(["\\])')
_BROWSER_ESCAPES: Final = re.compile(r"%(22|0D|0A)", flags=re.IGNORECASE)
_ATTR_CHARS: Final = "!#$&+-.^_`|~"


def attachment(name: FileName) -> str:
    """
    A Content-Disposition for a download: an ASCII name for old clients, then the true one.
    """
    fallback = re.sub(r"[^ !#$&\'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]", "_", name.value)
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(name.value, safe=_ATTR_CHARS)}"


def parameters(header: bytes) -> dict[str, str]:
    """
    The parameters of a form part's Content-Disposition, `form-data` being its type.

    `InvalidValue` if it is not UTF-8, malformed, or names a parameter twice.
    """
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("file", "Content-Disposition is not UTF-8") from None
    kind, _, _ = text.partition(";")
    found: dict[str, str] = {}
    position = len(kind)
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1].lower() in found:
            raise InvalidValue("file", "Content-Disposition is malformed")
        found[match[1].lower()] = _unquoted(match[2] or "")
        position = match.end()
    if kind.strip().lower() != "form-data":
        raise InvalidValue("file", "Content-Disposition is not form-data")
    return found


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value.strip()
    return _QUOTED_PAIR.sub(r"\1", value[1:-1])


def file_name(found: dict[str, str]) -> str | None:
    """
    The file name among a part's parameters: the extended one if there is one, else the plain one.

    Browsers percent-encode quotes and line breaks in the plain one (WHATWG, multipart/form-data).
    """
    if "filename*" in found:
        match = _EXTENDED.fullmatch(found["filename*"])
        if match is None or match[1].lower() not in {"utf-8", "iso-8859-1"}:
            raise InvalidValue("file", "the extended file name is malformed")
        try:
            return unquote_to_bytes(match[2]).decode(match[1])
        except UnicodeDecodeError:
            raise InvalidValue("file", "the extended file name is not in its own encoding") from None
    if "filename" not in found:
        return None
    return _BROWSER_ESCAPES.sub(lambda escape: chr(int(escape[1], 16)), found["filename"])
