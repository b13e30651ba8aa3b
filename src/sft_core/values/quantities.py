"""
How much, how often, how many: a range of bytes, a rate of attempts, a page of rows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import attrs

from sft_core.errors import InvalidValue


@attrs.frozen
class ByteRange:
    """
    The bytes from `start` up to and not including `stop`; it may be empty, never backwards.
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
        The bytes in both ranges; an empty range at this range's bound when there are none.
        """
        start = min(max(self.start, other.start), self.stop)
        return ByteRange(start, max(start, min(self.stop, other.stop)))

    def shifted(self, by: int) -> ByteRange:
        """
        The same bytes counted from another origin.
        """
        return ByteRange(self.start + by, self.stop + by)


@attrs.frozen
class Rate:
    """
    How often something may be tried: `attempts` at once, each of which comes back in its time.

    It is the generic cell rate algorithm (ITU-T I.371, annex A): all that is kept of a key is the
    moment at which its last attempt will have come back. Whole microseconds.
    """

    attempts: int
    window: timedelta

    def __attrs_post_init__(self) -> None:
        if not 1 <= self.attempts <= 1_000_000:
            raise InvalidValue("attempts", "must be between 1 and 1000000")
        if not timedelta(seconds=1) <= self.window <= timedelta(days=365):
            raise InvalidValue("window", "must be between a second and a year")

    @property
    def interval(self) -> timedelta:
        """
        How long it takes until one attempt comes back, rounded down: the window brings back all of them.
        """
        return self.window // self.attempts

    @property
    def tolerance(self) -> timedelta:
        """
        How far in the future the last attempt may come back for one more to be admitted now.
        """
        return self.interval * (self.attempts - 1)

    def retry_after(self, comes_back: datetime, now: datetime) -> int:
        """
        Whole seconds, at least one, until the next attempt is admitted.
        """
        wait = comes_back - self.tolerance - now
        return max(1, -(-wait // timedelta(seconds=1)))


MAX_PAGE_SIZE: Final = 1000


@attrs.frozen
class Page:
    """
    A window over a listing: leave out `skip` rows, then take at most `limit` (1 to 1 000).
    """

    skip: int = 0
    limit: int = 100

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.skip < 2**63:
            raise InvalidValue("skip", "must be 0 or more")
        if not 1 <= self.limit <= MAX_PAGE_SIZE:
            raise InvalidValue("limit", f"must be between 1 and {MAX_PAGE_SIZE}")
