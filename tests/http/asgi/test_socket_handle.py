"""
A thread that sends and receives the bytes of bodies: how many, and when it waits for the client.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from itertools import chain

import pytest

from sft_http.asgi.socket_handle import SocketHandle

MIB = 1 << 20


def with_handle(story: Callable[[SocketHandle, asyncio.Transport, socket.socket], Awaitable[None]]) -> None:
    """
    Run a story with a handle on one end of a connection and the other end as a plain socket.
    """

    async def connected() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            transport.pause_reading()
            handle = SocketHandle(transport)
            try:
                await story(handle, transport, theirs)
            finally:
                handle.close()
                transport.abort()

    asyncio.run(connected())


def test_send_returns_the_number_of_bytes_sent() -> None:
    """A piece that exceeds the socket's buffer is sent up to its capacity, byte for byte."""
    content = os.urandom(8 * MIB)

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        assert handle.is_idle
        sent = await asyncio.to_thread(handle.send, memoryview(content))
        assert 0 < sent < len(content)
        received = bytearray()
        while len(received) < sent:
            received += theirs.recv(MIB)
        assert received == content[:sent]
        assert await asyncio.to_thread(handle.send, memoryview(b"more")) == 4

    with_handle(story)


def test_handle_is_not_idle_while_the_loop_writes() -> None:
    """A thread's bytes would then overtake those that the event loop still has to send."""

    async def story(handle: SocketHandle, transport: asyncio.Transport, theirs: socket.socket) -> None:
        def idle() -> bool:
            return handle.is_idle

        transport.write(bytes(8 * MIB))
        assert not idle()
        unread = 8 * MIB
        while unread:
            unread -= len(await asyncio.to_thread(theirs.recv, MIB))
        await asyncio.sleep(0)
        assert idle()
        transport.close()
        assert not idle()

    with_handle(story)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1])
def test_a_thread_receives_up_to_the_limit(size: int) -> None:
    """It waits for no longer than its bound, and leaves what exceeds the limit on the socket."""
    content = os.urandom(size)

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        sending = asyncio.create_task(asyncio.to_thread(theirs.sendall, content))
        received = b""
        while len(received) < min(size, MIB):
            received += await asyncio.to_thread(handle.receive, MIB - len(received))
        assert received == content[:MIB]
        rest = await asyncio.to_thread(handle.receive, 10)
        await sending
        assert rest == content[MIB:]

    with_handle(story)


def test_a_client_that_has_disconnected_ends_sending_and_receiving() -> None:
    """Sending stops, and nothing is received; neither raises in the thread."""

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        theirs.close()
        assert await asyncio.to_thread(handle.receive, 100) == b""
        assert await asyncio.to_thread(handle.send, memoryview(bytes(100))) == 0

    with_handle(story)


def test_event_loop_waits_for_the_client_instead_of_a_thread() -> None:
    """The wait ends when the client accepts more bytes or has disconnected."""

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        sent = await asyncio.to_thread(handle.send, memoryview(bytes(8 * MIB)))
        waiting = asyncio.create_task(handle.wait_until_writable())
        assert not (await asyncio.wait([waiting], timeout=0.05))[0]
        while sent:
            sent -= len(await asyncio.to_thread(theirs.recv, MIB))
        await waiting
        await asyncio.to_thread(handle.send, memoryview(bytes(8 * MIB)))
        waiting = asyncio.create_task(handle.wait_until_writable())
        theirs.close()
        await waiting
        assert not handle.is_broken
        assert await asyncio.to_thread(handle.send, memoryview(bytes(100))) == 0
        assert handle.is_broken

    with_handle(story)


def test_a_thread_does_not_wait_for_a_client_that_sends_slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """It receives what has arrived and returns, although the next byte follows after three milliseconds."""
    monkeypatch.setattr("sft_http.asgi.socket_handle._MAX_RECEIVE_SECONDS", 60)
    count = 200

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        def send_slowly() -> None:
            for _ in range(count):
                theirs.send(b"x")
                time.sleep(0.003)

        sending = asyncio.create_task(asyncio.to_thread(send_slowly))
        received = await asyncio.to_thread(handle.receive, MIB)
        await sending
        assert len(received) < count / 2

    with_handle(story)


def test_the_time_that_a_thread_receives_from_one_client_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound holds in all, however soon each byte follows the last one."""
    monkeypatch.setattr("sft_http.asgi.socket_handle._RECEIVE_POLL_MILLISECONDS", 60_000)

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        receiving = asyncio.create_task(asyncio.to_thread(handle.receive, MIB))
        sent = 0
        while not receiving.done() and sent < 10_000:
            theirs.send(b"x")
            sent += 1
            await asyncio.sleep(0.001)
        theirs.close()
        assert 0 < len(await receiving) <= sent < 10_000

    with_handle(story)


def test_no_thread_waits_for_a_client_that_was_long_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends what is accepted and returns; once the client is fast again, a thread waits for it again."""

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        sent = await asyncio.to_thread(handle.send, memoryview(bytes(8 * MIB)))
        assert (handle.is_fast, handle.is_writable()) == (True, False)
        waiting = asyncio.create_task(handle.wait_until_writable())
        await asyncio.sleep(0.05)
        while sent:
            sent -= len(await asyncio.to_thread(theirs.recv, MIB))
        await waiting
        assert (handle.is_fast, handle.is_writable()) == (False, True)
        monkeypatch.setattr("sft_http.asgi.socket_handle._SEND_POLL_MILLISECONDS", 60_000)
        sent = await asyncio.wait_for(asyncio.to_thread(handle.send, memoryview(bytes(8 * MIB))), 20)
        while sent:
            sent -= len(await asyncio.to_thread(theirs.recv, MIB))
        await handle.wait_until_writable()
        assert handle.is_fast

    with_handle(story)


def test_handle_never_refers_to_another_connection() -> None:
    """It has its own descriptor, whose number is not reused after the connection is closed."""

    async def story(handle: SocketHandle, transport: asyncio.Transport, theirs: socket.socket) -> None:
        transport.abort()
        await asyncio.sleep(0)
        others = [socket.socketpair() for _ in range(20)]
        await asyncio.to_thread(handle.send, memoryview(b"mine"))
        for end in chain.from_iterable(others):
            end.setblocking(False)
            with pytest.raises(BlockingIOError):
                end.recv(4)
        for end in chain.from_iterable(others):
            end.close()
        assert theirs.recv(4) == b"mine"

    with_handle(story)
