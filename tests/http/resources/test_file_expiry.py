"""
PATCH /files/{id}: the end that an owner sets for a file.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from sft_http.schemas import timestamp
from support.app.edge import Edge
from support.app.shared_file import Shared, shared


@pytest.fixture
def file(service: Edge, token: str) -> Shared:
    return shared(service, token, b"brief")


def patch(service: Edge, token: str, file: Shared, body: object) -> Any:
    return service.call("PATCH", f"/files/{file.id}", token=token, body=body)


def seen(file: Shared) -> Any:
    """
    The file as its owner sees it.
    """
    return file.service.call("GET", f"/files/{file.id}", token=file.token).json


def hours_from_now(service: Edge, hours: int) -> str:
    return timestamp(service.clock.now() + timedelta(hours=hours))


def test_an_end_is_set_moved_and_taken_away(service: Edge, token: str, file: Shared) -> None:
    """The answer is the file as it is from then on; without an end nothing is said of one."""
    before = seen(file)
    assert "expires_at" not in before
    for hours in (1, 87_600):
        response = patch(service, token, file, {"expires_hours": hours})
        assert response.status_code == 200
        assert response.json["expires_at"] == hours_from_now(service, hours)
        assert response.json == seen(file) == service.call("GET", "/files/", token=token).json[0]
    response = patch(service, token, file, {"expires_hours": None})
    assert (response.status_code, response.json) == (200, before)


def test_no_link_is_told_to_last_longer_than_its_file(service: Edge, token: str, file: Shared) -> None:
    """What the owner sees of the link ends with whichever ends first."""
    link = seen(file)["share_expires_at"]
    assert patch(service, token, file, {"expires_hours": 3}).json["share_expires_at"] == hours_from_now(service, 3)
    assert patch(service, token, file, {"expires_hours": 87_600}).json["share_expires_at"] == link


def test_a_new_link_ends_with_its_file_at_the_latest(service: Edge, token: str, file: Shared) -> None:
    """What its answer tells holds, and is told again to who asks again, wherever the end is moved to since."""

    def share(hours: int) -> Any:
        headers = {"Idempotency-Key": f"for-{hours}"}
        body = {"expires_hours": hours}
        return service.call("POST", f"/files/{file.id}/share", token=token, body=body, headers=headers).json

    patch(service, token, file, {"expires_hours": 3})
    assert share(2)["expires_at"] == hours_from_now(service, 2)
    told = share(720)
    assert told["expires_at"] == hours_from_now(service, 3)
    patch(service, token, file, {"expires_hours": None})
    assert share(720) == told
    assert seen(file)["share_expires_at"] == told["expires_at"]


def test_after_its_end_a_file_is_gone(service: Edge, token: str, file: Shared) -> None:
    """To its owner it is 404 in every way, to who holds a link 410, and once it is swept 404; its quota is free."""
    patch(service, token, file, {"expires_hours": 1})
    service.clock.advance(hours=1)
    token = service.sign_in()["access_token"]
    for status in (410, 404):
        for method, below in (("GET", ""), ("PATCH", ""), ("GET", "/download"), ("POST", "/share"), ("DELETE", "")):
            response = service.call(method, f"/files/{file.id}{below}", token=token, body={"expires_hours": 1})
            assert (response.status_code, response.json["code"]) == (404, "file-not-found")
        assert service.call("GET", "/files/", token=token).json == []
        assert file.get().status_code == file.get("HEAD").status_code == status
        service.clock.advance(hours=1)
        token = service.sign_in()["access_token"]
        service.application.maintenance.sweep()
    assert service.is_empty()


@pytest.mark.parametrize(
    "body", [{}, {"expires_hours": 0}, {"expires_hours": 87_601}, {"expires_hours": "1"}, {"expires_hours": True}]
)
def test_an_end_that_cannot_be_is_refused_by_name(service: Edge, token: str, file: Shared, body: object) -> None:
    """Nothing is changed."""
    before = seen(file)
    response = patch(service, token, file, body)
    assert response.status_code == 422
    assert [fault["path"] for fault in response.json["errors"]] == ["expires_hours"]
    assert seen(file) == before


def test_the_end_is_set_by_its_owner_signed_in(service: Edge, file: Shared) -> None:
    """Nobody else; that is told before the body is looked at."""
    assert service.call("PATCH", f"/files/{file.id}", body={}).status_code == 401
    assert patch(service, service.sign_up("stranger"), file, "nonsense").status_code == 404
