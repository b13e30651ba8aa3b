"""
The API described for machines: OpenAPI 3.1, one table of calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import attrs

from sft_adapters.settings import Settings
from sft_core.values import MAX_PAGE_SIZE
from sft_core.vault.model import MAX_DOWNLOADS_BOUND, MAX_EXPIRES_HOURS, MAX_FILE_HOURS

Json = dict[str, Any]


@attrs.frozen
class Call:
    """
    One call of the API: where, what it takes, what it answers, and which problems it may have.
    """

    method: str
    path: str
    summary: str
    answer: str
    problems: str
    takes: str = attrs.field(default="", kw_only=True)
    query: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    headers: tuple[str, ...] = attrs.field(default=(), kw_only=True)
    tag: str = attrs.field(default="files", kw_only=True)


_BODY: Final = "400 401 403 408 413 415 422 503"
_CHANGE: Final = f"409 {_BODY}"
_ONCE: Final = f"410 {_CHANGE}"
_GUESS: Final = f"429 {_CHANGE}"
_OWN: Final = "401 403 503"
_SENT: Final = "403 404 412 416 503"
_LOOKED_AT: Final = "403 404 412 503"
_UPLOAD_FIELDS: Final = ("is_public", "max_downloads", "share_expires_hours")

_OPEN: Final = "sign-in"
_LINKS: Final = "links"
_SERVICE: Final = "service"
_TUS: Final = "resumable uploads"
_WITHOUT_LOGIN: Final = {_OPEN, _LINKS, _SERVICE}

CALLS: Final = (
    Call(
        "post",
        "/auth/register",
        "Create an account",
        "201 User",
        "400 408 413 415 422 503",
        takes="Registration",
        tag=_OPEN,
    ),
    Call("post", "/auth/login", "Sign in", "200 Tokens", f"429 {_BODY}", takes="Login", tag=_OPEN),
    Call("post", "/auth/refresh", "Exchange a refresh token", "200 Tokens", _BODY, takes="Refresh", tag=_OPEN),
    Call("get", "/auth/me", "The caller's account", "200 User", _OWN, tag="account"),
    Call("head", "/auth/me", "Its headers", "200", _OWN, tag="account"),
    Call("post", "/auth/2fa/setup", "Begin a two-factor set-up", "200 TotpEnrolment", f"400 409 {_OWN}", tag="account"),
    Call("post", "/auth/2fa/verify", "Confirm the set-up", "200 Message", _GUESS, takes="TotpCode", tag="account"),
    Call("delete", "/auth/2fa/disable", "Switch it off", "200 Message", _GUESS, takes="TotpCode", tag="account"),
    Call("post", "/auth/2fa/disable", "Switch it off", "200 Message", _GUESS, takes="TotpCode", tag="account"),
    Call("get", "/files/", "The caller's files, newest first", "200 Files", f"{_OWN} 422", query=("skip", "limit")),
    Call("head", "/files/", "Their headers", "200", f"{_OWN} 422", query=("skip", "limit")),
    Call(
        "post",
        "/files/upload",
        "Upload a file",
        "201 File",
        f"{_ONCE} 507",
        takes="Upload",
        query=_UPLOAD_FIELDS,
        headers=("Idempotency-Key",),
    ),
    Call("get", "/files/{id}", "One file", "200 File", f"{_OWN} 404"),
    Call("head", "/files/{id}", "Its headers", "200", f"{_OWN} 404"),
    Call("patch", "/files/{id}", "Set a file's end", "200 File", f"404 {_CHANGE}", takes="Expiry"),
    Call("delete", "/files/{id}", "Delete a file", "204", f"{_OWN} 404"),
    Call(
        "put",
        "/files/{id}",
        "Upload a body as a file; the last step of the path is its name",
        "201 File",
        f"{_ONCE} 507",
        takes="Content",
        query=_UPLOAD_FIELDS,
        headers=("Idempotency-Key",),
    ),
    Call("get", "/files/{id}/download", "A file's bytes", "200 Bytes", f"401 {_SENT}"),
    Call("head", "/files/{id}/download", "A file's headers", "200 Head", f"401 {_LOOKED_AT}"),
    Call(
        "post",
        "/files/{id}/share",
        "Make a link to a file",
        "200 ShareLink",
        f"{_ONCE} 404",
        takes="Share",
        headers=("Idempotency-Key",),
    ),
    Call("get", "/files/shared/{token}", "A shared file; spends a download", "200 Bytes", f"410 {_SENT}", tag=_LINKS),
    Call("head", "/files/shared/{token}", "Its headers; spends nothing", "200 Head", f"410 {_LOOKED_AT}", tag=_LINKS),
    Call(
        "post",
        "/tus",
        "Begin an upload that can be resumed",
        "201",
        f"404 412 460 507 {_CHANGE}",
        takes="Bite",
        headers=("Upload-Length", "Upload-Defer-Length", "Upload-Metadata", "Upload-Concat", "Upload-Checksum"),
        tag=_TUS,
    ),
    Call("head", "/tus/{id}", "How far an upload has come", "200", f"{_OWN} 404 409 412", tag=_TUS),
    Call(
        "patch",
        "/tus/{id}",
        "Go on with an upload",
        "204",
        f"404 412 460 507 {_CHANGE}",
        takes="Bite",
        headers=("Upload-Offset", "Upload-Length", "Upload-Checksum"),
        tag=_TUS,
    ),
    Call("delete", "/tus/{id}", "End an upload", "204", f"{_OWN} 404 412", tag=_TUS),
)

ROOT_CALLS: Final = (
    Call("get", "/", "What this is", "200 Root", "", tag=_SERVICE),
    Call("head", "/", "That it is", "200", "", tag=_SERVICE),
    Call("get", "/health", "Whether the service is up", "200 Health", "", tag=_SERVICE),
    Call("head", "/health", "The same without words", "200", "", tag=_SERVICE),
)

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
"""Parameters of queries; the fields of the upload's form are the same."""

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
"""Those that are more than a string."""

_CODE: Final[Json] = {"type": "string", "pattern": "^[0-9]{6}$"}


def _object(required: str, properties: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "required": required.split(), "properties": {**properties, **(optional or {})}}


def _schemas() -> Json:
    email: Json = {"type": "string", "format": "email", "maxLength": 254}
    password: Json = {"type": "string", "format": "password", "minLength": 8, "maxLength": 1024}
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
    fault = _object("path message", {"path": _STRING, "message": _STRING})
    name: Json = {"type": "string", "minLength": 3, "maxLength": 50}
    return {
        "Registration": _object("email username password", {"email": email, "username": name, "password": password}),
        "Login": _object("email password", {"email": email, "password": _STRING}, {"totp_code": _CODE}),
        "Refresh": _object("refresh_token", {"refresh_token": _STRING}),
        "TotpCode": _object("totp_code", {"totp_code": _CODE}),
        "Share": _object("", {"expires_hours": {**_HOURS, "default": 24}, "max_downloads": _BUDGET}),
        "Expiry": _object("expires_hours", {"expires_hours": {**_HOURS, "maximum": MAX_FILE_HOURS}}),
        "Upload": _object("file", {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
                          {name: _QUERY[name] for name in _UPLOAD_FIELDS}),
        "User": _object(" ".join(user), user),
        "Tokens": _object("access_token refresh_token token_type", {"access_token": _STRING, "refresh_token": _STRING,
                          "token_type": {"const": "bearer"}}),
        "TotpEnrolment": _object("secret qr_code", {"secret": _STRING, "qr_code": _STRING}),
        "Message": _object("message", {"message": _STRING}),
        "File": _object(" ".join(file), file, {"expires_at": _TIME}),
        "Files": {"type": "array", "items": _ref("File")},
        "ShareLink": _object("share_url share_token expires_at", {"share_url": _STRING, "share_token": _STRING,
                             "expires_at": _TIME}),
        "Root": _object("name version docs", {"name": _STRING, "version": _STRING, "docs": _STRING}),
        "Health": _object("status", {"status": {"const": "healthy"}}),
        "Problem": _object(" ".join(problem), problem, {"errors": {"type": "array", "items": fault},
                           "quota": _BYTES, "used": _BYTES}),
    }  # fmt: skip


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _parameters(call: Call) -> Iterator[Json]:
    for name in ("id", "token"):
        if f"{{{name}}}" in call.path:
            is_id = name == "id" and call.method != "put"
            yield {"name": name, "in": "path", "required": True, "schema": _ID if is_id else _STRING}
    if call.tag == _TUS:
        yield {"name": "Tus-Resumable", "in": "header", "required": True, "schema": {"const": "1.0.0"}}
    for name in call.headers:
        required = name == "Upload-Offset"
        yield {"name": name, "in": "header", "required": required, "schema": _HEADERS.get(name, _STRING)}
    for name in call.query:
        found: Json = {"name": name, "in": "query", "required": False, "schema": _QUERY[name]}
        if name in _UPLOAD_FIELDS:
            found["description"] = "Here or in the form, not in both." if call.takes == "Upload" else ""
        yield found
    conditions = {"Bytes": ("If-Match", "If-None-Match", "Range", "If-Range"), "Head": ("If-Match", "If-None-Match")}
    for name in conditions.get(call.answer.partition(" ")[2], ()):
        yield {"name": name, "in": "header", "required": False, "schema": _STRING}


def _responses(call: Call) -> Json:
    status, _, shape = call.answer.partition(" ")
    found: Json = {status: {"description": call.summary}}
    if shape == "Bytes":
        found[status]["content"] = {"*/*": {}}  # its own media type
        found["206"] = {"description": "The bytes of the range", "content": {"*/*": {}}}
    if shape in {"Bytes", "Head"}:
        found["304"] = {"description": "Not modified"}
    elif shape:
        found[status]["content"] = {"application/json": {"schema": _ref(shape)}}
    for problem in sorted({*call.problems.split(), "500"}):
        found[problem] = {"$ref": "#/components/responses/Problem"}
    return found


def _operation(call: Call) -> Json:
    found: Json = {
        "operationId": f"{call.method}{call.path.replace('/', '_').replace('{', '').replace('}', '')}",
        "summary": call.summary,
        "tags": [call.tag],
        "parameters": list(_parameters(call)),
        "responses": _responses(call),
        "security": [] if call.tag in _WITHOUT_LOGIN else [{"bearer": []}],
    }
    if call.takes:
        media = {"Upload": "multipart/form-data", "Content": "*/*", "Bite": "application/offset+octet-stream"}.get(
            call.takes, "application/json"
        )
        schema = {} if call.takes in {"Content", "Bite"} else {"schema": _ref(call.takes)}
        required = call.takes not in {"Share", "Content", "Bite"} or call.method == "patch"
        found["requestBody"] = {"required": required, "content": {media: schema}}
    return found


def document(settings: Settings) -> Json:
    """
    The OpenAPI document of a service with these settings.
    """
    paths: dict[str, Json] = {}
    for prefix, calls in ((settings.app.api_prefix, CALLS), ("", ROOT_CALLS)):
        for call in calls:
            paths.setdefault(prefix + call.path, {})[call.method] = _operation(call)
    content = {"application/problem+json": {"schema": _ref("Problem")}}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": settings.app.name,
            "version": settings.app.version,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "responses": {"Problem": {"description": "A problem (RFC 9457)", "content": content}},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }
