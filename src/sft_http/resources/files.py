"""
Files as their owner sees them: listed, described, shared, deleted.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from falcon.asgi import Request, Response

from sft_core.errors import FileTooLarge
from sft_core.sharing.idempotency import IdempotencyKey, Repeatable
from sft_core.sharing.use_cases import IssuedLink
from sft_core.values import FileId, FileName, Page
from sft_http import schemas
from sft_http.asgi.exchange import bound_body, require_whole_body
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers.idempotency_key import key_of
from sft_http.resources import uploads
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id, query, share_terms, whole
from sft_http.resources.uploads import FIELDS, Uploading


class Files(Resource):
    """
    GET and HEAD /files/.
    """

    async def on_get(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        found = query(req, "skip", "limit")
        skip, limit = whole("skip", found.get("skip")), whole("limit", found.get("limit"))
        page = Page(skip=0 if skip is None else skip, limit=100 if limit is None else limit)
        files = await self.lanes.control(self.application.list_files, owner=user.id, page=page)
        links = await self.lanes.control(self.application.summarise_links, files)
        resp.media = [schemas.file_json(file, links[file.id]) for file in files]

    on_head = on_get


class OneFile(Uploading):
    """
    GET, HEAD, PATCH and DELETE /files/{id}; PUT /files/{name}.
    """

    async def on_get(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        file = await self.lanes.control(self.application.find_file, owner=user.id, file_id=file_id(id))
        links = await self.lanes.control(self.application.summarise_links, [file])
        resp.media = schemas.file_json(file, links[file.id])

    on_head = on_get

    async def on_patch(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        # Looked for before the body is: whom it is not for is told at once.
        file = await self.lanes.control(self.application.find_file, owner=user.id, file_id=file_id(id))
        body = await self.body(req, schemas.Expiry)
        file = await self.lanes.control(
            self.application.set_expiry, owner=user.id, file_id=file.id, expires_hours=body.expires_hours
        )
        links = await self.lanes.control(self.application.summarise_links, [file])
        resp.media = schemas.file_json(file, links[file.id])

    async def on_delete(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        await self.lanes.bytes(self.application.delete_file, owner=user.id, file_id=file_id(id))
        resp.status = 204

    async def on_put(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the framework knows one name)
        user = await self.caller(req)
        if req.get_header("Content-Range") is not None:
            # RFC 9110, section 14.5: taken for the whole, a part would be a file that nobody sent.
            raise MalformedRequest("A part of a file cannot be put; send all of it.")
        if req.get_header("Content-Encoding") is not None:
            # RFC 9110, section 8.4: what is stored would not be what was meant.
            raise UnsupportedMediaType("The content is stored as it comes; send it without Content-Encoding.")
        if "\ufffd" in id:
            # What stands in the place of bytes that are no UTF-8: two such names would be one.
            raise MalformedRequest("The file's name must be UTF-8, percent-encoded.")
        terms, public = share_terms(query(req, *FIELDS))
        name, repeat = FileName.parse(id), await self.repeat(req, user)
        limit = self.settings.uploads.max_file_size
        bound_body(req, limit, FileTooLarge(limit))
        async with self.lanes.limits.uploads.taken_by(user.id):
            received = await self.receive(
                user,
                repeat,
                name=name,
                media_type=req.content_type,
                stream=req.stream,
                announced_size=req.content_length,
            )
            try:
                await require_whole_body(req)
            except BaseException:
                await self.give_up(received)
                raise
        await self.answer(resp, user, received, terms, public=public, call="PUT /files/{name}", repeat=repeat)


class FileUpload(uploads.FileUpload):
    """
    POST /files/upload; and PUT of a file that is named as this path ends.
    """

    async def on_put(self, req: Request, resp: Response) -> None:
        await OneFile(self.application, self.lanes, self.settings).on_put(req, resp, "upload")


class FileShare(Resource):
    """
    POST /files/{id}/share.
    """

    async def on_post(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        # Looked for before the body is: whom it is not for is told at once.
        file = await self.lanes.control(self.application.find_file, owner=user.id, file_id=file_id(id))
        key = key_of(req)
        body = await self.body(req, schemas.Share, optional=True)
        issue = partial(
            self.application.issue_share_link if key is None else self._issuing_once(key, file.id, body),
            expires_hours=body.expires_hours,
            max_downloads=body.max_downloads,
        )
        issued = await self.lanes.control(issue, owner=user.id, file_id=file.id)
        resp.media = schemas.share_json(issued, self.settings.app.api_prefix)

    def _issuing_once(self, key: IdempotencyKey, file: FileId, asked: schemas.Share) -> Callable[..., IssuedLink]:
        facts = ("POST /files/{id}/share", str(file), asked.expires_hours, asked.max_downloads)
        return partial(self.application.issue_once, request=Repeatable(key=key, fingerprint=key.fingerprint(*facts)))
