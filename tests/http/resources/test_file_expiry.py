"""
PATCH /files/{id}: the expiry that an owner sets for a file.
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


def shown(file: Shared) -> Any:
    """
    The file as its owner sees it.
    """
    return file.service.call("GET", f"/files/{file.id}", token=file.token).json


def hours_from_now(service: Edge, hours: int) -> str:
    return timestamp(service.clock.now() + timedelta(hours=hours))


def test_expiry_is_set_changed_and_removed(service: Edge, token: str, file: Shared) -> None:
    """The response is the file as changed; a file without an expiry has no `expires_at`."""
    before = shown(file)
    assert "expires_at" not in before
    for hours in (1, 87_600):
        response = patch(service, token, file, {"expires_hours": hours})
        assert response.status_code == 200
        assert response.json["expires_at"] == hours_from_now(service, hours)
        assert response.json == shown(file) == service.call("GET", "/files/", token=token).json[0]
    response = patch(service, token, file, {"expires_hours": None})
    assert (response.status_code, response.json) == (200, before)


def test_shown_expiry_of_a_link_is_not_after_that_of_its_file(service: Edge, token: str, file: Shared) -> None:
    """The owner sees the earlier one of both expiries."""
    link = shown(file)["share_expires_at"]
    assert patch(service, token, file, {"expires_hours": 3}).json["share_expires_at"] == hours_from_now(service, 3)
    assert patch(service, token, file, {"expires_hours": 87_600}).json["share_expires_at"] == link


def test_new_link_expires_with_its_file_at_the_latest(service: Edge, token: str, file: Shared) -> None:
    """The expiry in the response stays valid, and a repeat returns it, after the file's expiry was changed."""

    def share(hours: int) -> Any:
        headers = {"Idempotency-Key": f"for-{hours}"}
        body = {"expires_hours": hours}
        return service.call("POST", f"/files/{file.id}/share", token=token, body=body, headers=headers).json

    patch(service, token, file, {"expires_hours": 3})
    assert share(2)["expires_at"] == hours_from_now(service, 2)
    first = share(720)
    assert first["expires_at"] == hours_from_now(service, 3)
    patch(service, token, file, {"expires_hours": None})
    assert share(720) == first
    assert shown(file)["share_expires_at"] == first["expires_at"]


def test_expired_file_is_not_found(service: Edge, token: str, file: Shared) -> None:
    """It is 404 to its owner; its link is 410, and 404 after the sweep, which releases the quota."""
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
def test_invalid_expiry_is_named(service: Edge, token: str, file: Shared, body: object) -> None:
    """A missing, mistyped or out-of-bounds `expires_hours` is 422 and changes nothing."""
    before = shown(file)
    response = patch(service, token, file, body)
    assert response.status_code == 422
    assert [error["path"] for error in response.json["errors"]] == ["expires_hours"]
    assert shown(file) == before


def test_only_the_owner_may_set_the_expiry(service: Edge, file: Shared) -> None:
    """Without a token it is 401, to another user 404, even if the body is invalid."""
    assert service.call("PATCH", f"/files/{file.id}", body={}).status_code == 401
    assert patch(service, service.sign_up("stranger"), file, "nonsense").status_code == 404
