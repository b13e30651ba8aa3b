"""
The contracts of `sft_core.ports.Clock`, `Entropy` and `IdGenerator`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import ClassVar
from uuid import RFC_4122, UUID

import pytest

from sft_core.ports import Clock, Entropy, IdGenerator

_THREADS = 8


class ClockContract:
    """
    Give the fixture `clock`.
    """

    tells_the_present: ClassVar[bool] = True
    """False for a clock that is set by hand: it tells the moment it was set to."""

    def test_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        """A moment says that it is in UTC, so two of them can always be compared."""
        assert clock.now().utcoffset() == timedelta(0)

    def test_time_does_not_run_backwards_by_itself(self, clock: Clock) -> None:
        """A later look never shows an earlier moment, as long as nobody sets the clock."""
        looks = [clock.now() for _ in range(1000)]
        assert all(earlier <= later for earlier, later in pairwise(looks))

    def test_time_is_the_present(self, clock: Clock) -> None:
        """What it tells is now, in UTC and in no other zone's hours."""
        if self.tells_the_present:
            assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)

    def test_time_is_finer_than_a_second(self, clock: Clock) -> None:
        """Microseconds are told and not rounded away."""
        if self.tells_the_present:
            assert any(clock.now().microsecond for _ in range(1000))


class EntropyContract:
    """
    Give the fixture `entropy`.
    """

    @pytest.mark.parametrize("size", [0, 1, 7, 24, 32, 4096, 1 << 20])
    def test_as_many_bytes_as_asked_for(self, entropy: Entropy, size: int) -> None:
        """Exactly `size` bytes come, as `bytes`."""
        drawn = entropy.random_bytes(size)
        assert type(drawn) is bytes
        assert len(drawn) == size

    def test_no_draw_comes_twice(self, entropy: Entropy) -> None:
        """Ten thousand draws of 16 bytes differ from one another."""
        assert len({entropy.random_bytes(16) for _ in range(10_000)}) == 10_000

    def test_threads_draw_different_bytes(self, entropy: Entropy) -> None:
        """Eight threads that draw at once never get the same bytes."""
        with ThreadPoolExecutor(_THREADS) as pool:
            draws = list(pool.map(lambda _: entropy.random_bytes(16), range(4000)))
        assert len(set(draws)) == len(draws)

    def test_bytes_do_not_lean(self, entropy: Entropy) -> None:
        """In a million bytes each value is as frequent as chance has it, within eight deviations."""
        drawn = entropy.random_bytes(1 << 20)
        expected = len(drawn) / 256
        assert all(abs(drawn.count(value) - expected) < 8 * expected**0.5 for value in range(256))


class IdGeneratorContract:
    """
    Give the fixture `ids`.
    """

    def test_an_identifier_is_a_uuid_of_version_7(self, ids: IdGenerator) -> None:
        """Version and variant stand where RFC 9562, section 5.7 has them."""
        made = ids.new()
        assert type(made) is UUID
        assert (made.version, made.variant) == (7, RFC_4122)

    def test_later_identifiers_sort_later(self, ids: IdGenerator) -> None:
        """Of ten thousand made one after the other each is greater than the one before."""
        made = [ids.new() for _ in range(10_000)]
        assert all(earlier < later for earlier, later in pairwise(made))

    def test_threads_never_get_one_identifier(self, ids: IdGenerator) -> None:
        """Eight threads at once: all identifiers differ, and each thread's own ones sort."""
        with ThreadPoolExecutor(_THREADS) as pool:
            made = list(pool.map(lambda _: [ids.new() for _ in range(500)], range(_THREADS)))
        assert len({one for each in made for one in each}) == 500 * _THREADS
        assert all(each == sorted(each) for each in made)

    def test_identifiers_cannot_be_guessed(self, ids: IdGenerator) -> None:
        """The last 62 bits are drawn: none repeats, and each bit of them is often 0 and often 1."""
        tails = [ids.new().int & ((1 << 62) - 1) for _ in range(2000)]
        assert len(set(tails)) == len(tails)
        assert all(700 < sum(tail >> bit & 1 for tail in tails) < 1300 for bit in range(62))
