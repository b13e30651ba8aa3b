"""
Long work on the event loop, one step at a time.
"""

from __future__ import annotations

import asyncio

from sft_http.server.fair_scheduler import RoundRobin


def test_one_step_runs_in_each_iteration_of_the_event_loop() -> None:
    """Queued steps run one after the other, with an iteration of the event loop between any two."""
    done: list[str] = []

    async def story() -> None:
        round_robin = RoundRobin()
        remaining = {"a": 3, "b": 3, "c": 1}

        def step(name: str) -> None:
            done.append(name)
            remaining[name] -= 1
            if remaining[name]:
                round_robin.enqueue(lambda: step(name))

        for name in remaining:
            round_robin.enqueue(lambda name=name: step(name))  # type: ignore[misc]
        while any(remaining.values()):
            done.append("|")
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert "".join(done) == "|a|b|c|a|b|a|b"


def test_failed_step_does_not_delay_the_next() -> None:
    """The event loop reports its error, and the next step runs."""
    done, reported = [], []

    def fail() -> None:
        raise ZeroDivisionError

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: reported.append(context["exception"]))
        round_robin = RoundRobin()
        round_robin.enqueue(fail)
        round_robin.enqueue(lambda: done.append("next"))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert done == ["next"]
    assert [type(error) for error in reported] == [ZeroDivisionError]
