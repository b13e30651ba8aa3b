"""
Files of the caller: listing, details, expiry, sharing, deletion; and upload by PUT.
"""

from __future__ import annotations

from falcon.asgi import Request, Response

from sft_core.errors import FileTooLarge
from sft_core.sharing.idempotency import IdempotentRequest
from sft_core.values import FileName, Page
from sft_http import openapi, schemas
from sft_http.asgi.connection import connection_of
from sft_http.asgi.exchange import require_whole_body
from sft_http.errors import MalformedRequest, UnsupportedMediaType
from sft_http.headers.idempotency_key import idempotency_key
from sft_http.openapi import Operation
from sft_http.resources import uploads
from sft_http.resources.base import Resource
from sft_http.resources.parameters import file_id, query, share_terms, whole_number
from sft_http.resources.uploads import FIELDS, UploadResource
from sft_http.transfers.delete import delete


class FileCollection(Resource):
    """
    GET and HEAD /files/.
    """

    @Operation(
        "The caller's files, newest first",
        "200 Files",
        f"{openapi.LOGIN} 422",
        query=("skip", "limit"),
        head="Their headers",
    )
    async def on_get(self, req: Request, resp: Response) -> None:
        user = await self.caller(req)
        found = query(req, "skip", "limit")
        skip, limit = whole_number("skip", found.get("skip")), whole_number("limit", found.get("limit"))
        page = Page(skip=0 if skip is None else skip, limit=100 if limit is None else limit)
        files = await self.pools.database(self.application.vault.list_files, owner=user.id, page=page)
        links = await self.pools.database(self.application.sharing.summarise_links, files)
        resp.media = [schemas.file_json(file, links[file.id]) for file in files]

    on_head = on_get


class FileItem(UploadResource):
    """
    GET, HEAD, PATCH and DELETE /files/{id}; PUT /files/{name}.
    """

    @Operation("One file", "200 File", f"{openapi.LOGIN} 404", head="Its headers")
    async def on_get(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        file = await self.pools.database(self.application.vault.find_file, owner=user.id, file_id=file_id(id))
        links = await self.pools.database(self.application.sharing.summarise_links, [file])
        resp.media = schemas.file_json(file, links[file.id])

    on_head = on_get

    @Operation("Set a file's end", "200 File", f"404 {openapi.CHANGE}", body="Expiry")
    async def on_patch(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        # Before the body is read: a caller without access gets the error at once.
        file = await self.pools.database(self.application.vault.find_file, owner=user.id, file_id=file_id(id))
        body = await self.body(req, schemas.Expiry)
        file = await self.pools.database(
            self.application.vault.set_expiry, owner=user.id, file_id=file.id, expires_hours=body.expires_hours
        )
        links = await self.pools.database(self.application.sharing.summarise_links, [file])
        resp.media = schemas.file_json(file, links[file.id])

    @Operation("Delete a file", "204", f"{openapi.LOGIN} 404")
    async def on_delete(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        await delete(self.pools, self.application.vault.delete_file, owner=user.id, file_id=file_id(id))
        resp.status = 204

    @Operation(
        "Upload a body as a file; the last step of the path is its name",
        "201 File",
        f"{openapi.IDEMPOTENT} 507",
        body="Content",
        query=FIELDS,
        headers=("Idempotency-Key",),
    )
    async def on_put(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the route's parameter name)
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
        terms, public = share_terms(query(req, *FIELDS))
        name, idempotency = FileName.parse(id), await self.idempotency(req, user)
        limit = self.settings.uploads.max_file_size
        connection_of(req).limit_body(limit, FileTooLarge(limit))
        async with self.pools.limits.uploads.acquire(user.id):
            received = await self.receive(
                user,
                idempotency,
                name=name,
                media_type=req.content_type,
                stream=req.stream,
                announced_size=req.content_length,
            )
            try:
                await require_whole_body(req)
            except BaseException:
                await self.abort(received)
                raise
        await self.respond(
            resp, user, received, terms, public=public, call="PUT /files/{name}", idempotency=idempotency
        )


class FileUpload(uploads.FileUpload):
    """
    POST /files/upload; PUT of a file with the name `upload`.
    """

    async def on_put(self, req: Request, resp: Response) -> None:
        await FileItem(self.application, self.pools, self.settings).on_put(req, resp, "upload")


class FileShare(Resource):
    """
    POST /files/{id}/share.
    """

    @Operation(
        "Make a link to a file",
        "200 ShareLink",
        f"{openapi.IDEMPOTENT} 404",
        body="Share",
        headers=("Idempotency-Key",),
    )
    async def on_post(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the contract's name)
        user = await self.caller(req)
        # Before the body is read: a caller without access gets the error at once.
        file = await self.pools.database(self.application.vault.find_file, owner=user.id, file_id=file_id(id))
        key = idempotency_key(req)
        body = await self.body(req, schemas.Share, optional=True)
        facts = ("POST /files/{id}/share", str(file.id), body.expires_hours, body.max_downloads)
        issued = await self.pools.database(
            self.application.sharing.issue_share_link,
            owner=user.id,
            file_id=file.id,
            expires_hours=body.expires_hours,
            max_downloads=body.max_downloads,
            idempotency=None if key is None else IdempotentRequest(key=key, fingerprint=key.fingerprint(*facts)),
        )
        resp.media = schemas.share_json(issued, self.settings.app.api_prefix)
