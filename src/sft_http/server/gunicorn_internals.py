"""
The private names of gunicorn used here, each behind a typed public name.

gunicorn has no public hooks for three changes that the service needs: responses to malformed requests, bounds on
chunked bodies, and closing behind an unread body. No other module names a private attribute of gunicorn. The dependency
is pinned to a minor release, and a test asserts that every name used here exists in the installed release with the
expected kind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from inspect import isfunction
from operator import attrgetter
from typing import Any, Final

from gunicorn.asgi import protocol as gunicorn_protocol
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.workers import gasgi

REASON_PHRASES: Final[dict[int, str]] = gunicorn_protocol._REASON_PHRASES
"""The phrases of gunicorn's status lines in this process; a missing one is `Unknown`."""


def use_protocol(protocol: type[ConnectionProtocol]) -> None:
    """
    Make gunicorn's worker create connections of this class, in this process.

    The worker names its class in the body of a method, so the module's global is replaced.
    """
    gasgi.ASGIProtocol = protocol


def _renamed(private: str) -> Any:  # noqa: ANN401 (each use states its type)
    """
    Return an attribute by which the private one of an instance is read and assigned.
    """
    return property(attrgetter(private), lambda owner, value: setattr(owner, private, value))


class _PublicMethods:
    """
    Makes private methods of gunicorn overridable by the public names assigned in a subclass.

    A class further down that defines the public name has its method under the private name too, by which gunicorn
    calls it; `super()` is gunicorn's own.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for base in cls.__mro__[1:]:
            for public, method in vars(base).items():
                if public in vars(cls) and isfunction(method) and method.__name__ != public:
                    setattr(cls, method.__name__, vars(cls)[public])


class RequestParser(_PublicMethods, PythonProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's HTTP/1.1 parser.
    """

    unparsed: bytearray = _renamed("_buffer")
    """The bytes that were received and not parsed."""
    chunk_size: int = _renamed("_chunk_size")
    find_line: Callable[[int, Exception], int] = PythonProtocol._find_line
    """Return the position of the next CRLF, or -1; raise the error beyond the limit."""

    @property
    def is_before_request(self) -> bool:
        """
        Whether nothing of the next request was received.
        """
        return self._state == "request_line" and not self.unparsed

    @property
    def body_bytes_left(self) -> int:
        """
        How many unparsed bytes a body with a Content-Length has, else 0. Assignable.
        """
        return int(self._body_remaining) if self._state == "body" else 0

    @body_bytes_left.setter
    def body_bytes_left(self, count: int) -> None:
        self._body_remaining = count

    @property
    def is_at_chunk_size(self) -> bool:
        """
        Whether the next line is one with the size of a chunk.
        """
        return bool(self._state == "chunked" and self._chunk_state == "size")


class BodyQueue(_PublicMethods, BodyReceiver):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's queue of received pieces of a body.
    """

    is_complete: bool = _renamed("_complete")
    """Whether the end of the body was received."""
    has_timed_out: bool = _renamed("_body_wait_expired")
    """Whether the wait for a piece has ended by its timeout."""
    pieces: deque[bytes | bytearray] = _renamed("_chunks")
    """The pieces that the application has not received."""
    queued_bytes: int = _renamed("_buffered")
    """The length of these pieces together."""
    next_message: Callable[[], dict[str, Any]] = BodyReceiver._pop_chunk
    """Remove the first piece from the queue and return it as an ASGI message."""


class ConnectionProtocol(_PublicMethods, ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's protocol of one client's connection.
    """

    worker: Any
    cfg: Any
    transport: asyncio.Transport
    request: Any = _renamed("_current_request")
    parser: Any = _renamed("_callback_parser")
    """The parser of requests; None once no more requests are read."""
    body: BodyQueue | None = _renamed("_body_receiver")
    """The body of the present request."""
    is_closed: bool = _renamed("_closed")
    """Whether the server has closed the connection, or the client has disconnected."""
    is_lost: bool = _renamed("_conn_lost_handled")
    """Whether the connection has ended."""
    is_idle: bool = _renamed("_awaiting_request")
    """Whether the connection waits for its next request."""
    is_tls: bool = _renamed("_is_ssl")
    """Whether gunicorn itself terminates TLS."""
    request_ready: asyncio.Event = _renamed("_request_ready")
    """Set to make the connection's task notice a change while it waits for a request."""

    pause_reading: Callable[[], None] = ASGIProtocol._pause_reading
    resume_reading: Callable[[], None] = ASGIProtocol._resume_reading
    resume_reading_if_below_limit: Callable[[], None] = ASGIProtocol._maybe_resume_reading
    """Read from the socket again if few enough bytes are buffered."""
    buffered_bytes: Callable[[], int] = ASGIProtocol._http1_buffered
    """Return how many received bytes are in memory."""
    set_up_parser: Callable[[], None] = ASGIProtocol._setup_callback_parser
    """Create the parser of a new connection."""
    parse: Callable[[bytes], bool] = ASGIProtocol._feed_callback_parser
    """Parse received bytes, and respond to malformed ones; return whether the connection is still open."""
    start_request: Callable[[], bool] = ASGIProtocol._on_headers_complete
    """Start the request whose head was parsed; return whether its body is to be skipped."""
    start_keepalive_timer: Callable[[], None] = ASGIProtocol._arm_keepalive_timer
    """Start the timeout until the next request."""
    accepts_upgrade: Callable[[object], bool] = ASGIProtocol._is_websocket_upgrade
    """Return whether the connection changes to WebSocket for a request."""
    build_scope: Callable[..., dict[str, Any]] = ASGIProtocol._build_http_scope
    """Return the ASGI scope of a request."""
    serve_request: Callable[..., Coroutine[Any, Any, bool]] = ASGIProtocol._serve_http_request
    """Serve one request; return whether the connection is kept."""
    run_application: Callable[..., Coroutine[Any, Any, bool]] = ASGIProtocol._handle_http_request
    """Run the application for one request; return whether the connection may be kept."""
    will_close: Callable[[object, object], bool] = ASGIProtocol._will_close
    """Return whether the connection is closed after the response to a request."""
    send_head: Callable[..., None] = ASGIProtocol._send_response_start
    """Send the head of a response; `close` announces that the connection is closed behind it."""
    send_body: Callable[..., None] = ASGIProtocol._send_body
    send_error: Callable[..., None] = ASGIProtocol._send_error_response
    """Send the response to a request that does not reach the application."""
    write: Callable[[bytes], None] = ASGIProtocol._safe_write
    """Write to the client; a disconnect is no error."""
    close: Callable[[], None] = ASGIProtocol._close_transport
    """Close the connection once everything is written."""

    @property
    def body_callbacks(self) -> Mapping[str, Any]:
        """
        The callbacks that a parser of this connection needs.
        """
        return {
            "on_headers_complete": self._on_headers_complete,
            "on_body": self._on_body,
            "on_message_complete": self._on_message_complete,
        }


class Worker(_PublicMethods, gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's ASGI worker.
    """

    app: Any
    cfg: Any
    sockets: Sequence[Any]
    loop: asyncio.AbstractEventLoop
    ppid: int
    skips_graceful_timeout: bool = _renamed("_quick_shutdown")
    """Whether `shut_down` waits for no connection."""
    serve: Callable[[], Coroutine[Any, Any, None]] = gasgi.ASGIWorker._serve
    """Serve connections until the worker stops."""
    shut_down: Callable[[], Coroutine[Any, Any, None]] = gasgi.ASGIWorker._shutdown
    """Close the listening sockets, and wait for connections for as long as `graceful_timeout`."""
