"""
Uploads that end too early, at every byte of a form: nothing is stored, and nothing is left.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.app.edge import END, Edge, field_part, file_part
from support.app.exchange import RecordedExchange, send_messages

FORM = (
    field_part("share_expires_hours", "5")
    + file_part(bytes(range(200)), "cut.bin")
    + field_part("max_downloads", "3")
    + field_part("is_public", "true")
    + END
)
COMPLETE = len(FORM) - len(b"\r\n")
"""From here on the form has its closing boundary: nothing that follows belongs to it."""

Cut = Callable[[Edge, str, int], RecordedExchange]


def sent(service: Edge, token: str, form: bytes, *, announced: int | None, disconnects: bool) -> RecordedExchange:
    return send_messages(service, "POST", "/files/upload", token, [form], announced=announced, disconnects=disconnects)


def announced_and_left(service: Edge, token: str, length: int) -> RecordedExchange:
    """The client announces the whole form and leaves."""
    return sent(service, token, FORM[:length], announced=len(FORM), disconnects=True)


def announced_too_short(service: Edge, token: str, length: int) -> RecordedExchange:
    """The client announces what it sends, and that is not the whole form."""
    return sent(service, token, FORM[:length], announced=length, disconnects=False)


def chunked_and_left(service: Edge, token: str, length: int) -> RecordedExchange:
    """The client leaves before its last chunk."""
    return sent(service, token, FORM[:length], announced=None, disconnects=True)


def chunked_too_short(service: Edge, token: str, length: int) -> RecordedExchange:
    """The client ends its chunks properly, and they are not the whole form."""
    return sent(service, token, FORM[:length], announced=None, disconnects=False)


@pytest.mark.parametrize(
    ("cut", "lengths"),
    [
        (announced_and_left, range(len(FORM))),
        (announced_too_short, range(COMPLETE)),
        (chunked_and_left, range(len(FORM) + 1)),
        (chunked_too_short, range(COMPLETE)),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_form_cut_at_any_byte_leaves_nothing(service: Edge, token: str, cut: Cut, lengths: range) -> None:
    """Wherever it ends, in the file, a field or a boundary, the answer is a problem, and no row and no part stays."""
    for length in lengths:
        exchange = cut(service, token, length)
        assert exchange.status in {400, 422}, length
        assert exchange.body["code"] in {"malformed-request", "upload-incomplete", "invalid-value"}, length
        assert service.is_empty(), length


@pytest.mark.parametrize("announced", [len(FORM), None])
@pytest.mark.parametrize("at_a_time", [1, 2, 7, len(FORM)])
def test_the_same_form_uncut_is_stored(service: Edge, token: str, announced: int | None, at_a_time: int) -> None:
    """However small the pieces it comes in, the whole form is a file with what its fields say."""
    pieces = [FORM[start : start + at_a_time] for start in range(0, len(FORM), at_a_time)]
    exchange = send_messages(service, "POST", "/files/upload", token, pieces, announced=announced)
    assert exchange.status == 201
    assert (exchange.body["file_size"], exchange.body["max_downloads"], exchange.body["is_public"]) == (200, 3, True)


@pytest.mark.parametrize("cut", [announced_too_short, chunked_too_short])
def test_the_last_line_break_may_be_missing(service: Edge, token: str, cut: Cut) -> None:
    """With its closing boundary a form is whole (RFC 2046, section 5.1.1)."""
    assert cut(service, token, COMPLETE).status == 201


LARGE = field_part("is_public", "true") + file_part(b"y" * 140_000) + END
PART = 65_536


@pytest.mark.parametrize("announced", [len(LARGE), None])
@pytest.mark.parametrize("length", [PART - 100, PART + 200, 2 * PART + 200, len(LARGE) - 5, len(LARGE) - 1])
def test_parts_that_were_stored_already_are_removed(
    service: Edge, token: str, announced: int | None, length: int
) -> None:
    """A client that leaves after a part has been stored leaves none of it."""
    form = LARGE[:length]
    pieces = [form[start : start + 30_000] for start in range(0, length, 30_000)]
    exchange = send_messages(service, "POST", "/files/upload", token, pieces, announced=announced, disconnects=True)
    assert (exchange.status, exchange.body["code"]) in {(400, "malformed-request"), (400, "upload-incomplete")}
    assert service.is_empty()
