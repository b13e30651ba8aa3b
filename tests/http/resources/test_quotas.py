"""
Uploads beyond the user's quota: rejected early or late with the reason, and nothing is left.
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


def test_file_that_fills_the_quota_exactly_is_accepted(small: Edge, token: str) -> None:
    """The form around it and other users' files do not count; one byte more is rejected."""
    small.store(small.sign_up("noor"), bytes(QUOTA))
    small.store(token, bytes(100_000))
    over = file_part(bytes(QUOTA - 100_000 + 1)) + END
    reported = problem(small.upload(token, over), 413, "quota-exceeded")
    assert (reported["quota"], reported["used"]) == (QUOTA, 100_000)
    assert reported["detail"] == "The file exceeds your quota: 100000 of 300000 bytes are in use."
    fields = field_part("max_downloads", "3") + field_part("is_public", "true")
    assert small.upload(token, fields + file_part(bytes(QUOTA - 100_000)) + END).status_code == 201
    problem(small.upload(token, file_part(b"x") + END), 413, "quota-exceeded")
    assert small.store(token, b"")["file_size"] == 0


@pytest.mark.parametrize("size", [QUOTA + 1, 2 * QUOTA])
def test_rejected_upload_leaves_nothing(small: Edge, token: str, size: int) -> None:
    """This holds with an announced length and without one."""
    problem(small.upload(token, file_part(bytes(size)) + END), 413, "quota-exceeded")
    assert small.is_empty()
    assert chunked(small, token, bytes(size)) == 413
    assert small.is_empty()


def test_upload_without_a_length_may_fill_the_quota(small: Edge, token: str) -> None:
    """A chunked upload of exactly the quota is accepted."""
    assert chunked(small, token, bytes(QUOTA)) == 201


def test_announced_excess_is_rejected_before_it_is_received(small: Edge, token: str) -> None:
    """The request is rejected by its announced length, before one part is received."""
    form = file_part(bytes(QUOTA + (65 << 10))) + END
    pieces = [form[start : start + 10_000] for start in range(0, len(form), 10_000)]
    exchange = send_messages(small, "POST", "/files/upload", token, pieces, announced=len(form))
    assert (exchange.status, exchange.body["code"]) == (413, "quota-exceeded")
    assert exchange.received_bytes < 50_000
    assert small.is_empty()


def test_deletion_releases_the_quota(small: Edge, token: str) -> None:
    """The whole quota is available again after each deletion."""
    for _ in range(3):
        file = small.store(token, bytes(QUOTA))
        problem(small.upload(token, file_part(b"x") + END), 413, "quota-exceeded")
        assert small.call("DELETE", f"/files/{file['id']}", token=token).status_code == 204
    assert small.is_empty()


def test_account_does_not_show_the_quota(small: Edge, token: str) -> None:
    """The JSON of an account contains neither quota nor usage."""
    assert not {"quota", "used"} & set(small.call("GET", "/auth/me", token=token).json)
