"""
Links: who may, how long, how often, and what spends nothing.
"""

from __future__ import annotations

from typing import Any

import pytest

from sft_core.values import ShareToken, UserId
from support.edge import Edge

CONTENT = bytes(range(256)) * 400


@pytest.fixture
def file(service: Edge, token: str) -> dict[str, Any]:
    return service.store(token, CONTENT)


def share(service: Edge, token: str, file: dict[str, Any], **terms: int) -> str:
    answer = service.call("POST", f"/files/{file['id']}/share", token=token, body=terms)
    assert answer.status_code == 200
    return f"/files/shared/{answer.json['share_token']}"


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200),
        ("GET", {"If-None-Match": "*"}, 304),
        ("GET", {"If-Match": '"other"'}, 412),
        ("GET", {"Range": "bytes=99999999-"}, 416),
    ],
)
def test_what_sends_no_byte_spends_nothing(
    service: Edge, token: str, file: dict[str, Any], method: str, headers: dict[str, str], status: int
) -> None:
    """Looking at a link as often as one likes leaves its one download whole."""
    link = share(service, token, file, max_downloads=1)
    for _ in range(3):
        assert service.call(method, link, headers=headers).status_code == status
    assert service.call("GET", link).content == CONTENT
    assert service.call("GET", link).status_code == 403
    assert service.call("HEAD", link).status_code == 403


def test_a_range_spends_a_download(service: Edge, token: str, file: dict[str, Any]) -> None:
    """Some of the bytes count as much as all of them."""
    link = share(service, token, file, max_downloads=1)
    assert service.call("GET", link, headers={"Range": "bytes=0-9"}).content == CONTENT[:10]
    assert service.call("GET", link, headers={"Range": "bytes=10-19"}).status_code == 403


def test_a_link_ends_at_its_second(service: Edge, token: str, file: dict[str, Any]) -> None:
    """It works up to its end, and from then on it is gone; going back in time is no way in for new ones."""
    link = share(service, token, file, expires_hours=1)
    service.clock.advance(hours=1, microseconds=-1)
    assert service.call("GET", link).status_code == 200
    service.clock.advance(microseconds=1)
    answer = service.call("GET", link)
    assert (answer.status_code, answer.json["code"]) == (410, "link-expired")
    assert CONTENT[:20] not in answer.content
    assert service.call("HEAD", link).status_code == 410


def test_an_expired_link_no_longer_shows(service: Edge, token: str, file: dict[str, Any]) -> None:
    """A file whose link is over is not public; its downloads are still counted."""
    link = share(service, token, file, expires_hours=1)
    service.call("GET", link)
    service.clock.advance(hours=2)
    access = service.sign_in()["access_token"]
    shown = service.call("GET", f"/files/{file['id']}", token=access).json
    assert (shown["is_public"], shown["share_token"], shown["download_count"]) == (False, None, 1)


def test_a_revoked_link_is_gone(service: Edge, token: str, file: dict[str, Any]) -> None:
    """Its owner can take a link back, and only its owner."""
    link = share(service, token, file)
    owner = UserId.parse(service.call("GET", "/auth/me", token=token).json["id"])
    service.application.revoke_share_link(owner=owner, token=ShareToken.parse(link.rpartition("/")[2]))
    answer = service.call("GET", link)
    assert (answer.status_code, answer.json["code"]) == (410, "link-revoked")


def test_links_live_side_by_side(service: Edge, token: str, file: dict[str, Any]) -> None:
    """A second link leaves the first one as it is; the file shows the newest."""
    first = share(service, token, file, max_downloads=1)
    second = share(service, token, file, max_downloads=5)
    assert service.call("GET", first).status_code == 200
    assert service.call("GET", second).status_code == 200
    shown = service.call("GET", f"/files/{file['id']}", token=token).json
    assert second.endswith(shown["share_token"])
    assert (shown["download_count"], shown["max_downloads"]) == (2, 5)


def test_a_deleted_files_link_is_unknown(service: Edge, token: str, file: dict[str, Any]) -> None:
    """With the file its links are forgotten."""
    link = share(service, token, file)
    assert service.call("DELETE", f"/files/{file['id']}", token=token).status_code == 204
    assert service.call("GET", link).status_code == 404
    assert service.is_empty()


def test_a_token_has_one_spelling(service: Edge, token: str, file: dict[str, Any]) -> None:
    """Padding, other alphabets, other last letters and other lengths lead nowhere."""
    link = share(service, token, file)
    text = link.rpartition("/")[2]
    others = [text + "=", text[:-1], text + "A", text.swapcase(), " " + text, text + "%20", text[:-1] + "_"]
    last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(text[-1])
    others += [text[:-1] + "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last ^ 1]]
    for other in others:
        if other != text:
            assert service.call("GET", f"/files/shared/{other}").status_code == 404
    assert service.call("GET", f"{link}/x.css").status_code == 404


def test_a_file_that_cannot_be_read_spends_nothing(service: Edge, token: str, file: dict[str, Any]) -> None:
    """Damage is a problem of its own: not a byte is sent, and the download is not counted."""
    link = share(service, token, file, max_downloads=1)
    blobs = service.application.store_part.blobs
    (first, *_) = sorted(info.key for info in blobs.list())
    blobs.delete(first)
    answer = service.call("GET", link)
    assert (answer.status_code, answer.json["code"]) == (500, "content-missing")
    assert "content-disposition" not in answer.headers
    assert service.call("GET", f"/files/{file['id']}", token=token).json["download_count"] == 0


@pytest.mark.parametrize("path", ["", "/download", "/share"])
@pytest.mark.parametrize("name", ["x", "00000000-0000-7000-8000-000000000000", "..", "%00", "A" * 300, "'; DROP TABLE"])
def test_an_id_that_names_nothing_is_404(service: Edge, token: str, path: str, name: str) -> None:
    """Whatever stands in an id's place, it is a file that is not there."""
    method = "POST" if path == "/share" else "GET"
    answer = service.call(method, f"/files/{name}{path}", token=token, body={} if method == "POST" else None)
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize(
    "query", ["skip=-1", "limit=0", "limit=1001", "limit=x", "skip=1.5", "skip=1&skip=2", "limit=", "skip=٣"]
)
def test_pages_out_of_bounds_are_named(service: Edge, token: str, query: str) -> None:
    """A listing's window is checked, never clipped in silence."""
    answer = service.call("GET", "/files/", token=token, query=query)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["path"] == query.partition("=")[0]


def test_a_listing_is_newest_first_and_paged(service: Edge, token: str) -> None:
    """Files come in the order in which they were made, each in one page."""
    names = [f"{number}.txt" for number in range(5)]
    for name in names:
        service.store(token, b"x", name)
        service.clock.advance(seconds=1)
    pages = [service.call("GET", "/files", token=token, query=f"skip={skip}&limit=2").json for skip in (0, 2, 4)]
    assert [file["filename"] for page in pages for file in page] == names[::-1]
