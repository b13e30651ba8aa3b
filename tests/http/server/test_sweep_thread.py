"""
The sweep thread: it continues after any error, and delays no stop.
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
    The calls of successive sweeps, one each; after the last one `done` is set.
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


def test_sweep_thread_continues_after_any_error(sweep: LeasedSweep, caplog: pytest.LogCaptureFixture) -> None:
    """An unavailable storage or an unexpected error ends one sweep, and is logged; the next sweep runs."""
    steps = Steps([fails(DatabaseUnavailable("no connection")), fails(ValueError("a fault of ours"))])
    running = sweeper(sweep, steps)
    running.start()
    assert steps.done.wait(SECONDS)
    running.close()
    assert [record.getMessage() for record in caplog.records] == ["the sweep failed", "the sweep failed unexpectedly"]
    assert caplog.records[1].exc_info is not None


def test_stop_ends_the_thread_and_releases_the_lease(sweep: LeasedSweep) -> None:
    """Another worker need not wait until the lease has expired."""
    steps = Steps([lambda: None])
    running = sweeper(sweep, steps)
    other = attrs.evolve(sweep, holder="another")
    running.start()
    assert steps.done.wait(SECONDS)
    running.close()
    assert not running._thread.is_alive()
    assert other() is not None


def test_hanging_sweep_does_not_delay_a_stop(sweep: LeasedSweep) -> None:
    """The stop waits for the sweep at most `stop_seconds`."""
    hangs, resume = threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        resume.wait(SECONDS)

    running = sweeper(sweep, hang, stop_seconds=0.01)
    running.start()
    assert hangs.wait(SECONDS)
    running.close()
    assert running._thread.is_alive()
    resume.set()
    running._thread.join(SECONDS)


def test_running_sweep_is_asked_to_stop(sweep: LeasedSweep) -> None:
    """`should_continue` returns False once a stop has been requested."""
    answers: list[bool] = []
    began, stopping = threading.Event(), threading.Event()

    @attrs.frozen
    class CheckingSweep(LeasedSweep):
        def __call__(self, *, should_continue: ShouldContinue = bool) -> None:
            answers.append(should_continue())
            began.set()
            stopping.wait(SECONDS)
            answers.append(should_continue())

    fields = {field.name: getattr(sweep, field.name) for field in attrs.fields(LeasedSweep)}
    running = sweeper(CheckingSweep(**fields), lambda: None)
    running.start()
    assert began.wait(SECONDS)
    running._stopping.set()
    stopping.set()
    running.close()
    assert answers[:2] == [True, False]
