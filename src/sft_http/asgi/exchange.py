"""
One request and its response as ASGI messages: counted, limited, completed with headers, logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import attrs
from falcon.asgi import Request

from sft_core.errors import NotFound, SftError, UploadIncomplete
from sft_http.asgi.connection import Connection, connection_of
from sft_http.concurrency.memory_budgets import MIN_PIECE_BYTES
from sft_http.concurrency.min_rate import MinimumRate
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.errors import RequestTimeout

Header = tuple[bytes, bytes]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

access_log: Final = logging.getLogger("sft.access")
log: Final = logging.getLogger("sft.edge")

_FAST_PIECE_BYTES: Final = MIN_PIECE_BYTES
"""The least length of a piece after which a thread receives the next one."""
_THREAD_READ_BYTES: Final = 512 << 10
"""How many bytes a thread receives at once, if the memory budget allows it."""

_COMMON_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"server", b"sft"),
)
_DEFAULT_HEADERS: Final = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_WITHOUT_HEAD: Final = {"method": "", "route": "", "complete": True, "milliseconds": 0.0, "user": ""}
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def with_common_headers(headers: Iterable[Header], *, request_id: str, over_tls: bool) -> list[Header]:
    """
    Return a response's headers completed with those that every response has.
    """
    found = [(bytes(name), bytes(value)) for name, value in headers]
    names = {name for name, _ in found}
    found += _COMMON_HEADERS
    found += (header for header in _DEFAULT_HEADERS if header[0] not in names)
    found.append((b"x-request-id", request_id.encode()))
    if over_tls:
        found.append(_HSTS)
    return found


def log_exchange(**fields: object) -> None:
    """
    Write a line of the access log; fields that need a request's head are optional.
    """
    access_log.info("request", extra={"fields": _WITHOUT_HEAD | fields})


@attrs.define
class Exchange:
    """
    The messages of one request and its response.
    """

    _scope: Scope
    _receive: Receive
    _send: Send
    _connection: Connection = attrs.field(kw_only=True)
    _pools: ThreadPools = attrs.field(kw_only=True)
    _minimum_rate: MinimumRate = attrs.field(kw_only=True)
    _varies_by_origin: bool = attrs.field(kw_only=True)
    _status: int = attrs.field(default=0, init=False)
    _sent: int = attrs.field(default=0, init=False)
    _complete: bool = attrs.field(default=False, init=False)
    _first_read_done: bool = attrs.field(default=False, init=False)
    _is_disconnected: bool = attrs.field(default=False, init=False)
    _arrives_fast: bool = attrs.field(default=False, init=False)
    _borrowed_bytes: int = attrs.field(default=0, init=False)
    """How much of the memory budget the last piece occupies."""
    _started: float = attrs.field(factory=time.monotonic, init=False)

    async def receive(self) -> Message:
        """
        Receive a message, and count what it contains of the body.

        Raises:
            RequestTimeout: the client is connected, but sends nothing for too long or too slowly.
            SftError: the body exceeds its limit (`Connection.limit_body`); the error is the limit's.
        """
        if not self._first_read_done and self._announces_body():
            # The framework reads the first piece of a body before it looks at the request; an empty one is returned:
            # a request that its head decides needs no body, and "100 Continue" is not sent before a resource reads.
            self._first_read_done = True
            return {"type": "http.request", "body": b"", "more_body": True}
        message = await self._read_in_thread()
        wait_started = time.monotonic()
        if message is None:
            message = await self._receive()
        if message["type"] == "http.disconnect" and self._connection.is_stalled():
            raise RequestTimeout
        if message["type"] == "http.request":
            received = len(message.get("body", b""))
            self._connection.count_received(received, ended=not message.get("more_body", False))
            self._arrives_fast = received >= _FAST_PIECE_BYTES
            # Only the wait for the client counts, not the time that the service needs for the piece.
            if not self._minimum_rate.record(waited_seconds=time.monotonic() - wait_started, moved_bytes=received):
                raise RequestTimeout
        self._connection.check_body_limit()
        return message

    async def _read_in_thread(self) -> Message | None:
        """
        Receive the next piece in a thread; None if the event loop must receive.

        Through the event loop and the server's parser a body is received in pieces of at most 256 KiB, each handed
        over between threads. A thread that receives 512 KiB at once shortens a fast upload.
        """
        self._release_memory()
        if not self._arrives_fast:
            return None
        # The handle first: without one the event loop must not be paused.
        handle = self._connection.socket_handle
        if handle is None or not (limit := self._connection.begin_handoff()):
            return None
        piece = b""

        def read(count: int) -> None:
            # Assigned in the thread: the bytes are no longer on the socket, also if the request was cancelled.
            nonlocal piece
            piece = handle.receive(count)

        try:
            await self._pools.transfer.run_without_limit(read, min(limit, self._borrow_piece_size()))
        finally:
            self._connection.record_handoff(len(piece), ended=len(piece) < _FAST_PIECE_BYTES)
        return {"type": "http.request", "body": piece, "more_body": True} if piece else None

    def _borrow_piece_size(self) -> int:
        """
        Reserve memory until the next piece; return how many bytes to receive, at least `MIN_PIECE_BYTES`.
        """
        # The framework's parser of forms keeps two pieces, and copies its results out of them.
        wanted = _THREAD_READ_BYTES // 2 if self._is_form() else _THREAD_READ_BYTES
        if self._pools.limits.memory.try_acquire(wanted - MIN_PIECE_BYTES):
            self._borrowed_bytes = wanted - MIN_PIECE_BYTES
        return MIN_PIECE_BYTES + self._borrowed_bytes

    def _is_form(self) -> bool:
        types = (value for name, value in self._scope["headers"] if name == b"content-type")
        return any(value.lower().startswith(b"multipart/") for value in types)

    def _release_memory(self) -> None:
        self._pools.limits.memory.release(self._borrowed_bytes)
        self._borrowed_bytes = 0

    def close(self) -> None:
        self._release_memory()
        self._connection.close()

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self._scope["headers"]
        )

    @property
    def has_started(self) -> bool:
        """
        Whether the head of a response has been sent.
        """
        return self._status != 0

    async def send(self, message: Message) -> None:
        """
        Pass a message to the server, and complete the headers of the response's head.
        """
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_disconnected = self._connection.is_disconnected()
            over_tls, request_id = self._scope.get("scheme") == "https", self._connection.request_id
            message["headers"] = with_common_headers(message["headers"], request_id=request_id, over_tls=over_tls)
            if self._varies_by_origin:
                message["headers"].append((b"vary", b"Origin"))
        else:
            self._sent += len(message.get("body", b""))
            self._connection.response_ended = not message.get("more_body", False)
            self._complete = self._connection.response_ended and not self._is_disconnected
        await self._send(message)

    def log(self) -> None:
        """
        Write the request's line in the access log; the route's template contains no token.
        """
        connection = self._connection
        log_exchange(
            request_id=connection.request_id,
            method=self._scope["method"],
            route=connection.route,
            status=self._status,
            bytes=self._sent + connection.sent_by_threads,
            complete=self._complete,
            milliseconds=round((time.monotonic() - self._started) * 1000, 1),
            client=(self._scope.get("client") or ("",))[0],
            user=connection.user,
        )

    def abort(self, error: SftError) -> None:
        """
        Abort the connection in the middle of a response, and log the reason.
        """
        self._connection.abort()
        fields = {"request_id": self._connection.request_id, "code": error.code, "detail": error.detail}
        # A file that was deleted meanwhile is no fault of the service.
        level = logging.INFO if isinstance(error, NotFound) else logging.ERROR
        log.log(level, "the response was aborted", extra={"fields": fields})


async def require_whole_body(req: Request) -> None:
    """
    Read to the end of the body; raise `UploadIncomplete` if the client disconnects before it.
    """
    await req.stream.exhaust()
    if not connection_of(req).has_whole_body(req.content_length):
        raise UploadIncomplete
