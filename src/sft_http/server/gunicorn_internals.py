"""
The private names of gunicorn that this package depends on, each behind a public name with a type.

gunicorn has no public hooks for three changes that the service needs: responses to malformed
requests, bounds on chunked bodies, and closing behind an unread body. No other module names a
private attribute of gunicorn. The dependency is pinned to a minor release, and a test asserts that
every name used here exists in the installed release with the expected kind.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from gunicorn.asgi import protocol as gunicorn_protocol
from gunicorn.asgi.parser import PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.http.body import CHUNK_EXT_RE
from gunicorn.workers import gasgi

__all__ = [
    "CHUNK_EXT_RE",
    "BodyQueue",
    "ConnectionProtocol",
    "RequestParser",
    "Worker",
    "add_reason_phrases",
    "use_protocol",
]


def use_protocol(protocol: type[ConnectionProtocol]) -> None:
    """
    Make gunicorn's worker create connections of this class, in this process.

    The worker names its class in the body of a method, so the module's global is replaced.
    """
    gasgi.ASGIProtocol = protocol


def add_reason_phrases(phrases: Mapping[int, str]) -> None:
    """
    Add phrases to gunicorn's status lines, in this process.
    """
    gunicorn_protocol._REASON_PHRASES.update(phrases)  # noqa: SLF001 (this module is the place for it)


class RequestParser(PythonProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's HTTP/1.1 parser.
    """

    _buffer: bytearray

    @property
    def is_before_request(self) -> bool:
        """
        Whether nothing of the next request was received.
        """
        return bool(self._state == "request_line" and not self._buffer)

    @property
    def unparsed(self) -> bytearray:
        """
        The bytes that were received and not parsed; assignable.
        """
        return self._buffer

    @unparsed.setter
    def unparsed(self, data: bytearray) -> None:
        self._buffer = data

    @property
    def body_bytes_left(self) -> int:
        """
        How much of a body with a Content-Length is not parsed; 0 outside of such a body. Assignable.
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

    @property
    def chunk_size(self) -> int:
        """
        The size of the present chunk.
        """
        size: int = self._chunk_size
        return size

    def _find_line(self, limit: int, error: Exception) -> int:
        return self.find_line(limit, error)

    def find_line(self, limit: int, error: Exception) -> int:
        """
        Return the position of the next CRLF, or -1; raise `error` if the line is longer than `limit`.
        """
        position: int = super()._find_line(limit, error)
        return position


class BodyQueue(BodyReceiver):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's queue of received pieces of a body.
    """

    _chunks: deque[bytes | bytearray]
    _buffered: int

    @property
    def is_complete(self) -> bool:
        """
        Whether the end of the body was received.
        """
        return bool(self._complete)

    @property
    def has_timed_out(self) -> bool:
        """
        Whether the wait for a piece has ended by its timeout.
        """
        return bool(self._body_wait_expired)

    @property
    def pieces(self) -> deque[bytes | bytearray]:
        """
        The pieces that the application has not received.
        """
        return self._chunks

    def count_queued(self, count: int) -> None:
        """
        Count bytes that were added to a queued piece.
        """
        self._buffered += count

    def _pop_chunk(self) -> dict[str, Any]:
        return self.next_message()

    def next_message(self) -> dict[str, Any]:
        """
        Remove the first piece from the queue and return it as an ASGI message.
        """
        message: dict[str, Any] = super()._pop_chunk()
        return message


class ConnectionProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's protocol of one client's connection.

    Each method below is called by gunicorn, and may be overridden.
    """

    worker: Any
    cfg: Any
    transport: asyncio.Transport

    @property
    def parser(self) -> Any:  # noqa: ANN401 (a subclass decides its class)
        """
        The parser of requests; None once no more requests are read. Assignable.
        """
        return self._callback_parser

    @parser.setter
    def parser(self, parser: RequestParser | None) -> None:
        self._callback_parser = parser

    @property
    def body(self) -> BodyQueue | None:
        """
        The body of the present request. Assignable.
        """
        body: BodyQueue | None = self._body_receiver
        return body

    @body.setter
    def body(self, body: BodyQueue) -> None:
        self._body_receiver = body

    @property
    def is_closed(self) -> bool:
        """
        Whether the server has closed the connection, or the client has disconnected. Assignable.
        """
        return bool(self._closed)

    @is_closed.setter
    def is_closed(self, value: bool) -> None:
        self._closed = value

    @property
    def is_lost(self) -> bool:
        """
        Whether the connection has ended.
        """
        return bool(self._conn_lost_handled)

    @property
    def is_idle(self) -> bool:
        """
        Whether the connection waits for its next request.
        """
        return bool(self._awaiting_request)

    @property
    def is_tls(self) -> bool:
        """
        Whether gunicorn itself terminates TLS.
        """
        return bool(self._is_ssl)

    @property
    def request(self) -> Any:  # noqa: ANN401 (gunicorn ships no types)
        """
        The present request.
        """
        return self._current_request

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

    def wake(self) -> None:
        """
        Make the connection's task notice a change while it waits for a request.
        """
        self._request_ready.set()

    def pause_reading(self) -> None:
        """
        Stop reading from the socket.
        """
        self._pause_reading()

    def resume_reading(self) -> None:
        """
        Read from the socket again.
        """
        self._resume_reading()

    def write(self, data: bytes) -> None:
        """
        Write to the client; a disconnect is no error.
        """
        self._safe_write(data)

    def _setup_callback_parser(self) -> None:
        self.parser = self.new_parser()

    def new_parser(self) -> RequestParser:
        """
        Return the parser of a new connection.
        """
        raise NotImplementedError

    def _feed_callback_parser(self, data: bytes) -> bool:
        return self.parse(data)

    def parse(self, data: bytes) -> bool:
        """
        Parse received bytes, and respond to malformed ones; return whether the connection is still open.
        """
        return bool(super()._feed_callback_parser(data))

    def _on_headers_complete(self) -> bool:
        return self.start_request()

    def start_request(self) -> bool:
        """
        Start the request whose head was parsed; return whether its body is to be skipped.
        """
        return bool(super()._on_headers_complete())

    def _maybe_resume_reading(self) -> None:
        self.resume_reading_if_below_limit()

    def resume_reading_if_below_limit(self) -> None:
        """
        Read from the socket again if few enough bytes are buffered.
        """
        super()._maybe_resume_reading()

    def _http1_buffered(self) -> int:
        return self.buffered_bytes()

    def buffered_bytes(self) -> int:
        """
        Return how many received bytes are in memory.
        """
        return int(super()._http1_buffered())

    def _arm_keepalive_timer(self) -> None:
        self.start_keepalive_timer()

    def start_keepalive_timer(self) -> None:
        """
        Start the timeout until the next request.
        """
        super()._arm_keepalive_timer()

    def _is_websocket_upgrade(self, request: object) -> bool:
        return self.accepts_upgrade(request)

    def accepts_upgrade(self, request: object) -> bool:
        """
        Return whether the connection changes to WebSocket.
        """
        return bool(super()._is_websocket_upgrade(request))

    def _build_http_scope(self, *arguments: object) -> dict[str, Any]:
        return self.build_scope(*arguments)

    def build_scope(self, *arguments: object) -> dict[str, Any]:
        """
        Return the ASGI scope of a request.
        """
        scope: dict[str, Any] = super()._build_http_scope(*arguments)
        return scope

    async def _serve_http_request(self, *arguments: object) -> bool:
        return await self.serve_request(*arguments)

    async def serve_request(self, *arguments: object) -> bool:
        """
        Serve one request; return whether the connection is kept.
        """
        return bool(await super()._serve_http_request(*arguments))

    async def _handle_http_request(self, request: object, *arguments: object) -> bool:
        return await self.run_application(request, *arguments)

    async def run_application(self, request: object, *arguments: object) -> bool:
        """
        Run the application for one request; return whether the connection may be kept.
        """
        return bool(await super()._handle_http_request(request, *arguments))

    def _will_close(self, request: object, response_requires_close: object) -> bool:
        return self.will_close(request, response_requires_close)

    def will_close(self, request: object, response_requires_close: object) -> bool:
        """
        Return whether the connection is closed behind the response.
        """
        return bool(super()._will_close(request, response_requires_close))

    def _send_response_start(
        self,
        status: int,
        headers: Sequence[tuple[bytes, bytes]],
        request: object,
        close: bool = False,  # noqa: FBT001, FBT002 (gunicorn's signature)
    ) -> None:
        self.send_head(status, headers, request, close=close)

    def send_head(self, status: int, headers: Sequence[tuple[bytes, bytes]], request: object, *, close: bool) -> None:
        """
        Send the head of a response; `close` announces that the connection is closed behind it.
        """
        super()._send_response_start(status, headers, request, close=close)

    def _send_body(self, body: bytes, *arguments: object) -> None:
        self.send_body(body, *arguments)

    def send_body(self, body: bytes, *arguments: object) -> None:
        """
        Send a piece of a response's body.
        """
        super()._send_body(body, *arguments)

    def _send_error_response(self, status: int, _message: str, _extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        # The message and the headers may quote the request.
        self.send_error(status)

    def send_error(self, status: int) -> None:
        """
        Send the response to a request that does not reach the application.
        """
        raise NotImplementedError

    def _close_transport(self) -> None:
        self.close()

    def close(self) -> None:
        """
        Close the connection once everything is written.
        """
        super()._close_transport()


class Worker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    gunicorn's ASGI worker.
    """

    app: Any
    cfg: Any
    sockets: Sequence[Any]
    loop: asyncio.AbstractEventLoop
    ppid: int

    async def _serve(self) -> None:
        await self.serve()

    async def serve(self) -> None:
        """
        Serve connections until the worker stops.
        """
        await super()._serve()

    async def _shutdown(self) -> None:
        await self.shut_down()

    async def shut_down(self) -> None:
        """
        Close the listening sockets, and wait for connections for as long as `graceful_timeout`.
        """
        await super()._shutdown()

    def skip_graceful_timeout(self) -> None:
        """
        Make `shut_down` wait for no connection.
        """
        self._quick_shutdown = True
