"""
Bodies that threads receive in place of the event loop: how many bytes, and what follows them.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import attrs
import pytest

from sft_http.asgi.connection import SCOPE_KEY, Connection
from support.protocol import client_of

HEAD = b"PUT /a HTTP/1.1\r\nHost: a\r\n"
MIB = 1 << 20


@attrs.define
class Receiving:
    """
    An application that receives a piece in the event loop, and what it can of the rest in a thread.
    """

    offered: list[int] = attrs.field(factory=list)
    """What each `begin_handoff` has returned."""
    by_threads: int = 0
    bodies: list[bytes] = attrs.field(factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        connection: Connection = scope[SCOPE_KEY]
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
            body += await self._receive_in_thread(connection)
        self.bodies.append(body)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        connection.close()

    async def _receive_in_thread(self, connection: Connection) -> bytes:
        handle = connection.socket_handle
        assert handle is not None
        count = connection.begin_handoff()
        self.offered.append(count)
        if not count:
            return b""
        piece = b""
        while not piece:
            piece = await asyncio.to_thread(handle.receive, count)
        connection.record_handoff(len(piece), ended=True)
        self.by_threads += len(piece)
        return piece


def respond(app: Receiving, *requests: bytes) -> None:
    """
    Send the requests without a pause, and wait for as many responses.
    """

    async def story() -> None:
        async with client_of(app) as (reader, writer, _):
            writer.write(b"".join(requests))
            for _ in requests:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204 ")

    asyncio.run(asyncio.wait_for(story(), 20))


def with_length(body: bytes) -> bytes:
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("size", [MIB, 4 * MIB, 4 * MIB + 1])
def test_behind_a_body_received_by_threads_the_next_request_is_parsed(size: int) -> None:
    """Threads receive none of its bytes, however many wait on the socket: the parser ends the body."""
    app, bodies = Receiving(), [os.urandom(size), os.urandom(size), b"z"]
    respond(app, *map(with_length, bodies))
    assert app.bodies == bodies
    assert 0 < app.by_threads < 2 * size
    assert max(app.offered) < size


def test_bytes_in_memory_are_received_before_those_on_the_socket() -> None:
    """While received pieces wait in the queue, no thread may receive: the body would be out of order."""

    async def story() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            connection: Connection = scope[SCOPE_KEY]
            await asyncio.sleep(0)
            queued.append(connection.begin_handoff())
            assert (await receive())["body"] == b"ab"
            queued.append(connection.begin_handoff())
            connection.record_handoff(0, ended=True)
            writer.write(b"cde")
            assert (await receive())["body"] == b"cde"
            queued.append(connection.begin_handoff())
            await send({"type": "http.response.start", "status": 204, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        queued = list[int]()
        async with client_of(app) as (reader, writer, _):
            writer.write(HEAD + b"Content-Length: 5\r\n\r\nab")
            await reader.readuntil(b"\r\n\r\n")
        assert queued == [0, 2, 0]

    asyncio.run(asyncio.wait_for(story(), 20))


def test_a_body_without_a_length_is_received_by_the_event_loop() -> None:
    """Only the parser finds the end of each chunk."""
    app = Receiving()
    respond(
        app,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 64 * (b"10000\r\n" + bytes(1 << 16) + b"\r\n") + b"0\r\n\r\n",
    )
    assert app.bodies == [bytes(4 * MIB)]
    assert set(app.offered) == {0}


def test_behind_an_end_of_the_connection_no_thread_receives() -> None:
    """What a client still sends after the server has closed is discarded by the event loop."""

    async def story() -> None:
        offered = list[int]()

        async def app(scope: Any, receive: Any, _send: Any) -> None:
            connection: Connection = scope[SCOPE_KEY]
            assert (await receive())["body"] == b"ab"
            connection.abort()
            offered.append(connection.begin_handoff())

        async with client_of(app) as (reader, writer, _):
            writer.write(HEAD + b"Content-Length: 5\r\n\r\nab")
            assert await reader.read() == b""
        assert offered == [0]

    asyncio.run(asyncio.wait_for(story(), 20))
