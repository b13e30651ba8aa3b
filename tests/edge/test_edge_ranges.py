"""
Ranges and conditions of downloads, against the obvious model.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.values import ByteRange
from sft_http.ranges import Conditions, UnsatisfiableRangeError, requested_range
from support.edge import Edge

CONTENT = bytes(index * 31 % 253 for index in range(150_000))
SIZE = len(CONTENT)


@given(first=st.integers(0, 300), last=st.integers(0, 300), size=st.integers(0, 200))
def test_a_range_is_the_slice_it_names(first: int, last: int, size: int) -> None:
    """`first-last` names those of the bytes that exist; none of them is unsatisfiable."""
    wanted = [index for index in range(size) if first <= index <= last]
    if last < first:
        assert requested_range(f"bytes={first}-{last}", size) is None
    elif not wanted:
        with pytest.raises(UnsatisfiableRangeError):
            requested_range(f"bytes={first}-{last}", size)
    else:
        assert requested_range(f"bytes={first}-{last}", size) == ByteRange(wanted[0], wanted[-1] + 1)


@given(count=st.integers(0, 300), size=st.integers(0, 200))
def test_a_suffix_is_the_end_it_names(count: int, size: int) -> None:
    """`-count` names the last bytes; none of them is unsatisfiable."""
    wanted = list(range(size))[-count:] if count else []
    if not wanted:
        with pytest.raises(UnsatisfiableRangeError):
            requested_range(f"bytes=-{count}", size)
    else:
        assert requested_range(f"bytes=-{count}", size) == ByteRange(wanted[0], size)


@given(st.text(max_size=40))
def test_no_header_is_an_error(header: str) -> None:
    """Whatever stands in a Range header, it is a range, unsatisfiable, or ignored."""
    try:
        found = requested_range(header, 100)
    except UnsatisfiableRangeError:
        return
    assert found is None or 0 <= found.start < found.stop <= 100


@pytest.fixture
def stored(service: Edge, token: str) -> str:
    return f"/files/{service.store(token, CONTENT)['id']}/download"


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-", 0, SIZE),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE),
        ("bytes=-1", SIZE - 1, SIZE),
        ("bytes=-99999999999999999999", 0, SIZE),
        ("bytes=16383-16384", 16_383, 16_385),
        ("bytes=65535-65536", 65_535, 65_537),
        ("bytes=1-140000", 1, 140_001),
        (f"bytes=10-{10**30}", 10, SIZE),
        ("Bytes= 5-9 ", 5, 10),
    ],
)
def test_one_range_is_answered_206(service: Edge, token: str, stored: str, header: str, start: int, stop: int) -> None:
    """The bytes, their place and their number are those of the range."""
    answer = service.call("GET", stored, token=token, headers={"Range": header})
    assert answer.status_code == 206
    assert answer.content == CONTENT[start:stop]
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize(
    "header",
    ["bytes=5-2", "bytes=0-1,3-4", "bytes=,", "bytes=-", "bytes=a-b", "items=0-1", "0-1", "bytes 0-1", "bytes=²-³", ""],
)
def test_other_ranges_are_ignored(service: Edge, token: str, stored: str, header: str) -> None:
    """Several ranges, other units and malformed ones get the whole file."""
    answer = service.call("GET", stored, token=token, headers={"Range": header})
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert "content-range" not in answer.headers


@pytest.mark.parametrize("header", [f"bytes={SIZE}-", f"bytes={10**25}-", "bytes=-0"])
def test_a_range_without_a_byte_is_416(service: Edge, token: str, stored: str, header: str) -> None:
    """What lies behind the end is not satisfiable, and the answer says how long the file is."""
    answer = service.call("GET", stored, token=token, headers={"Range": header})
    assert answer.status_code == 416
    assert answer.headers["content-range"] == f"bytes */{SIZE}"
    assert CONTENT[:10] not in answer.content


def test_head_ignores_ranges(service: Edge, token: str, stored: str) -> None:
    """HEAD tells of the whole file (RFC 9110, section 14.2)."""
    answer = service.call("HEAD", stored, token=token, headers={"Range": "bytes=0-9"})
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, str(SIZE), b"")
    assert answer.headers["accept-ranges"] == "bytes"


def test_an_empty_file_has_no_range(service: Edge, token: str) -> None:
    """No range of an empty file is satisfiable; all of it is nothing."""
    path = f"/files/{service.store(token, b'')['id']}/download"
    assert service.call("GET", path, token=token).content == b""
    assert service.call("GET", path, token=token, headers={"Range": "bytes=0-"}).status_code == 416


CONDITIONS: list[tuple[str, Callable[[str], str], int]] = [
    ("If-Match", lambda tag: tag, 206),
    ("If-Match", lambda tag: f'"other", {tag}', 206),
    ("If-Match", lambda _: "*", 206),
    ("If-Match", lambda _: '"other"', 412),
    ("If-Match", lambda tag: f"W/{tag}", 412),
    ("If-None-Match", lambda tag: tag, 304),
    ("If-None-Match", lambda tag: f"W/{tag}", 304),
    ("If-None-Match", lambda _: "*", 304),
    ("If-None-Match", lambda _: '"other"', 206),
    ("If-Range", lambda tag: tag, 206),
    ("If-Range", lambda tag: f"W/{tag}", 200),
    ("If-Range", lambda _: '"other"', 200),
    ("If-Range", lambda _: "Thu, 01 Jan 2026 00:00:00 GMT", 200),
    ("If-Modified-Since", lambda _: "Thu, 01 Jan 2099 00:00:00 GMT", 206),
    ("If-Unmodified-Since", lambda _: "Thu, 01 Jan 1970 00:00:00 GMT", 206),
]


@pytest.mark.parametrize(("name", "value", "status"), CONDITIONS)
def test_conditions_decide_before_ranges(
    service: Edge, token: str, stored: str, name: str, value: Callable[[str], str], status: int
) -> None:
    """Each condition of RFC 9110 has its answer, with the validator on it."""
    tag = service.call("HEAD", stored, token=token).headers["etag"]
    headers = {name: value(tag), "Range": "bytes=0-9"}
    answer = service.call("GET", stored, token=token, headers=headers)
    assert answer.status_code == status
    assert answer.headers["etag"] == tag
    assert len(answer.content) == {206: 10, 200: SIZE}.get(status, len(answer.content))


def test_if_match_goes_before_if_none_match() -> None:
    """Precondition first, then freshness (RFC 9110, section 13.2.2)."""
    conditions = Conditions(if_match='"other"', if_none_match='"tag"')
    assert conditions.fails_precondition("tag")
    assert conditions.is_not_modified("tag")


@pytest.mark.parametrize("header", ['"a,b"', "tag", '"tag', 'W/"ta"g"', ""])
def test_malformed_tags_name_nothing(header: str) -> None:
    """What is no entity tag matches none."""
    assert not Conditions(if_none_match=header).is_not_modified("tag")
