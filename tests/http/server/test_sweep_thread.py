"""
The thread that sweeps: it continues after any error, and delays no stop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import attrs
import pytest

from sft_adapters.bootstrap.container import memory_application
from sft_core.errors import DatabaseUnavailable
from sft_core.maintenance.sweep import LeasedSweep, ShouldContinue
from sft_http.server.sweep_thread import SweepThread

SECONDS = 10.0


@attrs.define
class Steps:
    """
    What the sweep does each time, one after the other; then nothing more.
    """

    acts: list[Callable[[], object]]
    done: threading.Event = attrs.field(factory=threading.Event)

    def __call__(self) -> None:
        if not self.acts:
            self.done.set()
            return
        self.acts.pop(0)()


@pytest.fixture
def sweep() -> LeasedSweep:
    return memory_application().maintenance.leased_sweep


def sweeper(sweep: LeasedSweep, check: Callable[[], None], *, stop_seconds: float = SECONDS) -> SweepThread:
    return SweepThread(sweep, check=check, interval_seconds=0.001, stop_seconds=stop_seconds)


def fails(error: Exception) -> Callable[[], object]:
    def act() -> None:
        raise error

    return act


def test_it_goes_on_whatever_happens(sweep: LeasedSweep, caplog: pytest.LogCaptureFixture) -> None:
    """An unavailable storage or a fault of the service ends one sweep, and is logged; the next sweep runs."""
    steps = Steps([fails(DatabaseUnavailable("no connection")), fails(ValueError("a fault of ours"))])
    running = sweeper(sweep, steps)
    running.start()
    assert steps.done.wait(SECONDS)
    running.close()
    assert [record.getMessage() for record in caplog.records] == ["the sweep failed", "the sweep failed unexpectedly"]
    assert caplog.records[1].exc_info is not None


def test_a_stop_ends_it_and_leaves_the_turn_to_others(sweep: LeasedSweep) -> None:
    """Another worker need not wait until the lease has expired."""
    steps = Steps([lambda: None])
    running = sweeper(sweep, steps)
    other = attrs.evolve(sweep, holder="another")
    running.start()
    assert steps.done.wait(SECONDS)
    running.close()
    assert not running._thread.is_alive()
    assert other() is not None


def test_a_sweep_that_hangs_does_not_hold_up_a_stop(sweep: LeasedSweep) -> None:
    """The stop waits for it as long as configured, and then no longer."""
    hangs, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        go_on.wait(SECONDS)

    running = sweeper(sweep, hang, stop_seconds=0.01)
    running.start()
    assert hangs.wait(SECONDS)
    running.close()
    assert running._thread.is_alive()
    go_on.set()
    running._thread.join(SECONDS)


def test_a_sweep_under_way_is_told_of_the_stop(sweep: LeasedSweep) -> None:
    """Before each step it checks whether it should continue."""
    answers: list[bool] = []
    began, stopping = threading.Event(), threading.Event()

    @attrs.frozen
    class Asks(LeasedSweep):
        def __call__(self, *, should_continue: ShouldContinue = bool) -> None:
            answers.append(should_continue())
            began.set()
            stopping.wait(SECONDS)
            answers.append(should_continue())

    fields = {field.name: getattr(sweep, field.name) for field in attrs.fields(LeasedSweep)}
    running = sweeper(Asks(**fields), lambda: None)
    running.start()
    assert began.wait(SECONDS)
    running._stopping.set()
    stopping.set()
    running.close()
    assert answers[:2] == [True, False]
