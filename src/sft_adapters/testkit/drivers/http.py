"""
A driver of a service anywhere over HTTP, using the standard library alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

import attrs

from sft_adapters.testkit.drivers.protocol import Refused, SeenFile, Tokens


def _utc_now() -> datetime:
    return datetime.now(UTC)


@attrs.frozen
class _Response:
    """
    A response: status, headers, and the complete body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 (any JSON value)
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """
        Return the problem's `code` (RFC 9457), or `status-` and the status if there is none.
        """
        try:
            return str(self.json()["code"])
        except (ValueError, KeyError, TypeError):
            return f"status-{self.status}"


@attrs.frozen(kw_only=True)
class HttpDriver:
    """
    A `Driver` of the REST service at `base_url`; each call opens its own connection.

    A call fails after `timeout_seconds` without a byte from the service. Optional hooks provide what the API
    cannot do: `crash_hook` kills the service and restarts it on the same data and address; `advance_hook`
    advances the service's clock by seconds, and `clock` must then return that clock's time; `revoke_hook`
    revokes a link, given an access token and the link's token, and raises `Refused` if the user may not.
    """

    base_url: str
    prefix: str = "/api/v1"
    timeout_seconds: float = 30.0
    clock: Callable[[], datetime] = _utc_now
    crash_hook: Callable[[], object] | None = None
    advance_hook: Callable[[int], object] | None = None
    revoke_hook: Callable[[str, str], object] | None = None
    may_throttle: bool = False
    access_lifetime: timedelta = timedelta(minutes=30)
    refresh_lifetime: timedelta = timedelta(days=7)

    @property
    def can_advance_clock(self) -> bool:
        return self.advance_hook is not None

    @property
    def can_crash(self) -> bool:
        return self.crash_hook is not None

    @property
    def can_revoke_links(self) -> bool:
        return self.revoke_hook is not None

    def _exchange(
        self, method: str, path: str, *, access: str | None = None, body: bytes = b"", **headers: str
    ) -> _Response:
        url = urlsplit(self.base_url)
        kind = HTTPSConnection if url.scheme == "https" else HTTPConnection
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if access is not None:
            sent["Authorization"] = f"Bearer {access}"
        with closing(kind(url.hostname or "", url.port, timeout=self.timeout_seconds)) as connection:
            connection.request(method, url.path.rstrip("/") + self.prefix + path, body or None, sent)
            response = connection.getresponse()
            headers = {name.lower(): value for name, value in response.headers.items()}
            return _Response(response.status, headers, response.read())

    def _call(
        self, method: str, path: str, *, access: str | None = None, body: bytes = b"", **headers: str
    ) -> _Response:
        response = self._exchange(method, path, access=access, body=body, **headers)
        if response.status >= 400:
            raise Refused(response.code)
        return response

    def _send(self, method: str, path: str, *, access: str | None = None, **fields: object) -> Any:  # noqa: ANN401 (JSON)
        given = {name: value for name, value in fields.items() if value is not None}
        body = json.dumps(given).encode()
        return self._call(method, path, access=access, body=body, Content_Type="application/json").json()

    def register(self, *, email: str, username: str, password: str) -> str:
        user = self._send("POST", "/auth/register", email=email, username=username, password=password)
        return str(user["id"])

    def sign_in(self, *, email: str, password: str, code: str | None = None) -> Tokens:
        tokens = self._send("POST", "/auth/login", email=email, password=password, totp_code=code)
        return Tokens(tokens["access_token"], tokens["refresh_token"])

    def refresh(self, refresh: str) -> Tokens:
        tokens = self._send("POST", "/auth/refresh", refresh_token=refresh)
        return Tokens(tokens["access_token"], tokens["refresh_token"])

    def who(self, access: str) -> str:
        return str(self._call("GET", "/auth/me", access=access).json()["id"])

    def set_up_totp(self, access: str) -> str:
        return str(self._send("POST", "/auth/2fa/setup", access=access)["secret"])

    def confirm_totp(self, access: str, code: str) -> None:
        self._send("POST", "/auth/2fa/verify", access=access, totp_code=code)

    def disable_totp(self, access: str, code: str) -> None:
        self._send("DELETE", "/auth/2fa/disable", access=access, totp_code=code)

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        boundary = secrets.token_hex(16)
        disposition = f'form-data; name="file"; filename="file"; filename*=UTF-8\'\'{quote(name, safe="")}'
        head = f"--{boundary}\r\nContent-Disposition: {disposition}\r\nContent-Type: {media_type}\r\n\r\n"
        body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
        form = f"multipart/form-data; boundary={boundary}"
        return str(self._call("POST", "/files/upload", access=access, body=body, Content_Type=form).json()["id"])

    def list_files(self, access: str, *, skip: int, limit: int) -> Sequence[SeenFile]:
        response = self._call("GET", f"/files/?skip={skip}&limit={limit}", access=access)
        return [_seen_file(file) for file in response.json()]

    def find(self, access: str, file_id: str) -> SeenFile:
        return _seen_file(self._call("GET", f"/files/{file_id}", access=access).json())

    def read(self, access: str, file_id: str, *, start: int = 0, stop: int | None = None) -> bytes:
        path = f"/files/{file_id}/download"
        if stop is None:
            return self._call("GET", path, access=access).body
        response = self._call("GET", path, access=access, Range=f"bytes={start}-{stop - 1}")
        content_range = response.headers.get("content-range", "")
        if response.status != 206 or not content_range.startswith(f"bytes {start}-{start + len(response.body) - 1}/"):
            raise Refused("no-range")
        return response.body

    def delete(self, access: str, file_id: str) -> None:
        self._call("DELETE", f"/files/{file_id}", access=access)

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        path = f"/files/{file_id}/share"
        link = self._send("POST", path, access=access, expires_hours=hours, max_downloads=downloads)
        return str(link["share_token"])

    def look(self, token: str) -> int:
        response = self._exchange("HEAD", f"/files/shared/{token}")
        if response.status < 400:
            return int(response.headers["content-length"])
        # A HEAD response has no body with the code. A GET that fails its precondition has one, and consumes
        # no download.
        reason = self._exchange("GET", f"/files/shared/{token}", If_None_Match="*")
        raise Refused(reason.code if reason.status == response.status else f"status-{response.status}")

    def redeem(self, token: str) -> bytes:
        return self._call("GET", f"/files/shared/{token}").body

    def revoke(self, access: str, token: str) -> None:
        if self.revoke_hook is None:
            raise RuntimeError("This driver cannot revoke links: pass revoke_hook.")
        self.revoke_hook(access, token)

    def now(self) -> datetime:
        return self.clock()

    def advance(self, seconds: int) -> None:
        if self.advance_hook is None:
            raise RuntimeError("This driver cannot advance the clock: pass advance_hook.")
        self.advance_hook(seconds)

    def crash(self) -> None:
        if self.crash_hook is None:
            raise RuntimeError("This driver cannot crash the service: pass crash_hook.")
        self.crash_hook()

    def close(self) -> None:
        """
        Do nothing: no connection is kept between calls.
        """


def _seen_file(file: Mapping[str, Any]) -> SeenFile:
    return SeenFile(
        id=file["id"],
        name=file["filename"],
        media_type=file["mime_type"],
        size=file["file_size"],
        downloads=file["download_count"],
        token=file["share_token"],
    )
