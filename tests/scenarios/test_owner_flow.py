"""
The file endpoints of the owner's contract, tested with curl on a server started as the README says.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

import pytest

from support.clients.curl import curl
from support.clients.owner import Curl, assert_names_faults, assert_problem, bearer_arguments, body, parsed_time
from support.servers.service import Service

UNKNOWN_ID = "00000000-0000-7000-8000-000000000000"
PROTECTED = [
    ("POST", "/auth/2fa/setup"),
    ("POST", "/auth/2fa/verify"),
    ("DELETE", "/auth/2fa/disable"),
    ("POST", "/auth/2fa/disable"),
    ("GET", "/auth/me"),
    ("POST", "/files/upload"),
    ("GET", "/files/"),
    ("GET", "/files/{id}"),
    ("GET", "/files/{id}/download"),
    ("POST", "/files/{id}/share"),
    ("DELETE", "/files/{id}"),
]


@pytest.fixture(scope="module")
def bearer(readme_service: Service) -> tuple[str, str]:
    return bearer_arguments(readme_service.sign_up("files"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("files") / "report – final.pdf"
    path.write_bytes(b"%PDF-1.7\n" + os.urandom(9 * 1024 * 1024 + 12_345))
    return path


@pytest.fixture(scope="module")
def stored(call: Curl, bearer: tuple[str, str], report: Path) -> dict[str, Any]:
    response = call("/files/upload", *bearer, "-F", f"file=@{report};type=application/pdf")
    assert response.status == 201, response.body
    created: dict[str, Any] = response.json()
    return created


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_request_without_a_valid_token_is_401(call: Curl, stored: dict[str, Any], method: str, path: str) -> None:
    """Every protected endpoint requires authentication, also for a file that exists."""
    path = path.format(id=stored["id"])
    for arguments in ((), bearer_arguments("nonsense"), ("-u", "maya:correct horse battery")):
        response = call(path, "-X", method, *arguments)
        assert (response.status, response.headers["www-authenticate"]) == (401, "Bearer")


def test_upload_response_has_every_field(stored: dict[str, Any], report: Path) -> None:
    """The response describes the file under its original name, in any script."""
    assert UUID(stored["id"]).version == 7
    assert abs(parsed_time(stored["created_at"]) - datetime.now(UTC)) < timedelta(minutes=5)
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
    assert (stored["is_public"], stored["share_token"], stored["share_expires_at"]) == (False, None, None)
    assert (stored["download_count"], stored["max_downloads"]) == (0, None)


def test_download_returns_the_uploaded_bytes(
    call: Curl, bearer: tuple[str, str], stored: dict[str, Any], report: Path
) -> None:
    """The response is an attachment with the original name."""
    response = call(f"/files/{stored['id']}/download", *bearer)
    assert response.status == 200
    assert hashlib.sha256(response.body).digest() == hashlib.sha256(report.read_bytes()).digest()
    disposition = response.headers["content-disposition"]
    assert disposition.startswith("attachment;")
    assert unquote(disposition.partition("filename*=UTF-8''")[2]) == "report – final.pdf"
    assert int(response.headers["content-length"]) == report.stat().st_size


def test_curl_resumes_an_interrupted_download(
    readme_service: Service, bearer: tuple[str, str], stored: dict[str, Any], report: Path, tmp_path: Path
) -> None:
    """`curl -C -` requests only the rest, and the file is complete."""
    whole = report.read_bytes()
    partial = tmp_path / "partial.pdf"
    partial.write_bytes(whole[: 5 * 1024 * 1024 + 7])
    url = f"{readme_service.url}{readme_service.api}/files/{stored['id']}/download"
    response = curl(tmp_path, url, *bearer, "-C", "-", output=partial)
    assert response.status == 206
    assert partial.read_bytes() == whole


def test_curl_uploads_a_file_without_a_form(call: Curl, bearer: tuple[str, str], report: Path) -> None:
    """`--upload-file` stores the file under its name."""
    target = f"/files/{quote(report.name)}"
    stored = call(target, *bearer, "--upload-file", str(report), "-H", "Content-Type: application/pdf").json()
    assert (stored["filename"], stored["file_size"]) == (report.name, report.stat().st_size)
    assert call(f"/files/{stored['id']}/download", *bearer).body == report.read_bytes()


@pytest.fixture(scope="module")
def other_user(readme_service: Service) -> tuple[str, str]:
    return bearer_arguments(readme_service.sign_up("stranger"))


def test_listing_contains_only_the_callers_files(
    call: Curl, bearer: tuple[str, str], other_user: tuple[str, str], stored: dict[str, Any]
) -> None:
    """It is paged, and each entry equals the file's own resource."""
    for query in ("", "?skip=0&limit=1000"):
        assert stored in call(f"/files/{query}", *bearer).json()
    assert call("/files/?skip=1000&limit=10", *bearer).json() == []
    assert call(f"/files/{stored['id']}", *bearer).json() == stored
    assert stored["id"] not in {file["id"] for file in call("/files/", *other_user).json()}
    assert_names_faults(call("/files/?skip=-1", *bearer), "skip")
    assert_names_faults(call("/files/?limit=0", *bearer), "limit")


def test_file_of_another_user_is_404(call: Curl, other_user: tuple[str, str], stored: dict[str, Any]) -> None:
    """To every user but its owner a file does not exist."""
    path = f"/files/{stored['id']}"
    for response in (
        call(path, *other_user),
        call(f"/files/{UNKNOWN_ID}", *other_user),
        call(f"{path}/download", *other_user),
        call(path, *other_user, "-X", "DELETE"),
        call(f"{path}/share", *other_user, *body(expires_hours=1)),
    ):
        assert_problem(response, 404, "File not found")


def test_deleted_file_loses_its_links_and_parts(
    call: Curl, readme_service: Service, bearer: tuple[str, str], tmp_path: Path
) -> None:
    """After DELETE the file and its link are 404, and its parts are deleted from the disk."""
    note = tmp_path / "gone.txt"
    note.write_text("soon gone")
    before = readme_service.stored()
    file = call("/files/upload", *bearer, "-F", f"file=@{note}", "-F", "is_public=true").json()
    assert len(readme_service.stored()) == len(before) + 1
    assert call(f"/files/{file['id']}", *bearer, "-X", "DELETE").status == 204
    assert call(f"/files/{file['id']}", *bearer).status == 404
    assert call(f"/files/{file['id']}", *bearer, "-X", "DELETE").status == 404
    assert call(f"/files/shared/{file['share_token']}").status == 404
    assert readme_service.stored() == before


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
def test_public_pages_need_no_sign_in(call: Curl, path: str, media_type: str) -> None:
    """The root, health and documentation pages are served to every client."""
    response = call(path)
    assert response.status == 200
    assert response.headers["content-type"].startswith(media_type)


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_documentation_pages_load_only_files_of_this_server(
    call: Curl, readme_service: Service, tmp_path: Path, path: str
) -> None:
    """Their scripts and styles are served here, and one of them requests the API description."""
    page = call(path).body.decode()
    needed = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)
    assert all(re.match(r"/\w", source) for source in needed), "a script or style is loaded from another host"
    responses = [curl(tmp_path, readme_service.url + source) for source in needed]
    assert {response.status for response in responses} == {200}
    assert any(b'"/openapi.json"' in response.body for response in responses)


def test_root_and_health_follow_the_contract(call: Curl) -> None:
    """The root names the service, its version and its documentation; health is one word."""
    assert call("/").json().keys() >= {"name", "version", "docs"}
    assert call("/health").json() == {"status": "healthy"}
    assert call("/openapi.json").json()["openapi"].startswith("3.1")
