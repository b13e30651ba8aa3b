"""
The state of one request, on a server that offers no more than ASGI.
"""

from __future__ import annotations

import asyncio
import socket

import attrs
import pytest

from sft_core.errors import FileTooLarge
from sft_http.asgi.connection import SCOPE_KEY, Connection, connection_in
from sft_http.asgi.socket_handle import SocketHandle


def test_a_plain_server_offers_nothing_and_nothing_fails() -> None:
    """Without a limit, a socket for threads or a way to abort, a request is served all the same."""
    connection = Connection()
    connection.abort()
    assert not connection.over_limit
    assert not connection.is_stalled()
    assert not connection.is_disconnected()
    assert connection.socket_handle is None
    assert connection.body_handoff.begin() == 0
    assert connection.sent_by_threads == 0
    connection.close()


def test_a_scope_has_one_connection() -> None:
    """The server's if it has passed one, else one that is made once."""
    ours = Connection()
    assert connection_in({SCOPE_KEY: ours}) is ours
    scope: dict[str, object] = {}
    assert connection_in(scope) is connection_in(scope)


def test_more_than_the_limit_of_a_body_is_refused() -> None:
    """As many bytes as the limit are not; without a limit any number is."""
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
    ("received", "ended", "announced", "is_whole"),
    [(5, True, None, True), (5, False, None, False), (5, False, 5, True), (4, False, 5, False), (0, False, 0, True)],
)
def test_a_body_is_whole_at_its_end_or_its_length(
    received: int, announced: int | None, *, ended: bool, is_whole: bool
) -> None:
    """A stream that merely ends is no proof: it also ends when the client disconnects."""
    connection = Connection()
    connection.count_received(received, ended=ended)
    assert connection.has_whole_body(announced) == is_whole


@attrs.define(eq=False)
class WithSocket(Connection):
    """
    A connection with a socket, unless file descriptors are exhausted.
    """

    transport: asyncio.Transport
    descriptors: int
    opened: int = 0

    def open_socket_handle(self) -> SocketHandle | None:
        self.opened += 1
        return SocketHandle(self.transport) if self.opened > self.descriptors else None


def test_a_handle_is_opened_once_and_closed_with_the_request() -> None:
    """Also if a clean-up fails, after which the others run; where none could be opened, it is tried again."""

    async def story() -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
            connection, done = WithSocket(transport, 1), list[str]()
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
