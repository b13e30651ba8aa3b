"""
The refusals of the owner's contract by curl, on a service with the owner's own limits.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyotp
import pytest

from support.curl import CurlResult, curl
from support.service import Service, serving

NINE = ".pdf,.doc,.docx,.xls,.xlsx,.txt,.jpg,.png,.zip"
MICROSECOND = timedelta(microseconds=1)
JSON = ("-H", "Content-Type: application/json", "-d")

Curl = Callable[..., CurlResult]


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    limits = {"MAX_FILE_SIZE": "100000", "ALLOWED_EXTENSIONS": NINE, "ARGON2_MEMORY_KIB": "8192"}
    with serving(tmp_path_factory.mktemp("strict"), settings=limits) as running:
        yield running


@pytest.fixture(scope="module")
def bearer(strict: Service) -> tuple[str, str]:
    return ("-H", f"Authorization: Bearer {strict.sign_up('strict')}")


@pytest.fixture
def call(strict: Service, tmp_path: Path) -> Curl:
    return lambda path, *arguments: curl(tmp_path, f"{strict.url}{strict.api}{path}", *arguments)


@pytest.fixture
def stored(call: Curl, bearer: tuple[str, str], tmp_path: Path) -> dict[str, Any]:
    note = tmp_path / "note.txt"
    note.write_text("a note")
    answer = call("/files/upload", *bearer, "-F", f"file=@{note}", "-F", "is_public=true")
    assert answer.status == 201
    created: dict[str, Any] = answer.json()
    return created


def change(service: Service, statement: str, *values: object) -> None:
    """
    Change a row from beside, as time or an administrator would.
    """
    with closing(sqlite3.connect(service.data / "sft.db", timeout=10)) as database, database:
        assert database.execute(statement, values).rowcount == 1


def test_a_file_over_the_limit_is_413(call: Curl, bearer: tuple[str, str], strict: Service, tmp_path: Path) -> None:
    """One byte more than allowed is refused, announced or not, and the limit itself is taken."""
    large = tmp_path / "large.txt"
    for size, status in ((100_000, 201), (100_001, 413), (3_000_000, 413)):
        large.write_bytes(bytes(size))
        for more in ((), ("-H", "Transfer-Encoding: chunked")):
            answer = call("/files/upload", *bearer, *more, "-F", f"file=@{large}")
            assert answer.status == status
            assert status == 201 or answer.json()["code"] == "file-too-large"
    assert strict.is_tidy()


@pytest.mark.parametrize("name", ["tool.exe", "page.html", "noextension", "archive.zip.exe", ".pdf"])
def test_another_type_is_400(call: Curl, bearer: tuple[str, str], tmp_path: Path, name: str) -> None:
    """Only the allowed extensions are taken; the answer names the one that is not."""
    (tmp_path / name).write_text("content")
    answer = call("/files/upload", *bearer, "-F", f"file=@{tmp_path / name}")
    assert answer.status == 400
    assert answer.json()["detail"].startswith("File type ")
    assert answer.json()["detail"].endswith(" not allowed")


@pytest.mark.parametrize("name", ["a.pdf", "B.PDF", "c.tar.zip", "d.Docx"])
def test_an_allowed_type_is_taken_in_any_case(call: Curl, bearer: tuple[str, str], tmp_path: Path, name: str) -> None:
    """The last extension counts, whatever its letters' case."""
    (tmp_path / name).write_text("content")
    assert call("/files/upload", *bearer, "-F", f"file=@{tmp_path / name}").status == 201


@pytest.mark.parametrize(
    "field", ["is_public=maybe", "max_downloads=0", "max_downloads=-1", "max_downloads=x", "share_expires_hours=721"]
)
def test_a_wrong_field_of_the_form_is_422(
    call: Curl, bearer: tuple[str, str], strict: Service, tmp_path: Path, field: str
) -> None:
    """The fault names the field, as form or as query, and nothing is stored."""
    note = tmp_path / "note.txt"
    note.write_text("a note")
    for answer in (
        call("/files/upload", *bearer, "-F", f"file=@{note}", "-F", field),
        call(f"/files/upload?{field}", *bearer, "-F", f"file=@{note}"),
    ):
        assert answer.status == 422
        assert [fault["path"] for fault in answer.json()["errors"]] == [field.partition("=")[0]]
    assert strict.is_tidy()


@pytest.mark.parametrize("hours", ["0", "721", "-1", '"x"', "1.5", "true"])
def test_a_share_of_another_length_is_422(
    call: Curl, bearer: tuple[str, str], stored: dict[str, Any], hours: str
) -> None:
    """A link lives 1 to 720 whole hours."""
    answer = call(f"/files/{stored['id']}/share", *bearer, *JSON, f'{{"expires_hours": {hours}}}')
    assert answer.status == 422


def test_an_expired_link_is_410(call: Curl, strict: Service, stored: dict[str, Any]) -> None:
    """After its time a link is gone, for GET and HEAD alike."""
    past = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
    file = bytes.fromhex(stored["id"].replace("-", ""))
    assert call(f"/files/shared/{stored['share_token']}").status == 200
    change(strict, "UPDATE links SET expires_at = ? WHERE file_id = ?", past, file)
    answer = call(f"/files/shared/{stored['share_token']}")
    assert (answer.status, answer.json()["code"]) == (410, "link-expired")
    assert call(f"/files/shared/{stored['share_token']}", "--head").status == 410


def test_a_revoked_link_is_410(call: Curl, strict: Service, stored: dict[str, Any]) -> None:
    """What its owner has withdrawn is gone."""
    file = bytes.fromhex(stored["id"].replace("-", ""))
    change(strict, "UPDATE links SET revoked_at = created_at WHERE file_id = ?", file)
    answer = call(f"/files/shared/{stored['share_token']}")
    assert (answer.status, answer.json()["code"]) == (410, "link-revoked")


def test_two_factor_sign_in_is_switched_off_by_post_too(call: Curl, strict: Service) -> None:
    """For clients that send no body with DELETE."""
    bearer = ("-H", f"Authorization: Bearer {strict.sign_up('poster')}")
    phone = pyotp.TOTP(call("/auth/2fa/setup", *bearer, "-X", "POST").json()["secret"])

    def code(steps: int) -> str:
        return f'{{"totp_code": "{phone.at(datetime.now(UTC), counter_offset=steps)}"}}'

    assert call("/auth/2fa/disable", *bearer, *JSON, code(0)).json()["detail"] == "2FA is not enabled"
    assert call("/auth/2fa/verify", *bearer, *JSON, code(0)).status == 200
    assert call("/auth/2fa/disable", *bearer, *JSON, code(1)).status == 200
    assert call("/auth/me", *bearer).json()["two_factor_enabled"] is False


def test_an_account_that_is_switched_off_is_403(call: Curl, strict: Service) -> None:
    """Its token still proves who it is, and it may do nothing."""
    bearer = ("-H", f"Authorization: Bearer {strict.sign_up('sleeper')}")
    change(strict, "UPDATE users SET is_active = 0 WHERE username_key = 'sleeper'")
    for path in ("/auth/me", "/files/"):
        answer = call(path, *bearer)
        assert (answer.status, answer.json()["detail"]) == (403, "Inactive user")
