"""
The REST service as an ASGI application: all routes in one table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
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
from sft_http.resources import auth, downloads, files, service, tus
from sft_http.resources.middleware import (
    ConnectionLimitMiddleware,
    RouteLogMiddleware,
    StorageReadyMiddleware,
    TusVersionMiddleware,
)

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
    middleware: list[Any] = [RouteLogMiddleware(), ConnectionLimitMiddleware(), TusVersionMiddleware(settings)]
    if storage_check is not None:
        middleware.append(StorageReadyMiddleware(pools.database, storage_check))
    if settings.app.allowed_origins:
        middleware.append(falcon.CORSMiddleware(_origins(settings), expose_headers=_EXPOSED_HEADERS))
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
    for path, resource in routes(application, settings, pools):
        app.add_route(path, resource)
    return app


def routes(application: Application, settings: Settings, pools: ThreadPools) -> Iterator[tuple[str, object]]:
    """
    Every path of the service and its resource.
    """
    described = list(described_routes(application, settings, pools))
    yield from described
    yield "/openapi.json", service.OpenApi(openapi.document(settings, described))
    yield "/docs", service.DocumentationPage("docs.html")
    yield "/redoc", service.DocumentationPage("redoc.html")
    yield "/static/{name}", service.StaticFile()


def described_routes(application: Application, settings: Settings, pools: ThreadPools) -> Iterator[tuple[str, object]]:
    """
    The routes that the OpenAPI document describes.
    """
    api = settings.app.api_prefix
    arguments = application, pools, settings
    yield f"{api}/auth/register", auth.Register(*arguments)
    yield f"{api}/auth/login", auth.Login(*arguments)
    yield f"{api}/auth/refresh", auth.Refresh(*arguments)
    yield f"{api}/auth/me", auth.Me(*arguments)
    yield f"{api}/auth/2fa/setup", auth.TotpSetup(*arguments)
    yield f"{api}/auth/2fa/verify", auth.TotpVerify(*arguments)
    yield f"{api}/auth/2fa/disable", auth.TotpDisable(*arguments)
    yield f"{api}/files", files.FileCollection(*arguments)
    yield f"{api}/files/upload", files.FileUpload(*arguments)
    yield f"{api}/files/shared/{{token}}", downloads.SharedDownload(*arguments)
    yield f"{api}/files/{{id}}", files.FileItem(*arguments)
    yield f"{api}/files/{{id}}/download", downloads.Download(*arguments)
    yield f"{api}/files/{{id}}/share", files.FileShare(*arguments)
    yield f"{api}/tus", tus.TusCollection(*arguments)
    yield f"{api}/tus/{{id}}", tus.TusUpload(*arguments)
    yield "/", service.Root(settings)
    yield "/health", service.Health()


def _origins(settings: Settings) -> str | tuple[str, ...]:
    return "*" if "*" in settings.app.allowed_origins else settings.app.allowed_origins
