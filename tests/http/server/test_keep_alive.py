"""
Responses that threads send in part: when the connection is kept alive, and which bytes count.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest

from sft_http.asgi.connection import SCOPE_KEY, Connection
from support.protocol import client_of

REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
BY_LOOP, BY_THREAD = b"a" * 10, b"b" * 90


@attrs.define
class ThreadSendingApp:
    """
    An application that declares `declared` bytes and has a thread send some of them.
    """

    declared: int
    ends: bool = True
    connections: list[Connection] = attrs.field(factory=list)

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        connection: Connection = scope[SCOPE_KEY]
        self.connections.append(connection)
        length = (b"content-length", str(self.declared).encode())
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": BY_LOOP, "more_body": True})
        handle = connection.socket_handle
        assert handle is not None
        assert handle.is_idle
        await asyncio.to_thread(handle.send, memoryview(BY_THREAD))
        connection.response_ended = self.ends
        if self.ends:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        connection.close()


def responses(app: ThreadSendingApp, *, over_limit: bool = False) -> list[tuple[bytes, bytes]]:
    """
    The heads and bodies of the responses to two requests on one connection, up to its close.
    """

    async def story() -> list[tuple[bytes, bytes]]:
        found = []
        async with client_of(app, over_limit=over_limit) as (reader, writer, _):
            for _ in range(2):
                writer.write(REQUEST)
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    break
                found.append((head, await reader.readexactly(100)))
        return found

    return asyncio.run(asyncio.wait_for(story(), 20))


def test_connection_is_kept_after_a_complete_response() -> None:
    """If event loop and thread have together sent the declared length, the next request is served."""
    app = ThreadSendingApp(100)
    assert [body for _, body in responses(app)] == 2 * [BY_LOOP + BY_THREAD]
    assert [connection.sent_by_threads for connection in app.connections] == [90, 90]


@pytest.mark.parametrize(("declared", "ends"), [(101, True), (101, False), (100, False)])
def test_connection_is_closed_after_an_incomplete_response(declared: int, *, ends: bool) -> None:
    """It lacks bytes or its end, so the next response would become part of it."""
    (response,) = responses(ThreadSendingApp(declared, ends=ends))
    assert response[1] == BY_LOOP + BY_THREAD


def test_connection_over_the_limit_is_closed_as_announced() -> None:
    """The response says `Connection: close`, whether or not threads send a part of it."""
    ((head, body),) = responses(ThreadSendingApp(100), over_limit=True)
    assert b"connection: close" in head.lower()
    assert body == BY_LOOP + BY_THREAD


def test_closed_connection_does_not_end_the_check_of_slow_readers() -> None:
    """A connection that is lost during a pass over all connections has no descriptor; it is passed over."""

    async def story() -> None:
        async with client_of(ThreadSendingApp(100)) as (_, _, protocol):
            protocol.transport.abort()
            await asyncio.sleep(0.05)
            assert protocol.is_lost
            protocol.abort_if_too_slow(1.0)

    asyncio.run(asyncio.wait_for(story(), 20))


def test_bytes_sent_by_threads_count_for_the_minimum_rate() -> None:
    """The bytes of earlier responses count as well, and each is counted once."""

    async def story() -> None:
        app = ThreadSendingApp(100)
        async with client_of(app) as (reader, writer, protocol):
            for number in (1, 2):
                writer.write(REQUEST)
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(100)
                protocol.abort_if_too_slow(1.0)
                assert protocol._acknowledged_bytes == 100 * number
            assert not protocol.transport.is_closing()

    asyncio.run(asyncio.wait_for(story(), 20))
