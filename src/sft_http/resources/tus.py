"""
Resumable uploads by tus 1.0.0 (https://tus.io/protocols/resumable-upload).

An upload's URL ends in the id of the file that it becomes. It becomes one, sealed and listed like
any other, with its last byte.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import falcon
from falcon.asgi import Request, Response

from sft_core.users.model import User
from sft_core.values import FileId
from sft_core.vault.model import File, UploadKind
from sft_core.vault.use_cases import Upload
from sft_core.vault.use_cases.append import Writing
from sft_core.vault.use_cases.resumable import Progress, UploadAsked
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers import tus
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id
from sft_http.transfers import append, concatenate
from sft_http.transfers.upload import abort

_SPOKEN: Final = {
    "Tus-Version": tus.VERSION,
    "Tus-Extension": ",".join(tus.EXTENSIONS),
    "Tus-Checksum-Algorithm": ",".join(tus.ALGORITHMS),
}
EXPOSED: Final = (
    *("Location", "Tus-Resumable", "Tus-Max-Size", *_SPOKEN),
    *("Upload-Offset", "Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Expires", "Upload-Concat"),
    "X-File-Id",
)
"""The headers that pages of allowed origins may read."""


class TusResource(Resource):
    """
    What the resources of tus share.
    """

    @property
    def _folder(self) -> str:
        return f"{self.settings.app.api_prefix}/tus"

    def _options(self, resp: Response, allowed: str) -> None:
        resp.status = 204
        resp.set_headers({"Allow": allowed, "Tus-Max-Size": str(self.settings.uploads.max_file_size), **_SPOKEN})

    async def _append(self, req: Request, writing: Writing) -> None:
        await append.append(
            self.application,
            self.lanes,
            writing,
            req,
            part_size=self.settings.uploads.part_size,
            checksum=tus.checksum_of(req.get_header("Upload-Checksum")),
        )

    def _tell(self, resp: Response, progress: Progress) -> None:
        """
        How far an upload has come and, if it has become a file, which; else how long it is kept.
        """
        if progress.is_sealed:
            resp.set_headers({"Upload-Offset": str(progress.offset), "X-File-Id": str(progress.file.id)})
        else:
            is_told = progress.upload.kind is not UploadKind.FINAL
            self._tell_rest(resp, progress.offset if is_told else None, progress.file)

    def _tell_rest(self, resp: Response, offset: int | None, file: File) -> None:
        if offset is not None:
            resp.set_header("Upload-Offset", str(offset))
        over = file.touched_at + timedelta(hours=self.settings.uploads.idle_hours)
        resp.set_header("Upload-Expires", falcon.dt_to_http(over))


class Creation(TusResource):
    """
    POST and OPTIONS /tus.
    """

    async def on_options(self, _req: Request, resp: Response) -> None:
        self._options(resp, "OPTIONS, POST")

    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        asked = self._asked(req)
        brings = bool(req.content_length) or req.get_header("Transfer-Encoding") is not None
        if brings and asked.kind is UploadKind.FINAL:
            raise MalformedRequest("A final upload has no body: its bytes are those of the partial ones.")
        if brings:
            _require_media_type(req)
        if asked.kind is UploadKind.FINAL:
            async with self.lanes.limits.uploads.taken_by(user.id):
                progress = await concatenate.concatenate(
                    self.application, self.lanes, owner=user.id, asked=asked, part_size=self.settings.uploads.part_size
                )
        elif brings:
            async with self.lanes.limits.uploads.taken_by(user.id):
                progress = await self._created(req, user, asked, brings=True)
        else:
            progress = await self._created(req, user, asked, brings=False)
        resp.status = 201
        resp.set_header("Location", f"{self._folder}/{progress.file.id}")
        self._tell(resp, progress)

    def _asked(self, req: Request) -> UploadAsked:
        kind, sources = tus.concatenation_of(req.get_header("Upload-Concat"), folder=self._folder)
        length, deferred = req.get_header("Upload-Length"), req.get_header("Upload-Defer-Length")
        if kind is UploadKind.FINAL and (length, deferred) != (None, None):
            raise MalformedRequest("The length of a final upload is that of the partial ones; leave it out.")
        return tus.asked(
            req.get_header("Upload-Metadata"),
            kind=kind,
            length=None if kind is UploadKind.FINAL else tus.length_of(length, deferred),
            sources=sources,
        )

    async def _created(self, req: Request, user: User, asked: UploadAsked, *, brings: bool) -> Progress:
        """
        A new upload with what the request brings of it; if that fails, nobody has learnt its URL.
        """
        created: tuple[Progress, Upload] | None = None

        def create() -> None:
            # Assigned on the lane's thread: a request cut off meanwhile still knows what to end.
            nonlocal created
            created = self.application.create_upload.opened(owner=user.id, asked=asked)

        try:
            await self.lanes.control(create)
            assert created is not None  # noqa: S101 (create() returned, so it has been assigned)
            progress, upload = created[0], created[0].file.id
            if brings:
                writing = await self.lanes.control.insist(
                    self.application.take_upload,
                    owner=user.id,
                    file_id=upload,
                    offset=0,
                    coming=req.content_length or 0,
                )
                await self._append(req, writing)
        except BaseException:
            if created is not None:
                await abort(self.application, self.lanes, created[1])
            raise
        if not brings and not progress.is_complete:
            return progress
        return await self.lanes.bytes.insist(self.application.finish_upload, owner=user.id, file_id=upload)


class OneUpload(TusResource):
    """
    HEAD, PATCH, DELETE and OPTIONS /tus/{id}.
    """

    async def on_options(self, _req: Request, resp: Response, **_id: str) -> None:
        self._options(resp, "DELETE, HEAD, OPTIONS, PATCH")

    async def on_head(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        upload = file_id(path["id"])
        progress = await self.lanes.control(self.application.find_upload, owner=user.id, file_id=upload)
        if progress.is_complete and not progress.is_sealed:
            # Its last byte came, and whoever brought it did not come to seal it.
            progress = await self._finished(user, upload)
        length, kept = progress.file.size if progress.is_sealed else progress.upload.length, progress.upload
        if length is None:
            resp.set_header("Upload-Defer-Length", "1")
        else:
            resp.set_header("Upload-Length", str(length))
        concatenation = tus.concatenation(kept.kind, kept.sources, folder=self._folder)
        for name, value in (("Upload-Metadata", kept.metadata), ("Upload-Concat", concatenation)):
            if value:
                resp.set_header(name, value)
        self._tell(resp, progress)

    async def on_patch(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        upload = file_id(path["id"])
        _require_media_type(req)
        offset = tus.whole("Upload-Offset", req.get_header("Upload-Offset"))
        length = tus.whole("Upload-Length", req.get_header("Upload-Length"))
        if offset is None:
            raise MalformedRequest("Upload-Offset is missing.")
        tus.checksum_of(req.get_header("Upload-Checksum"))
        async with self.lanes.limits.uploads.taken_by(user.id, upload) as stay:
            writing = await self.lanes.control(
                self.application.take_upload,
                owner=user.id,
                file_id=upload,
                offset=offset,
                length=length,
                coming=req.content_length or 0,
            )
            # Who is refused above has ended nobody.
            await stay.overtake(writing.writer)
            await self._append(req, writing)
        resp.status = 204
        if writing.offset == writing.length:
            self._tell(resp, await self._finished(user, upload))
        else:
            self._tell_rest(resp, writing.offset, writing.file)

    async def on_delete(self, req: Request, resp: Response, **path: str) -> None:
        user = await self.caller(req)
        await self.lanes.bytes(self.application.terminate_upload, owner=user.id, file_id=file_id(path["id"]))
        resp.status = 204

    async def _finished(self, user: User, upload: FileId) -> Progress:
        return await self.lanes.bytes.insist(self.application.finish_upload, owner=user.id, file_id=upload)


def _require_media_type(req: Request) -> None:
    if (req.content_type or "").strip().lower() != tus.MEDIA_TYPE:
        raise UnsupportedMediaType(f"The bytes of an upload come as Content-Type: {tus.MEDIA_TYPE}.")
