"""
The link endpoints of the owner's contract, tested with curl on a server started as the README says.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from support.clients.curl import CurlResult, curl
from support.clients.owner import Curl, assert_names_faults, assert_problem, bearer_arguments, body, parsed_time
from support.servers.service import Service

PAST_MICROSECONDS = 1
"""A time long ago in the database's representation."""


@pytest.fixture(scope="module")
def bearer(readme_service: Service) -> tuple[str, str]:
    return bearer_arguments(readme_service.sign_up("links"))


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("links") / "report – final.pdf"
    path.write_bytes(b"%PDF-1.7\n" + os.urandom(3 * 1024 * 1024 + 12_345))
    return path


@pytest.fixture
def stored(call: Curl, bearer: tuple[str, str], report: Path) -> dict[str, Any]:
    response = call("/files/upload", *bearer, "-F", f"file=@{report};type=application/pdf")
    assert response.status == 201, response.body
    created: dict[str, Any] = response.json()
    return created


def remaining(text: str) -> timedelta:
    return parsed_time(text) - datetime.now(UTC)


def test_link_needs_no_sign_in_and_enforces_its_budget(
    call: Curl, readme_service: Service, bearer: tuple[str, str], stored: dict[str, Any], report: Path, tmp_path: Path
) -> None:
    """A link with a budget of two serves the file twice; HEAD requests consume no download."""
    shared = call(f"/files/{stored['id']}/share", *bearer, *body(expires_hours=2, max_downloads=2))
    assert shared.status == 200
    link = shared.json()
    assert link.keys() == {"share_url", "share_token", "expires_at"}
    assert link["share_url"] == f"{readme_service.api}/files/shared/{link['share_token']}"
    assert timedelta(hours=1, minutes=55) < remaining(link["expires_at"]) <= timedelta(hours=2)
    url = readme_service.url + link["share_url"]
    for _ in range(2):
        assert curl(tmp_path, url, "--head").status == 200
        assert curl(tmp_path, url).body == report.read_bytes()
    assert_problem(curl(tmp_path, url), 403, "Download limit reached")
    after = call(f"/files/{stored['id']}", *bearer).json()
    assert (after["download_count"], after["max_downloads"]) == (2, 2)
    assert (after["is_public"], after["share_token"]) == (True, link["share_token"])
    assert after["share_expires_at"] == link["expires_at"]


def test_link_expires_after_a_day_by_default(call: Curl, bearer: tuple[str, str], stored: dict[str, Any]) -> None:
    """Without a body the link has 24 hours and no budget; the bounds are one hour and thirty days."""
    path = f"/files/{stored['id']}/share"
    for arguments, hours in (
        (("-X", "POST"), 24),
        (body(), 24),
        (body(expires_hours=1), 1),
        (body(expires_hours=720), 720),
    ):
        shared = call(path, *bearer, *arguments)
        assert shared.status == 200
        assert timedelta(minutes=-5) < remaining(shared.json()["expires_at"]) - timedelta(hours=hours) <= timedelta()
    assert call(f"/files/{stored['id']}", *bearer).json()["max_downloads"] is None


def test_link_terms_out_of_bounds_are_422(call: Curl, bearer: tuple[str, str], stored: dict[str, Any]) -> None:
    """The error names the field, and no link is created."""
    assert_names_faults(call(f"/files/{stored['id']}/share", *bearer, *body(expires_hours=721)), "expires_hours")
    assert call(f"/files/{stored['id']}", *bearer).json()["share_token"] is None


def test_unknown_link_is_404(call: Curl) -> None:
    """Any other token is 404, regardless of its form."""
    for token in ("A" * 43, "A" * 42, "short", "%00"):
        assert call(f"/files/shared/{token}").status == 404


@pytest.mark.parametrize(
    ("column", "detail"),
    [("expires_at", "Share link has expired"), ("revoked_at", "Share link has been revoked")],
)
def test_expired_or_revoked_link_is_410(
    call: Curl, readme_service: Service, bearer: tuple[str, str], stored: dict[str, Any], column: str, detail: str
) -> None:
    """Neither GET nor HEAD returns anything of the file."""
    link = call(f"/files/{stored['id']}/share", *bearer, *body()).json()
    path = f"/files/shared/{link['share_token']}"
    assert call(path, "--head").status == 200
    readme_service.edit(f"UPDATE links SET {column} = ? WHERE file_id = ?", PAST_MICROSECONDS, UUID(stored["id"]).bytes)
    assert_problem(call(path), 410, detail)
    assert call(path, "--head").status == 410
    after = call(f"/files/{stored['id']}", *bearer).json()
    assert (after["is_public"], after["share_token"], after["download_count"]) == (False, None, 0)


@pytest.fixture(scope="module")
def note(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("note") / "note.txt"
    path.write_text("for everyone")
    return path


@pytest.mark.parametrize("where", ["form", "query"])
def test_public_upload_creates_a_link(call: Curl, bearer: tuple[str, str], note: Path, where: str) -> None:
    """`is_public=true` shares the file in the same request, on the terms in the form or the query."""
    terms = ("is_public=true", "max_downloads=1", "share_expires_hours=1")
    fields = [part for term in terms for part in ("-F", term)] if where == "form" else []
    query = "?" + "&".join(terms) if where == "query" else ""
    response = call(f"/files/upload{query}", *bearer, "-F", f"file=@{note}", *fields)
    assert response.status == 201
    file = response.json()
    assert (file["is_public"], file["max_downloads"]) == (True, 1)
    assert timedelta(minutes=55) < remaining(file["share_expires_at"]) <= timedelta(hours=1)
    assert call(f"/files/shared/{file['share_token']}").body == b"for everyone"
    assert_problem(call(f"/files/shared/{file['share_token']}"), 403, "Download limit reached")


def upload(call: Curl, bearer: tuple[str, str], *parts: str, query: str = "") -> CurlResult:
    return call(f"/files/upload{query}", *bearer, *[argument for part in parts for argument in ("-F", part)])


@pytest.mark.parametrize("field", ["is_public=maybe", "share_expires_hours=721"])
def test_upload_fields_out_of_bounds_are_422(
    call: Curl, readme_service: Service, bearer: tuple[str, str], note: Path, field: str
) -> None:
    """The error names the field before the file, after it or in the query, and nothing is stored."""
    before, file, name = readme_service.stored(), f"file=@{note}", field.partition("=")[0]
    assert_names_faults(upload(call, bearer, field, file), name)
    assert_names_faults(upload(call, bearer, file, field), name)
    assert_names_faults(upload(call, bearer, file, query=f"?{field}"), name)
    assert readme_service.is_tidy()
    assert readme_service.stored() == before


def test_repeated_or_unknown_upload_field_is_422(
    call: Curl, readme_service: Service, bearer: tuple[str, str], note: Path
) -> None:
    """A field repeated in the form, or in form and query, is an error, and so is an unknown field."""
    before, file, field = readme_service.stored(), f"file=@{note}", "is_public=true"
    assert_names_faults(upload(call, bearer, file, field, field), "is_public")
    assert_names_faults(upload(call, bearer, file, field, query=f"?{field}"), "is_public")
    assert_names_faults(upload(call, bearer, file, "colour=red"), "form")
    assert readme_service.stored() == before


@pytest.mark.parametrize("parts", [["is_public=true"], ["file=@{note}", "file=@{note}"], ["file=no file"]])
def test_form_without_exactly_one_file_is_422(
    call: Curl, readme_service: Service, bearer: tuple[str, str], note: Path, parts: list[str]
) -> None:
    """The form has no file, two files, or a text field named `file`."""
    before = readme_service.stored()
    assert_names_faults(upload(call, bearer, *[part.format(note=note) for part in parts]), "file")
    assert readme_service.stored() == before
