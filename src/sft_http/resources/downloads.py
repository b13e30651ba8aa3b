"""
Downloads by the owner, and by recipients of a share link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from falcon.asgi import Request, Response

from sft_core.values import ByteRange
from sft_core.vault.model import File
from sft_http import openapi, problems
from sft_http.asgi.connection import connection_of
from sft_http.headers.content_disposition import attachment
from sft_http.headers.ranges import Conditions, UnsatisfiableRangeError, requested_range
from sft_http.resources.base import Resource
from sft_http.resources.parameters import share_token
from sft_http.transfers.download import DownloadStream

_REFUSALS: Final = {
    412: {"code": "precondition-failed", "detail": "If-Match does not name the current version of the file."},
    416: {"code": "range-not-satisfiable", "detail": "The range contains no byte of the file."},
}


class DownloadResource(Resource):
    """
    /files/{id}/download; /files/shared/{token}, without login: GET spends one download, HEAD none.
    """

    @openapi.Operation("A file's bytes", "200 Bytes", f"401 {openapi.CONTENT}", head="A file's headers")
    async def on_get(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the route's parameter name)
        await self._send(req, resp, await self.own_file(req, id))

    on_head = on_get

    @openapi.Operation(
        "A shared file; spends a download",
        "200 Bytes",
        f"410 {openapi.CONTENT}",
        tag=openapi.LINKS,
        head="Its headers; spends nothing",
    )
    async def on_get_shared(self, req: Request, resp: Response, token: str) -> None:
        key = share_token(token)
        _, file = await self.pools.database(self.application.sharing.find_shared_file, token=key)
        spend = partial(self.pools.database, self.application.sharing.redeem_share_link, token=key)
        await self._send(req, resp, file, before_first_byte=spend)

    on_head_shared = on_get_shared

    async def _send(
        self,
        req: Request,
        resp: Response,
        file: File,
        *,
        before_first_byte: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """
        Send a file, or the response that the request's conditions demand instead.

        `before_first_byte` is awaited if and only if content will be sent, after its first bytes have been read.
        """
        span = _selected(req, resp, file)
        # Of problems, too: the ETag still names the file's version.
        resp.set_header("ETag", f'"{file.etag}"')
        resp.set_header("Accept-Ranges", "bytes")
        resp.set_header("Cache-Control", "private, no-store")
        if span is None:
            return
        # An attachment, never a page of this origin.
        resp.content_type = str(file.media_type)
        resp.set_header("Content-Disposition", attachment(file.name))
        resp.set_header("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
        resp.content_length = len(span)
        if req.method == "HEAD":
            return
        read = partial(self.application.vault.read_file, file)
        connection = connection_of(req)
        stream = DownloadStream(self.pools, read, span, connection.socket_handle)
        # The framework closes a stream only if it has begun to send it.
        connection.add_cleanup(stream.release)
        await stream.prime()
        if before_first_byte is not None:
            await before_first_byte()
        resp.stream = stream


def _selected(req: Request, resp: Response, file: File) -> ByteRange | None:
    """
    The bytes to send, or None if the status that was set needs none.

    Preconditions are evaluated in the order of RFC 9110, section 13.2.2.
    """
    conditions = Conditions(
        if_match=req.get_header("If-Match"),
        if_none_match=req.get_header("If-None-Match"),
        if_range=req.get_header("If-Range"),
    )
    if conditions.fails_precondition(file.etag):
        problems.respond(resp, req, status=412, **_REFUSALS[412])
        return None
    if conditions.is_not_modified(file.etag):
        resp.status = 304
        return None
    if req.method == "HEAD" or not conditions.allows_range(file.etag):
        return file.whole
    try:
        span = requested_range(req.get_header("Range"), file.size)
    except UnsatisfiableRangeError:
        resp.set_header("Content-Range", f"bytes */{file.size}")
        problems.respond(resp, req, status=416, **_REFUSALS[416])
        return None
    if span is None:
        return file.whole
    resp.status = 206
    resp.set_header("Content-Range", f"bytes {span.start}-{span.stop - 1}/{file.size}")
    return span
