"""
PUT /files/{name}: a body that is a file.
"""

from __future__ import annotations

import os

import pytest

from support.app.edge import Edge


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 300_000])
def test_a_body_becomes_a_file(service: Edge, token: str, size: int) -> None:
    """Its name is the path's, its type the request's, its bytes come back as they went."""
    content = os.urandom(size)
    path = "/files/report%20%E2%80%93%20final.pdf"
    response = service.call("PUT", path, token=token, raw=content, headers={"Content-Type": "application/pdf"})
    assert response.status_code == 201, response.text
    file = response.json
    assert (file["filename"], file["mime_type"], file["file_size"]) == ("report – final.pdf", "application/pdf", size)
    assert not file["is_public"]
    download = service.call("GET", f"/files/{file['id']}/download", token=token)
    assert download.content == content


@pytest.mark.parametrize("name", ["upload", "shared", "download", "share", "links", "%75pload", "upload/"])
def test_a_file_may_be_named_like_a_step_of_a_path(service: Edge, token: str, name: str) -> None:
    """What else stands behind /files/ keeps no name from anybody."""
    response = service.call("PUT", f"/files/{name}", token=token, raw=b"named so")
    assert (response.status_code, response.json["filename"]) == (201, name.replace("%75", "u").strip("/"))
    assert service.call("GET", f"/files/{response.json['id']}/download", token=token).content == b"named so"


def test_each_put_makes_a_file_of_its_own(service: Edge, token: str) -> None:
    """A name that is there is not taken over: both files stay."""
    ids = {service.call("PUT", "/files/same.txt", token=token, raw=b"x").json["id"] for _ in range(2)}
    assert len(ids) == 2


def test_terms_stand_in_the_query(service: Edge, token: str) -> None:
    """A public file has its link at once, with the terms that are given."""
    query = "is_public=true&max_downloads=2&share_expires_hours=1"
    file = service.call("PUT", "/files/shared.txt", token=token, raw=b"for you", query=query).json
    assert (file["is_public"], file["max_downloads"]) == (True, 2)
    assert service.call("GET", f"/files/shared/{file['share_token']}").content == b"for you"


def test_an_unnamed_type_is_any_bytes(service: Edge, token: str) -> None:
    """No Content-Type, or one that cannot be read, is `application/octet-stream`."""
    for headers in ({}, {"Content-Type": "nonsense"}):
        file = service.call("PUT", "/files/untyped", token=token, raw=b"x", headers=headers).json
        assert file["mime_type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("path", "headers", "query", "status", "code"),
    [
        ("/files/a.txt", {"Content-Range": "bytes 0-1/2"}, "", 400, "malformed-request"),
        ("/files/a.txt", {"Content-Encoding": "gzip"}, "", 415, "unsupported-media-type"),
        ("/files/%ff.txt", {}, "", 400, "malformed-request"),
        ("/files/a.txt", {}, "is_public=maybe", 422, "invalid-value"),
        ("/files/a.txt", {}, "max_downloads=0", 422, "invalid-input"),
        ("/files/a.txt", {}, "share_expires_hours=721", 422, "invalid-input"),
        ("/files/con", {}, "", 422, "invalid-file-name"),
        ("/files/%2e%2e", {}, "", 422, "invalid-file-name"),
        ("/files/a%0Ab", {}, "", 422, "invalid-file-name"),
        ("/files/a%2Fb", {}, "", 404, "route-not-found"),
        ("/files/" + "a" * 256, {}, "", 422, "invalid-file-name"),
    ],
)
def test_what_cannot_be_a_file_is_refused(
    service: Edge, token: str, path: str, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    """With the code of its fault, and nothing is stored."""
    before = service.call("GET", "/files/", token=token, query="limit=1000").json
    response = service.call("PUT", path, token=token, raw=b"content", headers=headers, query=query)
    assert (response.status_code, response.json["code"]) == (status, code)
    assert service.call("GET", "/files/", token=token, query="limit=1000").json == before


def test_nobody_puts_without_a_token(service: Edge) -> None:
    """401, before anything else is looked at."""
    assert service.call("PUT", "/files/con", raw=b"x").status_code == 401
