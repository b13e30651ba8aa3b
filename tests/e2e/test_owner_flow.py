"""
The owner's contract by curl, every row, against a server started as the README starts it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyotp
import pytest

from support.curl import CurlResult, curl
from support.service import Service

Curl = Callable[..., CurlResult]

EMAIL, NAME, PASSWORD = "maya@example.org", "maya", "correct horse battery"
JSON = ("-H", "Content-Type: application/json", "-d")


@pytest.fixture(scope="module")
def call(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Curl:
    folder = tmp_path_factory.mktemp("curl")

    def run(path: str, *arguments: str) -> CurlResult:
        prefix = "" if path in {"/", "/health", "/docs", "/redoc", "/openapi.json"} else service.api
        return curl(folder, f"{service.url}{prefix}{path}", *arguments)

    return run


@pytest.fixture(scope="module")
def user(call: Curl) -> dict[str, Any]:
    body = f'{{"email": "{EMAIL}", "username": "{NAME}", "password": "{PASSWORD}"}}'
    answer = call("/auth/register", *JSON, body)
    assert answer.status == 201
    created: dict[str, Any] = answer.json()
    return created


def login(call: Curl, **more: str) -> CurlResult:
    fields = {"email": EMAIL, "password": PASSWORD, **more}
    body = ", ".join(f'"{name}": "{value}"' for name, value in fields.items())
    return call("/auth/login", *JSON, f"{{{body}}}")


@pytest.fixture(scope="module")
def bearer(call: Curl, user: dict[str, Any]) -> tuple[str, str]:
    assert user["email"] == EMAIL
    answer = login(call)
    assert answer.status == 200
    return ("-H", f"Authorization: Bearer {answer.json()['access_token']}")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "report – final.pdf"
    path.write_bytes(b"%PDF-1.7\n" + os.urandom(9 * 1024 * 1024 + 12_345))
    return path


@pytest.fixture(scope="module")
def stored(call: Curl, bearer: tuple[str, str], report: Path) -> dict[str, Any]:
    answer = call("/files/upload", *bearer, "-F", f"file=@{report};type=application/pdf")
    assert answer.status == 201, answer.body
    created: dict[str, Any] = answer.json()
    return created


def parsed_time(text: str) -> datetime:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
    return datetime.fromisoformat(text)


def assert_problem(answer: CurlResult, status: int, detail: str) -> None:
    assert answer.status == status
    assert answer.headers["content-type"].startswith("application/problem+json")
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"] == detail
    assert problem.keys() >= {"type", "title", "status", "detail", "instance", "code"}


def test_registering_answers_201_with_the_user(user: dict[str, Any]) -> None:
    """A new user has every field of the contract and no secret."""
    assert user.keys() == {
        "id",
        "email",
        "username",
        "is_active",
        "is_verified",
        "two_factor_enabled",
        "created_at",
        "last_login",
    }
    assert (user["email"], user["username"]) == (EMAIL, NAME)
    assert (user["is_active"], user["is_verified"], user["two_factor_enabled"]) == (True, False, False)
    assert user["last_login"] is None
    assert abs(parsed_time(user["created_at"]) - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    ("email", "name"),
    [(EMAIL, "someone"), (EMAIL.upper(), "someone"), ("someone@example.org", NAME), ("someone@example.org", "MAYA")],
)
def test_a_taken_address_or_name_answers_400(call: Curl, user: dict[str, Any], email: str, name: str) -> None:
    """Which of the two is taken is not told."""
    assert user["username"] == NAME
    body = f'{{"email": "{email}", "username": "{name}", "password": "long enough"}}'
    assert_problem(call("/auth/register", *JSON, body), 400, "Email already registered")


def test_bad_registration_answers_422_and_names_each_field(call: Curl) -> None:
    """All faults are told at once, each with its path."""
    answer = call("/auth/register", *JSON, '{"email": "nobody", "username": "x", "password": "short"}')
    assert answer.status == 422
    assert {error["path"] for error in answer.json()["errors"]} == {"email", "username", "password"}


def test_login_answers_200_with_bearer_tokens(call: Curl, user: dict[str, Any]) -> None:
    """The tokens of the contract come back, and nothing else."""
    assert user["email"] == EMAIL
    answer = login(call)
    assert answer.status == 200
    assert answer.json().keys() == {"access_token", "refresh_token", "token_type"}
    assert answer.json()["token_type"] == "bearer"


@pytest.mark.parametrize(("email", "password"), [(EMAIL, "wrong password"), ("stranger@example.org", PASSWORD)])
def test_a_wrong_login_answers_401(call: Curl, user: dict[str, Any], email: str, password: str) -> None:
    """An unknown address and a wrong password get one and the same answer."""
    assert user["email"] == EMAIL
    answer = call("/auth/login", *JSON, f'{{"email": "{email}", "password": "{password}"}}')
    assert_problem(answer, 401, "Incorrect email or password")


def test_refreshing_rotates_the_tokens(call: Curl, user: dict[str, Any]) -> None:
    """A refresh token is good once; its second use ends the whole family."""
    assert user["email"] == EMAIL
    first = login(call).json()["refresh_token"]
    second = call("/auth/refresh", *JSON, f'{{"refresh_token": "{first}"}}')
    assert second.status == 200
    assert second.json()["refresh_token"] != first
    assert call("/auth/refresh", *JSON, f'{{"refresh_token": "{first}"}}').status == 401
    descendant = second.json()["refresh_token"]
    assert call("/auth/refresh", *JSON, f'{{"refresh_token": "{descendant}"}}').status == 401
    access = second.json()["access_token"]
    assert call("/auth/me", "-H", f"Authorization: Bearer {access}").status == 401


def test_me_is_the_user_after_a_login(call: Curl, bearer: tuple[str, str], user: dict[str, Any]) -> None:
    """The caller sees their own account, now with the time of the last login."""
    answer = call("/auth/me", *bearer)
    assert answer.status == 200
    assert answer.json()["id"] == user["id"]
    assert parsed_time(answer.json()["last_login"]) >= parsed_time(user["created_at"])


@pytest.mark.parametrize("path", ["/auth/me", "/files/", "/files/00000000-0000-7000-8000-000000000000"])
def test_without_a_token_the_answer_is_401(call: Curl, path: str) -> None:
    """Nothing of a user's is told to strangers."""
    assert call(path).status == 401
    assert call(path, "-H", "Authorization: Bearer nonsense").status == 401


def test_an_uploaded_file_has_every_field(stored: dict[str, Any], report: Path) -> None:
    """The answer to an upload is the file, under the name it was given, in any script."""
    assert stored.keys() >= {
        "id",
        "filename",
        "original_filename",
        "file_size",
        "mime_type",
        "is_public",
        "share_token",
        "share_expires_at",
        "download_count",
        "max_downloads",
        "created_at",
    }
    assert stored["filename"] == stored["original_filename"] == "report – final.pdf"
    assert stored["file_size"] == report.stat().st_size
    assert stored["mime_type"] == "application/pdf"
    assert (stored["is_public"], stored["share_token"], stored["download_count"]) == (False, None, 0)


def test_a_file_comes_back_as_it_went_up(
    call: Curl, bearer: tuple[str, str], stored: dict[str, Any], report: Path
) -> None:
    """The bytes are the same, offered as an attachment under the same name."""
    answer = call(f"/files/{stored['id']}/download", *bearer)
    assert answer.status == 200
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(report.read_bytes()).digest()
    disposition = answer.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == "report – final.pdf"
    assert int(answer.headers["content-length"]) == report.stat().st_size


def test_curl_resumes_a_download_that_broke_off(
    service: Service, bearer: tuple[str, str], stored: dict[str, Any], report: Path, tmp_path: Path
) -> None:
    """`curl -C -` asks for the rest only and ends with the whole file."""
    whole = report.read_bytes()
    partial = tmp_path / "partial.pdf"
    partial.write_bytes(whole[: 5 * 1024 * 1024 + 7])
    url = f"{service.url}{service.api}/files/{stored['id']}/download"
    answer = curl(tmp_path, url, *bearer, "-C", "-", output=partial)
    assert answer.status == 206
    assert partial.read_bytes() == whole


def test_the_list_holds_the_callers_files(call: Curl, bearer: tuple[str, str], stored: dict[str, Any]) -> None:
    """A listing shows files as they stand, in pages."""
    assert stored["id"] in {file["id"] for file in call("/files/?skip=0&limit=10", *bearer).json()}
    assert call("/files/?skip=1000&limit=10", *bearer).json() == []
    assert call(f"/files/{stored['id']}", *bearer).json()["id"] == stored["id"]


def test_anothers_file_is_404(call: Curl, service: Service, stored: dict[str, Any]) -> None:
    """For everyone but its owner a file does not exist."""
    stranger = ("-H", f"Authorization: Bearer {service.sign_up('stranger')}")
    path = f"/files/{stored['id']}"
    for answer in (
        call(path, *stranger),
        call(f"{path}/download", *stranger),
        call(path, *stranger, "-X", "DELETE"),
        call(f"{path}/share", *stranger, *JSON, '{"expires_hours": 1}'),
    ):
        assert_problem(answer, 404, "File not found")


def test_a_shared_link_needs_no_login_and_keeps_its_budget(
    call: Curl, service: Service, bearer: tuple[str, str], stored: dict[str, Any], report: Path, tmp_path: Path
) -> None:
    """A link with two downloads gives the file twice; looking at it spends nothing."""
    shared = call(f"/files/{stored['id']}/share", *bearer, *JSON, '{"expires_hours": 2, "max_downloads": 2}')
    assert shared.status == 200
    link = shared.json()
    assert link["share_url"] == f"{service.api}/files/shared/{link['share_token']}"
    remaining = parsed_time(link["expires_at"]) - datetime.now(UTC)
    assert timedelta(hours=1, minutes=55) < remaining <= timedelta(hours=2)
    url = service.url + link["share_url"]
    for _ in range(2):
        assert curl(tmp_path, url, "--head").status == 200
        assert curl(tmp_path, url).body == report.read_bytes()
    assert_problem(curl(tmp_path, url), 403, "Download limit reached")
    after = call(f"/files/{stored['id']}", *bearer).json()
    assert (after["download_count"], after["max_downloads"]) == (2, 2)
    assert after["share_token"] == link["share_token"]


def test_an_unknown_link_is_404(call: Curl) -> None:
    """Any other token leads nowhere, whatever its form."""
    for token in ("A" * 43, "A" * 42, "short", "%00"):
        assert call(f"/files/shared/{token}").status == 404


def test_a_public_upload_has_its_link_at_once(
    call: Curl, service: Service, bearer: tuple[str, str], tmp_path: Path
) -> None:
    """`is_public=true` shares the file in the same step, on the terms given beside it."""
    note = tmp_path / "note.txt"
    note.write_text("for everyone")
    fields = ("-F", "is_public=true", "-F", "max_downloads=1", "-F", "share_expires_hours=1")
    answer = call("/files/upload", *bearer, "-F", f"file=@{note}", *fields)
    assert answer.status == 201
    file = answer.json()
    assert file["is_public"] is True
    assert file["max_downloads"] == 1
    assert parsed_time(file["share_expires_at"]) - datetime.now(UTC) <= timedelta(hours=1)
    url = f"{service.url}{service.api}/files/shared/{file['share_token']}"
    assert curl(tmp_path, url).body == b"for everyone"
    assert curl(tmp_path, url).status == 403


def test_a_deleted_file_is_gone_with_its_links_and_its_parts(
    call: Curl, service: Service, bearer: tuple[str, str], tmp_path: Path
) -> None:
    """After DELETE neither the file nor its link answers, and nothing of it lies on the disk."""
    note = tmp_path / "gone.txt"
    note.write_text("soon gone")
    before = service.stored()
    file = call("/files/upload", *bearer, "-F", f"file=@{note}", "-F", "is_public=true").json()
    assert len(service.stored()) == len(before) + 1
    assert call(f"/files/{file['id']}", *bearer, "-X", "DELETE").status == 204
    assert call(f"/files/{file['id']}", *bearer).status == 404
    assert call(f"/files/{file['id']}", *bearer, "-X", "DELETE").status == 404
    assert call(f"/files/shared/{file['share_token']}").status == 404
    assert service.stored() == before


def test_two_factor_sign_in_from_set_up_to_switching_off(call: Curl) -> None:
    """The set-up shows seed and QR code; from its first code on, signing in asks for a fresh one."""
    account = '{"email": "tina@example.org", "username": "tina", "password": "tina has a phone"}'
    assert call("/auth/register", *JSON, account).status == 201
    credentials = '"email": "tina@example.org", "password": "tina has a phone"'
    token = call("/auth/login", *JSON, f"{{{credentials}}}").json()["access_token"]
    bearer = ("-H", f"Authorization: Bearer {token}")

    assert_problem(call("/auth/2fa/verify", *bearer, *JSON, '{"totp_code": "123456"}'), 400, "2FA setup not initiated")
    setup = call("/auth/2fa/setup", *bearer, "-X", "POST")
    assert setup.status == 200
    prefix = "data:image/png;base64,"
    assert setup.json()["qr_code"].startswith(prefix)
    assert base64.b64decode(setup.json()["qr_code"][len(prefix) :]).startswith(b"\x89PNG")
    phone = pyotp.TOTP(setup.json()["secret"])

    def code(steps: int) -> str:
        return phone.at(datetime.now(UTC), counter_offset=steps)

    wrong = f"{(int(code(0)) + 500_000) % 1_000_000:06}"
    assert_problem(call("/auth/2fa/verify", *bearer, *JSON, f'{{"totp_code": "{wrong}"}}'), 400, "Invalid 2FA code")
    assert call("/auth/2fa/verify", *bearer, *JSON, f'{{"totp_code": "{code(-1)}"}}').status == 200
    assert call("/auth/me", *bearer).json()["two_factor_enabled"] is True
    assert call("/auth/2fa/setup", *bearer, "-X", "POST").status == 400

    assert_problem(call("/auth/login", *JSON, f"{{{credentials}}}"), 400, "2FA code required")
    with_wrong = f'{{{credentials}, "totp_code": "{wrong}"}}'
    assert_problem(call("/auth/login", *JSON, with_wrong), 401, "Invalid 2FA code")
    with_code = f'{{{credentials}, "totp_code": "{code(0)}"}}'
    assert call("/auth/login", *JSON, with_code).status == 200
    assert_problem(call("/auth/login", *JSON, with_code), 401, "Invalid 2FA code")

    assert_problem(
        call("/auth/2fa/disable", *bearer, "-X", "DELETE", *JSON, f'{{"totp_code": "{wrong}"}}'),
        400,
        "Invalid 2FA code",
    )
    off = call("/auth/2fa/disable", *bearer, "-X", "DELETE", *JSON, f'{{"totp_code": "{code(1)}"}}')
    assert off.status == 200
    assert off.json().keys() == {"message"}
    assert call("/auth/login", *JSON, f"{{{credentials}}}").status == 200


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "application/json"),
        ("/health", "application/json"),
        ("/docs", "text/html"),
        ("/redoc", "text/html"),
        ("/openapi.json", "application/json"),
    ],
)
def test_the_open_pages_answer_without_a_login(call: Curl, path: str, media_type: str) -> None:
    """The root, health and documentation pages are there for everyone."""
    answer = call(path)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith(media_type)


def test_root_and_health_say_what_the_contract_says(call: Curl) -> None:
    """The root names the service, its version and its documentation; health is one word."""
    assert call("/").json().keys() >= {"name", "version", "docs"}
    assert call("/health").json() == {"status": "healthy"}
    assert call("/openapi.json").json()["openapi"].startswith("3.1")
