"""
gunicorn's ASGI worker, with the answers it gives by itself brought to our contract.

Requests that never reach the application (malformed, too long, without a host) are answered by
the server alone. Here these answers become problem details with the same headers as all others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from gunicorn.asgi.parser import ParseError
from gunicorn.asgi.protocol import ASGIProtocol
from gunicorn.workers import gasgi

_DETAILS: Final = {
    400: ("malformed-request", "The request is not well-formed HTTP/1.1."),
    414: ("uri-too-long", "The request target is too long."),
    431: ("headers-too-large", "The request header fields are too large."),
    501: ("transfer-coding-not-supported", "The transfer coding is not supported."),
}
_INTERNAL: Final = ("internal-error", "The server could not answer this request.")

LINGER_SECONDS: Final = 2.0
"""How long a client may go on sending a body whose request has been answered already."""

_HEADERS: Final = (
    ("Content-Type", "application/problem+json"),
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Server", "sft"),
    ("Connection", "close"),
)


def problem_response(status: int, extra_headers: Sequence[tuple[str, str]] = ()) -> bytes:
    """
    A whole HTTP/1.1 response with a problem details body (RFC 9457) that ends the connection.
    """
    code, detail = _DETAILS.get(status, _INTERNAL)
    phrase = HTTPStatus(status).phrase
    body = json.dumps(
        {"type": "about:blank", "title": phrase, "status": status, "detail": detail, "code": code},
    ).encode()
    lines = [f"HTTP/1.1 {status} {phrase}", *(f"{name}: {value}" for name, value in (*_HEADERS, *extra_headers))]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class SftProtocol(ASGIProtocol):  # type: ignore[misc]  # gunicorn ships no types
    """
    One client's connection.
    """

    _callback_parser: Any
    _closed: bool

    def _send_error_response(self, status: int, message: str, extra_headers: Sequence[tuple[str, str]] = ()) -> None:
        del message  # It may quote the request; it goes to nobody.
        self._safe_write(problem_response(status, extra_headers))

    def _close_transport(self) -> None:
        receiver = self._body_receiver
        if self._closed or receiver is None or receiver._complete or self.transport.is_closing():  # noqa: SLF001 (no other way to know)
            super()._close_transport()
            return
        # The request was answered before its body had come. Closing now would reset the connection
        # and could take the answer away from a client that is still sending: what it sends is
        # thrown away for a moment instead, and it sees the end of our side.
        self._closed = True
        self._callback_parser = None
        self._resume_reading()
        self.transport.write_eof()
        self.worker.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _on_headers_complete(self) -> object:
        # RFC 9112, section 3.2: a request of HTTP/1.1 without Host is answered 400.
        parser = self._callback_parser
        if parser.http_version >= (1, 1) and not any(name.lower() == b"host" for name, _ in parser.headers):
            raise ParseError
        return super()._on_headers_complete()


class SftWorker(gasgi.ASGIWorker):  # type: ignore[misc]  # gunicorn ships no types
    """
    The worker class that `sft serve` runs.
    """

    def init_process(self) -> None:
        # The base class names its protocol in the body of a method; this module global of this
        # forked process is the one place to say which protocol its connections speak.
        gasgi.ASGIProtocol = SftProtocol
        super().init_process()
