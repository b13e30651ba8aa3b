"""
One exchange with the HTTP layer in ASGI messages, without a socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from support.app.edge import API, Edge

FORM: Final = {"Content-Type": "multipart/form-data; boundary=b"}


@attrs.define
class RecordedExchange:
    """
    The messages of one exchange, and how many bytes of the body the service has read.
    """

    received_bytes: int = 0
    messages: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def status(self) -> int:
        return int(self.messages[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.messages[0]["headers"]}

    @property
    def body(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.messages[1:]))


def send_messages(
    service: Edge,
    method: str,
    path: str,
    token: str,
    pieces: Iterable[bytes] = (),
    *,
    announced: int | None = None,
    disconnects: bool = False,
    headers: Mapping[str, str] | None = None,
) -> RecordedExchange:
    """
    Send a request whose body has these pieces and then ends, or whose client disconnects.

    The body has the announced length, or is chunked without one. It is a form unless its headers say otherwise.
    """
    exchange = RecordedExchange()
    waiting = iter(pieces)

    async def receive() -> dict[str, Any]:
        for piece in waiting:
            exchange.received_bytes += len(piece)
            return {"type": "http.request", "body": piece, "more_body": True}
        if disconnects:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        exchange.messages.append(message)

    app: Any = service.client.app
    asyncio.run(app(scope_of(method, path, token, announced, headers or FORM), receive, send))
    return exchange


def scope_of(method: str, path: str, token: str, announced: int | None, headers: Mapping[str, str]) -> dict[str, Any]:
    chunked = (b"transfer-encoding", b"chunked")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": API + path,
        "query_string": b"",
        "root_path": "",
        "headers": [
            (b"host", b"files.example.org"),
            (b"authorization", f"Bearer {token}".encode()),
            *((name.lower().encode(), value.encode()) for name, value in headers.items()),
            chunked if announced is None else (b"content-length", str(announced).encode()),
        ],
    }
