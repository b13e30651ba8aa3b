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
from sft_http.asgi.instrumented_app import EdgeApp
from sft_http.concurrency.min_rate import Pace
from sft_http.concurrency.thread_pools import Lanes
from sft_http.resources import auth, downloads, files, service, tus
from sft_http.resources.middleware import Doorkeeper, FirstCheck, RouteNote, Speaking

_EXPOSED: Final = [
    *("Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Retry-After", "X-Request-ID"),
    *tus.EXPOSED,
]


def create_app(
    application: Application,
    *,
    settings: Settings,
    lanes: Lanes,
    first_check: Callable[[], None] | None = None,
) -> App[Request, Response]:
    """
    The service on an application whose use cases run on these lanes.

    `first_check`, if there is one, has to go through once before the application is asked anything.
    """
    middleware: list[Any] = [RouteNote(), Doorkeeper(), Speaking(settings)]
    if first_check is not None:
        middleware.append(FirstCheck(lanes.control, first_check))
    if settings.app.allowed_origins:
        middleware.append(falcon.CORSMiddleware(_origins(settings), expose_headers=_EXPOSED))
    app = EdgeApp(
        ids=application.begin_upload.ids,
        lanes=lanes,
        pace=partial(
            Pace, patience_seconds=settings.server.stall_seconds, bytes_per_second=settings.server.min_bytes_per_second
        ),
        varies_by_origin=bool(settings.app.allowed_origins),
        middleware=middleware,
    )
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_qs_csv = False
    app.req_options.keep_blank_qs_values = True
    app.resp_options.media_handlers[falcon.MEDIA_JSON] = JSONHandler(dumps=partial(json.dumps, ensure_ascii=False))
    problems.install(app)
    for path, resource in routes(application, settings, lanes):
        app.add_route(path, resource)
    return app


def routes(application: Application, settings: Settings, lanes: Lanes) -> Iterator[tuple[str, object]]:
    """
    Every path of the service and what answers there.
    """
    api = settings.app.api_prefix
    own = application, lanes, settings
    yield f"{api}/auth/register", auth.Register(*own)
    yield f"{api}/auth/login", auth.Login(*own)
    yield f"{api}/auth/refresh", auth.Refresh(*own)
    yield f"{api}/auth/me", auth.Me(*own)
    yield f"{api}/auth/2fa/setup", auth.TotpSetup(*own)
    yield f"{api}/auth/2fa/verify", auth.TotpVerify(*own)
    yield f"{api}/auth/2fa/disable", auth.TotpDisable(*own)
    yield f"{api}/files", files.Files(*own)
    yield f"{api}/files/upload", files.FileUpload(*own)
    yield f"{api}/files/shared/{{token}}", downloads.SharedDownload(*own)
    yield f"{api}/files/{{id}}", files.OneFile(*own)
    yield f"{api}/files/{{id}}/download", downloads.Download(*own)
    yield f"{api}/files/{{id}}/share", files.FileShare(*own)
    yield f"{api}/tus", tus.Creation(*own)
    yield f"{api}/tus/{{id}}", tus.OneUpload(*own)
    yield "/", service.Root(settings)
    yield "/health", service.Health()
    yield "/openapi.json", service.OpenApi(openapi.document(settings))
    yield "/docs", service.DocumentationPage("docs.html")
    yield "/redoc", service.DocumentationPage("redoc.html")
    yield "/static/{name}", service.StaticFile()


def _origins(settings: Settings) -> str | tuple[str, ...]:
    return "*" if "*" in settings.app.allowed_origins else settings.app.allowed_origins
