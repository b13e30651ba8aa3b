"""
The contract of `sft_core.ports.Leases`.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import count
from typing import Final

from sft_adapters.testkit.contracts.examples import NOW, race
from sft_core.ports import Leases

MINUTE: Final = timedelta(minutes=1)
TICK: Final = timedelta(microseconds=1)


class LeasesContract:
    """
    Give the fixture `leases`.
    """

    def test_of_many_one_takes_it(self, leases: Leases) -> None:
        """Of twelve holders at one moment exactly one, and again when it is over."""
        for turn in range(3):
            names = count()
            now = NOW + turn * MINUTE
            won = race(lambda: leases.acquire("sweep", holder=f"h{turn}-{next(names)}", now=now, until=now + MINUTE))  # noqa: B023 (run at once)
            assert won.count(True) == 1

    def test_it_is_held_to_its_end_and_no_longer(self, leases: Leases) -> None:
        """Another one waits to the last microsecond, and takes over then, whatever has become of the holder."""
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        for now in (NOW - MINUTE, NOW, NOW + MINUTE - TICK):
            assert not leases.acquire("sweep", holder="second", now=now, until=now + MINUTE)
        assert leases.acquire("sweep", holder="second", now=NOW + MINUTE, until=NOW + 2 * MINUTE)
        assert not leases.acquire("sweep", holder="first", now=NOW + MINUTE, until=NOW + 2 * MINUTE)

    def test_a_holder_may_prolong_and_shorten_it(self, leases: Leases) -> None:
        """What it said last counts; a refused one has changed nothing."""
        for end in (NOW + MINUTE, NOW + 3 * MINUTE, NOW + 2 * MINUTE):
            assert leases.acquire("sweep", holder="first", now=NOW, until=end)
            assert not leases.acquire("sweep", holder="second", now=end - TICK, until=NOW + 9 * MINUTE)
        assert leases.acquire("sweep", holder="second", now=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE)

    def test_names_do_not_mix(self, leases: Leases) -> None:
        """Each is a lease of its own."""
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        assert leases.acquire("other", holder="second", now=NOW, until=NOW + MINUTE)
        leases.release("other", holder="second")
        assert not leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)

    def test_it_can_be_given_back(self, leases: Leases) -> None:
        """By its holder only, any number of times; it is free at once."""
        leases.release("sweep", holder="first")
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        leases.release("sweep", holder="second")
        assert not leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)
        for _ in range(2):
            leases.release("sweep", holder="first")
        assert leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)
