"""
The service about itself: what it is, whether it is up, and its documentation.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

import attrs
import falcon
from falcon.asgi import Request, Response

from sft_adapters.settings import Settings

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


@attrs.frozen
class Root:
    """
    GET /.
    """

    settings: Settings

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"name": self.settings.app_name, "version": self.settings.app_version, "docs": "/docs"}


class Health:
    """
    GET /health: answered by the loop itself, whatever the threads are busy with.
    """

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = {"status": "healthy"}


@attrs.frozen
class OpenApi:
    """
    GET /openapi.json.
    """

    document: dict[str, Any]

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.media = self.document


@attrs.frozen
class DocumentationPage:
    """
    GET /docs and /redoc: a page of our own files, nothing from elsewhere.
    """

    name: str

    async def on_get(self, _req: Request, resp: Response) -> None:
        resp.data = _static(self.name)
        resp.content_type = _TYPES[".html"]
        resp.set_header("Content-Security-Policy", _PAGE_POLICY)


class StaticFile:
    """
    GET /static/{name}: what the documentation pages are made of.
    """

    async def on_get(self, _req: Request, resp: Response, name: str) -> None:
        suffix = name[name.rfind(".") :]
        if suffix not in _TYPES or not set(name) <= _NAME_LETTERS:
            raise falcon.HTTPNotFound
        resp.data = _static(name)
        resp.content_type = _TYPES[suffix]
        resp.set_header("Cache-Control", "public, max-age=86400")


_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")


def _static(name: str) -> bytes:
    source = files("sft_http") / "static" / name
    if not source.is_file():
        raise falcon.HTTPNotFound
    return source.read_bytes()
