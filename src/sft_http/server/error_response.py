"""
Responses to requests that do not reach the application, as bytes.
"""

from __future__ import annotations

from typing import Final

from sft_http import problems
from sft_http.asgi.exchange import with_common_headers
from sft_http.errors import RequestTimeout

_DETAILS: Final = {
    400: ("malformed-request", "The request is not well-formed HTTP/1.1."),
    408: (RequestTimeout.code, RequestTimeout.public),
    414: ("uri-too-long", "The request target is too long."),
    431: ("headers-too-large", "The request header fields are too large."),
    501: ("transfer-coding-not-supported", "The transfer coding is not supported."),
}
_INTERNAL: Final = ("internal-error", "The server could not answer this request.")


def problem_response(status: int, *, request_id: str, over_tls: bool) -> bytes:
    """
    Return a complete HTTP/1.1 response with problem details (RFC 9457) that closes the connection.
    """
    code, detail = _DETAILS.get(status, _INTERNAL)
    body = problems.problem_body(status=status, code=code, detail=detail, request_id=request_id)
    own = [(b"content-type", problems.MEDIA_TYPE.encode()), (b"connection", b"close")]
    own.append((b"content-length", str(len(body)).encode()))
    headers = with_common_headers(own, request_id=request_id, over_tls=over_tls)
    lines = [
        f"HTTP/1.1 {status} {problems.phrase(status)}".encode(),
        *(name + b": " + value for name, value in headers),
    ]
    return b"\r\n".join([*lines, b"", body])
