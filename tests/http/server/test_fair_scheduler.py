"""
Long work on the event loop, a step at a time.
"""

from __future__ import annotations

import asyncio

from sft_http.server.fair_scheduler import RoundRobin


def test_one_stretch_is_done_in_each_turn_of_the_loop() -> None:
    """Queued steps run one after the other, with an iteration of the event loop between any two."""
    done: list[str] = []

    async def story() -> None:
        round_robin = RoundRobin()
        left = {"a": 3, "b": 3, "c": 1}

        def stretch(name: str) -> None:
            done.append(name)
            left[name] -= 1
            if left[name]:
                round_robin.enqueue(lambda: stretch(name))

        for name in left:
            round_robin.enqueue(lambda name=name: stretch(name))  # type: ignore[misc]
        while any(left.values()):
            done.append("|")
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert "".join(done) == "|a|b|c|a|b|a|b"


def test_one_that_fails_holds_up_nobody() -> None:
    """The event loop reports it, and the next step runs."""
    done, told = [], []

    def fail() -> None:
        raise ZeroDivisionError

    async def story() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context["exception"]))
        round_robin = RoundRobin()
        round_robin.enqueue(fail)
        round_robin.enqueue(lambda: done.append("next"))
        for _ in range(3):
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(story(), 20))
    assert done == ["next"]
    assert [type(error) for error in told] == [ZeroDivisionError]
