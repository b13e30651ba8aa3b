"""
Connections on which bodies arrive in chunks of one byte, as fast as possible.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from sft_http.server.chunked_parser import MAX_CHUNKS_PER_FEED
from support.protocol import InProcessWorker

HEAD = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BYTES = 20_000
BODY = b"1\r\na\r\n" * BYTES + b"0\r\n\r\n"
FEEDS = BYTES // MAX_CHUNKS_PER_FEED


@attrs.define
class CountingApp:
    """
    An application that receives bodies and counts their bytes and messages.
    """

    received_bytes: int = 0
    messages: int = 0

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        more = True
        while more:
            message = await receive()
            self.messages += 1
            self.received_bytes += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("connections", [1, 4])
def test_event_loop_runs_between_feeds_of_small_chunks(connections: int) -> None:
    """The event loop iterates once for each feed of chunks, on any connection, and each feed is one message."""
    app, iterations = CountingApp(), 0

    async def count() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    async def answer(worker: InProcessWorker) -> bytes:
        reader, writer, _ = await worker.connect()
        writer.write(HEAD + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return head

    async def story() -> list[bytes]:
        worker = InProcessWorker(app)
        counting = asyncio.create_task(count())
        try:
            return await asyncio.gather(*(answer(worker) for _ in range(connections)))
        finally:
            counting.cancel()

    answers = asyncio.run(asyncio.wait_for(story(), 60))
    assert [answer.split()[1] for answer in answers] == connections * [b"200"]
    assert app.received_bytes == connections * BYTES
    assert iterations >= connections * FEEDS // 2
    assert app.messages <= 2 * connections * FEEDS
