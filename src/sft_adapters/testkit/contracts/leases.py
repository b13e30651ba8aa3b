"""
The contract of `sft_core.ports.Leases`.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Final

from sft_adapters.testkit.contracts.examples import NOW, RACERS, race
from sft_core.ports import Leases

MINUTE: Final = timedelta(minutes=1)
TICK: Final = timedelta(microseconds=1)


class LeasesContract:
    """
    Contract suite of `Leases`: one holder at a time, exact expiry, release by the holder.

    An adapter passes if of any number of concurrent holders exactly one acquires a free lease, and another
    holder acquires it from its expiry on.

    Fixtures:
        leases: A new, empty lease store.
    """

    def test_concurrent_acquires_one_succeeds(self, leases: Leases) -> None:
        """Of twelve concurrent holders exactly one acquires the lease, and again after each expiry."""
        for term in range(3):
            now, numbers = NOW + term * MINUTE, count(term * RACERS)

            def acquire(now: datetime = now, numbers: count[int] = numbers) -> bool:
                return leases.acquire("sweep", holder=f"h{next(numbers)}", now=now, until=now + MINUTE)

            assert race(acquire).count(True) == 1

    def test_lease_is_exclusive_until_its_expiry(self, leases: Leases) -> None:
        """Another holder is refused to the last microsecond, and acquires the lease at its expiry."""
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        for now in (NOW - MINUTE, NOW, NOW + MINUTE - TICK):
            assert not leases.acquire("sweep", holder="second", now=now, until=now + MINUTE)
        assert leases.acquire("sweep", holder="second", now=NOW + MINUTE, until=NOW + 2 * MINUTE)
        assert not leases.acquire("sweep", holder="first", now=NOW + MINUTE, until=NOW + 2 * MINUTE)

    def test_holder_can_extend_and_shorten(self, leases: Leases) -> None:
        """The holder's latest expiry applies; a refused acquire changes nothing."""
        for end in (NOW + MINUTE, NOW + 3 * MINUTE, NOW + 2 * MINUTE):
            assert leases.acquire("sweep", holder="first", now=NOW, until=end)
            assert not leases.acquire("sweep", holder="second", now=end - TICK, until=NOW + 9 * MINUTE)
        assert leases.acquire("sweep", holder="second", now=NOW + 2 * MINUTE, until=NOW + 3 * MINUTE)

    def test_leases_of_different_names_are_independent(self, leases: Leases) -> None:
        """Each name is a separate lease."""
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        assert leases.acquire("other", holder="second", now=NOW, until=NOW + MINUTE)
        leases.release("other", holder="second")
        assert not leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)

    def test_release_by_the_holder_frees_the_lease(self, leases: Leases) -> None:
        """Only the holder can release a lease, repeatedly; it is free at once."""
        leases.release("sweep", holder="first")
        assert leases.acquire("sweep", holder="first", now=NOW, until=NOW + MINUTE)
        leases.release("sweep", holder="second")
        assert not leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)
        for _ in range(2):
            leases.release("sweep", holder="first")
        assert leases.acquire("sweep", holder="second", now=NOW, until=NOW + MINUTE)
