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
    Contract suite of `Clock`: aware UTC times with microseconds that never run backwards.

    Fixtures:
        clock: The clock.
    """

    tells_the_present: ClassVar[bool] = True
    """False for a clock that is set manually and returns the time it was set to."""

    def test_time_is_aware_and_in_utc(self, clock: Clock) -> None:
        """The time is aware and its UTC offset is zero, so two times can always be compared."""
        assert clock.now().utcoffset() == timedelta(0)

    def test_time_does_not_run_backwards(self, clock: Clock) -> None:
        """Successive calls never return an earlier time, unless the clock is set."""
        looks = [clock.now() for _ in range(1000)]
        assert all(earlier <= later for earlier, later in pairwise(looks))

    def test_time_is_the_present(self, clock: Clock) -> None:
        """The time is the present in UTC, not in a local time zone."""
        if self.tells_the_present:
            assert abs(clock.now() - datetime.now(UTC)) < timedelta(seconds=5)

    def test_time_is_finer_than_a_second(self, clock: Clock) -> None:
        """Microseconds are returned and not rounded away."""
        if self.tells_the_present:
            assert any(clock.now().microsecond for _ in range(1000))


class EntropyContract:
    """
    Contract suite of `Entropy`: the requested size, no repetition, a uniform distribution.

    Fixtures:
        entropy: The source of random bytes.
    """

    @pytest.mark.parametrize("size", [0, 1, 7, 24, 32, 4096, 1 << 20])
    def test_random_bytes_returns_the_requested_size(self, entropy: Entropy, size: int) -> None:
        """The result is exactly `size` bytes, of type `bytes`."""
        drawn = entropy.random_bytes(size)
        assert type(drawn) is bytes
        assert len(drawn) == size

    def test_draws_do_not_repeat(self, entropy: Entropy) -> None:
        """Ten thousand draws of 16 bytes differ from one another."""
        assert len({entropy.random_bytes(16) for _ in range(10_000)}) == 10_000

    def test_threads_draw_different_bytes(self, entropy: Entropy) -> None:
        """Eight concurrent threads never draw the same bytes."""
        with ThreadPoolExecutor(_THREADS) as pool:
            draws = list(pool.map(lambda _: entropy.random_bytes(16), range(4000)))
        assert len(set(draws)) == len(draws)

    def test_byte_values_are_uniformly_distributed(self, entropy: Entropy) -> None:
        """In a million bytes each value's frequency is within eight standard deviations of the mean."""
        drawn = entropy.random_bytes(1 << 20)
        expected = len(drawn) / 256
        assert all(abs(drawn.count(value) - expected) < 8 * expected**0.5 for value in range(256))


class IdGeneratorContract:
    """
    Contract suite of `IdGenerator`: UUIDs version 7 that sort by creation.

    Fixtures:
        ids: The generator.
    """

    def test_id_is_a_uuid_of_version_7(self, ids: IdGenerator) -> None:
        """Version and variant are as in RFC 9562, section 5.7."""
        made = ids.new()
        assert type(made) is UUID
        assert (made.version, made.variant) == (7, RFC_4122)

    def test_later_ids_sort_later(self, ids: IdGenerator) -> None:
        """Each of ten thousand consecutive identifiers is greater than the previous one."""
        made = [ids.new() for _ in range(10_000)]
        assert all(earlier < later for earlier, later in pairwise(made))

    def test_concurrent_ids_are_unique_and_sorted_per_thread(self, ids: IdGenerator) -> None:
        """Eight threads get distinct identifiers, and each thread's own identifiers are sorted."""
        with ThreadPoolExecutor(_THREADS) as pool:
            made = list(pool.map(lambda _: [ids.new() for _ in range(500)], range(_THREADS)))
        assert len({one for each in made for one in each}) == 500 * _THREADS
        assert all(each == sorted(each) for each in made)

    def test_ids_have_62_random_bits(self, ids: IdGenerator) -> None:
        """None of the last 62 bits is constant, and no value of them repeats."""
        tails = [ids.new().int & ((1 << 62) - 1) for _ in range(2000)]
        assert len(set(tails)) == len(tails)
        assert all(700 < sum(tail >> bit & 1 for tail in tails) < 1300 for bit in range(62))
