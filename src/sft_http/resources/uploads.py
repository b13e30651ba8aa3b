"""
Uploads: a form's file, or a body that is one, encrypted while it arrives.
"""

from __future__ import annotations

from collections.abc import AsyncIterable
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
from sft_core.sharing.idempotency import Repeatable
from sft_core.sharing.idempotent_use_cases import Made
from sft_core.sharing.model import LinkSummary
from sft_core.users.model import User
from sft_core.values import OCTET_STREAM, FileName, MediaType
from sft_core.vault.model import File, ShareTerms
from sft_core.vault.use_cases import Upload
from sft_http import schemas
from sft_http.asgi.exchange import bound_body, require_whole_body
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers import content_disposition
from sft_http.headers.idempotency_key import key_of
from sft_http.resources.base import Resource
from sft_http.resources.parameters import query, share_terms
from sft_http.transfers.idempotency import Repeat
from sft_http.transfers.upload import abort, compare, receive

FIELDS: Final = ("is_public", "max_downloads", "share_expires_hours")
_MAX_FIELD_BYTES: Final = 256
_FORM_SLACK: Final = 64 << 10
"""How many bytes a form may have beyond its file: boundaries, part headers, fields."""
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
    A file that has come whole. Of a repeat that only had to be compared there is no upload.
    """

    name: FileName
    media_type: MediaType
    upload: Upload | None


@attrs.define
class _Form:
    """
    What has been read of a form so far: its fields, and its file.
    """

    repeat: Repeat | None
    fields: dict[str, str]
    file: Received | None = None


class Uploading(Resource):
    """
    Base of the resources that make a file of what a request brings.
    """

    async def repeat(self, req: Request, user: User) -> Repeat | None:
        """
        What the request's idempotency key says about it; None if it has none.
        """
        key = key_of(req)
        if key is None:
            return None
        return Repeat(key, await self.lanes.control(self.application.find_made.knows, owner=user.id, key=key))

    async def receive(
        self,
        user: User,
        repeat: Repeat | None,
        *,
        name: FileName,
        media_type: str | None,
        stream: AsyncIterable[bytes],
        announced_size: int | None,
        overhead: int = 0,
    ) -> Received:
        """
        Receive a file's content. What an answer is kept for is compared with it later, and not stored.
        """
        kind = _media_type(media_type)
        content, part_size = None if repeat is None else repeat.content, self.settings.uploads.part_size
        if repeat is not None and repeat.is_known:
            await compare(
                self.application,
                self.lanes,
                name=name,
                stream=stream,
                announced_size=announced_size,
                part_size=part_size,
                content=repeat.content,
            )
            return Received(name=name, media_type=kind, upload=None)
        try:
            upload = await receive(
                self.application,
                self.lanes,
                owner=user.id,
                name=name,
                media_type=kind,
                stream=stream,
                announced_size=announced_size,
                overhead=overhead,
                part_size=part_size,
                content=content,
            )
        except QuotaExceeded:
            # It may not fit beside its own first try, which has come to its end meanwhile.
            if repeat is not None and await self.lanes.control.insist(
                self.application.find_made.knows, owner=user.id, key=repeat.key
            ):
                raise IdempotencyKeyInUse from None
            raise
        return Received(name=name, media_type=kind, upload=upload)

    async def give_up(self, received: Received | None) -> None:
        """
        Leave nothing of a file that has come.
        """
        if received is not None and received.upload is not None:
            await abort(self.application, self.lanes, received.upload)

    async def answer(
        self,
        resp: Response,
        user: User,
        received: Received,
        terms: ShareTerms,
        *,
        public: bool,
        call: str,
        repeat: Repeat | None,
    ) -> None:
        """
        Seal what has been received whole, with a link if it is public, and answer with the file.

        Never under a handler that aborts: a commit whose outcome is unknown must not undo what it may have done.
        A refusal by the quota, by a retired key, or by the idempotency key, never comes out of a commit.
        """
        if repeat is None:
            assert received.upload is not None  # noqa: S101 (only a repeat is not stored)
            file = await self._sealed(received.upload, terms, public=public)
            summary = LinkSummary()
            if public:
                summary = (await self.lanes.control.insist(self.application.summarise_links, [file]))[file.id]
        else:
            made = await self._made(user, received, terms, public=public, call=call, repeat=repeat)
            file, issued = made.file, made.issued
            # As it was when it was made, whatever has become of the link since.
            summary = LinkSummary() if issued is None else LinkSummary(current=issued.link, token=issued.token)
        resp.status = 201
        resp.media = schemas.file_json(file, summary)

    async def _sealed(self, upload: Upload, terms: ShareTerms, *, public: bool) -> File:
        seal = self.application.seal_and_share if public else self.application.seal_upload
        try:
            return await self.lanes.bytes.insist(seal, upload, terms=terms)
        except (QuotaExceeded, KeyRetired):
            await abort(self.application, self.lanes, upload)
            raise

    async def _made(
        self, user: User, received: Received, terms: ShareTerms, *, public: bool, call: str, repeat: Repeat
    ) -> Made:
        """
        What the request has made: now, or when it was sent before, or when another copy of it was faster.
        """
        name, content = str(received.name), repeat.content
        asked = (call, name, str(received.media_type), terms.max_downloads, terms.expires_hours, public)
        fingerprint = repeat.key.fingerprint(*asked, content.size, content.digest())
        request = Repeatable(key=repeat.key, fingerprint=fingerprint)
        if received.upload is not None:
            try:
                return await self.lanes.bytes.insist(
                    self.application.seal_once, received.upload, terms=terms, public=public, request=request
                )
            except (QuotaExceeded, KeyRetired):
                await self.give_up(received)
                raise
            except IdempotencyKeyInUse:
                await self.give_up(received)
        made = await self.lanes.control.insist(self.application.find_made, owner=user.id, request=request)
        if made is None:
            # It was over in this very moment; the next time it is made anew.
            raise IdempotencyKeyInUse
        return made


class FileUpload(Uploading):
    """
    POST /files/upload.
    """

    async def on_post(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        fields = query(req, *FIELDS)
        self._admit(req)
        share_terms(fields)
        form = _Form(await self.repeat(req, user), fields)
        try:
            async with self.lanes.limits.uploads.taken_by(user.id):
                await self._read(req, user, form)
            received, terms, public = self._checked(form)
        except BaseException:
            await self.give_up(form.file)
            raise
        await self.answer(resp, user, received, terms, public=public, call="POST /files/upload", repeat=form.repeat)

    def _admit(self, req: Request) -> None:
        """
        Refuse before a byte is read what cannot become a file.
        """
        limit = self.settings.uploads.max_file_size
        if (req.content_length or 0) > limit + _FORM_SLACK:
            raise FileTooLarge(limit)
        bound_body(req, limit + _FORM_SLACK, FileTooLarge(limit))
        if (req.content_type or "").partition(";")[0].strip().lower() != _MULTIPART:
            raise UnsupportedMediaType("The body must be a form: send Content-Type: multipart/form-data.")

    async def _read(self, req: Request, user: User, form: _Form) -> None:
        try:
            # The type is of any case (RFC 9110, section 8.3.1), its parameter `boundary` is not.
            content_type = _MULTIPART + ";" + (req.content_type or "").partition(";")[2]
            parts: MultipartForm = await _FORMS.deserialize_async(req.stream, content_type, req.content_length)
            async for part in parts:
                await self._take(part, user, form, req.content_length)
        except (MultipartParseError, falcon.MediaMalformedError):
            raise MalformedRequest("The form is malformed or ended before its closing boundary.") from None
        except falcon.HTTPInvalidHeader:
            raise MalformedRequest("The form's Content-Type names no boundary that can be used.") from None
        await require_whole_body(req)

    async def _take(self, part: BodyPart, user: User, form: _Form, announced_size: int | None) -> None:
        found = content_disposition.parameters(part._headers.get(b"content-disposition", b""))  # noqa: SLF001 (its own reading of this header fails on what is not UTF-8)
        name, file_name = found.get("name"), content_disposition.file_name(found)
        if name == "file" and file_name is not None:
            if form.file is not None:
                raise InvalidValue("file", "stands more than once")
            # Its own reading of this header fails on what is not ASCII; RFC 7578, section 4.4, names the default.
            media_type = part._headers.get(b"content-type", b"text/plain").decode("latin-1")  # noqa: SLF001 (as above)
            form.file = await self.receive(
                user,
                form.repeat,
                name=FileName.parse(file_name),
                media_type=media_type,
                stream=part.stream,
                announced_size=announced_size,
                overhead=_FORM_SLACK,
            )
        elif name in FIELDS and file_name is None:
            if name in form.fields:
                raise InvalidValue(name, "stands more than once")
            form.fields[name] = await _field(part, name)
        else:
            raise InvalidValue("file" if name == "file" else "form", "the form has a part that is not expected")

    def _checked(self, form: _Form) -> tuple[Received, ShareTerms, bool]:
        """
        What the fields say; the names of the faults are the form's.
        """
        if form.file is None:
            raise InvalidValue("file", "is missing")
        return form.file, *share_terms(form.fields)


def _media_type(text: str | None) -> MediaType:
    """
    The media type that is named; any bytes if none is, or none that can be read.
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
