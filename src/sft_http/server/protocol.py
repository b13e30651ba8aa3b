"""
One client's connection: gunicorn's protocol, with what it does by itself brought to our contract.

Requests that never reach the application (malformed, too long, too slow, without a host) are
answered by the server alone. Here these answers become problem details like all others.
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
from gunicorn.asgi.protocol import ASGIProtocol

from sft_http import problems
from sft_http.asgi.exchange import completed_headers, log_exchange
from sft_http.asgi.socket_handle import Sent, Wire
from sft_http.concurrency.min_rate import Pace
from sft_http.errors import RequestTimeout
from sft_http.server.chunked_parser import JoiningReceiver, PatientParser

_DETAILS: Final = {
    400: ("malformed-request", "The request is not well-formed HTTP/1.1."),
    408: (RequestTimeout.code, RequestTimeout.public),
    414: ("uri-too-long", "The request target is too long."),
    431: ("headers-too-large", "The request header fields are too large."),
    501: ("transfer-coding-not-supported", "The transfer coding is not supported."),
}
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*")
"""What a Host may be made of (RFC 3986, section 3.2.2, with a port)."""
_AUTHORITY: Final = re.compile(r"\Ahttps?://[^/?#]*", flags=re.IGNORECASE)
_EMPTY_LINES: Final = re.compile(rb"(?:\r\n){0,64}")
"""Those before a request that are passed over; a hundred thousand of them may come at once."""
_INTERNAL: Final = ("internal-error", "The server could not answer this request.")


def problem_response(status: int, *, request_id: str, over_tls: bool) -> bytes:
    """
    A whole HTTP/1.1 response with a problem details body (RFC 9457) that ends the connection.
    """
    code, detail = _DETAILS.get(status, _INTERNAL)
    body = problems.body_of(status=status, code=code, detail=detail, instance=problems.instance_of(request_id))
    own = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"connection", b"close")]
    own.append((b"content-length", str(len(body)).encode()))
    headers = completed_headers(own, request_id=request_id, over_tls=over_tls)
    lines = [
        f"HTTP/1.1 {status} {problems.phrase(status)}".encode(),
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join([*lines, b"", body])


def _unacknowledged(transport: asyncio.BaseTransport) -> int:
    """
    How many bytes the kernel holds that the other side has not acknowledged; 0 where it cannot tell.

    The kernel takes megabytes at once and then none for long: what it has taken tells nothing of
    how fast the client is.
    """
    connection = transport.get_extra_info("socket")
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4)))[0])
    except (OSError, AttributeError):
        return 0


@attrs.frozen
class _Inflow:
    """
    Implements `sft_http.asgi.socket_handle.Inflow` for a body of an announced length.

    Its last byte is left to the parser, which so ends the request as always, whatever follows it.
    """

    _protocol: SftProtocol
    _parser: Any
    _receiver: Any

    def begin(self) -> int:
        if self._receiver.buffered or self._parser._state != "body":  # noqa: SLF001 (no other way to know)
            return 0
        left = int(self._parser._body_remaining) - 1  # noqa: SLF001 (it offers no other)
        if left:
            self._protocol._pause_reading()  # noqa: SLF001 (it offers no other)
        else:
            self.end()
        return left

    def took(self, count: int) -> None:
        self._parser._body_remaining -= count  # noqa: SLF001 (it offers no other)

    def end(self) -> None:
        self._protocol._resume_reading()  # noqa: SLF001 (it offers no other)


class SftProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    One client's connection.
    """

    _callback_parser: Any
    _body_receiver: Any
    _closed: bool
    _awaiting_request: bool
    _conn_lost_handled: bool
    _is_answering = False
    _is_half_closed = False
    _is_behind = False
    _head_timer: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        # Whoever writes is made to wait until all has left: then a thread may send the next piece
        # by itself, and no more is held for a client than what it was given last.
        transport.set_write_buffer_limits(high=0, low=0)
        self.worker.connections.add(self)
        self._is_beyond = len(self.worker.connections) > self.worker.app.room.served
        self._handed_over = self._taken = 0
        self._pace: Pace = self.worker.new_pace()
        # On a connection that is kept, the next head has to come before the server's own timer.
        self._head_timer = self.worker.loop.call_later(
            self.worker.app.settings.server.header_timeout_seconds, self._head_is_late
        )

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.worker.connections:
            self.worker.connections.remove(self)
            self.worker.inside -= 1
        self._head_timer.cancel()
        super().connection_lost(exc)

    def _head_is_late(self) -> None:
        if not self._closed:
            self._send_error_response(408, "")
            self._end_idle()

    def end_if_idle(self) -> None:
        """
        Close the connection if no request is under way on it.
        """
        if self._awaiting_request and not self._closed:
            self._end_idle()

    def _end_idle(self) -> None:
        self._close_transport()
        self._request_ready.set()

    def end_if_too_slow(self, seconds: float) -> None:
        """
        Break the connection off if its client takes what it is sent too slowly; told each so many seconds.
        """
        waiting = self.transport.get_write_buffer_size() + _unacknowledged(self.transport)
        # What a thread is sending by itself is counted when it has ended: never backwards.
        taken = max(self._taken, self._handed_over - waiting)
        moved, self._taken = taken - self._taken, taken
        if not self._pace.keeps_up(waited_seconds=seconds if waiting else 0.0, moved_bytes=moved):
            self.transport.abort()

    def _send_body(self, body: bytes, *arguments: object) -> None:
        self._handed_over += len(body)
        if not isinstance(body, Sent):
            super()._send_body(body, *arguments)

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        del message, extra_headers  # They may quote the request; they go to nobody.
        if self._closed or self.transport.is_closing():
            return
        if self._is_answering:
            # In the middle of a body it would be taken for a part of the body.
            self.transport.abort()
            return
        request_id = str(self.worker.ids.new())
        response = problem_response(status, request_id=request_id, over_tls=self._is_ssl)
        self._safe_write(response)
        log_exchange(
            request_id=request_id,
            method="",
            route="",
            status=status,
            bytes=len(response.partition(b"\r\n\r\n")[2]),
            complete=True,
            milliseconds=0.0,
            client=(self.transport.get_extra_info("peername") or ("",))[0],
            user="",
        )

    def _close_transport(self) -> None:
        receiver = self._body_receiver
        if self._closed or receiver is None or receiver._complete or self.transport.is_closing():  # noqa: SLF001 (no other way to know)
            super()._close_transport()
            # Where a client is gone already, saying that we have ended fails, and closing was left out.
            self.transport.close()
            return
        # The request was answered before its body had come. Closing now would reset the connection
        # and could take the answer away from a client that is still sending: what it sends is
        # thrown away for a moment instead, and it sees the end of our side.
        self._closed = True
        self._callback_parser = None
        self._resume_reading()
        try:
            self.transport.write_eof()
        except OSError:
            # The client is gone, and a loop that has read to its end does not hear of that any more.
            self.transport.close()
            return
        self.worker.loop.call_later(self.worker.app.settings.server.linger_seconds, self.transport.close)

    def _setup_callback_parser(self) -> None:
        self._callback_parser = PatientParser(
            on_headers_complete=self._on_headers_complete,
            on_body=self._on_body,
            on_message_complete=self._on_message_complete,
            limit_request_line=self.cfg.limit_request_line,
            limit_request_fields=self.cfg.limit_request_fields,
            limit_request_field_size=self.cfg.limit_request_field_size,
        )

    def _feed_callback_parser(self, data: bytes) -> bool:
        # RFC 9112, section 2.2: empty lines before a request line are passed over.
        parser = self._callback_parser
        if parser._state == "request_line" and not parser._buffer:  # noqa: SLF001 (no other way to know)
            data = _EMPTY_LINES.sub(b"", data, count=1)
        goes_on = bool(super()._feed_callback_parser(data))
        if goes_on and parser.is_behind and not self._is_behind:
            # No more is read before this has been taken, and others have their turn in between.
            self._is_behind = True
            self._pause_reading()
            self.worker.turns.wait(self._catch_up)
        return goes_on

    def _catch_up(self) -> None:
        self._is_behind = False
        if self._callback_parser is not None and not self._closed and self._feed_callback_parser(b""):
            self._maybe_resume_reading()

    def _maybe_resume_reading(self) -> None:
        if not self._is_behind:
            super()._maybe_resume_reading()

    def _http1_buffered(self) -> int:
        # What has come, and not only what of it is content.
        held = self._callback_parser.held if self._callback_parser is not None else 0
        return held + int(super()._http1_buffered())

    def _on_headers_complete(self) -> object:
        self._head_timer.cancel()
        parser = self._callback_parser
        # RFC 9112, section 3.2: without one valid Host a request of HTTP/1.1 is answered 400.
        hosts = [value for name, value in parser.headers if name.lower() == b"host"]
        if (parser.http_version >= (1, 1) and not hosts) or not all(map(_HOST.fullmatch, hosts)):
            raise ParseError
        # RFC 9112, section 6.1: a coding that is not undone here must not be passed over.
        if any(
            name.lower() == b"transfer-encoding" and value.strip().lower() != b"chunked"
            for name, value in parser.headers
        ):
            raise UnsupportedTransferCoding("only chunked")
        skips_body = super()._on_headers_complete()
        self._body_receiver = JoiningReceiver(self._current_request, self)
        return skips_body

    def eof_received(self) -> bool:
        """
        A client that has said all it has to say is answered all the same (RFC 9112, section 9.6).
        """
        self._is_half_closed = True
        receiver = self._body_receiver
        if receiver is not None and not receiver._complete:  # noqa: SLF001 (no other way to know)
            receiver.signal_disconnect()
        return not self._awaiting_request

    def _arm_keepalive_timer(self) -> None:
        if self._is_half_closed:
            # Whatever was asked has been answered, and no more will be.
            self._end_idle()
        else:
            super()._arm_keepalive_timer()

    async def _serve_http_request(self, *arguments: object) -> bool:
        try:
            return bool(await super()._serve_http_request(*arguments))
        finally:
            self._is_answering = False

    def _send_response_start(self, *arguments: object, **named: object) -> None:
        self._is_answering = True
        super()._send_response_start(*arguments, **named)

    def _is_websocket_upgrade(self, request: object) -> bool:
        # RFC 9110, section 7.8: a server may ignore an upgrade and answer the request as it stands.
        del request
        return False

    def _will_close(self, request: object, response_requires_close: object) -> bool:
        # A body that nobody read to its end is not read for the next request either: say so.
        receiver = self._body_receiver
        unread = receiver is not None and not receiver._complete  # noqa: SLF001 (no other way to know)
        return unread or self._is_beyond or bool(super()._will_close(request, response_requires_close))

    def _open_wire(self) -> Wire | None:
        """
        The connection's socket for a thread; None if the client has gone, or no handle can be had.
        """
        if self.transport.is_closing():
            return None
        try:
            return Wire(self.transport)
        except OSError:
            return None

    def _build_http_scope(self, *arguments: object) -> dict[str, Any]:
        scope: dict[str, Any] = super()._build_http_scope(*arguments)
        # RFC 9112, section 3.2.2: the absolute form, as a proxy asks, names the same resource.
        if not scope["path"].startswith("/"):
            scope["path"] = _AUTHORITY.sub("", scope["path"]) or "/"
            scope["raw_path"] = _AUTHORITY.sub("", scope["raw_path"].decode("latin-1")).encode("latin-1") or b"/"
        receiver = self._body_receiver
        scope["sft.is_stalled"] = lambda: receiver is not None and receiver._body_wait_expired  # noqa: SLF001 (told to nobody else)
        scope["sft.is_beyond"] = self._is_beyond
        scope["sft.break_off"] = self._close_transport
        scope["sft.is_gone"] = lambda: self._conn_lost_handled or self.transport.is_closing()
        if not self._is_ssl:
            scope["sft.open_wire"] = self._open_wire
            scope["sft.inflow"] = _Inflow(self, self._callback_parser, receiver)
        return scope
