"""
One request's connection: the state that server, application and resources share.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import attrs
from falcon.asgi import Request

from sft_core.errors import SftError
from sft_http.asgi.socket_handle import SocketHandle

SCOPE_KEY: Final = "sft.connection"
"""The key of an ASGI scope under which its `Connection` is found."""


@attrs.define(eq=False)
class Connection:
    """
    The state of one request, shared by the server, the application and its resources.

    This class offers nothing below ASGI: no connection limit, no socket for threads, no way to abort. A server that
    offers more puts a subclass into the request's scope, as `sft_http.server` does. Every method is called on the event
    loop.
    """

    request_id: str = attrs.field(default="", init=False)
    """Identifies the request in the log and in problem details."""
    route: str = attrs.field(default="", init=False)
    """The route's template: the path itself may contain a token."""
    user: str = attrs.field(default="", init=False)
    """The id of the authenticated user."""
    received_bytes: int = attrs.field(default=0, init=False)
    """How much of the body was received."""
    body_ended: bool = attrs.field(default=False, init=False)
    """Whether the end of the body was received."""
    response_ended: bool = attrs.field(default=False, init=False)
    """Whether the application has passed the last message of its response to the server."""
    _body_limit: tuple[int, SftError] | None = attrs.field(default=None, init=False)
    _cleanup: ExitStack = attrs.field(factory=ExitStack, init=False)
    _socket_handle: SocketHandle | None = attrs.field(default=None, init=False)

    @property
    def over_limit(self) -> bool:
        """
        Whether the connection exceeds the connection limit, so that its requests receive the error "busy".
        """
        return False

    def is_stalled(self) -> bool:
        """
        Whether the wait for the body has timed out while the client is still connected.
        """
        return False

    def is_disconnected(self) -> bool:
        return False

    def abort(self) -> None:
        """
        Close the connection, even in the middle of a response.
        """

    def open_socket_handle(self) -> SocketHandle | None:
        """
        Return a duplicate of the client's socket; None if the server does not offer one.
        """
        return None

    def begin_handoff(self) -> int:
        """
        Pause the event loop's reading; return how many bytes a thread may receive.

        The limit is set by the server, because only its parser knows where the body ends: at most all but the last
        byte, which the parser must receive to end the request. 0 if the event loop must continue to read: the length is
        not declared, received bytes are still in memory, or the server does not support a handoff. Call it only if
        there is a `socket_handle`.
        """
        return 0

    def record_handoff(self, count: int, *, ended: bool) -> None:
        """
        Count the bytes that a thread has received, also for a cancelled request.

        `ended` ends the handoff: the event loop reads again.
        """

    @property
    def socket_handle(self) -> SocketHandle | None:
        """
        The handle by which threads send and receive, opened on first use.
        """
        if self._socket_handle is None:
            self._socket_handle = self.open_socket_handle()
        return self._socket_handle

    @property
    def sent_by_threads(self) -> int:
        """
        How many bytes of the response threads have sent, so far.
        """
        return self._socket_handle.sent_bytes if self._socket_handle is not None else 0

    def limit_body(self, limit: int, error: SftError) -> None:
        """
        Raise `error` as soon as more than `limit` bytes of the body were received.
        """
        self._body_limit = limit, error

    def count_received(self, count: int, *, ended: bool) -> None:
        self.received_bytes += count
        self.body_ended = ended

    def check_body_limit(self) -> None:
        if self._body_limit is not None and self.received_bytes > self._body_limit[0]:
            raise self._body_limit[1]

    def has_whole_body(self, announced: int | None) -> bool:
        """
        Whether the body was received completely: the framework's stream also ends on a disconnect.
        """
        return self.body_ended or (announced is not None and self.received_bytes >= announced)

    def add_cleanup(self, call: Callable[[], object]) -> None:
        """
        Have a function called at the end of the request, regardless of its outcome.
        """
        self._cleanup.callback(call)

    def close(self) -> None:
        """
        Run the clean-up and close the handle; the connection itself stays open.
        """
        try:
            self._cleanup.close()
        finally:
            if self._socket_handle is not None:
                self._socket_handle.close()


def connection_in(scope: dict[str, Any]) -> Connection:
    """
    Return the connection of a scope, or add one if the server passed none.
    """
    connection: Connection = scope.setdefault(SCOPE_KEY, Connection())
    return connection


def connection_of(req: Request) -> Connection:
    """
    Return the connection of a request.
    """
    return connection_in(req.scope)
