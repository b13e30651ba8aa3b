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
from sft_http.asgi.socket_handle import Inflow, Sent, Wire
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

_FAST_BYTES: Final = LEAST_PIECE
"""How long a piece of a body is that comes fast enough to be worth a thread."""
_PULLED_BYTES: Final = 1 << 19
"""How much of a body a thread takes in at once, if there is memory for it."""

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (b"server", b"sft"),
)
_UNLESS_SET: Final = (
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
)
_OVER_TLS: Final = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


def completed_headers(headers: Iterable[Header], *, request_id: str, over_tls: bool) -> list[Header]:
    """
    The headers of an answer with those that every answer has.
    """
    found = [(bytes(name), bytes(value)) for name, value in headers]
    names = {name for name, _ in found}
    found += _ALWAYS
    found += (header for header in _UNLESS_SET if header[0] not in names)
    found.append((b"x-request-id", request_id.encode()))
    if over_tls:
        found.append(_OVER_TLS)
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
    _asked: bool = False
    _limit: int | None = None
    _refusal: SftError | None = None
    _comes_fast: bool = False
    _reaches_nobody: bool = False
    _told_by_threads: int = 0
    _wire: Wire | None = None
    _lent: int = 0
    _started: float = attrs.field(factory=time.monotonic)
    _at_end: ExitStack = attrs.field(factory=ExitStack, init=False)

    async def receive(self) -> Message:
        """
        Take a message in and note how much of the body has come, and whether it has ended.

        `RequestTimeout` if the body has stopped coming while its client is still there, or drips.
        """
        if not self._asked and self._announces_body():
            # The framework waits for the first piece of a body before it looks at the request. It
            # gets an empty one at once: what is refused by its head needs no body, and no
            # "100 Continue" is sent before somebody wants one.
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": True}
        asked = time.monotonic()
        message = await self._pulled()
        if message is not None:
            asked = time.monotonic()
        else:
            message = await self._receive()
        if message["type"] == "http.disconnect" and self._scope.get("sft.is_stalled", _never)():
            raise RequestTimeout
        if message["type"] == "http.request":
            moved = len(message.get("body", b""))
            self._received += moved
            self._ended = not message.get("more_body", False)
            self._comes_fast = moved >= _FAST_BYTES
            # The wait for a client only: what the service itself takes is not its fault.
            if not self._pace.keeps_up(waited_seconds=time.monotonic() - asked, moved_bytes=moved):
                raise RequestTimeout
        if self._refusal is not None and self._limit is not None and self._received > self._limit:
            raise self._refusal
        return message

    async def _pulled(self) -> Message | None:
        """
        The next piece of a large body that comes fast, taken in by a thread; None if it is the loop's turn.
        """
        self._give_back()
        inflow: Inflow | None = self._scope.get("sft.inflow")
        if inflow is None or not self._comes_fast:
            return None
        wire = self.wire
        # Not before there is a wire: without one the loop has to go on reading.
        limit = inflow.begin() if wire is not None else 0
        if not limit or wire is None:
            return None
        piece = b""

        def take(most: int) -> None:
            # Assigned on the lane's thread: it has gone from the wire, also if nobody waits for it any more.
            nonlocal piece
            piece = wire.receive(most)

        try:
            await self._lanes.bytes.insist(take, min(limit, self._piece_size()))
        finally:
            inflow.took(len(piece))
            if len(piece) < _FAST_BYTES:
                inflow.end()
        return {"type": "http.request", "body": piece, "more_body": True} if piece else None

    def _piece_size(self) -> int:
        """
        How much is taken in at once: what is always to be had, unless there is memory for more until the next time.
        """
        # The framework's reader of forms keeps two pieces, and takes what it gives away out of them.
        more = (_PULLED_BYTES // 2 if self._is_form() else _PULLED_BYTES) - LEAST_PIECE
        if self._lanes.limits.memory.take(more):
            self._lent = more
        return LEAST_PIECE + self._lent

    def _is_form(self) -> bool:
        kinds = (value for name, value in self._scope["headers"] if name == b"content-type")
        return any(kind.lower().startswith(b"multipart/") for kind in kinds)

    def _give_back(self) -> None:
        self._lanes.limits.memory.give_back(self._lent)
        self._lent = 0

    @property
    def wire(self) -> Wire | None:
        """
        The socket of the connection, where a thread may have it.
        """
        if self._wire is None and "sft.open_wire" in self._scope:
            self._wire = self._scope["sft.open_wire"]()
        return self._wire

    def close(self) -> None:
        """
        Let go of the connection, and of what was to be let go of at the end.
        """
        self._give_back()
        self._at_end.close()
        if self._wire is not None:
            self._wire.close()

    def at_end(self, call: Callable[[], object]) -> None:
        """
        Have something called when the request is over, however it ended, and whether or not it was answered.
        """
        self._at_end.callback(call)

    def _announces_body(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0")
            for name, value in self._scope["headers"]
        )

    @property
    def has_begun(self) -> bool:
        """
        Whether the head of an answer has been sent.
        """
        return self._status != 0

    def bound_body(self, limit: int, refusal: SftError) -> None:
        """
        Raise `refusal` from whatever reads on once more than `limit` bytes of body have come.
        """
        self._limit, self._refusal = limit, refusal

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
            self._reaches_nobody = self._scope.get("sft.is_gone", _never)()
            message["headers"] = self._completed(message["headers"])
        else:
            piece = message.get("body", b"")
            self._sent += len(piece)
            self._told_by_threads += len(piece) if isinstance(piece, Sent) else 0
            self._complete = not message.get("more_body", False) and not self._reaches_nobody
        await self._send(message)

    def _completed(self, headers: Iterable[Header]) -> list[Header]:
        over_tls = self._scope.get("scheme") == "https"
        found = completed_headers(headers, request_id=self._scope["sft.request_id"], over_tls=over_tls)
        if self._varies_by_origin:
            found.append((b"vary", b"Origin"))
        return found

    def log(self) -> None:
        """
        Write the line of the access log: the route's template, so that no token stands in it.
        """
        # A thread that was cut off did not get to tell how much it had sent.
        untold = self._wire.sent_bytes - self._told_by_threads if self._wire is not None else 0
        log_exchange(
            request_id=self._scope["sft.request_id"],
            method=self._scope["method"],
            route=self._scope.get("sft.route", ""),
            status=self._status,
            bytes=self._sent + untold,
            complete=self._complete,
            milliseconds=round((time.monotonic() - self._started) * 1000, 1),
            client=(self._scope.get("client") or ("",))[0],
            user=self._scope.get("sft.user", ""),
        )

    def break_off(self, error: SftError) -> None:
        """
        End the connection in the middle of an answer, and tell in the log why.
        """
        self._scope.get("sft.break_off", _nothing)()
        fields = {"request_id": self._scope["sft.request_id"], "code": error.code, "detail": error.detail}
        # What somebody has deleted meanwhile is no fault of ours.
        level = logging.INFO if isinstance(error, NotFound) else logging.ERROR
        log.log(level, "the answer was broken off", extra={"fields": fields})


def _never() -> bool:
    return False


def _nothing() -> None:
    return


def bound_body(req: Request, limit: int, refusal: SftError) -> None:
    """
    Refuse a body over `limit` bytes while it comes, wherever its bytes belong and whatever was announced.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    exchange.bound_body(limit, refusal)


def wire_of(req: Request) -> Wire | None:
    """
    The socket of a request's connection, where a thread may have it.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    return exchange.wire


def at_end(req: Request, call: Callable[[], object]) -> None:
    """
    Have something called when a request is over, however it ended.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    exchange.at_end(call)


async def require_whole_body(req: Request) -> None:
    """
    Read on to the end of the body; `UploadIncomplete` if the client left before it.
    """
    await req.stream.exhaust()
    exchange: Exchange = req.scope["sft.exchange"]
    if not exchange.has_whole_body(req.content_length):
        raise UploadIncomplete
