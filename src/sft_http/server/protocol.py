"""
One client's connection: gunicorn's protocol, with the behaviour that the service promises.

A request that does not reach the application (malformed, too long, too slow, without a host) has a response with
problem details, like any other.
"""

from __future__ import annotations

import asyncio
import fcntl
import re
import struct
import termios
from collections.abc import Sequence
from typing import Any, Final

import attrs
from gunicorn.asgi.parser import ParseError, UnsupportedTransferCoding

from sft_adapters.settings.catalogue import ServerSettings
from sft_http import problems
from sft_http.asgi.connection import SCOPE_KEY, Connection
from sft_http.asgi.exchange import Header, log_exchange, with_common_headers
from sft_http.asgi.socket_handle import SocketHandle
from sft_http.concurrency.min_rate import MinimumRate
from sft_http.errors import RequestTimeout
from sft_http.server.chunked_parser import BoundedChunkParser, CoalescingReceiver
from sft_http.server.gunicorn_internals import BodyQueue, ConnectionProtocol, RequestParser

_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""The characters of a Host (RFC 3986, section 3.2.2, with a port)."""
_AUTHORITY: Final = re.compile(r"\Ahttps?://[^/?#]*", flags=re.IGNORECASE)
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n){0,64}")
"""Ignored empty lines before a request; a hundred thousand may arrive at once."""
_PROBLEMS: Final = {
    400: ("malformed-request", "The request is not well-formed HTTP/1.1."),
    408: (RequestTimeout.code, RequestTimeout.public),
    414: ("uri-too-long", "The request target is too long."),
    431: ("headers-too-large", "The request header fields are too large."),
    501: ("transfer-coding-not-supported", "The transfer coding is not supported."),
}
_INTERNAL_ERROR: Final = ("internal-error", "The server could not answer this request.")


def _unacknowledged(transport: asyncio.BaseTransport) -> int:
    """
    Return how many sent bytes are unacknowledged; 0 if the system does not report it.

    The kernel accepts megabytes at once and then nothing for long: that does not show how fast the client is.
    """
    connection = transport.get_extra_info("socket")
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError, AttributeError):
        # A closed socket has the descriptor -1, which is a `ValueError`.
        return 0


def _problem_response(status: int, *, request_id: str, over_tls: bool) -> bytes:
    """
    Return a complete HTTP/1.1 response with problem details (RFC 9457) that closes the connection.
    """
    code, detail = _PROBLEMS.get(status, _INTERNAL_ERROR)
    body = problems.problem_body(status=status, code=code, detail=detail, request_id=request_id)
    own = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"connection", b"close")]
    own.append((b"content-length", str(len(body)).encode()))
    lines = [f"HTTP/1.1 {status} {problems.phrase(status)}".encode()]
    lines += map(b": ".join, with_common_headers(own, request_id=request_id, over_tls=over_tls))
    return b"\r\n".join([*lines, b"", body])


@attrs.define(eq=False)
class _ServerConnection(Connection):
    """
    A request's connection, as gunicorn serves it, and what its response has sent.

    Bodies whose length the parser has read from their Content-Length are handed off.
    """

    _protocol: SftProtocol
    _body: BodyQueue | None
    _parser: RequestParser
    declared_bytes: int | None = attrs.field(default=None, init=False)
    """The length that the head of the response declares, if it does."""
    announces_close: bool = attrs.field(default=False, init=False)
    written_bytes: int = attrs.field(default=0, init=False)
    """How much of the response's body the event loop has written."""

    @property
    def over_limit(self) -> bool:
        return self._protocol.over_limit

    def is_stalled(self) -> bool:
        return self._body is not None and self._body.has_timed_out

    def is_disconnected(self) -> bool:
        return self._protocol.is_lost or self._protocol.transport.is_closing()

    def abort(self) -> None:
        self._protocol.close()

    def begin_handoff(self) -> int:
        # A closed connection has no parser.
        if self._protocol.is_closed or self._body is None or self._body.buffered:
            return 0
        left = self._parser.body_bytes_left
        if not left:
            return 0
        if left == 1:
            # The parser ends the request with the last byte, regardless of what follows it.
            self._protocol.resume_reading()
            return 0
        self._protocol.pause_reading()
        return left - 1

    def record_handoff(self, count: int, *, ended: bool) -> None:
        self._parser.body_bytes_left -= count
        if ended:
            self._protocol.resume_reading()

    def open_socket_handle(self) -> SocketHandle | None:
        """
        None over TLS, without a free file descriptor, or after a disconnect.
        """
        if self._protocol.is_tls or self._protocol.transport.is_closing():
            return None
        try:
            return SocketHandle(self._protocol.transport)
        except OSError:
            return None


class SftProtocol(ConnectionProtocol):
    """
    One client's connection.
    """

    over_limit: bool
    """Whether the worker had as many connections as it serves when this one was accepted."""
    _is_responding = False
    _is_half_closed = False
    _has_backlog = False
    _connection: _ServerConnection | None = None
    _head_timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # The application waits until everything is sent: then a thread may send the next piece, and
        # no more is in memory for a client than the last piece.
        transport.set_write_buffer_limits(high=0, low=0)
        self.worker.connections.add(self)
        self.over_limit = len(self.worker.connections) > self.worker.app.connection_limits.max_connections
        self._written_bytes = self._acknowledged_bytes = 0
        settings: ServerSettings = self.worker.app.settings.server
        self._minimum_rate = MinimumRate.from_settings(settings)
        # On a connection that is kept, gunicorn's own timer bounds the wait for the next head.
        self._head_timer = self.worker.loop.call_later(settings.header_timeout_seconds, self._on_header_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.worker.connections:
            self.worker.connections.remove(self)
            self.worker.accepted -= 1
        self._head_timer.cancel()
        # Without the cycle of references its memory is freed with the request.
        self._connection = None
        super().connection_lost(exc)

    def _on_header_timeout(self) -> None:
        if not self.is_closed:
            self.send_error(408)
            self._close_idle()

    def close_if_idle(self) -> None:
        if self.is_idle and not self.is_closed:
            self._close_idle()

    def _close_idle(self) -> None:
        self.close()
        self.request_ready.set()

    def abort_if_too_slow(self, seconds: float) -> None:
        """
        Abort the connection if its client is too slow, `seconds` after the last call.
        """
        waiting = self.transport.get_write_buffer_size() + _unacknowledged(self.transport)
        # What a thread is sending is counted after the kernel has accepted it: never backwards.
        acknowledged = max(self._acknowledged_bytes, self._written_bytes + self._sent_by_threads - waiting)
        moved, self._acknowledged_bytes = acknowledged - self._acknowledged_bytes, acknowledged
        if not self._minimum_rate.record(waited_seconds=seconds if waiting else 0.0, moved_bytes=moved):
            self.transport.abort()

    @property
    def _sent_by_threads(self) -> int:
        return self._connection.sent_by_threads if self._connection is not None else 0

    def build_scope(self, *arguments: object) -> dict[str, Any]:
        scope = super().build_scope(*arguments)
        # RFC 9112, section 3.2.2: the absolute form, which a proxy sends, names the same resource.
        if not scope["path"].startswith("/"):
            scope["path"] = _AUTHORITY.sub("", scope["path"]) or "/"
            scope["raw_path"] = _AUTHORITY.sub("", scope["raw_path"].decode("latin-1")).encode("latin-1") or b"/"
        self._written_bytes += self._sent_by_threads
        self._connection = scope[SCOPE_KEY] = _ServerConnection(self, self.body, self.parser)
        return scope

    def send_head(self, status: int, headers: Sequence[Header], request: object, *, close: bool = False) -> None:
        self._is_responding = True
        if self._connection is not None:
            lengths = (int(value) for name, value in headers if name.lower() == b"content-length")
            self._connection.declared_bytes, self._connection.announces_close = next(lengths, None), close
        super().send_head(status, headers, request, close=close)

    def send_body(self, body: bytes, *arguments: object) -> None:
        self._written_bytes += len(body)
        if self._connection is not None:
            self._connection.written_bytes += len(body)
        super().send_body(body, *arguments)

    async def run_application(self, request: object, *arguments: object) -> bool:
        # gunicorn counts what the event loop has written, takes a response of which threads have sent a part for a
        # short one, and would close the connection.
        return await super().run_application(request, *arguments) or self._may_be_kept(request)

    def _may_be_kept(self, request: object) -> bool:
        connection = self._connection
        if connection is None or not connection.sent_by_threads:
            return False
        is_whole = connection.written_bytes + connection.sent_by_threads == connection.declared_bytes
        will_close = connection.announces_close or self.will_close(request, False)
        return is_whole and connection.response_ended and not will_close

    async def serve_request(self, *arguments: object) -> bool:
        try:
            return await super().serve_request(*arguments)
        finally:
            self._is_responding = False

    def will_close(self, request: object, response_requires_close: object) -> bool:
        return self._has_unread_body or self.over_limit or super().will_close(request, response_requires_close)

    @property
    def _has_unread_body(self) -> bool:
        return self.body is not None and not self.body.is_complete

    def send_error(self, status: int, *_: object) -> None:
        """
        Send and log a problem, without gunicorn's message and headers, which may quote the request.
        """
        if self.is_closed or self.transport.is_closing():
            return
        if self._is_responding:
            # The client would take the problem for a part of the body.
            self.transport.abort()
            return
        request_id = str(self.worker.ids.new())
        response = _problem_response(status, request_id=request_id, over_tls=self.is_tls)
        self.write(response)
        client = (self.transport.get_extra_info("peername") or ("",))[0]
        size = len(response.partition(b"\r\n\r\n")[2])
        log_exchange(request_id=request_id, status=status, bytes=size, client=client)

    def close(self) -> None:
        """
        Close the connection; for a moment, discard what the client is still sending.
        """
        if self.is_closed or not self._has_unread_body or self.transport.is_closing():
            super().close()
            # After a disconnect the end of our side cannot be sent, and gunicorn omits closing.
            self.transport.close()
            return
        # A client that is still sending would lose the response, because closing now would reset the connection. It
        # receives the end of our side instead.
        self.is_closed = True
        self.parser = None
        self.resume_reading()
        try:
            self.transport.write_eof()
        except OSError:
            # The client has disconnected, which a loop that has read to the end does not notice.
            self.transport.close()
            return
        self.worker.loop.call_later(self.worker.app.settings.server.linger_seconds, self.transport.close)

    def set_up_parser(self) -> None:
        self.parser = BoundedChunkParser(
            **self.body_callbacks,
            limit_request_line=self.cfg.limit_request_line,
            limit_request_fields=self.cfg.limit_request_fields,
            limit_request_field_size=self.cfg.limit_request_field_size,
        )

    def parse(self, data: bytes) -> bool:
        """
        Parse received bytes; a backlog is parsed after other connections were served.
        """
        # RFC 9112, section 2.2: empty lines before a request line are ignored.
        parser = self.parser
        if parser.is_before_request:
            data = _EMPTY_LINES.sub(b"", data, count=1)
        is_open = super().parse(data)
        if is_open and parser.has_backlog and not self._has_backlog:
            self._has_backlog = True
            self.pause_reading()
            self.worker.round_robin.enqueue(self._resume_backlog)
        return is_open

    def _resume_backlog(self) -> None:
        self._has_backlog = False
        if self.parser is not None and not self.is_closed and self.parse(b""):
            self.resume_reading_if_below_limit()

    def resume_reading_if_below_limit(self) -> None:
        if not self._has_backlog:
            super().resume_reading_if_below_limit()

    def buffered_bytes(self) -> int:
        unparsed = self.parser.unparsed_bytes if self.parser is not None else 0
        return unparsed + super().buffered_bytes()

    def start_request(self) -> bool:
        """
        Start the request whose head was parsed.

        Raises:
            ParseError: the request has no valid Host field (RFC 9112, section 3.2).
            UnsupportedTransferCoding: it has a transfer coding other than chunked (RFC 9112, section 6.1).
        """
        self._head_timer.cancel()
        parser = self.parser
        hosts = [value for name, value in parser.headers if name.lower() == b"host"]
        if (parser.http_version >= (1, 1) and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            raise ParseError
        codings = (value.strip().lower() for name, value in parser.headers if name.lower() == b"transfer-encoding")
        if any(coding != b"chunked" for coding in codings):
            raise UnsupportedTransferCoding("only chunked")
        skips_body = super().start_request()
        self.body = CoalescingReceiver(self.request, self)
        return skips_body

    def eof_received(self) -> bool:
        """
        Keep the connection open for a response after the client's EOF (RFC 9112, section 9.6).
        """
        self._is_half_closed = True
        if self.body is not None and not self.body.is_complete:
            self.body.signal_disconnect()
        return not self.is_idle

    def start_keepalive_timer(self) -> None:
        if self._is_half_closed:
            self._close_idle()
        else:
            super().start_keepalive_timer()

    def accepts_upgrade(self, _request: object) -> bool:
        """
        Ignore an upgrade, and respond to the request as it is (RFC 9110, section 7.8).
        """
        return False
