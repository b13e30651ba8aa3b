"""
Downloads by the owner, and by recipients of a share link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from falcon.asgi import Request, Response

from sft_core.values import ByteRange
from sft_core.vault.model import File
from sft_http import openapi, problems
from sft_http.asgi.connection import connection_of
from sft_http.headers.content_disposition import attachment
from sft_http.headers.ranges import Conditions, UnsatisfiableRangeError, requested_range
from sft_http.openapi import Operation
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id, share_token
from sft_http.transfers import download

_REFUSALS: Final = {
    412: ("precondition-failed", "If-Match does not name the current version of the file."),
    416: ("range-not-satisfiable", "The range contains no byte of the file."),
}


class DownloadResource(Resource):
    """
    Base of the resources that send a file's content.
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
        Send a file, or the response that the request's conditions demand instead.

        `before_first_byte` is awaited if and only if content will be sent, after its first bytes have been read.
        """
        head = req.method == "HEAD"
        span = self._selected(req, resp, file, head=head)
        if span is None:
            return
        describe(resp, file)
        resp.content_length = len(span)
        if head:
            return
        connection = connection_of(req)
        stream = download.open_stream(self.application, self.pools, file, span, handle=connection.socket_handle)
        # The framework closes a stream only if it has begun to send it.
        connection.add_cleanup(stream.release)
        await stream.prime()
        await before_first_byte()
        resp.stream = stream

    def _selected(self, req: Request, resp: Response, file: File, *, head: bool) -> ByteRange | None:
        """
        The bytes to send; None if the response needs none (RFC 9110, section 13.2.2).
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


class Download(DownloadResource):
    """
    GET and HEAD /files/{id}/download.
    """

    @Operation("A file's bytes", "200 Bytes", f"401 {openapi.CONTENT}", head="A file's headers")
    async def on_get(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        file = await self.pools.database(self.application.vault.find_file, owner=user.id, file_id=file_id(id))
        await self.send(req, resp, file, before_first_byte=_do_nothing)

    on_head = on_get


class SharedDownload(DownloadResource):
    """
    GET and HEAD /files/shared/{token}, without login: GET spends one download, HEAD none.
    """

    @Operation(
        "A shared file; spends a download",
        "200 Bytes",
        f"410 {openapi.CONTENT}",
        tag=openapi.LINKS,
        head="Its headers; spends nothing",
    )
    async def on_get(self, req: Request, resp: Response, token: str) -> None:
        key = share_token(token)
        _, file = await self.pools.database(self.application.sharing.find_shared_file, token=key)

        async def spend() -> None:
            await self.pools.database(self.application.sharing.redeem_share_link, token=key)

        await self.send(req, resp, file, before_first_byte=spend)

    on_head = on_get


async def _do_nothing() -> None:
    return


def validators(resp: Response, file: File) -> None:
    """
    Set the headers of every response about a file's content.
    """
    resp.set_header("ETag", f'"{file.etag}"')
    resp.set_header("Accept-Ranges", "bytes")
    resp.set_header("Cache-Control", "private, no-store")


def refuse(req: Request, resp: Response, file: File, status: int) -> None:
    """
    Respond with a problem instead of content; the ETag still names the file's version.
    """
    code, detail = _REFUSALS[status]
    problems.respond(resp, req, status=status, code=code, detail=detail)
    validators(resp, file)


def describe(resp: Response, file: File) -> None:
    """
    Set the headers of a file's content: an attachment, never a page of this origin.
    """
    resp.content_type = str(file.media_type)
    resp.set_header("Content-Disposition", attachment(file.name))
    resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
