"""
`sft_http.headers.ranges`, compared with a model that lists the position of every byte.
"""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sft_core.values import ByteRange
from sft_http.headers.ranges import Conditions, UnsatisfiableRangeError, requested_range

OURS: Final = "0123abcd-1"
UNSATISFIABLE: Final = "unsatisfiable"


def modelled(first: str, last: str, size: int) -> list[int] | str | None:
    """
    The positions of the bytes that `first-last` selects; None if the header is ignored.
    """
    everything = list(range(size))
    if not first and not last:
        return None
    if not first:
        wanted = everything[-int(last) :] if int(last) else []
    elif last and int(last) < int(first):
        return None
    else:
        wanted = [number for number in everything if int(first) <= number and (not last or number <= int(last))]
    return wanted or UNSATISFIABLE


def selected(header: str | None, size: int) -> list[int] | str | None:
    try:
        span = requested_range(header, size)
    except UnsatisfiableRangeError:
        return UNSATISFIABLE
    return None if span is None else list(range(span.start, span.stop))


positions = st.one_of(st.just(""), st.integers(0, 60).map(str), st.integers(0, 10**25).map(str))


@given(first=positions, last=positions, size=st.integers(0, 50))
@example(first="", last="0", size=10)
@example(first="", last="10", size=10)
@example(first="9", last="9", size=10)
@example(first="10", last="", size=10)
@example(first="5", last="4", size=10)
@example(first="0", last="", size=0)
@example(first="", last="5", size=0)
def test_single_range_selects_the_bytes_of_the_model(first: str, last: str, size: int) -> None:
    """Any first and last position selects exactly the bytes that the slow model selects."""
    assert selected(f"bytes={first}-{last}", size) == modelled(first, last, size)


@given(header=st.text(max_size=40), size=st.integers(0, 50))
def test_any_header_is_a_range_within_the_file_or_ignored(header: str, size: int) -> None:
    """Any text selects bytes of the file, is ignored, or is unsatisfiable."""
    found = selected(header, size)
    assert found is None or found == UNSATISFIABLE or set(found) <= set(range(size))


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=,",
        "bytes 0-5",
        "0-5",
        "bytes=--1",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0x1-2",
        "bytes=1.0-2",
        "bytes=0 - 5",
        "bytes = 0-5",
        "bytes=٠-٥",
        "bytes=²-³",
        "items=0-5",
        "seconds=1-2",
        "bytes=0-1,3-4",
        "bytes=0-1,",
        "bytes=" + ",".join(["0-0"] * 100),
        "bytes=0-9\n",
        "bytes=0-" + "9" * 5000,
        "bytes=" + "9" * 5000 + "-",
        "bytes=-" + "9" * 5000,
    ],
)
def test_unsupported_or_malformed_range_is_ignored(header: str | None) -> None:
    """Other units, several ranges, overlong numbers and malformed text select the whole file."""
    assert requested_range(header, 10) is None


@pytest.mark.parametrize(
    "header", ["bytes=2-4", "Bytes=2-4", "BYTES=2-4", "bytes= 2-4 ", "bytes=\t2-4", "bytes=02-004"]
)
def test_equivalent_spellings_select_the_same_range(header: str) -> None:
    """The case of the unit, white space around the range and leading zeros are ignored."""
    assert requested_range(header, 10) == ByteRange(2, 5)


tags = st.lists(
    st.tuples(st.sampled_from(["", "W/"]), st.sampled_from([OURS, "0123abcd-2", "other", "", "a!b"])), max_size=5
)


@given(listed=tags, spaces=st.sampled_from(["", " ", "\t "]))
def test_tag_lists_are_compared_as_in_the_model(listed: list[tuple[str, str]], spaces: str) -> None:
    """If-Match compares strongly and If-None-Match weakly, regardless of other tags in the list."""
    header = f"{spaces},{spaces}".join(f'{weak}"{tag}"' for weak, tag in listed)
    strongly, weakly = ("", OURS) in listed, any(tag == OURS for _, tag in listed)
    assert Conditions(if_match=header).fails_precondition(OURS) is not strongly
    assert Conditions(if_none_match=header).is_not_modified(OURS) is weakly


@given(header=st.text(max_size=60))
def test_header_without_the_tag_never_matches(header: str) -> None:
    """Text that contains neither the file's tag nor a star fulfils no condition on it."""
    if OURS in header or "*" in header:
        return
    assert Conditions(if_match=header).fails_precondition(OURS)
    assert not Conditions(if_none_match=header).is_not_modified(OURS)
    assert not Conditions(if_range=header).allows_range(OURS)


@pytest.mark.parametrize("header", [f'"{OURS},other"', OURS, f'"{OURS}', f'W/"{OURS[:4]}"{OURS[4:]}"', f'w/"{OURS}"'])
def test_malformed_tag_never_matches(header: str) -> None:
    """A malformed entity tag matches nothing, though it contains the letters of the file's tag."""
    assert Conditions(if_match=header).fails_precondition(OURS)
    assert not Conditions(if_none_match=header).is_not_modified(OURS)


@pytest.mark.parametrize(
    ("header", "allowed"),
    [
        (None, True),
        (f'"{OURS}"', True),
        (f' "{OURS}" ', True),
        (f'W/"{OURS}"', False),
        (OURS, False),
        ('"0123abcd-2"', False),
        (f'"{OURS}", "other"', False),
        ("*", False),
        ("Thu, 01 Jan 2026 00:00:00 GMT", False),
        ("", False),
    ],
)
def test_if_range_matches_one_strong_tag(header: str | None, *, allowed: bool) -> None:
    """A range is served only if If-Range is exactly the strong tag of this version; a date never is."""
    assert Conditions(if_range=header).allows_range(OURS) is allowed


def test_request_without_conditions_is_accepted() -> None:
    """A request without conditions is neither 412 nor 304, and a star matches every version."""
    assert not Conditions().fails_precondition(OURS)
    assert not Conditions().is_not_modified(OURS)
    assert not Conditions(if_match=" * ").fails_precondition(OURS)
    assert Conditions(if_none_match="*").is_not_modified(OURS)
