"""
Errors as problem details (RFC 9457), and the status of each error class.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any, Final

import falcon
from falcon.asgi import App, Request, Response

from sft_core import errors
from sft_http import errors as edge_errors
from sft_http.asgi.connection import connection_of

log: Final = logging.getLogger("sft.problems")

MEDIA_TYPE: Final = "application/problem+json"

_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

STATUS: Final[dict[type[errors.SftError], int]] = {
    edge_errors.MalformedRequest: 400,
    edge_errors.RequestTimeout: 408,
    edge_errors.ContentTooLarge: 413,
    edge_errors.UnsupportedMediaType: 415,
    edge_errors.UnsupportedTusVersion: 412,
    edge_errors.ChecksumMismatch: 460,
    edge_errors.InvalidTotpCode: 400,
    errors.InvalidInput: 422,
    errors.IdempotencyKeyReused: 422,
    errors.FileTypeNotAllowed: 400,
    errors.FileTooLarge: 413,
    errors.QuotaExceeded: 413,
    errors.UploadIncomplete: 400,
    errors.NotAuthenticated: 401,
    errors.TotpRequired: 400,
    errors.NotAllowed: 403,
    errors.TooManyAttempts: 429,
    edge_errors.TooManyUploads: 429,
    errors.NotFound: 404,
    errors.Gone: 410,
    errors.Conflict: 409,
    errors.AlreadyRegistered: 400,
    errors.TotpAlreadyEnabled: 400,
    errors.TotpNotStarted: 400,
    errors.TotpNotEnabled: 400,
    errors.Unavailable: 503,
    errors.BlobStoreFull: 507,
    errors.Damaged: 500,
    errors.UnwrapFailed: 500,
    errors.ConfigurationError: 500,
}

EXTRA_PHRASES: Final = {460: "Checksum Mismatch"}
"""Reason phrases of statuses that only tus defines."""

_FRAMEWORK_CODES: Final = {
    400: "malformed-request",
    401: "not-authenticated",
    404: "route-not-found",
    405: "method-not-allowed",
    413: "content-too-large",
    415: "unsupported-media-type",
    431: "headers-too-large",
}
"""Codes of requests that the framework rejects."""


def status_of(error: errors.SftError) -> int:
    """
    The status of an error's class, or of its nearest base class in the table.
    """
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def phrase(status: int) -> str:
    """
    The reason phrase of a status; Python's own phrases differ between versions.
    """
    return EXTRA_PHRASES.get(status) or str(falcon.code_to_http_status(status)).partition(" ")[2]


def problem_body(*, status: int, code: str, detail: str, request_id: str, **more: object) -> bytes:
    """
    Problem details as JSON; `instance` is the request's id as a URN (RFC 8141).
    """
    # A generated id is a UUID; an id from a client's X-Request-ID may be any plain word.
    instance = ("urn:uuid:" if _UUID.fullmatch(request_id) else "urn:sft:request:") + request_id
    problem = {"type": "about:blank", "title": phrase(status), "status": status, "detail": detail, "instance": instance}
    return json.dumps({**problem, "code": code, **more}).encode()


def respond(resp: Response, req: Request, *, status: int, code: str, detail: str, **more: object) -> None:
    """
    Replace a response with a problem.
    """
    resp.status = status
    resp.stream = None
    request_id = connection_of(req).request_id
    resp.data = problem_body(status=status, code=code, detail=detail, request_id=request_id, **more)
    resp.content_type = MEDIA_TYPE
    resp.set_header("Cache-Control", "no-store")
    resp.delete_header("Content-Disposition")
    resp.delete_header("ETag")
    if status == 401:
        resp.set_header("WWW-Authenticate", "Bearer")


async def _on_sft_error(req: Request, resp: Response, error: errors.SftError, _params: dict[str, Any]) -> None:
    status = status_of(error)
    more: dict[str, Any] = {}
    if isinstance(error, errors.InvalidInput):
        more["errors"] = [{"path": fault.path, "message": fault.message} for fault in error.errors]
    if isinstance(error, errors.QuotaExceeded):
        more |= {"quota": error.quota, "used": error.used}
    if isinstance(error, errors.OffsetMismatch):
        resp.set_header("Upload-Offset", str(error.offset))
    if isinstance(error, (errors.Unavailable, errors.TooManyAttempts, errors.IdempotencyKeyInUse)):
        resp.set_header("Retry-After", str(error.retry_after))
    if status >= 500:
        fields = {"request_id": connection_of(req).request_id, "code": error.code, "detail": error.detail}
        # A full queue is no failure, and thousands of requests may meet one.
        level = logging.INFO if isinstance(error, errors.Busy) else logging.ERROR
        log.log(level, "the request failed", extra={"fields": fields})
    respond(resp, req, status=status, code=error.code, detail=error.public, **more)


async def _on_http_error(req: Request, resp: Response, error: falcon.HTTPError, _params: dict[str, Any]) -> None:
    """
    Respond to a request that the framework rejects, in the same format.
    """
    status = error.status_code
    for name, value in dict(error.headers or {}).items():
        resp.set_header(name, value)
    respond(resp, req, status=status, code=_FRAMEWORK_CODES.get(status, "request-refused"), detail=f"{phrase(status)}.")


async def _on_unexpected(req: Request, resp: Response, error: Exception, _params: dict[str, Any]) -> None:
    """
    Respond to a defect: the log has the traceback, the response no detail of it.
    """
    log.error("unexpected error", exc_info=error, extra={"fields": {"request_id": connection_of(req).request_id}})
    detail = "The server failed to handle this request; report its instance to the operator."
    respond(resp, req, status=500, code="internal-error", detail=detail)


def install(app: App[Request, Response]) -> None:
    """
    Register the error handlers of an application.
    """
    app.add_error_handler(Exception, _on_unexpected)
    app.add_error_handler(falcon.HTTPError, _on_http_error)
    app.add_error_handler(errors.SftError, _on_sft_error)
