"""
Ranges and conditions over HTTP: what is sent, what is rejected, and what spends a download.
"""

from __future__ import annotations

from typing import Final

import pytest

from support.app.edge import Edge
from support.app.shared_file import CONTENT, OTHER, SIZE, Shared, problem, shared


@pytest.fixture(scope="module")
def empty(shared_service: Edge, shared_token: str) -> Shared:
    return shared(shared_service, shared_token, b"")


@pytest.mark.parametrize(
    ("requested", "start", "stop"),
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
        (f"bytes=-{10**20}", 0, SIZE),
        ("Bytes= 5-9 ", 5, 10),
    ],
)
def test_range_returns_exactly_its_bytes(shared_file: Shared, requested: str, start: int, stop: int) -> None:
    """One range, even of every byte, is 206 with exactly its bytes, by token and by link."""
    for response in (shared_file.own(Range=requested), shared_file.get(Range=requested)):
        assert response.content == CONTENT[start:stop]
        assert response.headers["content-length"] == str(stop - start)
        assert response.headers["etag"] == shared_file.etag
        expected = 206, f"bytes {start}-{stop - 1}/{SIZE}"
        assert (response.status_code, response.headers["content-range"]) == expected


@pytest.mark.parametrize(
    "requested",
    ["bytes=5-2", "bytes=0-1,4-5", "bytes=" + "0-0," * 99 + "1-1", "lines=1-2", "bytes=a-b", "bytes=0-" + "9" * 8000],
)
def test_unsupported_range_returns_the_whole_file(shared_file: Shared, requested: str) -> None:
    """Several ranges, other units and malformed ones are ignored, however long the header is."""
    response = shared_file.own(Range=requested)
    assert (response.status_code, response.content) == (200, CONTENT)
    assert "content-range" not in response.headers


@pytest.mark.parametrize("requested", [f"bytes={SIZE}-", f"bytes={2**64}-", "bytes=-0", f"bytes={SIZE}-{SIZE + 5}"])
def test_range_beyond_the_file_is_416_with_the_size(shared_file: Shared, requested: str) -> None:
    """The response states the size and tag of the file, sends no content, and spends no download."""
    before = shared_file.spent()
    for response in (shared_file.own(Range=requested), shared_file.get(Range=requested)):
        problem(response, 416, "range-not-satisfiable")
        assert response.headers["content-range"] == f"bytes */{SIZE}"
        assert response.headers["etag"] == shared_file.etag
        assert "content-disposition" not in response.headers
    assert shared_file.spent() == before


def test_empty_file_satisfies_no_range(empty: Shared) -> None:
    """An empty file is downloaded as a whole, and any range of it is 416."""
    assert (empty.own().status_code, empty.own().content) == (200, b"")
    assert empty.own().headers["content-length"] == "0"
    response = empty.own(Range="bytes=0-")
    problem(response, 416, "range-not-satisfiable")
    assert response.headers["content-range"] == "bytes */0"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-0"}, {"Range": "bytes=999999-"}, {"If_Range": OTHER}])
def test_head_returns_the_headers_of_the_whole_file(shared_file: Shared, headers: dict[str, str]) -> None:
    """HEAD ignores Range, has every header of the whole file and no body, and spends nothing."""
    before = shared_file.spent()
    for response in (shared_file.own("HEAD", **headers), shared_file.get("HEAD", **headers)):
        assert (response.status_code, response.content) == (200, b"")
        assert response.headers["content-length"] == str(SIZE)
        assert (response.headers["etag"], response.headers["accept-ranges"]) == (shared_file.etag, "bytes")
        assert response.headers["content-disposition"].startswith("attachment; filename=")
    assert shared_file.spent() == before


# (If-Match, If-None-Match, If-Range) -> status of a GET for bytes 2-4; `=` is the file's tag.
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
@pytest.mark.parametrize("access", ["token", "link"])
def test_conditions_are_evaluated_in_the_order_of_the_rfc(
    shared_file: Shared, access: str, match: str | None, none_match: str | None, if_range: str | None, status: int
) -> None:
    """If-Match is first, then If-None-Match, then If-Range with Range (RFC 9110, section 13.2.2)."""
    named = {"If_Match": match, "If_None_Match": none_match, "If_Range": if_range}
    headers = {name: value.replace("=", shared_file.etag) for name, value in named.items() if value is not None}
    before = shared_file.spent()
    response = (shared_file.own if access == "token" else shared_file.get)(**headers, Range="bytes=2-4")
    assert response.status_code == status
    assert response.headers["etag"] == shared_file.etag
    assert response.content == {206: CONTENT[2:5], 200: CONTENT, 304: b""}.get(status, response.content)
    if status == 412:
        problem(response, 412, "precondition-failed")
    assert shared_file.spent() - before == int(access == "link" and status in {200, 206})


@pytest.mark.parametrize("name", ["If_Modified_Since", "If_Unmodified_Since"])
@pytest.mark.parametrize("date", ["Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 2100 23:59:59 GMT", "nonsense"])
def test_conditions_on_dates_are_ignored(shared_file: Shared, name: str, date: str) -> None:
    """The service sends no Last-Modified, so no date has an effect."""
    response = shared_file.own(**{name: date})
    assert (response.status_code, "last-modified" in response.headers) == (200, False)


def test_equal_files_have_different_tags(shared_service: Edge, shared_token: str) -> None:
    """A client never joins parts of two files, even if they have the same bytes."""
    first, second = shared(shared_service, shared_token, b"same"), shared(shared_service, shared_token, b"same")
    assert first.etag != second.etag
    assert second.own(Range="bytes=0-1", If_Range=first.etag).status_code == 200
