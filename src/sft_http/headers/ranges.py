"""
Byte ranges and conditional requests (RFC 9110, sections 13 and 14).
"""

from __future__ import annotations

import re
from typing import Final

import attrs

from sft_core.values import ByteRange

# A number with more digits than `int()` accepts does not match, and its header is ignored as malformed.
_SINGLE: Final = re.compile(r"bytes=[ \t]*([0-9]{0,1000})-([0-9]{0,1000})[ \t]*", flags=re.ASCII | re.IGNORECASE)
_ETAGS: Final = re.compile(r'[ \t]*((?:W/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*')


class UnsatisfiableRangeError(Exception):
    """
    A well-formed range that contains no byte of the file: 416.
    """


def requested_range(header: str | None, size: int) -> ByteRange | None:
    """
    The range of a file of `size` bytes that Range requests; None means all.

    A header with another unit, several ranges, malformed syntax or an end before its start is ignored, as section 14.2
    allows. Raises `UnsatisfiableRangeError` if the range contains no byte of the file.
    """
    match = _SINGLE.fullmatch(header or "")
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = size - min(int(last), size), size
    else:
        start = int(first)
        stop = min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise UnsatisfiableRangeError
    return ByteRange(start, stop)


@attrs.frozen(kw_only=True)
class Conditions:
    """
    The conditional headers of a request.

    Responses carry a strong ETag and no Last-Modified, so conditions on dates are ignored, as section 13.1 requires of
    a resource without a date.
    """

    if_match: str | None = None
    if_none_match: str | None = None
    if_range: str | None = None

    def fails_precondition(self, etag: str) -> bool:
        """
        Whether If-Match names only other versions: 412.
        """
        return self.if_match is not None and not _lists_etag(self.if_match, etag, weak=False)

    def is_not_modified(self, etag: str) -> bool:
        """
        Whether If-None-Match names this version: 304.
        """
        return self.if_none_match is not None and _lists_etag(self.if_none_match, etag, weak=True)

    def allows_range(self, etag: str) -> bool:
        """
        Whether Range applies: If-Range is absent or names this version with a strong ETag.
        """
        return self.if_range is None or self.if_range.strip() == f'"{etag}"'


def _lists_etag(header: str, etag: str, *, weak: bool) -> bool:
    if header.strip() == "*":
        return True
    etags = {f'"{etag}"', f'W/"{etag}"'} if weak else {f'"{etag}"'}
    found = (_ETAGS.fullmatch(item) for item in header.split(","))
    return any(match is not None and match[1] in etags for match in found)
