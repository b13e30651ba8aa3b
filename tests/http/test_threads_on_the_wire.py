"""
A thread that sends the bytes of a response: how much it sends, and when it waits for the client.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from itertools import chain

import pytest

from sft_http.asgi.socket_handle import SocketHandle

MIB = 1 << 20


def over(story: Callable[[SocketHandle, asyncio.Transport, socket.socket], Awaitable[None]]) -> None:
    """
    Run a story on a wire of one end of a connection, and the other end as a plain socket.
    """

    async def told() -> None:
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

    asyncio.run(told())


def test_what_a_client_takes_is_sent_and_the_rest_is_told() -> None:
    """A piece that is larger than what fits is sent up to there, byte for byte."""
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

    over(story)


def test_while_the_loop_still_writes_a_wire_is_not_idle() -> None:
    """What a thread sent then would come before what the loop holds."""

    async def story(handle: SocketHandle, transport: asyncio.Transport, theirs: socket.socket) -> None:
        def idle() -> bool:
            return handle.is_idle

        transport.write(bytes(8 * MIB))
        assert not idle()
        left = 8 * MIB
        while left:
            left -= len(await asyncio.to_thread(theirs.recv, MIB))
        await asyncio.sleep(0)
        assert idle()
        transport.close()
        assert not idle()

    over(story)


def test_a_client_that_is_gone_ends_both_ways() -> None:
    """Sending stops, receiving has nothing; neither raises in a thread."""

    async def story(handle: SocketHandle, _transport: asyncio.Transport, theirs: socket.socket) -> None:
        theirs.close()
        assert await asyncio.to_thread(handle.send, memoryview(bytes(100))) == 0

    over(story)


def test_the_loop_waits_for_a_client_that_takes_more() -> None:
    """While nothing fits nobody waits on a thread; when there is room again, or nobody there, the wait ends."""

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

    over(story)


def test_no_thread_waits_for_a_client_that_was_long_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives what fits and goes; one that takes more soon after is waited for again."""

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

    over(story)


def test_a_wire_never_becomes_another_connections() -> None:
    """The handle is its own: when the connection is closed under it, its number is not given to the next."""

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

    over(story)
