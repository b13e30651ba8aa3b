"""
The state of one request, on a server that offers plain ASGI only.
"""

from __future__ import annotations

import asyncio
import socket

import attrs
import pytest

from sft_core.errors import FileTooLarge
from sft_http.asgi.connection import SCOPE_KEY, Connection, connection_in
from sft_http.asgi.socket_handle import SocketHandle


def test_connection_of_a_plain_server_has_defaults() -> None:
    """Without a limit, a socket for threads or a way to abort, a request is served all the same."""
    connection = Connection()
    connection.abort()
    assert not connection.over_limit
    assert not connection.is_stalled()
    assert not connection.is_disconnected()
    assert connection.socket_handle is None
    assert connection.begin_handoff() == 0
    connection.record_handoff(0, ended=True)
    assert connection.sent_by_threads == 0
    connection.close()


def test_scope_has_one_connection() -> None:
    """It is the server's if it has passed one, otherwise one that is created once."""
    ours = Connection()
    assert connection_in({SCOPE_KEY: ours}) is ours
    scope: dict[str, object] = {}
    assert connection_in(scope) is connection_in(scope)


def test_body_beyond_its_limit_is_rejected() -> None:
    """A body of exactly the limit is accepted; without a limit any size is."""
    connection, error = Connection(), FileTooLarge(10)
    connection.count_received(5, ended=False)
    connection.check_body_limit()
    connection.limit_body(10, error)
    connection.count_received(5, ended=False)
    connection.check_body_limit()
    connection.count_received(1, ended=False)
    with pytest.raises(FileTooLarge) as caught:
        connection.check_body_limit()
    assert caught.value is error


@pytest.mark.parametrize(
    ("received", "ended", "announced", "is_complete"),
    [(5, True, None, True), (5, False, None, False), (5, False, 5, True), (4, False, 5, False), (0, False, 0, True)],
)
def test_body_is_complete_at_its_end_or_its_announced_length(
    received: int, announced: int | None, *, ended: bool, is_complete: bool
) -> None:
    """A stream that merely stops is no proof: it also stops when the client disconnects."""
    connection = Connection()
    connection.count_received(received, ended=ended)
    assert connection.has_whole_body(announced) == is_complete


@attrs.define(eq=False)
class SocketConnection(Connection):
    """
    A connection with a socket, whose first `failures` attempts to open a handle fail.
    """

    transport: asyncio.Transport
    failures: int
    opened: int = 0

    def open_socket_handle(self) -> SocketHandle | None:
        self.opened += 1
        return SocketHandle(self.transport) if self.opened > self.failures else None


def test_handle_is_opened_once_and_closed_with_the_request() -> None:
    """A failed open is retried; a clean-up that fails prevents neither the close nor the other clean-ups."""

    async def story() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            connection, done = SocketConnection(transport, 1), list[str]()
            found = [connection.socket_handle for _ in range(3)]
            handle = found[1]
            assert handle is not None
            assert found == [None, handle, handle]
            assert connection.opened == 2
            assert handle.send(memoryview(b"abc")) == connection.sent_by_threads == 3
            connection.add_cleanup(lambda: done.append("first"))
            connection.add_cleanup(lambda: 1 // 0)
            connection.add_cleanup(lambda: done.append("last"))
            with pytest.raises(ZeroDivisionError):
                connection.close()
            assert done == ["last", "first"]
            assert handle._socket.fileno() == -1
            assert connection.sent_by_threads == 3
            transport.abort()

    asyncio.run(story())
