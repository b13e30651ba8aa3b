"""
The REST service as an ASGI application: all routes in one table.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import falcon
from falcon.asgi import App, Request, Response
from falcon.media import JSONHandler

from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_http import openapi, problems
from sft_http.asgi.instrumented_app import InstrumentedApp
from sft_http.concurrency.min_rate import MinimumRate
from sft_http.concurrency.thread_pools import ThreadPools
from sft_http.openapi import Route
from sft_http.resources import auth, downloads, files, service, tus
from sft_http.resources.middleware import ConnectionMiddleware, StorageReadyMiddleware, TusVersionMiddleware

_EXPOSED_HEADERS: Final = [
    *("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Retry-After", "X-Request-ID"),
    *tus.EXPOSED_HEADERS,
]


def create_app(
    application: Application,
    *,
    settings: Settings,
    pools: ThreadPools,
    storage_check: Callable[[], None] | None = None,
) -> App[Request, Response]:
    """
    Return the REST service of an application whose use cases run in these thread pools.

    `storage_check`, if given, must pass before the first request is processed.
    """
    middleware: list[Any] = [ConnectionMiddleware(), TusVersionMiddleware(settings)]
    if storage_check is not None:
        middleware.append(StorageReadyMiddleware(pools.database, storage_check))
    if settings.app.allowed_origins:
        origins = "*" if "*" in settings.app.allowed_origins else settings.app.allowed_origins
        middleware.append(falcon.CORSMiddleware(origins, expose_headers=_EXPOSED_HEADERS))
    app = InstrumentedApp(
        ids=application.vault.begin_upload.ids,
        pools=pools,
        minimum_rate=partial(MinimumRate.from_settings, settings.server),
        varies_by_origin=bool(settings.app.allowed_origins),
        middleware=middleware,
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_qs_csv = False
    app.req_options.keep_blank_qs_values = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=partial(json.dumps, ensure_ascii=False))
    problems.install(app)
    described = described_routes(application, settings, pools)
    documentation = service.DocumentationResource(openapi.document(settings, described))
    for path, resource, suffix in [
        *described,
        ("/openapi.json", documentation, None),
        ("/docs", documentation, "page"),
        ("/redoc", documentation, "page"),
        ("/static/{name}", documentation, "static"),
    ]:
        app.add_route(path, resource, suffix=suffix)
    return app


def described_routes(application: Application, settings: Settings, pools: ThreadPools) -> list[Route]:
    """
    The routes that the OpenAPI document describes; `create_app` adds those of the documentation.
    """
    api = settings.app.api_prefix
    arguments = application, pools, settings
    accounts, owned = auth.AuthResource(*arguments), files.FileResource(*arguments)
    content, resumable = downloads.DownloadResource(*arguments), tus.TusResource(*arguments)
    root = service.ServiceResource(settings)
    return [
        (f"{api}/auth/register", accounts, "register"),
        (f"{api}/auth/login", accounts, "login"),
        (f"{api}/auth/refresh", accounts, "refresh"),
        (f"{api}/auth/me", accounts, "me"),
        (f"{api}/auth/2fa/setup", accounts, "setup"),
        (f"{api}/auth/2fa/verify", accounts, "verify"),
        (f"{api}/auth/2fa/disable", accounts, "disable"),
        (f"{api}/files", owned, None),
        (f"{api}/files/upload", owned, "upload"),
        (f"{api}/files/shared/{{token}}", content, "shared"),
        (f"{api}/files/{{id}}", owned, "item"),
        (f"{api}/files/{{id}}/download", content, None),
        (f"{api}/files/{{id}}/share", owned, "share"),
        (f"{api}/tus", resumable, None),
        (f"{api}/tus/{{id}}", resumable, "upload"),
        ("/", root, None),
        ("/health", root, "health"),
    ]
