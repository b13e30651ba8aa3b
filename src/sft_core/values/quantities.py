"""
Quantities: byte ranges, rates of attempts, pages of rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from sft_core.errors import InvalidValue


@attrs.frozen
class ByteRange:
    """
    The bytes from `start` to before `stop`; `start` equals `stop` in an empty range.
    """

    start: int = attrs.field(validator=attrs.validators.ge(0))
    stop: int = attrs.field()

    @stop.validator
    def _forwards(self, _attribute: object, value: int) -> None:
        if value < self.start:
            raise InvalidValue("range", "ends before it starts")

    def __len__(self) -> int:
        return self.stop - self.start

    def intersection(self, other: ByteRange) -> ByteRange:
        """
        Return the bytes in both ranges, or an empty range within this one.
        """
        start = min(max(self.start, other.start), self.stop)
        return ByteRange(start, max(start, min(self.stop, other.stop)))

    def shifted(self, by: int) -> ByteRange:
        return ByteRange(self.start + by, self.stop + by)


@attrs.frozen
class Rate:
    """
    A rate limit: up to `attempts` at once, each restored after `interval`.

    The algorithm is the generic cell rate algorithm (ITU-T I.371, annex A): the state of a key is the
    one moment at which all of its attempts are restored. Times are in whole microseconds.
    """

    attempts: int
    window: timedelta

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.attempts <= 1_000_000:
            raise InvalidValue("attempts", "must be between 1 and 1000000")
        if not timedelta(seconds=1) <= self.window <= timedelta(days=365):
            raise InvalidValue("window", "must be between 1 second and 365 days")

    @property
    def interval(self) -> timedelta:
        """
        The time that restores one attempt, rounded down: a whole window restores all.
        """
        return self.window // self.attempts

    @property
    def tolerance(self) -> timedelta:
        """
        The maximum time until full restoration at which another attempt is accepted.
        """
        return self.interval * (self.attempts - 1)

    def retry_after(self, comes_back: datetime, now: datetime) -> int:
        """
        Return the whole seconds, at least 1, until the next attempt is accepted.
        """
        wait = comes_back - self.tolerance - now
        return max(1, -(-wait // timedelta(seconds=1)))


MAX_PAGE_SIZE: Final = 1000


@attrs.frozen
class Page:
    """
    A page of a listing: skip `skip` rows, return up to `limit` (1 to 1000).
    """

    skip: int = 0
    limit: int = 100

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.skip < 2**63:
            raise InvalidValue("skip", "must be 0 or more")
        if not 1 <= self.limit <= MAX_PAGE_SIZE:
            raise InvalidValue("limit", f"must be between 1 and {MAX_PAGE_SIZE}")
