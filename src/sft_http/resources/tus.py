"""
Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload).

An upload's URL ends in the id of the file that it becomes. With its last byte it is sealed, and listed like any other
file.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from functools import partial
from operator import itemgetter
from typing import Final

import falcon
from falcon.asgi import Request, Response

from sft_core.users.model import User
from sft_core.values import FileId
from sft_core.vault.model import File, UploadKind
from sft_core.vault.use_cases.resumable import Progress, UploadRequest
from sft_http import openapi
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers import tus
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id
from sft_http.transfers.append import append
from sft_http.transfers.concatenate import concatenate
from sft_http.transfers.delete import delete
from sft_http.transfers.upload import aborted_on_error

_CAPABILITIES: Final = {
    "Tus-Version": tus.VERSION,
    "Tus-Extension": tus.EXTENSIONS,
    "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
}
EXPOSED_HEADERS: Final = (
    *("Location", "Tus-Resumable", "Tus-Max-Size", *_CAPABILITIES),
    *("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires", "Upload-Concat"),
    "X-File-Id",
)
"""The headers that pages of allowed origins may read."""


class TusResource(Resource):
    """
    /tus; /tus/{id}.
    """

    @property
    def _base_path(self) -> str:
        return f"{self.settings.app.api_prefix}/tus"

    async def on_options(self, _req: Request, resp: Response, **path: str) -> None:
        resp.status = 204
        allowed = "DELETE, HEAD, OPTIONS, PATCH" if path else "OPTIONS, POST"
        resp.set_headers({"Allow": allowed, "Tus-Max-Size": str(self.settings.uploads.max_file_size), **_CAPABILITIES})

    on_options_upload = on_options

    @openapi.Operation(
        "Begin an upload that can be resumed",
        "201",
        f"404 412 460 507 {openapi.CHANGE}",
        body="TusBody",
        headers=("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum"),
        tag=openapi.TUS,
    )
    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        request = tus.upload_request(req.get_header, base_path=self._base_path)
        has_body = bool(req.content_length) or req.get_header("Transfer-Encoding") is not None
        is_final = request.kind is UploadKind.FINAL
        if has_body and is_final:
            raise MalformedRequest("A final upload has no body: its bytes are those of the partial ones.")
        if has_body:
            _require_media_type(req)
        permit: AbstractAsyncContextManager[object] = nullcontext()
        if has_body or is_final:
            permit = self.pools.limits.uploads.acquire(user.id)
        async with permit:
            if is_final:
                progress = await concatenate(self.application, self.pools, owner=user.id, request=request)
            else:
                progress = await self._create(req, user, request, has_body=has_body)
        resp.status = 201
        resp.set_header("Location", f"{self._base_path}/{progress.file.id}")
        self._report(resp, progress)

    async def _create(self, req: Request, user: User, request: UploadRequest, *, has_body: bool) -> Progress:
        """
        Create an upload with the request's bytes, aborted on failure: no client has its URL.
        """
        create = partial(self.application.vault.create_upload.with_session, owner=user.id, request=request)
        async with aborted_on_error(self.application, self.pools, create, itemgetter(1)) as (progress, _):
            offset = 0
            if has_body:
                session = await self.pools.database.run_without_limit(
                    self.application.vault.acquire_upload,
                    owner=user.id,
                    file_id=progress.file.id,
                    offset=0,
                    incoming_bytes=req.content_length or 0,
                )
                await append(self.application, self.pools, session, req)
                offset = session.offset
        if not has_body and not progress.is_complete:
            return progress
        return await self._finish(user, progress.file.id, is_empty=not offset)

    @openapi.Operation("Report the progress of an upload", "200", f"{openapi.LOGIN} 404 409 412", tag=openapi.TUS)
    async def on_head_upload(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        upload = file_id(path["id"])
        progress = await self.pools.database(self.application.vault.find_upload, owner=user.id, file_id=upload)
        if progress.is_complete and not progress.is_sealed:
            # The request that sent the last byte was cut off before it sealed the file.
            progress = await self._finish(user, upload, is_empty=not progress.offset)
        length, state = progress.file.size if progress.is_sealed else progress.upload.length, progress.upload
        if length is None:
            resp.set_header("Upload-Defer-Length", "1")
        else:
            resp.set_header("Upload-Length", str(length))
        concatenation = tus.format_concatenation(state.kind, state.sources, base_path=self._base_path)
        for name, value in (("Upload-Metadata", state.metadata), ("Upload-Concat", concatenation)):
            if value:
                resp.set_header(name, value)
        self._report(resp, progress)

    @openapi.Operation(
        "Continue an upload",
        "204",
        f"404 412 460 507 {openapi.CHANGE}",
        body="TusBody",
        headers=("Upload-Offset", "Upload-Length", "Upload-Checksum"),
        tag=openapi.TUS,
    )
    async def on_patch_upload(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        upload = file_id(path["id"])
        _require_media_type(req)
        offset = tus.whole_number("Upload-Offset", req.get_header("Upload-Offset"))
        length = tus.whole_number("Upload-Length", req.get_header("Upload-Length"))
        if offset is None:
            raise MalformedRequest("Upload-Offset is missing.")
        tus.parse_checksum(req.get_header("Upload-Checksum"))
        async with self.pools.limits.uploads.acquire(user.id, upload) as permit:
            session = await self.pools.database(
                self.application.vault.acquire_upload,
                owner=user.id,
                file_id=upload,
                offset=offset,
                length=length,
                incoming_bytes=req.content_length or 0,
            )
            assert session.fencing_token is not None  # noqa: S101 (an acquired upload has one)
            # Only now: a request that is refused above cuts no other one off.
            await permit.preempt(session.fencing_token)
            await append(self.application, self.pools, session, req)
        resp.status = 204
        if session.offset == session.expected_size:
            self._report(resp, await self._finish(user, upload, is_empty=not session.offset))
        else:
            self._set_progress(resp, session.offset, session.file)

    @openapi.Operation("End an upload", "204", f"{openapi.LOGIN} 404 412", tag=openapi.TUS)
    async def on_delete_upload(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        await delete(self.pools, self.application.vault.terminate_upload, owner=user.id, file_id=file_id(path["id"]))
        resp.status = 204

    async def _finish(self, user: User, upload: FileId, *, is_empty: bool) -> Progress:
        """
        Seal a complete upload, on the transfer pool if its empty part must be stored.
        """
        pool = self.pools.transfer if is_empty else self.pools.database
        return await pool.run_without_limit(self.application.vault.finish_upload, owner=user.id, file_id=upload)

    def _report(self, resp: Response, progress: Progress) -> None:
        if progress.is_sealed:
            resp.set_headers({"Upload-Offset": str(progress.offset), "X-File-Id": str(progress.file.id)})
        else:
            has_offset = progress.upload.kind is not UploadKind.FINAL
            self._set_progress(resp, progress.offset if has_offset else None, progress.file)

    def _set_progress(self, resp: Response, offset: int | None, file: File) -> None:
        if offset is not None:
            resp.set_header("Upload-Offset", str(offset))
        expiry = file.touched_at + timedelta(hours=self.settings.uploads.idle_hours)
        resp.set_header("Upload-Expires", falcon.dt_to_http(expiry))


def _require_media_type(req: Request) -> None:
    if (req.content_type or "").strip().lower() != tus.MEDIA_TYPE:
        raise UnsupportedMediaType(f"Send the bytes of an upload as Content-Type: {tus.MEDIA_TYPE}.")
