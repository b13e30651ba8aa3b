"""
A user's files over HTTP: their listing, their ids, and what other users see of them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.app.edge import Edge
from support.app.shared_file import Shared, shared

NEVER = "019b76da-a800-7000-8000-000000000000"
NO_IDS = ["x", "..", "%00", "A" * 300, "'; DROP TABLE"]


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


@pytest.fixture(scope="module")
def file(service: Edge, token: str) -> Shared:
    return shared(service, token, b"content")


def test_file_of_another_user_looks_like_an_unknown_id(service: Edge, file: Shared) -> None:
    """For another user each call on a file responds as for an id that was never assigned."""
    stranger = service.sign_up("stranger")
    for method, below in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/download"),
        ("HEAD", "/download"),
        ("POST", "/share"),
    ):
        responses = []
        for one in (file.id, NEVER, *NO_IDS, file.id.upper(), "../" + file.id):
            response = service.call(method, f"/files/{one}{below}", token=stranger)
            assert response.status_code == 404
            responses.append((response.text and response.json["code"], response.headers["content-length"]))
        assert responses[0] == responses[1]
    assert file.own().status_code == 200
    assert service.call("GET", "/files/", token=stranger).json == []


@pytest.mark.parametrize(
    "query", ["skip=-1", "limit=0", "limit=1001", "limit=x", "skip=1.5", "skip=1&skip=2", "limit=", "skip=٣"]
)
def test_listing_window_out_of_bounds_is_named(service: Edge, token: str, query: str) -> None:
    """A listing's `skip` and `limit` are checked, never clamped silently."""
    response = service.call("GET", "/files/", token=token, query=query)
    assert response.status_code == 422
    assert response.json["errors"][0]["path"] == query.partition("=")[0]


def test_listing_pages_cover_all_files(make_edge: Callable[..., Edge]) -> None:
    """Pages of any size, joined, are the files from the newest to the oldest, each once."""
    service = make_edge()
    token = service.sign_up()
    ids: list[str] = []
    for number in range(5):
        ids.insert(0, service.store(token, b"x", f"{number}.bin")["id"])
        service.clock.advance(seconds=1)
    for limit in (1, 2, 5, 1000):
        pages = [
            service.call("GET", "/files/", token=token, query=f"skip={skip}&limit={limit}").json
            for skip in range(0, 5, limit)
        ]
        assert [file["id"] for page in pages for file in page] == ids
    assert service.call("GET", "/files", token=token, query="skip=5").json == []
