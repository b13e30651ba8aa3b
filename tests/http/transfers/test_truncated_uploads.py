"""
Truncated uploads, at every byte of a form: nothing is stored.
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
"""The length with which the form has its closing boundary: later bytes are not part of it."""

SendTruncated = Callable[[Edge, str, int], RecordedExchange]


def sent(service: Edge, token: str, form: bytes, *, announced: int | None, disconnects: bool) -> RecordedExchange:
    return send_messages(service, "POST", "/files/upload", token, [form], announced=announced, disconnects=disconnects)


def announced_and_disconnected(service: Edge, token: str, length: int) -> RecordedExchange:
    """
    The client announces the whole form and disconnects.
    """
    return sent(service, token, FORM[:length], announced=len(FORM), disconnects=True)


def announced_too_short(service: Edge, token: str, length: int) -> RecordedExchange:
    """
    The client announces exactly what it sends, which is not the whole form.
    """
    return sent(service, token, FORM[:length], announced=length, disconnects=False)


def chunked_and_disconnected(service: Edge, token: str, length: int) -> RecordedExchange:
    """
    The client disconnects before its last chunk.
    """
    return sent(service, token, FORM[:length], announced=None, disconnects=True)


def chunked_too_short(service: Edge, token: str, length: int) -> RecordedExchange:
    """
    The client ends its chunks correctly, but they are not the whole form.
    """
    return sent(service, token, FORM[:length], announced=None, disconnects=False)


@pytest.mark.parametrize(
    ("send_truncated", "lengths"),
    [
        (announced_and_disconnected, range(len(FORM))),
        (announced_too_short, range(COMPLETE)),
        (chunked_and_disconnected, range(len(FORM) + 1)),
        (chunked_too_short, range(COMPLETE)),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_form_truncated_at_any_byte_leaves_nothing(
    service: Edge, token: str, send_truncated: SendTruncated, lengths: range
) -> None:
    """In the file, a field or a boundary: the response is a problem, and no row and no part remains."""
    for length in lengths:
        exchange = send_truncated(service, token, length)
        assert exchange.status in {400, 422}, length
        assert exchange.body["code"] in {"malformed-request", "upload-incomplete", "invalid-value"}, length
        assert service.is_empty(), length


@pytest.mark.parametrize("announced", [len(FORM), None])
@pytest.mark.parametrize("at_a_time", [1, 2, 7, len(FORM)])
def test_complete_form_is_stored(service: Edge, token: str, announced: int | None, at_a_time: int) -> None:
    """However small its pieces are, the whole form becomes a file with the terms of its fields."""
    pieces = [FORM[start : start + at_a_time] for start in range(0, len(FORM), at_a_time)]
    exchange = send_messages(service, "POST", "/files/upload", token, pieces, announced=announced)
    assert exchange.status == 201
    assert (exchange.body["file_size"], exchange.body["max_downloads"], exchange.body["is_public"]) == (200, 3, True)


@pytest.mark.parametrize("send_truncated", [announced_too_short, chunked_too_short])
def test_last_line_break_may_be_missing(service: Edge, token: str, send_truncated: SendTruncated) -> None:
    """A form is complete with its closing boundary (RFC 2046, section 5.1.1)."""
    assert send_truncated(service, token, COMPLETE).status == 201


LARGE = field_part("is_public", "true") + file_part(b"y" * 140_000) + END
PART = 65_536


@pytest.mark.parametrize("announced", [len(LARGE), None])
@pytest.mark.parametrize("length", [PART - 100, PART + 200, 2 * PART + 200, len(LARGE) - 5, len(LARGE) - 1])
def test_stored_parts_of_a_truncated_form_are_deleted(
    service: Edge, token: str, announced: int | None, length: int
) -> None:
    """If the client disconnects after a part was stored, the part is deleted."""
    form = LARGE[:length]
    pieces = [form[start : start + 30_000] for start in range(0, length, 30_000)]
    exchange = send_messages(service, "POST", "/files/upload", token, pieces, announced=announced, disconnects=True)
    assert (exchange.status, exchange.body["code"]) in {(400, "malformed-request"), (400, "upload-incomplete")}
    assert service.is_empty()
