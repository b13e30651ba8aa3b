"""
What every exchange has in common, whoever answers it: an id, security headers, a line in the log.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import attrs
from falcon.asgi import App, Request, Response

from sft_core.errors import SftError, UploadIncomplete
from sft_core.ports import Ids

Header = tuple[bytes, bytes]
Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

access_log: Final = logging.getLogger("sft.access")
log: Final = logging.getLogger("sft.edge")

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{8,64}")

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


class RequestTimeout(SftError):
    """
    What was announced of a request did not come in time.
    """

    code = "request-timeout"
    public = "The request did not come in time."


class EdgeApp(App[Request, Response]):
    """
    A Falcon application whose every answer, refusals included, carries the same headers.
    """

    def __init__(self, *, ids: Ids, varies_by_origin: bool, **options: Any) -> None:  # noqa: ANN401 (Falcon's own)
        super().__init__(**options)
        self._ids = ids
        self._varies_by_origin = varies_by_origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # type: ignore[override]  # wider
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        # Any iterable will do for ASGI, and one may be used up by a single look.
        scope["headers"] = [(name, value) for name, value in scope["headers"]]
        scope["client"] = tuple(scope.get("client") or ()) or None
        scope["sft.request_id"] = self._request_id(scope)
        exchange = scope["sft.exchange"] = Exchange(scope, receive, send, varies_by_origin=self._varies_by_origin)
        try:
            await super().__call__(scope, exchange.receive, exchange.send)
        except SftError as error:
            if not exchange.has_begun:
                raise
            # Too late for a problem. An answer that is left unfinished ends the connection, so
            # that nobody takes what has been sent for the whole.
            exchange.log_break(error)
        finally:
            exchange.log()

    def _request_id(self, scope: Scope) -> str:
        """
        The caller's own id for the request if it is a plain word, else one of ours.
        """
        for name, value in scope["headers"]:
            if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
                return str(value.decode())
        return str(self._ids.new())


@attrs.define
class Exchange:
    """
    One request on its way in, and its answer on the way out.
    """

    _scope: Scope
    _receive: Receive
    _send: Send
    _varies_by_origin: bool = attrs.field(kw_only=True)
    _received: int = 0
    _ended: bool = False
    _status: int = 0
    _sent: int = 0
    _complete: bool = False
    _asked: bool = False
    _limit: int | None = None
    _refusal: SftError | None = None
    _started: float = attrs.field(factory=time.monotonic)

    async def receive(self) -> Message:
        """
        Take a message in and note how much of the body has come, and whether it has ended.

        `RequestTimeout` if the body has stopped coming while its client is still there.
        """
        if not self._asked and self._announces_body():
            # The framework waits for the first piece of a body before it looks at the request. It
            # gets an empty one at once: what is refused by its head needs no body, and no
            # "100 Continue" is sent before somebody wants one.
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": True}
        message = await self._receive()
        if message["type"] == "http.disconnect" and self._scope.get("sft.is_stalled", _never)():
            raise RequestTimeout
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        if self._refusal is not None and self._limit is not None and self._received > self._limit:
            raise self._refusal
        return message

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
            message["headers"] = self._completed(message["headers"])
        else:
            self._sent += len(message.get("body", b""))
            self._complete = not message.get("more_body", False)
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
        log_exchange(
            request_id=self._scope["sft.request_id"],
            method=self._scope["method"],
            route=self._scope.get("sft.route", ""),
            status=self._status,
            bytes=self._sent,
            complete=self._complete,
            milliseconds=round((time.monotonic() - self._started) * 1000, 1),
            client=(self._scope.get("client") or ("",))[0],
            user=self._scope.get("sft.user", ""),
        )

    def log_break(self, error: SftError) -> None:
        """
        Tell why an answer that had begun was broken off.
        """
        fields = {"request_id": self._scope["sft.request_id"], "code": error.code, "detail": error.detail}
        log.error("the answer was broken off", extra={"fields": fields})


def _never() -> bool:
    return False


def bound_body(req: Request, limit: int, refusal: SftError) -> None:
    """
    Refuse a body over `limit` bytes while it comes, wherever its bytes belong and whatever was announced.
    """
    exchange: Exchange = req.scope["sft.exchange"]
    exchange.bound_body(limit, refusal)


async def require_whole_body(req: Request) -> None:
    """
    Read on to the end of the body; `UploadIncomplete` if the client left before it.
    """
    await req.stream.exhaust()
    exchange: Exchange = req.scope["sft.exchange"]
    if not exchange.has_whole_body(req.content_length):
        raise UploadIncomplete


class RouteNote:
    """
    Falcon middleware that notes which route a request took, for the log.
    """

    async def process_resource(self, req: Request, _resp: Response, _resource: object, _params: object) -> None:
        req.scope["sft.route"] = req.uri_template or ""
