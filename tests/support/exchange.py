"""
An exchange with the REST edge spoken message by message (ASGI), without a socket.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import attrs

from support.edge import API, Edge


@attrs.define
class Spoken:
    """
    What was said in one exchange, and how many bytes of its body the service has taken.
    """

    taken: int = 0
    said: list[dict[str, Any]] = attrs.field(factory=list)

    @property
    def status(self) -> int:
        return int(self.said[0]["status"])

    @property
    def body(self) -> Any:
        return json.loads(b"".join(message.get("body", b"") for message in self.said[1:]))


def speak(
    service: Edge,
    method: str,
    path: str,
    token: str,
    pieces: Iterable[bytes] = (),
    *,
    announced: int | None = None,
    leaves: bool = False,
) -> Spoken:
    """
    A request whose body comes in these pieces, and then ends properly or because the client leaves.

    Its length is the announced one, or else it comes chunked and has none.
    """
    spoken = Spoken()
    waiting = iter(pieces)

    async def receive() -> dict[str, Any]:
        for piece in waiting:
            spoken.taken += len(piece)
            return {"type": "http.request", "body": piece, "more_body": True}
        if leaves:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        spoken.said.append(message)

    app: Any = service.client.app
    asyncio.run(app(_scope(method, path, token, announced), receive, send))
    return spoken


def _scope(method: str, path: str, token: str, announced: int | None) -> dict[str, Any]:
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
            (b"content-type", b"multipart/form-data; boundary=b"),
            chunked if announced is None else (b"content-length", str(announced).encode()),
        ],
    }
