"""
Problem responses: the status and code of each error, what they reveal and what they do not.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_core import errors
from sft_core.errors import SftError
from sft_http import problems
from sft_http.resources import downloads
from sft_http.server import protocol
from support.app.edge import END, Edge, file_part

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


def test_unexpected_error_reveals_nothing(service: Edge, token: str, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception is a 500 with a code; its message appears in the log only."""
    canary = "the database password is hunter2"

    def broken(**_: object) -> None:
        raise RuntimeError(canary)

    response = service.with_use_cases(list_files=broken).call("GET", "/files", token=token)
    assert (response.status_code, response.json["code"]) == (500, "internal-error")
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert any(record.exc_info and canary in str(record.exc_info[1]) for record in caplog.records)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Busy(), 503),
        (errors.DatabaseUnavailable("secret detail"), 503),
        (errors.BlobStoreFull("secret detail"), 507),
        (errors.UnknownKey("0123"), 503),
        (errors.KeyRetired(), 503),
        (errors.Conflict(), 409),
        (SftError("secret detail"), 500),
    ],
)
def test_sft_error_has_its_status(service: Edge, token: str, error: SftError, status: int) -> None:
    """The class of an error decides the status; the response has its public sentence only."""

    def failing(**_: object) -> None:
        raise error

    response = service.with_use_cases(list_files=failing).call("GET", "/files", token=token)
    assert (response.status_code, response.json["code"]) == (status, error.code)
    assert response.json["detail"] == error.public
    assert "secret detail" not in response.text
    assert ("retry-after" in response.headers) == (status == 503)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (errors.Busy("no thread free"), logging.INFO),
        (errors.DatabaseUnavailable("no answer"), logging.ERROR),
        (errors.BlobStoreFull("no room"), logging.ERROR),
    ],
)
def test_failure_is_logged_with_its_reason(
    service: Edge, token: str, caplog: pytest.LogCaptureFixture, error: SftError, level: int
) -> None:
    """The level is ERROR, or INFO if the service is merely busy."""

    def failing(**_: object) -> None:
        raise error

    caplog.set_level(logging.INFO, logger="sft")
    response = service.with_use_cases(list_files=failing).call("GET", "/files", token=token)
    (logged,) = [record for record in caplog.records if record.name == "sft.problems"]
    request = {"request_id": response.headers["x-request-id"]}
    assert logged.__dict__["fields"] == {"code": error.code, "detail": error.detail} | request
    assert logged.levelno == level


@pytest.mark.parametrize("request_id", [None, "trace-0001", "a.b_c-d.", "0" * 64])
def test_every_problem_names_its_request_by_a_valid_uri(service: Edge, request_id: str | None) -> None:
    """`instance` is a URN (RFC 8141) with the request id, generated or sent by the client."""
    response = service.call("GET", "//nowhere", headers={"X-Request-ID": request_id} if request_id else None)
    identity = response.headers["x-request-id"]
    uuid = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    assert response.json["instance"].endswith(identity)
    assert (uuid if request_id is None else re.compile(r"urn:sft:request:[A-Za-z0-9._-]+")).fullmatch(
        response.json["instance"]
    )


@pytest.mark.parametrize(("status", "title"), [(413, "Content Too Large"), (416, "Range Not Satisfiable")])
def test_title_is_the_phrase_of_the_status(service: Edge, token: str, status: int, title: str) -> None:
    """A problem without its own type has the same title on every Python: the reason phrase."""
    if status == 416:
        file = service.store(token, b"x")
        response = service.call("GET", f"/files/{file['id']}/download", token=token, headers={"Range": "bytes=9-"})
    else:
        response = service.call("POST", "/auth/login", raw=b" " * 100_000, headers={"Content-Type": "application/json"})
    assert response.status == f"{status} {title}"
    assert response.json["title"] == title


def test_problem_of_an_upload_contains_no_file_data(service: Edge, token: str) -> None:
    """A rejection repeats neither the file's name nor its bytes."""
    response = service.upload(token, file_part(b"canary-content", "../canary-name") + END)
    assert response.status_code == 422
    assert "canary" not in response.text


def all_codes() -> set[str]:
    def below(kind: type[SftError]) -> Iterator[type[SftError]]:
        yield kind
        for child in kind.__subclasses__():
            yield from below(child)

    codes = {kind.code for kind in below(SftError) if kind.__module__.startswith("sft_")}
    own = {code for code, _ in protocol._PROBLEMS.values()} | set(problems._FRAMEWORK_CODES.values())
    refusals = {refusal["code"] for refusal in downloads._REFUSALS.values()}
    return codes | own | refusals | {"internal-error", "request-refused"}


def test_every_code_is_documented() -> None:
    """The table of problems lists each code once, with its status."""
    table = (ROOT / "docs/reference/http-api.md").read_text()
    documented = re.findall(r"^\| `([a-z-]+)` \| ([0-9x, ]+) \|", table, flags=re.MULTILINE)
    assert sorted(code for code, _ in documented) == sorted(all_codes())
    statuses = dict(documented)
    for kind, status in problems.STATUS.items():
        assert str(status) in statuses[kind.code] or kind is errors.NotAuthenticated
