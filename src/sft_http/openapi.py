"""
OpenAPI 3.1: descriptions of responders, and the document built from the routes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

import attrs

from sft_adapters.settings import Settings
from sft_core.values import MAX_PAGE_SIZE
from sft_core.vault.model import MAX_DOWNLOADS_BOUND, MAX_EXPIRES_HOURS, MAX_FILE_HOURS

Json = dict[str, Any]
Route = tuple[str, object, str | None]
"""A path, its resource, and the suffix of the responders that the path has there."""
ResponderT = TypeVar("ResponderT", bound=Callable[..., Awaitable[None]])

# Tags group operations on the documentation pages.
SIGN_IN: Final = "sign-in"
ACCOUNT: Final = "account"
FILES: Final = "files"
LINKS: Final = "links"
SERVICE: Final = "service"
TUS: Final = "resumable uploads"
_ANONYMOUS_TAGS: Final = {SIGN_IN, LINKS, SERVICE}

# Statuses of problems that several operations share.
LOGIN: Final = "401 403 503"
BODY: Final = "400 401 403 408 413 415 422 503"
CHANGE: Final = f"409 {BODY}"
IDEMPOTENT: Final = f"410 {CHANGE}"
ONE_TIME_CODE: Final = f"429 {CHANGE}"
CONTENT: Final = "403 404 412 416 503"

UPLOAD_FIELDS: Final = ("is_public", "max_downloads", "share_expires_hours")


@attrs.frozen
class Operation:
    """
    The description of one responder: a summary, the successful response, problems, body and parameters.

    `response` is a status and, if there is a body, the name of its schema (`201 File`). `Bytes` is a file's
    content, `Head` its headers alone. `problems` are the statuses of error responses, besides 500. `body` names
    the schema of the request's body.
    """

    summary: str
    response: str
    problems: str = ""
    body: str = attrs.field(default="", kw_only=True)
    query: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    headers: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    tag: str = attrs.field(default=FILES, kw_only=True)
    head: str = attrs.field(default="", kw_only=True)
    """The summary for HEAD, if the responder handles it as well."""

    def __call__(self, responder: ResponderT) -> ResponderT:
        """
        Attach this description to a responder, as a decorator.
        """
        responder.operation = self  # type: ignore[attr-defined]  # functions have no declared attributes
        return responder

    def for_head(self) -> Operation:
        """
        The same operation for HEAD: no body in the response and, for content, no range.
        """
        if not self.response.endswith(" Bytes"):
            return attrs.evolve(self, summary=self.head, response=self.response.partition(" ")[0])
        problems = " ".join(status for status in self.problems.split() if status != "416")
        return attrs.evolve(self, summary=self.head, response=self.response.replace("Bytes", "Head"), problems=problems)


_METHODS: Final = ("get", "head", "patch", "delete", "put", "post")
_CANONICAL: Final = {"/files": "/files/"}
"""Paths that the API writes with a final slash; the router accepts both spellings."""

_STRING: Final[Json] = {"type": "string"}
_TIME: Final[Json] = {"type": "string", "format": "date-time"}
_ID: Final[Json] = {"type": "string", "format": "uuid"}
_BYTES: Final[Json] = {"type": "integer", "minimum": 0}
_BUDGET: Final[Json] = {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_DOWNLOADS_BOUND}
_HOURS: Final[Json] = {"type": ["integer", "null"], "minimum": 1, "maximum": MAX_EXPIRES_HOURS}
_QUERY: Final[dict[str, Json]] = {
    "skip": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
    "limit": {"type": "integer", "minimum": 1, "maximum": MAX_PAGE_SIZE, "default": 100},
    "is_public": {"type": "boolean", "default": False},
    "max_downloads": {**_BUDGET, "type": "integer"},
    "share_expires_hours": {**_HOURS, "type": "integer"},
}
"""Query parameters; the fields of the upload form are the same."""

_HEADERS: Final[dict[str, Json]] = {
    "Upload-Offset": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "Upload-Length": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
    "Upload-Defer-Length": {"const": "1"},
    "Idempotency-Key": {
        "type": "string",
        "minLength": 1,
        "description": "1 to 255 visible ASCII characters, as a quoted string or bare. A request that is sent again "
        "with its key is done once and gets the same answer.",
    },
}
"""Schemas of header fields that are not any string."""

_CODE: Final[Json] = {"type": "string", "pattern": "^[0-9]{6}$"}


def _object(required: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _schemas() -> Json:
    email: Json = {"type": "string", "format": "email", "maxLength": 254}
    password: Json = {"type": "string", "format": "password", "minLength": 8, "maxLength": 1024}
    name: Json = {"type": "string", "minLength": 3, "maxLength": 50}
    file = {
        "id": _ID, "filename": _STRING, "original_filename": _STRING, "file_size": _BYTES,
        "mime_type": _STRING, "is_public": {"type": "boolean"}, "share_token": {"type": ["string", "null"]},
        "share_expires_at": {"type": ["string", "null"], "format": "date-time"},
        "download_count": {"type": "integer", "minimum": 0}, "max_downloads": _BUDGET, "created_at": _TIME,
    }  # fmt: skip
    user = {
        "id": _ID, "email": email, "username": _STRING, "is_active": {"type": "boolean"},
        "is_verified": {"type": "boolean"}, "two_factor_enabled": {"type": "boolean"}, "created_at": _TIME,
        "last_login": {"type": ["string", "null"], "format": "date-time"},
    }  # fmt: skip
    problem = {"type": _STRING, "title": _STRING, "status": {"type": "integer"}, "detail": _STRING,
               "instance": _STRING, "code": _STRING}  # fmt: skip
    fault = _object({"path": _STRING, "message": _STRING})
    upload = {"type": "string", "contentMediaType": "application/octet-stream"}
    return {
        "Registration": _object({"email": email, "username": name, "password": password}),
        "Login": _object({"email": email, "password": _STRING}, {"totp_code": _CODE}),
        "Refresh": _object({"refresh_token": _STRING}),
        "TotpCode": _object({"totp_code": _CODE}),
        "Share": _object({}, {"expires_hours": {**_HOURS, "default": 24}, "max_downloads": _BUDGET}),
        "Expiry": _object({"expires_hours": {**_HOURS, "maximum": MAX_FILE_HOURS}}),
        "Upload": _object({"file": upload}, {name: _QUERY[name] for name in UPLOAD_FIELDS}),
        "User": _object(user),
        "Tokens": _object({"access_token": _STRING, "refresh_token": _STRING, "token_type": {"const": "bearer"}}),
        "TotpEnrolment": _object({"secret": _STRING, "qr_code": _STRING}),
        "Message": _object({"message": _STRING}),
        "File": _object(file, {"expires_at": _TIME}),
        "Files": {"type": "array", "items": _ref("File")},
        "ShareLink": _object({"share_url": _STRING, "share_token": _STRING, "expires_at": _TIME}),
        "Root": _object({"name": _STRING, "version": _STRING, "docs": _STRING}),
        "Health": _object({"status": {"const": "healthy"}}),
        "Problem": _object(problem, {"errors": {"type": "array", "items": fault}, "quota": _BYTES, "used": _BYTES}),
    }


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters(method: str, path: str, operation: Operation) -> Iterator[Json]:
    for name in ("id", "token"):
        if f"{{{name}}}" in path:
            is_id = name == "id" and method != "put"
            yield {"name": name, "in": "path", "required": True, "schema": _ID if is_id else _STRING}
    if operation.tag == TUS:
        yield {"name": "Tus-Resumable", "in": "header", "required": True, "schema": {"const": "1.0.0"}}
    for name in operation.headers:
        required = name == "Upload-Offset"
        yield {"name": name, "in": "header", "required": required, "schema": _HEADERS.get(name, _STRING)}
    for name in operation.query:
        found: Json = {"name": name, "in": "query", "required": False, "schema": _QUERY[name]}
        if operation.body == "Upload":
            found["description"] = "Here or in the form, not in both."
        yield found
    conditions = {"Bytes": ("If-Match", "If-None-Match", "Range", "If-Range"), "Head": ("If-Match", "If-None-Match")}
    for name in conditions.get(operation.response.partition(" ")[2], ()):
        yield {"name": name, "in": "header", "required": False, "schema": _STRING}


def _responses(operation: Operation) -> Json:
    status, _, shape = operation.response.partition(" ")
    found: Json = {status: {"description": operation.summary}}
    if shape == "Bytes":
        found[status]["content"] = {"*/*": {}}  # the file's own media type
        found["206"] = {"description": "The bytes of the range", "content": {"*/*": {}}}
    if shape in {"Bytes", "Head"}:
        found["304"] = {"description": "Not modified"}
    elif shape:
        found[status]["content"] = {"application/json": {"schema": _ref(shape)}}
    for problem in sorted({*operation.problems.split(), "500"}):
        found[problem] = {"$ref": "#/components/responses/Problem"}
    return found


def _rendered(method: str, path: str, operation: Operation) -> Json:
    found: Json = {
        "operationId": f"{method}{path.replace('/', '_').replace('{', '').replace('}', '')}",
        "summary": operation.summary,
        "tags": [operation.tag],
        "parameters": list(_parameters(method, path, operation)),
        "responses": _responses(operation),
        "security": [] if operation.tag in _ANONYMOUS_TAGS else [{"bearer": []}],
    }
    if operation.body:
        media = {"Upload": "multipart/form-data", "Content": "*/*", "TusBody": "application/offset+octet-stream"}.get(
            operation.body, "application/json"
        )
        schema = {} if operation.body in {"Content", "TusBody"} else {"schema": _ref(operation.body)}
        required = operation.body not in {"Share", "Content", "TusBody"} or method == "patch"
        found["requestBody"] = {"required": required, "content": {media: schema}}
    return found


def _paths(prefix: str, routes: Iterable[Route]) -> Json:
    paths: dict[str, Json] = {}
    for route, resource, suffix in routes:
        base = prefix if route.startswith(f"{prefix}/") else ""
        relative = route.removeprefix(base)
        path = _CANONICAL.get(relative, relative)
        for method in _METHODS:
            responder = getattr(resource, f"on_{method}_{suffix}" if suffix else f"on_{method}", None)
            operation: Operation | None = getattr(responder, "operation", None)
            if operation is not None:
                found = operation.for_head() if method == "head" and operation.head else operation
                paths.setdefault(base + path, {})[method] = _rendered(method, path, found)
    return paths


def document(settings: Settings, routes: Iterable[Route]) -> Json:
    """
    The OpenAPI document of these routes: of each responder that has a description (`Operation`).
    """
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.app.name,
            "version": settings.app.version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": _paths(settings.app.api_prefix, routes),
        "components": {
            "schemas": _schemas(),
            "responses": {"Problem": {"description": "A problem (RFC 9457)", "content": content}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
