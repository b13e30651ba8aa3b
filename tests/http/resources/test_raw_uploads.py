"""
PUT /files/{name}: the request body becomes a file.
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
def test_body_becomes_a_file(service: Edge, token: str, size: int) -> None:
    """Its name is that of the path and its type that of the request; its bytes are returned unchanged."""
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
def test_file_may_be_named_like_a_path_segment(service: Edge, token: str, name: str) -> None:
    """No other route below /files/ reserves a file name."""
    response = service.call("PUT", f"/files/{name}", token=token, raw=b"named so")
    assert (response.status_code, response.json["filename"]) == (201, name.replace("%75", "u").strip("/"))
    assert service.call("GET", f"/files/{response.json['id']}/download", token=token).content == b"named so"


def test_each_put_creates_a_new_file(service: Edge, token: str) -> None:
    """A second file with the same name does not replace the first one."""
    ids = {service.call("PUT", "/files/same.txt", token=token, raw=b"x").json["id"] for _ in range(2)}
    assert len(ids) == 2


def test_share_terms_are_read_from_the_query(service: Edge, token: str) -> None:
    """A public file has its link at once, with the requested terms."""
    query = "is_public=true&max_downloads=2&share_expires_hours=1"
    file = service.call("PUT", "/files/shared.txt", token=token, raw=b"for you", query=query).json
    assert (file["is_public"], file["max_downloads"]) == (True, 2)
    assert service.call("GET", f"/files/shared/{file['share_token']}").content == b"for you"


def test_missing_or_malformed_type_is_octet_stream(service: Edge, token: str) -> None:
    """A request without a valid Content-Type creates a file of type `application/octet-stream`."""
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
def test_invalid_put_is_rejected(
    service: Edge, token: str, path: str, headers: dict[str, str], query: str, status: int, code: str
) -> None:
    """The response has the code of the fault, and nothing is stored."""
    before = service.call("GET", "/files/", token=token, query="limit=1000").json
    response = service.call("PUT", path, token=token, raw=b"content", headers=headers, query=query)
    assert (response.status_code, response.json["code"]) == (status, code)
    assert service.call("GET", "/files/", token=token, query="limit=1000").json == before


def test_put_without_a_token_is_rejected(service: Edge) -> None:
    """It is 401 even if the name is invalid."""
    assert service.call("PUT", "/files/con", raw=b"x").status_code == 401
