"""
Content-Disposition: parsed from forms (RFC 7578), built for downloads (RFC 6266, RFC 8187).
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
# A backslash escapes only a quote or a backslash: browsers send other backslashes unescaped.
_QUOTED_PAIR: Final = re.compile(r'\\(["\\])')
_BROWSER_ESCAPES: Final = re.compile(r"%(22|0D|0A)", flags=re.IGNORECASE)
_ATTR_CHARS: Final = "!#$&+-.^_`|~"


def attachment(name: FileName) -> str:
    """
    The Content-Disposition of a download: an ASCII name for old clients, then the exact one.
    """
    fallback = re.sub(r"[^ !#$&\'()+,\-.0-9;=@A-Z\[\]^_`a-z{}~]", "_", name.value)
    return f"attachment; filename=\"{fallback}\"; filename*=UTF-8''{quote(name.value, safe=_ATTR_CHARS)}"


def parameters(header: bytes) -> dict[str, str]:
    """
    The parameters of a form part's Content-Disposition.

    Raises `InvalidValue` if it is not UTF-8, is malformed, repeats a parameter, or has a type other than `form-data`.
    """
    try:
        text = header.decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidValue("file", "Content-Disposition must be UTF-8") from None
    kind, _, _ = text.partition(";")
    found: dict[str, str] = {}
    position = len(kind)
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None or match[1].lower() in found:
            raise InvalidValue("file", "Content-Disposition is malformed")
        value = match[2] or ""
        found[match[1].lower()] = _QUOTED_PAIR.sub(r"\1", value[1:-1]) if value.startswith('"') else value.strip()
        position = match.end()
    if kind.strip().lower() != "form-data":
        raise InvalidValue("file", "Content-Disposition must be form-data")
    return found


def file_name(found: dict[str, str]) -> str | None:
    """
    The file name among a part's parameters: `filename*` if present, else `filename`, else None.

    Browsers percent-encode quotes and line breaks in `filename` (WHATWG, multipart/form-data). Raises `InvalidValue` if
    `filename*` is malformed or not in the encoding that it names.
    """
    if "filename*" in found:
        match = _EXTENDED.fullmatch(found["filename*"])
        if match is None or match[1].lower() not in {"utf-8", "iso-8859-1"}:
            raise InvalidValue("file", "filename* is malformed")
        try:
            return unquote_to_bytes(match[2]).decode(match[1])
        except UnicodeDecodeError:
            raise InvalidValue("file", "filename* is not in the encoding that it names") from None
    if "filename" not in found:
        return None
    return _BROWSER_ESCAPES.sub(lambda escape: chr(int(escape[1], 16)), found["filename"])
