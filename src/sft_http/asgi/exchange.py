"""
One request on its way in and its answer on the way out: counted, bounded, completed, logged.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from typing import Any, Final

import attrs
from falcon.asgi import Request

from sft_core.errors import NotFound, SftError, UploadIncomplete
from sft_http.asgi.socket_handle import AlreadySent, BodyHandoff, SocketHandle
from sft_http.concurrency.memory_budgets import LEAST_PIECE
from sft_http.concurrency.min_rate import Pace
from sft_http.concurrency.thread_pools import Lanes
from sft_http.errors import RequestTimeout

Header = tuple[bytes, bytes]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

access_log: Final = logging.getLogger("sft.access")
log: Final = logging.getLogger("sft.edge")

_FAST_PIECE_BYTES: Final = LEAST_PIECE
"""How long a piece of a body is that comes fast enough to be worth a thread."""
_THREAD_READ_BYTES: Final = 1 << 19
"""How much of a body a thread takes in at once, if there is memory for it."""

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
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def with_common_headers(headers: Iterable[Header], *, request_id: str, over_tls: bool) -> list[Header]:
    """
    The headers of an answer with those that every answer has.
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
    Write a line of the access log.
    """
    access_log.info("request", extra={"fields": fields})


@attrs.define
class Exchange:
    """
    One request on its way in, and its answer on the way out.
    """

    _scope: Scope
    _receive: Receive
    _send: Send
    _lanes: Lanes = attrs.field(kw_only=True)
    _pace: Pace = attrs.field(kw_only=True)
    _varies_by_origin: bool = attrs.field(kw_only=True)
    _received: int = 0
    _ended: bool = False
    _status: int = 0
    _sent: int = 0
    _complete: bool = False
    _first_read_done: bool = False
    _limit: int | None = None
    _limit_error: SftError | None = None
    _arrives_fast: bool = False
    _is_disconnected: bool = False
    _reported_by_threads: int = 0
    _socket_handle: SocketHandle | None = None
    _borrowed_bytes: int = 0
    _started: float = attrs.field(factory=time.monotonic)
    _cleanup: ExitStack = attrs.field(factory=ExitStack, init=False)

    async def receive(self) -> Message:
        """
        Take a message in and note how much of the body has come, and whether it has ended.

        `RequestTimeout` if the body has stopped coming while its client is still there, or drips.
        """
        if not self._first_read_done and self._announces_body():
            # The framework waits for the first piece of a body before it looks at the request. It
            # gets an empty one at once: what is refused by its head needs no body, and no
            # "100 Continue" is sent before somebody wants one.
            self._first_read_done = True
            return {"type": "http.request", "body": b"", "more_body": True}
        wait_started = time.monotonic()
        message = await self._read_in_thread()
        if message is not None:
            wait_started = time.monotonic()
        else:
            message = await self._receive()
        if message["type"] == "http.disconnect" and self._scope.get("sft.is_stalled", _false)():
            raise RequestTimeout
        if message["type"] == "http.request":
            received = len(message.get("body", b""))
            self._received += received
            self._ended = not message.get("more_body", False)
            self._arrives_fast = received >= _FAST_PIECE_BYTES
            # The wait for a client only: what the service itself takes is not its fault.
            if not self._pace.keeps_up(waited_seconds=time.monotonic() - wait_started, moved_bytes=received):
                raise RequestTimeout
        if self._limit_error is not None and self._limit is not None and self._received > self._limit:
            raise self._limit_error
        return message

    async def _read_in_thread(self) -> Message | None:
        """
        The next piece of a large body that comes fast, taken in by a thread; None if it is the loop's turn.
        """
        self._release_memory()
        handoff: BodyHandoff | None = self._scope.get("sft.body_handoff")
        if handoff is None or not self._arrives_fast:
            return None
        handle = self.socket_handle
        # Not before there is a wire: without one the loop has to go on reading.
        limit = handoff.begin() if handle is not None else 0
        if not limit or handle is None:
            return None
        piece = b""

        def read(most: int) -> None:
            # Assigned on the lane's thread: it has gone from the wire, also if nobody waits for it any more.
            nonlocal piece
            piece = handle.receive(most)

        try:
            await self._lanes.bytes.insist(read, min(limit, self._piece_size()))
        finally:
            handoff.consumed(len(piece))
            if len(piece) < _FAST_PIECE_BYTES:
                handoff.end()
        return {"type": "http.request", "body": piece, "more_body": True} if piece else None

    def _piece_size(self) -> int:
        """
        How much is taken in at once: what is always to be had, unless there is memory for more until the next time.
        """
        # The framework's reader of forms keeps two pieces, and takes what it gives away out of them.
        more = (_THREAD_READ_BYTES // 2 if self._is_form() else _THREAD_READ_BYTES) - LEAST_PIECE
        if self._lanes.limits.memory.take(more):
            self._borrowed_bytes = more
        return LEAST_PIECE + self._borrowed_bytes

    def _is_form(self) -> bool:
        kinds = (value for name, value in self._scope["headers"] if name == b"content-type")
        return any(kind.lower().startswith(b"multipart/") for kind in kinds)

    def _release_memory(self) -> None:
        self._lanes.limits.memory.give_back(self._borrowed_bytes)
        self._borrowed_bytes = 0

    @property
    def socket_handle(self) -> SocketHandle | None:
        """
        The socket of the connection, where a thread may have it.
        """
        if self._socket_handle is None and "sft.open_socket_handle" in self._scope:
            self._socket_handle = self._scope["sft.open_socket_handle"]()
        return self._socket_handle

    def close(self) -> None:
        """
        Let go of the connection, and of what was to be let go of at the end.
        """
        self._release_memory()
        self._cleanup.close()
        if self._socket_handle is not None:
            self._socket_handle.close()

    def add_cleanup(self, call: Callable[[], object]) -> None:
        """
        Have something called when the request is over, however it ended, and whether or not it was answered.
        """
        self._cleanup.callback(call)

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self._scope["headers"]
        )

    @property
    def has_started(self) -> bool:
        """
        Whether the head of an answer has been sent.
        """
        return self._status != 0

    def limit_body(self, limit: int, error: SftError) -> None:
        """
        Raise `error` from whatever reads on once more than `limit` bytes of body have come.
        """
        self._limit, self._limit_error = limit, error

    def has_whole_body(self, announced: int | None) -> bool:
        """
        Whether the body came to its proper end; the framework's stream ends when a client leaves, too.
        """
        return self._ended or (announced is not None and self._received >= announced)

    async def send(self, message: Message) -> None:
        """
        Pass a message on, the head of the answer with its headers completed.
        """
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._is_disconnected = self._scope.get("sft.is_disconnected", _false)()
            message["headers"] = self._completed_headers(message["headers"])
        else:
            piece = message.get("body", b"")
            self._sent += len(piece)
            self._reported_by_threads += len(piece) if isinstance(piece, AlreadySent) else 0
            self._complete = not message.get("more_body", False) and not self._is_disconnected
        await self._send(message)

    def _completed_headers(self, headers: Iterable[Header]) -> list[Header]:
        over_tls = self._scope.get("scheme") == "https"
        found = with_common_headers(headers, request_id=self._scope["sft.request_id"], over_tls=over_tls)
        if self._varies_by_origin:
            found.append((b"vary", b"Origin"))
        return found

    def log(self) -> None:
        """
        Write the line of the access log: the route's template, so that no token stands in it.
        """
        # A thread that was cut off did not get to tell how much it had sent.
        unreported = (
            self._socket_handle.sent_bytes - self._reported_by_threads if self._socket_handle is not None else 0
        )
        log_exchange(
            request_id=self._scope["sft.request_id"],
            method=self._scope["method"],
            route=self._scope.get("sft.route", ""),
            status=self._status,
            bytes=self._sent + unreported,
            complete=self._complete,
            milliseconds=round((time.monotonic() - self._started) * 1000, 1),
            client=(self._scope.get("client") or ("",))[0],
            user=self._scope.get("sft.user", ""),
        )

    def abort(self, error: SftError) -> None:
        """
        End the connection in the middle of an answer, and tell in the log why.
        """
        self._scope.get("sft.abort", _do_nothing)()
        fields = {"request_id": self._scope["sft.request_id"], "code": error.code, "detail": error.detail}
        # What somebody has deleted meanwhile is no fault of ours.
        level = logging.INFO if isinstance(error, NotFound) else logging.ERROR
        log.log(level, "the answer was broken off", extra={"fields": fields})


def _false() -> bool:
    return False


def _do_nothing() -> None:
    return


def limit_body(req: Request, limit: int, error: SftError) -> None:
    """
    Refuse a body over `limit` bytes while it comes, wherever its bytes belong and whatever was announced.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    exchange.limit_body(limit, error)


def socket_handle_of(req: Request) -> SocketHandle | None:
    """
    The socket of a request's connection, where a thread may have it.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    return exchange.socket_handle


def add_cleanup(req: Request, call: Callable[[], object]) -> None:
    """
    Have something called when a request is over, however it ended.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    exchange.add_cleanup(call)


async def require_whole_body(req: Request) -> None:
    """
    Read on to the end of the body; `UploadIncomplete` if the client left before it.
    """
    await req.stream.exhaust()
    exchange: Exchange = req.scope["sft.exchange"]
    if not exchange.has_whole_body(req.content_length):
        raise UploadIncomplete
