"""
Uploads that do not fit beside the caller's other files: refused early or late, told why, and nothing left.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from support.app.edge import END, Edge, field_part, file_part
from support.app.exchange import send_messages
from support.app.shared_file import problem

QUOTA = 300_000


@pytest.fixture
def small(make_edge: Callable[..., Edge]) -> Edge:
    return make_edge(USER_QUOTA=str(QUOTA))


@pytest.fixture
def token(small: Edge) -> str:
    return small.sign_up()


def chunked(service: Edge, token: str, content: bytes) -> int:
    form = file_part(content) + END
    pieces = [form[start : start + 50_000] for start in range(0, len(form), 50_000)]
    return send_messages(service, "POST", "/files/upload", token, pieces).status


def test_a_file_that_fits_to_the_last_byte_is_taken(small: Edge, token: str) -> None:
    """The form around it does not count, and neither does another's file; one byte more is refused."""
    small.store(small.sign_up("noor"), bytes(QUOTA))
    small.store(token, bytes(100_000))
    over = file_part(bytes(QUOTA - 100_000 + 1)) + END
    told = problem(small.upload(token, over), 413, "quota-exceeded")
    assert (told["quota"], told["used"]) == (QUOTA, 100_000)
    assert told["detail"] == "The file exceeds your quota: 100000 of 300000 bytes are in use."
    fields = field_part("max_downloads", "3") + field_part("is_public", "true")
    assert small.upload(token, fields + file_part(bytes(QUOTA - 100_000)) + END).status_code == 201
    problem(small.upload(token, file_part(b"x") + END), 413, "quota-exceeded")
    assert small.store(token, b"")["file_size"] == 0


@pytest.mark.parametrize("size", [QUOTA + 1, 2 * QUOTA])
def test_a_refusal_leaves_nothing(small: Edge, token: str, size: int) -> None:
    """Announced or not, at its beginning or when most of it has come."""
    problem(small.upload(token, file_part(bytes(size)) + END), 413, "quota-exceeded")
    assert small.is_empty()
    assert chunked(small, token, bytes(size)) == 413
    assert small.is_empty()


def test_a_file_without_a_length_fits_as_well(small: Edge, token: str) -> None:
    """Nobody announced how much would come, and all of it is taken."""
    assert chunked(small, token, bytes(QUOTA)) == 201


def test_what_cannot_fit_is_refused_before_it_has_come(small: Edge, token: str) -> None:
    """By the length of its request: not even a part is stored of it."""
    form = file_part(bytes(QUOTA + (65 << 10))) + END
    pieces = [form[start : start + 10_000] for start in range(0, len(form), 10_000)]
    exchange = send_messages(small, "POST", "/files/upload", token, pieces, announced=len(form))
    assert (exchange.status, exchange.body["code"]) == (413, "quota-exceeded")
    assert exchange.received_bytes < 50_000
    assert small.is_empty()


def test_a_deletion_makes_room(small: Edge, token: str) -> None:
    """What is deleted is given back, as often as it was stored."""
    for _ in range(3):
        file = small.store(token, bytes(QUOTA))
        problem(small.upload(token, file_part(b"x") + END), 413, "quota-exceeded")
        assert small.call("DELETE", f"/files/{file['id']}", token=token).status_code == 204
    assert small.is_empty()


def test_a_caller_is_told_nothing_of_it_elsewhere(small: Edge, token: str) -> None:
    """The account is as the contract has it."""
    assert not {"quota", "used"} & set(small.call("GET", "/auth/me", token=token).json)
