"""
Ranges, conditions and links over HTTP: what is sent, what is refused, and what spends a download.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any, Final

import attrs
import pytest
from falcon.testing import Result

from sft_core.values import ShareToken, UserId
from support.edge import API, END, Edge, field_part, file_part

SIZE: Final = 150_000
CONTENT: Final = os.urandom(SIZE)
OTHER: Final = '"00000000000000000000000000000000-1"'


@attrs.frozen
class Shared:
    """
    A stored file, its two ways down, and what its owner knows.
    """

    service: Edge
    token: str
    id: str
    etag: str
    path: str

    def get(self, method: str = "GET", **headers: str) -> Result:
        """By link; `If_Match` stands for If-Match."""
        return self.service.call(method, self.path, headers=spelled(headers))

    def own(self, method: str = "GET", **headers: str) -> Result:
        """By the owner."""
        path = f"/files/{self.id}/download"
        return self.service.call(method, path, token=self.token, headers=spelled(headers))

    def spent(self) -> int:
        answer = self.service.call("GET", f"/files/{self.id}", token=self.token)
        return int(answer.json["download_count"])


def spelled(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def share(service: Edge, token: str, file_id: str, **terms: int) -> str:
    answer = service.call("POST", f"/files/{file_id}/share", token=token, body=terms)
    assert answer.status_code == 200
    return str(answer.json["share_url"]).removeprefix(API)


def shared(service: Edge, token: str, content: bytes = CONTENT, **terms: int) -> Shared:
    file = service.store(token, content, "data.bin")
    path = share(service, token, file["id"], **terms)
    etag = service.call("HEAD", path).headers["etag"]
    return Shared(service=service, token=token, id=file["id"], etag=etag, path=path)


def revoke(service: Edge, token: str, path: str) -> None:
    """Withdraw a link, for which the API has no call yet."""
    owner = UserId.parse(service.call("GET", "/auth/me", token=token).json["id"])
    service.application.revoke_share_link(owner=owner, token=ShareToken.parse(path.rpartition("/")[2]))


def problem(answer: Result, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json
    assert (found["status"], found["code"]) == (status, code)
    return found


@pytest.fixture(scope="module")
def file(service: Edge, token: str) -> Shared:
    return shared(service, token)


@pytest.fixture(scope="module")
def empty(service: Edge, token: str) -> Shared:
    return shared(service, token, b"")


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        ("bytes=1-", 1, SIZE),
        ("bytes=16383-16384", 16383, 16385),
        ("bytes=65535-65536", 65535, 65537),
        ("bytes=10-140000", 10, 140_001),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        (f"bytes=5-{2**63}", 5, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
    ],
)
def test_a_range_is_the_slice_it_names(file: Shared, asked: str, start: int, stop: int) -> None:
    """One range, be it of every byte, is answered 206 with exactly its bytes, by login and by link."""
    for answer in (file.own(Range=asked), file.get(Range=asked)):
        assert answer.content == CONTENT[start:stop]
        assert answer.headers["content-length"] == str(stop - start)
        assert answer.headers["etag"] == file.etag
        expected = 206, f"bytes {start}-{stop - 1}/{SIZE}"
        assert (answer.status_code, answer.headers["content-range"]) == expected


@pytest.mark.parametrize(
    "asked",
    ["bytes=5-2", "bytes=0-1,4-5", "bytes=" + "0-0," * 99 + "1-1", "lines=1-2", "bytes=a-b", "bytes=0-" + "9" * 8000],
)
def test_other_ranges_get_the_whole_file(file: Shared, asked: str) -> None:
    """Several ranges, other units and malformed ones are ignored, however long the header is."""
    answer = file.own(Range=asked)
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={2**64}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
def test_a_range_beyond_the_file_is_a_problem_with_the_size(file: Shared, asked: str) -> None:
    """416 tells how long the file is and which version it is, sends nothing and spends nothing."""
    before = file.spent()
    for answer in (file.own(Range=asked), file.get(Range=asked)):
        problem(answer, 416, "range-not-satisfiable")
        assert answer.headers["content-range"] == f"bytes */{SIZE}"
        assert answer.headers["etag"] == file.etag
        assert "content-disposition" not in answer.headers
    assert file.spent() == before


def test_an_empty_file_has_no_range(empty: Shared) -> None:
    """A file without a byte comes down whole and has no byte in any range."""
    assert (empty.own().status_code, empty.own().content) == (200, b"")
    assert empty.own().headers["content-length"] == "0"
    answer = empty.own(Range="bytes=0-")
    problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["content-range"] == "bytes */0"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-0"}, {"Range": "bytes=999999-"}, {"If_Range": OTHER}])
def test_head_tells_what_get_would_send_whole(file: Shared, headers: dict[str, str]) -> None:
    """HEAD ignores Range, has every header of the whole file and no body, and spends nothing."""
    before = file.spent()
    for answer in (file.own("HEAD", **headers), file.get("HEAD", **headers)):
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(SIZE)
        assert (answer.headers["etag"], answer.headers["accept-ranges"]) == (file.etag, "bytes")
        assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert file.spent() == before


# (If-Match, If-None-Match, If-Range) -> status of a GET for bytes 2-4; `=` is our tag.
PRECEDENCE: Final = [
    (None, None, None, 206),
    ("=", None, None, 206),
    ("*", None, None, 206),
    (f"{OTHER}, =", None, None, 206),
    (OTHER, None, None, 412),
    ("W/=", None, None, 412),
    ("", None, None, 412),
    (OTHER, "=", "=", 412),
    (None, "=", None, 304),
    (None, "W/=", None, 304),
    (None, "*", None, 304),
    (None, f"{OTHER},W/=", None, 304),
    (None, OTHER, None, 206),
    (None, "=", OTHER, 304),
    ("=", "=", None, 304),
    ("=", OTHER, "=", 206),
    (None, None, "=", 206),
    (None, None, "W/=", 200),
    (None, None, OTHER, 200),
    (None, None, "Thu, 01 Jan 2026 00:00:00 GMT", 200),
    (None, OTHER, OTHER, 200),
]


@pytest.mark.parametrize(("match", "none_match", "if_range", "status"), PRECEDENCE)
@pytest.mark.parametrize("way", ["own", "link"])
def test_conditions_are_taken_in_the_order_of_the_rfc(
    file: Shared, way: str, match: str | None, none_match: str | None, if_range: str | None, status: int
) -> None:
    """If-Match goes first, then If-None-Match, then If-Range with Range (RFC 9110, section 13.2.2)."""
    named = {"If_Match": match, "If_None_Match": none_match, "If_Range": if_range}
    headers = {name: value.replace("=", file.etag) for name, value in named.items() if value is not None}
    before = file.spent()
    answer = (file.own if way == "own" else file.get)(**headers, Range="bytes=2-4")
    assert answer.status_code == status
    assert answer.headers["etag"] == file.etag
    assert answer.content == {206: CONTENT[2:5], 200: CONTENT, 304: b""}.get(status, answer.content)
    if status == 412:
        problem(answer, 412, "precondition-failed")
    assert file.spent() - before == int(way == "link" and status in {200, 206})


@pytest.mark.parametrize("name", ["If_Modified_Since", "If_Unmodified_Since"])
@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", "nonsense"])
def test_conditions_on_dates_are_ignored(file: Shared, name: str, date: str) -> None:
    """We send no Last-Modified, so no date can make a difference."""
    answer = file.own(**{name: date})
    assert (answer.status_code, "last-modified" in answer.headers) == (200, False)


def test_a_condition_outlives_no_version(service: Edge, token: str) -> None:
    """Two files of the same bytes have different tags, so a part of one is never joined to the other."""
    first, second = shared(service, token, b"same"), shared(service, token, b"same")
    assert first.etag != second.etag
    assert second.own(Range="bytes=0-1", If_Range=first.etag).status_code == 200


def test_looking_spends_nothing_and_bytes_spend_one(service: Edge, token: str) -> None:
    """A link of one download survives every look at it, gives its one, and is 403 to all after."""
    one = shared(service, token, max_downloads=1)
    assert one.get("HEAD").status_code == 200
    assert one.get(If_None_Match=one.etag).status_code == 304
    assert one.get(If_Match=OTHER).status_code == 412
    assert one.get(Range=f"bytes={SIZE}-").status_code == 416
    assert one.get("OPTIONS").status_code == 200
    assert one.get("POST").status_code == 405
    assert one.spent() == 0
    assert one.get(Range="bytes=0-9").content == CONTENT[:10]
    assert one.spent() == 1
    for answer in (one.get(), one.get(Range="bytes=0-9"), one.get(If_None_Match=one.etag)):
        assert problem(answer, 403, "download-limit-reached")["detail"] == "Download limit reached"
    assert one.get("HEAD").status_code == 403
    assert one.own().content == CONTENT
    assert one.spent() == 1


def test_each_link_has_a_budget_of_its_own(service: Edge, token: str) -> None:
    """A spent link does not spend another of the same file; the owner sees the sum."""
    first = shared(service, token, b"x", max_downloads=1)
    second = share(service, token, first.id, max_downloads=2)
    assert [first.get().status_code, first.get().status_code] == [200, 403]
    assert [service.call("GET", second).status_code for _ in range(3)] == [200, 200, 403]
    assert first.spent() == 3


def test_what_cannot_be_read_spends_nothing(service: Edge, token: str) -> None:
    """A download whose bytes are lost is a problem, and its link still has its budget."""
    lost = shared(service, token, b"precious", max_downloads=1)
    blobs = service.application.read_file.blobs
    for blob in list(blobs.list(lost.etag.strip('"').partition("-")[0])):
        blobs.delete(blob.key)
    answer = lost.get()
    problem(answer, 500, "content-missing")
    assert "etag" not in answer.headers
    assert "content-disposition" not in answer.headers
    assert lost.spent() == 0


def test_a_link_ends_in_the_second_it_names(serve: Any) -> None:
    """One second before its time a link gives bytes, from that second on it is gone for good."""
    service: Edge = serve()
    link = shared(service, service.sign_up(), b"x", expires_hours=24)
    service.clock.advance(hours=24, seconds=-1)
    assert link.get().status_code == 200
    service.clock.advance(seconds=1)
    for method in ("GET", "HEAD"):
        assert link.get(method).status_code == 410
    assert problem(link.get(), 410, "link-expired")["detail"] == "Share link has expired"
    service.clock.advance(hours=1)
    assert link.get().status_code == 410


def test_what_a_link_says_of_its_end_is_when_it_ends(serve: Any) -> None:
    """`expires_at` is the creation plus the hours asked for, in UTC; 24 hours if none were."""
    service: Edge = serve()
    token = service.sign_up()
    file = service.store(token, b"x")
    for terms, ends in (({}, "2026-01-02T00:00:00Z"), ({"expires_hours": 720}, "2026-01-31T00:00:00Z")):
        answer = service.call("POST", f"/files/{file['id']}/share", token=token, body=terms)
        assert answer.json["expires_at"] == ends
        assert datetime.fromisoformat(ends).tzinfo == UTC
    assert service.call("GET", f"/files/{file['id']}", token=token).json["share_expires_at"] == "2026-01-31T00:00:00Z"


def test_a_withdrawn_link_is_gone(service: Edge, token: str) -> None:
    """A revoked link is 410 whatever is asked of it, another link to the file goes on."""
    link = shared(service, token, b"x")
    other = share(service, token, link.id)
    revoke(service, token, link.path)
    assert problem(link.get(), 410, "link-revoked")["detail"] == "Share link has been revoked"
    assert link.get("HEAD").status_code == 410
    assert link.get(If_None_Match=link.etag).status_code == 410
    assert service.call("GET", other).status_code == 200


def test_a_deleted_file_leaves_its_links_nowhere(service: Edge, token: str) -> None:
    """After a delete the file, its bytes and its links are 404, and a new file does not revive them."""
    link = shared(service, token, b"old")
    assert service.call("DELETE", f"/files/{link.id}", token=token).status_code == 204
    service.store(token, b"new", "data.bin")
    problem(link.get(), 404, "link-not-found")
    problem(link.own(), 404, "file-not-found")
    problem(service.call("DELETE", f"/files/{link.id}", token=token), 404, "file-not-found")
    problem(service.call("POST", f"/files/{link.id}/share", token=token, body={}), 404, "file-not-found")
    assert link.id not in {one["id"] for one in service.call("GET", "/files/", token=token).json}


def spellings(good: str) -> list[str]:
    """Ways to write 32 bytes other than the one way to write them, and other bytes."""
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


def test_a_token_has_one_spelling(service: Edge, token: str, file: Shared) -> None:
    """Every spelling but the canonical one is 404, the 63 other last letters among them."""
    good = file.path.rpartition("/")[2]
    before = file.spent()
    for wrong in spellings(good):
        answer = service.call("GET", f"/files/shared/{wrong}")
        problem(answer, 404, "link-not-found")
    assert file.spent() == before
    assert file.get().status_code == 200
    assert service.call("GET", f"/files/shared/{good}/style.css", token=token).status_code == 404


def test_somebody_elses_file_is_as_one_that_never_was(service: Edge, file: Shared) -> None:
    """For another user each call on a file answers as for an id that was never given."""
    stranger = service.sign_up("stranger")
    never = "019b76da-a800-7000-8000-000000000000"
    for method, below in (("GET", ""), ("DELETE", ""), ("GET", "/download"), ("HEAD", "/download"), ("POST", "/share")):
        answers = []
        for one in (file.id, never, "x", file.id.upper(), "../" + file.id, "%00"):
            answer = service.call(method, f"/files/{one}{below}", token=stranger)
            assert answer.status_code == 404
            answers.append((answer.text and answer.json["code"], answer.headers["content-length"]))
        assert answers[0] == answers[1]
    assert file.own().status_code == 200
    assert service.call("GET", "/files/", token=stranger).json == []


def test_a_public_upload_has_its_link_at_once(service: Edge, token: str) -> None:
    """`is_public` with terms answers the token and end of a link that has these terms."""
    form = file_part(b"open") + field_part("is_public", "true") + field_part("max_downloads", "1") + END
    stored = service.upload(token, form, query="share_expires_hours=2").json
    assert (stored["is_public"], stored["max_downloads"]) == (True, 1)
    assert stored["share_expires_at"] == "2026-01-01T02:00:00Z"
    path = f"/files/shared/{stored['share_token']}"
    assert [service.call("GET", path).status_code for _ in range(2)] == [200, 403]


def test_the_listing_pages_through_all_files(serve: Any) -> None:
    """Pages of any size, laid end to end, are the files newest first, each once."""
    service: Edge = serve()
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
