"""
Files of the caller: listing, details, expiry, sharing, deletion.
"""

from __future__ import annotations

from falcon.asgi import Request, Response

from sft_core.sharing.idempotency import IdempotentRequest
from sft_core.values import Page
from sft_core.vault.model import File
from sft_http import openapi, schemas
from sft_http.headers.idempotency_key import idempotency_key
from sft_http.resources.parameters import file_id, query, whole_number
from sft_http.resources.uploads import UploadResource
from sft_http.transfers.delete import delete


class FileResource(UploadResource):
    """
    /files, /files/{id}, /files/{id}/share, and uploads.
    """

    @openapi.Operation(
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

    @openapi.Operation("One file", "200 File", f"{openapi.LOGIN} 404", head="Its headers")
    async def on_get_item(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (the route's parameter name)
        await self._respond(resp, await self.own_file(req, id))

    on_head_item = on_get_item

    async def _respond(self, resp: Response, file: File) -> None:
        links = await self.pools.database(self.application.sharing.summarise_links, [file])
        resp.media = schemas.file_json(file, links[file.id])

    @openapi.Operation("Set a file's end", "200 File", f"404 {openapi.CHANGE}", body="Expiry")
    async def on_patch_item(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (as above)
        file = await self.own_file(req, id)
        body = await self.body(req, schemas.Expiry)
        file = await self.pools.database(
            self.application.vault.set_expiry, owner=file.owner, file_id=file.id, expires_hours=body.expires_hours
        )
        await self._respond(resp, file)

    @openapi.Operation("Delete a file", "204", f"{openapi.LOGIN} 404")
    async def on_delete_item(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (as above)
        user = await self.caller(req)
        await delete(self.pools, self.application.vault.delete_file, owner=user.id, file_id=file_id(id))
        resp.status = 204

    @openapi.Operation(
        "Make a link to a file",
        "200 ShareLink",
        f"{openapi.IDEMPOTENT} 404",
        body="Share",
        headers=("Idempotency-Key",),
    )
    async def on_post_share(self, req: Request, resp: Response, id: str) -> None:  # noqa: A002 (as above)
        file = await self.own_file(req, id)
        key = idempotency_key(req)
        body = await self.body(req, schemas.Share, optional=True)
        facts = ("POST /files/{id}/share", str(file.id), body.expires_hours, body.max_downloads)
        issued = await self.pools.database(
            self.application.sharing.issue_share_link,
            owner=file.owner,
            file_id=file.id,
            expires_hours=body.expires_hours,
            max_downloads=body.max_downloads,
            idempotency=None if key is None else IdempotentRequest(key=key, fingerprint=key.fingerprint(*facts)),
        )
        resp.media = schemas.share_json(issued, self.settings.app.api_prefix)
