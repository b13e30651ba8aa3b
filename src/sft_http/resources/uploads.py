"""
Uploads: the file of a form, or a body that is one, encrypted while it arrives.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
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
from sft_http import schemas
from sft_http.asgi.connection import connection_of
from sft_http.asgi.exchange import require_whole_body
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers import content_disposition
from sft_http.headers.idempotency_key import idempotency_key
from sft_http.resources.base import Resource
from sft_http.resources.parameters import query, share_terms
from sft_http.transfers.idempotency import IdempotentUpload
from sft_http.transfers.part_sink import run_in
from sft_http.transfers.upload import abort, digest_body, receive

FIELDS: Final = ("is_public", "max_downloads", "share_expires_hours")
_MAX_FIELD_BYTES: Final = 256
_FORM_SLACK: Final = 64 << 10
"""How many bytes a form may have in addition to its file: boundaries, part headers, fields."""
_MAX_FORM_PARTS: Final = 16
_MAX_PART_HEADERS: Final = 8 << 10
_MULTIPART: Final = "multipart/form-data"


def _forms() -> MultipartFormHandler:
    handler = MultipartFormHandler()
    handler.parse_options.max_body_part_count = _MAX_FORM_PARTS
    handler.parse_options.max_body_part_headers_size = _MAX_PART_HEADERS
    return handler


_FORMS: Final = _forms()


@attrs.frozen(kw_only=True)
class Received:
    """
    A file that was received whole. A repeat whose content is only compared has no upload.
    """

    name: FileName
    media_type: MediaType
    upload: UploadSession | None


@attrs.define
class _Form:
    """
    What was read of a form so far: its fields, and its file.
    """

    idempotency: IdempotentUpload | None
    fields: dict[str, str]
    file: Received | None = None


class UploadResource(Resource):
    """
    Base of the resources that make a file of a request's body.
    """

    async def idempotency(self, req: Request, user: User) -> IdempotentUpload | None:
        """
        The request's idempotency key, and whether a result is recorded under it; None without a key.
        """
        key = idempotency_key(req)
        return None if key is None else IdempotentUpload(key, await self._is_recorded(user, key, may_reject=True))

    async def receive(
        self,
        user: User,
        idempotency: IdempotentUpload | None,
        *,
        name: FileName,
        media_type: str | None,
        stream: AsyncIterable[bytes],
        announced_size: int | None,
        overhead: int = 0,
    ) -> Received:
        """
        Receive a file's content. If a result is recorded under the request's key, it is digested and not stored.
        """
        kind, part_size = _media_type(media_type), self.settings.uploads.part_size
        if idempotency is not None and idempotency.is_recorded:
            await digest_body(
                self.application,
                self.pools,
                name=name,
                stream=stream,
                announced_size=announced_size,
                part_size=part_size,
                content_digest=idempotency.content_digest,
            )
            return Received(name=name, media_type=kind, upload=None)
        try:
            upload = await receive(
                self.application,
                self.pools,
                owner=user.id,
                name=name,
                media_type=kind,
                stream=stream,
                announced_size=announced_size,
                overhead=overhead,
                part_size=part_size,
                content_digest=None if idempotency is None else idempotency.content_digest,
            )
        except QuotaExceeded:
            # It may not fit beside the file of its own first attempt, which has been sealed meanwhile.
            if idempotency is not None and await self._is_recorded(user, idempotency.key, may_reject=False):
                raise IdempotencyKeyInUse from None
            raise
        return Received(name=name, media_type=kind, upload=upload)

    async def _is_recorded(self, user: User, key: IdempotencyKey, *, may_reject: bool) -> bool:
        look = partial(self.application.sharing.find_idempotent_result.is_recorded, owner=user.id, key=key)
        return await run_in(self.pools.database, look, may_reject=may_reject)

    async def abort(self, received: Received | None) -> None:
        """
        Delete what was received.
        """
        if received is not None and received.upload is not None:
            await abort(self.application, self.pools, received.upload)

    async def respond(
        self,
        resp: Response,
        user: User,
        received: Received,
        terms: ShareTerms,
        *,
        public: bool,
        call: str,
        idempotency: IdempotentUpload | None,
    ) -> None:
        """
        Seal what was received whole, with a link if it is public, and respond with the file.

        To be called under no handler that aborts: a commit whose outcome is unknown must not lead to the deletion of
        what it may have sealed. A refusal by the quota, a retired key or the idempotency key never comes out of a
        commit.
        """
        request = None
        if idempotency is not None:
            facts = (
                call,
                str(received.name),
                str(received.media_type),
                terms.max_downloads,
                terms.expires_hours,
                public,
            )
            content_digest = idempotency.content_digest
            fingerprint = idempotency.key.fingerprint(*facts, content_digest.size, content_digest.sha256())
            request = IdempotentRequest(key=idempotency.key, fingerprint=fingerprint)
        result = await self._result(user, received, terms, public=public, request=request)
        # As it was when it was made, whatever has happened to the link since.
        issued = result.issued
        summary = LinkSummary() if issued is None else LinkSummary(current=issued.link, token=issued.token)
        resp.status = 201
        resp.media = schemas.file_json(result.file, summary)

    async def _result(
        self, user: User, received: Received, terms: ShareTerms, *, public: bool, request: IdempotentRequest | None
    ) -> IdempotentResult:
        """
        What the request has made: now, or when it was sent before, or when another copy of it was faster.
        """
        if received.upload is not None:
            seal = partial(self.application.sharing.seal_upload, terms=terms, public=public, idempotency=request)
            try:
                return await self.pools.database.run_without_limit(seal, received.upload)
            except (QuotaExceeded, KeyRetired):
                await self.abort(received)
                raise
            except IdempotencyKeyInUse:
                await self.abort(received)
        assert request is not None  # noqa: S101 (without a key every upload is stored, and no key is in use)
        result = await self.pools.database.run_without_limit(
            self.application.sharing.find_idempotent_result, owner=user.id, request=request
        )
        if result is None:
            # The record has expired at this very moment; the next request makes a new file.
            raise IdempotencyKeyInUse
        return result


class FileUpload(UploadResource):
    """
    POST /files/upload.
    """

    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        fields = query(req, *FIELDS)
        self._check_head(req)
        share_terms(fields)
        form = _Form(await self.idempotency(req, user), fields)
        try:
            async with self.pools.limits.uploads.acquire(user.id):
                await self._read(req, user, form)
            received, terms, public = self._validated(form)
        except BaseException:
            await self.abort(form.file)
            raise
        await self.respond(
            resp, user, received, terms, public=public, call="POST /files/upload", idempotency=form.idempotency
        )

    def _check_head(self, req: Request) -> None:
        """
        Refuse a request that cannot become a file, before a byte of its body is read.
        """
        limit = self.settings.uploads.max_file_size
        if (req.content_length or 0) > limit + _FORM_SLACK:
            raise FileTooLarge(limit)
        connection_of(req).limit_body(limit + _FORM_SLACK, FileTooLarge(limit))
        if (req.content_type or "").partition(";")[0].strip().lower() != _MULTIPART:
            raise UnsupportedMediaType("The body must be a form: send Content-Type: multipart/form-data.")

    async def _read(self, req: Request, user: User, form: _Form) -> None:
        try:
            # The type is case-insensitive (RFC 9110, section 8.3.1), its parameter `boundary` is not.
            content_type = _MULTIPART + ";" + (req.content_type or "").partition(";")[2]
            parts: MultipartForm = await _FORMS.deserialize_async(req.stream, content_type, req.content_length)
            async for part in parts:
                await self._read_part(part, user, form, req.content_length)
        except (MultipartParseError, falcon.MediaMalformedError):
            raise MalformedRequest("The form is malformed or ended before its closing boundary.") from None
        except falcon.HTTPInvalidHeader:
            raise MalformedRequest("The form's Content-Type names no boundary that can be used.") from None
        await require_whole_body(req)

    async def _read_part(self, part: BodyPart, user: User, form: _Form, announced_size: int | None) -> None:
        found = content_disposition.parameters(part._headers.get(b"content-disposition", b""))  # noqa: SLF001 (its own reading of this header fails on what is not UTF-8)
        name, file_name = found.get("name"), content_disposition.file_name(found)
        if name == "file" and file_name is not None:
            if form.file is not None:
                raise InvalidValue("file", "must be sent once only")
            # Its own reading of this header fails on what is not ASCII; RFC 7578, section 4.4, names the default.
            media_type = part._headers.get(b"content-type", b"text/plain").decode("latin-1")  # noqa: SLF001 (as above)
            form.file = await self.receive(
                user,
                form.idempotency,
                name=FileName.parse(file_name),
                media_type=media_type,
                stream=part.stream,
                announced_size=announced_size,
                overhead=_FORM_SLACK,
            )
        elif name in FIELDS and file_name is None:
            if name in form.fields:
                raise InvalidValue(name, "must be sent once only")
            form.fields[name] = await _field(part, name)
        else:
            raise InvalidValue(
                "file" if name == "file" else "form",
                "the form has an unexpected part; send the file and its fields only",
            )

    def _validated(self, form: _Form) -> tuple[Received, ShareTerms, bool]:
        """
        The file and what the fields say of it; errors name the form's fields.
        """
        if form.file is None:
            raise InvalidValue("file", "is missing")
        return form.file, *share_terms(form.fields)


def _media_type(text: str | None) -> MediaType:
    """
    The named media type; `application/octet-stream` if there is none, or it is malformed.
    """
    try:
        return MediaType.parse(text or "")
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
