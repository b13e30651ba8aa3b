"""
Downloads: by their owner, and by whoever holds a link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from falcon.asgi import Request, Response

from sft_core.values import ByteRange
from sft_core.vault.model import File
from sft_http import problems
from sft_http.asgi.exchange import add_cleanup, socket_handle_of
from sft_http.headers.content_disposition import attachment
from sft_http.headers.ranges import Conditions, UnsatisfiableRangeError, requested_range
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id, share_token
from sft_http.transfers import download

_REFUSALS: Final = {
    412: ("precondition-failed", "If-Match does not name the present version of the file."),
    416: ("range-not-satisfiable", "The range holds no byte of the file."),
}


class Delivering(Resource):
    """
    Base of the resources that answer with a file's bytes.
    """

    async def send(
        self,
        req: Request,
        resp: Response,
        file: File,
        *,
        before_first_byte: Callable[[], Awaitable[None]],
    ) -> None:
        """
        Answer with a file, or with what its conditions ask for instead.

        `before_first_byte` is awaited if and only if bytes will be sent, once they are at hand.
        """
        head = req.method == "HEAD"
        span = self._selected(req, resp, file, head=head)
        if span is None:
            return
        describe(resp, file)
        resp.content_length = len(span)
        if head:
            return
        stream = download.open_stream(self.application, self.lanes, file, span, handle=socket_handle_of(req))
        # Not left to the framework, which closes what it has begun to send, and nothing else.
        add_cleanup(req, stream.release)
        await stream.prime()
        await before_first_byte()
        resp.stream = stream

    def _selected(self, req: Request, resp: Response, file: File, *, head: bool) -> ByteRange | None:
        """
        Which bytes to send; None if the answer has been given without any (RFC 9110, section 13.2.2).
        """
        conditions = Conditions(
            if_match=req.get_header("If-Match"),
            if_none_match=req.get_header("If-None-Match"),
            if_range=req.get_header("If-Range"),
        )
        validators(resp, file)
        if conditions.fails_precondition(file.etag):
            refuse(req, resp, file, 412)
            return None
        if conditions.is_not_modified(file.etag):
            resp.status = 304
            return None
        if head or not conditions.allows_range(file.etag):
            return file.whole
        return self._ranged(req, resp, file)

    def _ranged(self, req: Request, resp: Response, file: File) -> ByteRange | None:
        try:
            span = requested_range(req.get_header("Range"), file.size)
        except UnsatisfiableRangeError:
            refuse(req, resp, file, 416)
            resp.set_header("Content-Range", f"bytes */{file.size}")
            return None
        if span is None:
            return file.whole
        resp.status = 206
        resp.set_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{file.size}")
        return span


class Download(Delivering):
    """
    GET and HEAD /files/{id}/download.
    """

    async def on_get(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        file = await self.lanes.control(self.application.find_file, owner=user.id, file_id=file_id(id))
        await self.send(req, resp, file, before_first_byte=_nothing)

    on_head = on_get


class SharedDownload(Delivering):
    """
    GET and HEAD /files/shared/{token}: no login; GET spends one download, HEAD none.
    """

    async def on_get(self, req: Request, resp: Response, token: str) -> None:
        key = share_token(token)
        _, file = await self.lanes.control(self.application.find_shared_file, token=key)

        async def spend() -> None:
            await self.lanes.control(self.application.redeem_share_link, token=key)

        await self.send(req, resp, file, before_first_byte=spend)

    on_head = on_get


async def _nothing() -> None:
    return


def validators(resp: Response, file: File) -> None:
    """
    The headers of every answer about a file's content.
    """
    resp.set_header("ETag", f'"{file.etag}"')
    resp.set_header("Accept-Ranges", "bytes")
    resp.set_header("Cache-Control", "private, no-store")


def refuse(req: Request, resp: Response, file: File, status: int) -> None:
    """
    A problem in the place of bytes; which version it is about it still says.
    """
    code, detail = _REFUSALS[status]
    problems.answer(resp, req, status=status, code=code, detail=detail)
    validators(resp, file)


def describe(resp: Response, file: File) -> None:
    """
    The headers of a file's bytes: always an attachment, never rendered as a page of ours.
    """
    resp.content_type = str(file.media_type)
    resp.set_header("Content-Disposition", attachment(file.name))
    resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
