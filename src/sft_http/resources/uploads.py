"""
Uploads of a form's file or a raw body, encrypted while it arrives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import falcon
from falcon.asgi import Request, Response
from falcon.asgi.multipart import BodyPart, MultipartForm
from falcon.media import MultipartFormHandler
from falcon.media.multipart import MultipartParseError

from sft_core.errors import (
    FileTooLarge,
    IdempotencyKeyInUse,
    InvalidInput,
    InvalidValue,
    KeyRetired,
    QuotaExceeded,
)
from sft_core.sharing.idempotency import IdempotencyKey, IdempotentRequest
from sft_core.sharing.model import LinkSummary
from sft_core.sharing.use_cases import IdempotentResult
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, MediaType
from sft_core.vault.model import ShareTerms
from sft_core.vault.use_cases import UploadSession
from sft_http import openapi, schemas
from sft_http.asgi.connection import connection_of
from sft_http.asgi.exchange import require_whole_body
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers import content_disposition
from sft_http.headers.idempotency_key import idempotency_key
from sft_http.resources.base import Resource
from sft_http.resources.parameters import query, share_terms
from sft_http.transfers.idempotency import IdempotentUpload
from sft_http.transfers.part_pipeline import run_in
from sft_http.transfers.upload import IncomingFile, abort, digest_body, receive

_MAX_FIELD_BYTES: Final = 256
_FORM_SLACK: Final = 64 << 10
"""How many bytes boundaries, part headers and fields of a form may have."""
_MULTIPART: Final = "multipart/form-data"

_FORMS: Final = MultipartFormHandler()
_FORMS.parse_options.max_body_part_count = 16
_FORMS.parse_options.max_body_part_headers_size = 8 << 10

_OPERATION: Final = partial(
    openapi.Operation,
    response="201 File",
    problems=f"{openapi.IDEMPOTENT} 507",
    query=openapi.UPLOAD_FIELDS,
    headers=("Idempotency-Key",),
)


@attrs.define
class _Upload:
    """
    The state of an upload request: its caller, its key, its fields, its file.

    A repeat whose file is only compared with the first one's has no session.
    """

    user: User
    call: str
    fields: dict[str, str]
    idempotency: IdempotentUpload | None = None
    file: IncomingFile | None = None
    session: UploadSession | None = None


class UploadResource(Resource):
    """
    POST /files/upload; PUT /files/{name}.
    """

    @_OPERATION("Upload a file", body="Upload")
    async def on_post_upload(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        upload = _Upload(user, "POST /files/upload", query(req, *openapi.UPLOAD_FIELDS))
        limit = self.settings.uploads.max_file_size
        # Refused before a byte of the body is read.
        if (req.content_length or 0) > limit + _FORM_SLACK:
            raise FileTooLarge(limit)
        connection_of(req).limit_body(limit + _FORM_SLACK, FileTooLarge(limit))
        if (req.content_type or "").partition(";")[0].strip().lower() != _MULTIPART:
            raise UnsupportedMediaType("The body must be a form: send Content-Type: multipart/form-data.")
        await self._upload(req, resp, upload, partial(self._read_form, req))

    @_OPERATION("Upload a body as a file; the last step of the path is its name", body="Content")
    async def on_put_item(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the route's parameter name)
        user = await self.caller(req)
        if req.get_header("Content-Range") is not None:
            # RFC 9110, section 14.5: stored as a file, a part would be content that the client does not have.
            raise MalformedRequest("PUT stores a whole file; send the whole file without Content-Range.")
        if req.get_header("Content-Encoding") is not None:
            # RFC 9110, section 8.4: the stored bytes would be the encoded ones, not the file's.
            raise UnsupportedMediaType("Bodies are stored without decoding; send the file without Content-Encoding.")
        if "\ufffd" in id:
            # The framework's replacement for bytes that are not UTF-8: different names would become equal.
            raise MalformedRequest("The file's name must be UTF-8, percent-encoded.")
        upload = _Upload(user, "PUT /files/{name}", query(req, *openapi.UPLOAD_FIELDS))
        share_terms(upload.fields)
        limit = self.settings.uploads.max_file_size
        connection_of(req).limit_body(limit, FileTooLarge(limit))
        file = IncomingFile(
            name=FileName.parse(id),
            media_type=_media_type(req.content_type),
            stream=req.stream,
            announced_size=req.content_length,
        )
        await self._upload(req, resp, upload, partial(self._receive, file))

    async def on_put_upload(self, req: Request, resp: Response) -> None:
        """
        PUT of a file with the name `upload`.
        """
        await self.on_put_item(req, resp, "upload")

    async def _upload(
        self, req: Request, resp: Response, upload: _Upload, read: Callable[[_Upload], Awaitable[None]]
    ) -> None:
        """
        Receive a file by `read`, seal it, with a link if public, and respond.
        """
        share_terms(upload.fields)
        key = idempotency_key(req)
        if key is not None:
            upload.idempotency = IdempotentUpload(key, await self._is_recorded(upload.user, key, may_reject=True))
        try:
            async with self.pools.limits.uploads.acquire(upload.user.id):
                await read(upload)
                await require_whole_body(req)
            file, terms, public = _validated(upload)
        except BaseException:
            await self._abort(upload)
            raise
        # Under no handler that aborts: a commit whose outcome is unknown must not lead to the deletion of what it may
        # have sealed. A refusal by the quota, a retired key or the idempotency key never comes out of a commit.
        facts = (upload.call, str(file.name), str(file.media_type), terms.max_downloads, terms.expires_hours, public)
        request = None if upload.idempotency is None else upload.idempotency.request(*facts)
        result = await self._result(upload, terms, public=public, request=request)
        # As it was when it was made, whatever has happened to the link since.
        issued = result.issued
        summary = LinkSummary() if issued is None else LinkSummary(current=issued.link, token=issued.token)
        resp.status = 201
        resp.media = schemas.file_json(result.file, summary)

    async def _receive(self, file: IncomingFile, upload: _Upload) -> None:
        """
        Receive a file; only digest it if a result is recorded under the request's key.
        """
        user, idempotency = upload.user, upload.idempotency
        upload.file = file
        if idempotency is not None and idempotency.is_recorded:
            await digest_body(self.application, self.pools, file, digest=idempotency.digest)
            return
        digest = None if idempotency is None else idempotency.digest
        try:
            upload.session = await receive(self.application, self.pools, file, owner=user.id, digest=digest)
        except QuotaExceeded:
            # It may not fit beside the file of its own first attempt, which has been sealed meanwhile.
            if idempotency is not None and await self._is_recorded(user, idempotency.key, may_reject=False):
                raise IdempotencyKeyInUse from None
            raise

    async def _is_recorded(self, user: User, key: IdempotencyKey, *, may_reject: bool) -> bool:
        look = partial(self.application.sharing.find_idempotent_result.is_recorded, owner=user.id, key=key)
        return await run_in(self.pools.database, look, may_reject=may_reject)

    async def _abort(self, upload: _Upload) -> None:
        if upload.session is not None:
            await abort(self.application, self.pools, upload.session)

    async def _result(
        self, upload: _Upload, terms: ShareTerms, *, public: bool, request: IdempotentRequest | None
    ) -> IdempotentResult:
        """
        Return the request's result: new, recorded earlier, or of a faster copy.
        """
        if upload.session is not None:
            seal = partial(self.application.sharing.seal_upload, terms=terms, public=public, idempotency=request)
            try:
                return await self.pools.database.run_without_limit(seal, upload.session)
            except (QuotaExceeded, KeyRetired):
                await self._abort(upload)
                raise
            except IdempotencyKeyInUse:
                await self._abort(upload)
        assert request is not None  # noqa: S101 (without a key every upload is stored, and no key is in use)
        result = await self.pools.database.run_without_limit(
            self.application.sharing.find_idempotent_result, owner=upload.user.id, request=request
        )
        if result is None:
            # The record has expired at this very moment; the next request makes a new file.
            raise IdempotencyKeyInUse
        return result

    async def _read_form(self, req: Request, upload: _Upload) -> None:
        try:
            # The type is case-insensitive (RFC 9110, section 8.3.1), its parameter `boundary` is not.
            content_type = _MULTIPART + ";" + (req.content_type or "").partition(";")[2]
            parts: MultipartForm = await _FORMS.deserialize_async(req.stream, content_type, req.content_length)
            async for part in parts:
                await self._read_part(part, upload, req.content_length)
        except (MultipartParseError, falcon.MediaMalformedError):
            raise MalformedRequest("The form is malformed or ended before its closing boundary.") from None
        except falcon.HTTPInvalidHeader:
            raise MalformedRequest("The form's Content-Type names no boundary that can be used.") from None

    async def _read_part(self, part: BodyPart, upload: _Upload, announced_size: int | None) -> None:
        found = content_disposition.parameters(part._headers.get(b"content-disposition", b""))  # noqa: SLF001 (its own reading of this header fails on what is not UTF-8)
        name, file_name = found.get("name"), content_disposition.file_name(found)
        if name == "file" and file_name is not None:
            if upload.file is not None:
                raise InvalidValue("file", "must be sent once only")
            # Its own reading of this header fails on what is not ASCII; RFC 7578, section 4.4, names the default.
            media_type = part._headers.get(b"content-type", b"text/plain").decode("latin-1")  # noqa: SLF001 (as above)
            file = IncomingFile(
                name=FileName.parse(file_name),
                media_type=_media_type(media_type),
                stream=part.stream,
                announced_size=announced_size,
                overhead=_FORM_SLACK,
            )
            await self._receive(file, upload)
        elif name in openapi.UPLOAD_FIELDS and file_name is None:
            if name in upload.fields:
                raise InvalidValue(name, "must be sent once only")
            upload.fields[name] = await _field(part, name)
        else:
            raise InvalidValue(
                "file" if name == "file" else "form",
                "the form has an unexpected part; send the file and its fields only",
            )


def _validated(upload: _Upload) -> tuple[IncomingFile, ShareTerms, bool]:
    if upload.file is None:
        raise InvalidValue("file", "is missing")
    return upload.file, *share_terms(upload.fields)


def _media_type(text: str | None) -> MediaType:
    try:
        return MediaType.parse(text)
    except InvalidInput:
        return OCTET_STREAM


async def _field(part: BodyPart, name: str) -> str:
    raw = await part.stream.read(_MAX_FIELD_BYTES + 1)
    try:
        text = raw.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(raw) > _MAX_FIELD_BYTES:
        raise InvalidValue(name, "is not valid")
    return text
