"""
Share links over HTTP: access, expiry, download budget, and requests that do not spend it.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sft_core.values import ShareToken, UserId
from support.app.edge import END, Edge, field_part, file_part
from support.app.shared_file import CONTENT, OTHER, SIZE, Shared, problem, share, shared


def revoke(service: Edge, token: str, path: str) -> None:
    """
    Revoke a link by its use case, since the API has no call for it.
    """
    owner = UserId.parse(service.call("GET", "/auth/me", token=token).json["id"])
    service.application.sharing.revoke_share_link(owner=owner, token=ShareToken.parse(path.rpartition("/")[2]))


def test_only_responses_with_bytes_spend_the_download_budget(shared_service: Edge, shared_token: str) -> None:
    """HEAD, 304, 412, 416, OPTIONS and 405 spend nothing; after its one download the link is 403."""
    one = shared(shared_service, shared_token, CONTENT, max_downloads=1)
    assert one.get("HEAD").status_code == 200
    assert one.get(If_None_Match=one.etag).status_code == 304
    assert one.get(If_Match=OTHER).status_code == 412
    assert one.get(Range=f"bytes={SIZE}-").status_code == 416
    assert one.get("OPTIONS").status_code == 200
    assert one.get("POST").status_code == 405
    assert one.spent() == 0
    assert one.get(Range="bytes=0-9").content == CONTENT[:10]
    assert one.spent() == 1
    for response in (one.get(), one.get(Range="bytes=0-9"), one.get(If_None_Match=one.etag)):
        assert problem(response, 403, "download-limit-reached")["detail"] == "Download limit reached"
    assert one.get("HEAD").status_code == 403
    assert one.own().content == CONTENT
    assert one.spent() == 1


def test_each_link_has_its_own_download_budget(shared_service: Edge, shared_token: str) -> None:
    """A used-up link leaves another link to the same file usable; the owner sees the total."""
    first = shared(shared_service, shared_token, b"x", max_downloads=1)
    second = share(shared_service, shared_token, first.id, max_downloads=2)
    assert [first.get().status_code, first.get().status_code] == [200, 403]
    assert [shared_service.call("GET", second).status_code for _ in range(3)] == [200, 200, 403]
    assert first.spent() == 3


def test_file_shows_its_newest_link(shared_service: Edge, shared_token: str) -> None:
    """Of two valid links the owner sees the one that was created last."""
    first = shared(shared_service, shared_token, b"x", max_downloads=1)
    second = share(shared_service, shared_token, first.id, max_downloads=5)
    shown = shared_service.call("GET", f"/files/{first.id}", token=shared_token).json
    assert second.endswith(shown["share_token"])
    assert shown["max_downloads"] == 5


def test_download_with_missing_content_spends_nothing(shared_service: Edge, shared_token: str) -> None:
    """A download whose blobs are missing is a 500 problem, and the link keeps its budget."""
    lost = shared(shared_service, shared_token, b"precious", max_downloads=1)
    for key in lost.blobs():
        shared_service.application.vault.read_file.blobs.delete(key)
    response = lost.get()
    problem(response, 500, "content-missing")
    assert "etag" not in response.headers
    assert "content-disposition" not in response.headers
    assert lost.spent() == 0


def test_link_expires_exactly_at_its_expiry(make_edge: Callable[..., Edge]) -> None:
    """One microsecond before its expiry a link is 200; from the expiry on it is 410."""
    service = make_edge()
    link = shared(service, service.sign_up(), b"x", expires_hours=24)
    service.clock.advance(hours=24, microseconds=-1)
    assert link.get().status_code == 200
    service.clock.advance(microseconds=1)
    for method in ("GET", "HEAD"):
        assert link.get(method).status_code == 410
    assert problem(link.get(), 410, "link-expired")["detail"] == "Share link has expired"
    service.clock.advance(hours=1)
    assert link.get().status_code == 410


@pytest.mark.parametrize(
    ("terms", "ends"),
    [
        (None, "2026-01-02T00:00:00Z"),
        ({}, "2026-01-02T00:00:00Z"),
        ({"expires_hours": 1}, "2026-01-01T01:00:00Z"),
        ({"expires_hours": 720}, "2026-01-31T00:00:00Z"),
    ],
)
def test_share_response_states_the_expiry(
    shared_service: Edge, shared_token: str, terms: dict[str, int] | None, ends: str
) -> None:
    """`expires_at` is the creation plus the requested hours in UTC, by default 24, with or without a body."""
    file = shared_service.store(shared_token, b"x")
    response = shared_service.call("POST", f"/files/{file['id']}/share", token=shared_token, body=terms)
    assert response.json["expires_at"] == ends
    assert shared_service.call("GET", f"/files/{file['id']}", token=shared_token).json["share_expires_at"] == ends


def test_revoked_link_is_410(shared_service: Edge, shared_token: str) -> None:
    """Every request for a revoked link is 410; another link to the file still works."""
    link = shared(shared_service, shared_token, b"x")
    other = share(shared_service, shared_token, link.id)
    revoke(shared_service, shared_token, link.path)
    assert problem(link.get(), 410, "link-revoked")["detail"] == "Share link has been revoked"
    assert link.get("HEAD").status_code == 410
    assert link.get(If_None_Match=link.etag).status_code == 410
    assert shared_service.call("GET", other).status_code == 200


def test_links_of_a_deleted_file_are_404(shared_service: Edge, shared_token: str) -> None:
    """The file, its blobs and its links no longer exist, and a new file does not restore them."""
    link = shared(shared_service, shared_token, b"old")
    assert shared_service.call("DELETE", f"/files/{link.id}", token=shared_token).status_code == 204
    shared_service.store(shared_token, b"new", "data.bin")
    assert link.blobs() == []
    problem(link.get(), 404, "link-not-found")
    problem(link.own(), 404, "file-not-found")
    problem(shared_service.call("DELETE", f"/files/{link.id}", token=shared_token), 404, "file-not-found")
    problem(shared_service.call("POST", f"/files/{link.id}/share", token=shared_token, body={}), 404, "file-not-found")
    assert link.id not in {one["id"] for one in shared_service.call("GET", "/files/", token=shared_token).json}


def spellings(good: str) -> list[str]:
    """
    Other spellings of the token's 32 bytes, and tokens of other bytes.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return [
        *(good[:-1] + letter for letter in alphabet if letter != good[-1]),
        good + "=",
        good + "%3D",
        good[:-1],
        good + "A",
        good + ".",
        "%20" + good,
        good + "%20",
        good + "%0A",
        good + "%00",
        good.swapcase(),
        good[::-1],
        "A" * 43,
        "A" * 10_000,
        "%C3%A9" * 43,
        "-",
    ]


def test_only_the_canonical_spelling_of_a_token_is_accepted(
    shared_service: Edge, shared_token: str, shared_file: Shared
) -> None:
    """Every other spelling is 404, including those with one of the 63 other last letters."""
    good = shared_file.path.rpartition("/")[2]
    before = shared_file.spent()
    for wrong in spellings(good):
        response = shared_service.call("GET", f"/files/shared/{wrong}")
        problem(response, 404, "link-not-found")
    assert shared_file.spent() == before
    assert shared_file.get().status_code == 200
    assert shared_service.call("GET", f"/files/shared/{good}/style.css", token=shared_token).status_code == 404


def test_public_upload_returns_its_link(shared_service: Edge, shared_token: str) -> None:
    """`is_public` with share terms returns the token and the expiry of a link with these terms."""
    form = file_part(b"open") + field_part("is_public", "true") + field_part("max_downloads", "1") + END
    stored = shared_service.upload(shared_token, form, query="share_expires_hours=2").json
    assert (stored["is_public"], stored["max_downloads"]) == (True, 1)
    assert stored["share_expires_at"] == "2026-01-01T02:00:00Z"
    path = f"/files/shared/{stored['share_token']}"
    assert [shared_service.call("GET", path).status_code for _ in range(2)] == [200, 403]


def test_expired_link_is_not_shown(make_edge: Callable[..., Edge]) -> None:
    """A file whose only link has expired is not public; its downloads still count."""
    service = make_edge()
    link = shared(service, service.sign_up(), b"x", expires_hours=1)
    assert link.get().status_code == 200
    service.clock.advance(hours=2)
    access = service.sign_in()["access_token"]
    shown = service.call("GET", f"/files/{link.id}", token=access).json
    assert (shown["is_public"], shown["share_token"], shown["download_count"]) == (False, None, 1)
