"""
The machine's clock, randomness and identifiers.
"""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import RFC_4122, UUID

from sft_adapters.memory.clock import SettableClock
from sft_adapters.system import SystemEntropy, Uuid7Generator


def test_identifier_is_a_uuid_of_version_7() -> None:
    """Version, variant and the 48 bits of time are at the positions of RFC 9562."""
    clock = SettableClock(datetime(2026, 5, 6, 7, 8, 9, 123456, tzinfo=UTC))
    created = Uuid7Generator(clock, SystemEntropy()).new()
    assert (created.version, created.variant) == (7, RFC_4122)
    assert created.int >> 80 == int(clock.now().timestamp() * 1000)


def test_later_identifiers_sort_later() -> None:
    """This holds when the clock stops, is set back, or a millisecond is full."""
    clock = SettableClock()
    ids = Uuid7Generator(clock, SystemEntropy())
    created: list[UUID] = []
    for step in (0.0, 0.001, -5.0, 0.0, 10.0):
        clock.advance(seconds=step)
        created += [ids.new() for _ in range(5000)]
    assert created == sorted(created)
    assert len(set(created)) == len(created)
    assert {one.version for one in created} == {7}
