"""
`sft_http.headers.ranges` against a model that writes every byte's number down and looks.
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
    """The numbers of the bytes that `first-last` asks for; None if the header is to be ignored."""
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


def asked(header: str | None, size: int) -> list[int] | str | None:
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
def test_single_ranges_are_the_models(first: str, last: str, size: int) -> None:
    """Any first and last position selects exactly the bytes that the slow model selects."""
    assert asked(f"bytes={first}-{last}", size) == modelled(first, last, size)


@given(header=st.text(max_size=40), size=st.integers(0, 50))
def test_any_text_is_a_range_within_the_file_or_none(header: str, size: int) -> None:
    """Whatever stands in the header, the outcome is a part of the file, nothing, or a refusal."""
    found = asked(header, size)
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
def test_ranges_that_are_not_understood_are_ignored(header: str | None) -> None:
    """Other units, several ranges, endless digits and nonsense select the whole file."""
    assert requested_range(header, 10) is None


@pytest.mark.parametrize(
    "header", ["bytes=2-4", "Bytes=2-4", "BYTES=2-4", "bytes= 2-4 ", "bytes=\t2-4", "bytes=02-004"]
)
def test_spellings_of_one_range_are_one_range(header: str) -> None:
    """The unit counts in any case, white space around the range and leading zeros do not."""
    assert requested_range(header, 10) == ByteRange(2, 5)


tags = st.lists(
    st.tuples(st.sampled_from(["", "W/"]), st.sampled_from([OURS, "0123abcd-2", "other", "", "a!b"])), max_size=5
)


@given(listed=tags, spaces=st.sampled_from(["", " ", "\t "]))
def test_lists_of_tags_are_the_models(listed: list[tuple[str, str]], spaces: str) -> None:
    """If-Match compares strongly and If-None-Match weakly, whatever else stands in the list."""
    header = f"{spaces},{spaces}".join(f'{weak}"{tag}"' for weak, tag in listed)
    strongly, weakly = ("", OURS) in listed, any(tag == OURS for _, tag in listed)
    assert Conditions(if_match=header).fails_precondition(OURS) is not strongly
    assert Conditions(if_none_match=header).is_not_modified(OURS) is weakly


@given(header=st.text(max_size=60))
def test_a_header_without_the_tag_never_names_it(header: str) -> None:
    """No text that holds neither our tag nor a star fulfils a condition on it."""
    if OURS in header or "*" in header:
        return
    assert Conditions(if_match=header).fails_precondition(OURS)
    assert not Conditions(if_none_match=header).is_not_modified(OURS)
    assert not Conditions(if_range=header).allows_range(OURS)


@pytest.mark.parametrize("header", [f'"{OURS},other"', OURS, f'"{OURS}', f'W/"{OURS[:4]}"{OURS[4:]}"', f'w/"{OURS}"'])
def test_malformed_tags_name_nothing(header: str) -> None:
    """What is no entity tag matches none, though our tag's letters stand in it."""
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
def test_if_range_takes_one_strong_tag(header: str | None, *, allowed: bool) -> None:
    """A range goes on only where If-Range names exactly this version, strongly; a date never does."""
    assert Conditions(if_range=header).allows_range(OURS) is allowed


def test_without_conditions_nothing_is_refused() -> None:
    """A request without conditions is neither 412 nor 304, and a star names every version."""
    assert not Conditions().fails_precondition(OURS)
    assert not Conditions().is_not_modified(OURS)
    assert not Conditions(if_match=" * ").fails_precondition(OURS)
    assert Conditions(if_none_match="*").is_not_modified(OURS)
