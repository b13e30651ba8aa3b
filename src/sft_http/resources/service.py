"""
Descriptions of the service: name and version, liveness, documentation pages.
"""

from __future__ import annotations

import hashlib
import string
from functools import cache
from importlib.resources import files
from typing import Any, Final

import attrs
import falcon
from falcon.asgi import Request, Response

from sft_adapters.settings import Settings
from sft_http import openapi
from sft_http.headers.ranges import Conditions

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'"
)

_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
}
_NAME_LETTERS: Final = frozenset(f"{string.ascii_letters}{string.digits}-.")


@attrs.frozen
class ServiceResource:
    """
    /; /health, handled on the event loop: a full thread pool cannot delay it.
    """

    settings: Settings

    @openapi.Operation("What this is", "200 Root", tag=openapi.SERVICE, head="That it is")
    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"name": self.settings.app.name, "version": self.settings.app.version, "docs": "/docs"}

    on_head = on_get

    @openapi.Operation("Whether the service is up", "200 Health", tag=openapi.SERVICE, head="The same without words")
    async def on_get_health(self, _req: Request, resp: Response) -> None:
        resp.media = {"status": "healthy"}

    on_head_health = on_get_health


@attrs.frozen
class DocumentationResource:
    """
    /openapi.json; /docs and /redoc, pages that load only files of this package; /static/{name}, their files.
    """

    document: dict[str, Any]

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = self.document

    on_head = on_get

    async def on_get_page(self, req: Request, resp: Response) -> None:
        resp.data, _ = _static(f"{req.path.strip('/')}.html")
        resp.content_type = _TYPES[".html"]
        resp.set_header("Content-Security-Policy", _PAGE_POLICY)

    on_head_page = on_get_page

    async def on_get_static(self, req: Request, resp: Response, name: str) -> None:
        suffix = name[name.rfind(".") :]
        if suffix not in _TYPES or not set(name) <= _NAME_LETTERS:
            raise falcon.HTTPNotFound
        content, etag = _static(name)
        resp.set_header("ETag", f'"{etag}"')
        resp.set_header("Cache-Control", "public, max-age=86400")
        if Conditions(if_none_match=req.get_header("If-None-Match")).is_not_modified(etag):
            resp.status = 304
            return
        resp.data = content
        resp.content_type = _TYPES[suffix]

    on_head_static = on_get_static


@cache
def _static(name: str) -> tuple[bytes, str]:
    source = files("sft_http") / "static" / name
    if not source.is_file():
        raise falcon.HTTPNotFound
    content = source.read_bytes()
    return content, hashlib.sha256(content).hexdigest()[:32]
