"""
Journals of the clients of a service: acknowledged and uncertain results, and responses that are errors.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Final

import attrs

from support.clients.wire import Response

Status = int | None
"""The status of a response, or None without a complete one: the request may or may not have had an effect."""

NOT_SENT: Final = 0
"""The connection was refused: the request had no effect."""

RETRYABLE = {429, 503}


@attrs.frozen
class RandomContent:
    """
    Reproducible bytes: a seed and a size.
    """

    seed: int
    size: int

    @property
    def data(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size)

    def matches(self, response: Response) -> bool:
        """
        Return whether the response's body is these bytes.
        """
        return hashlib.sha256(response.body).digest() == hashlib.sha256(self.data).digest()


@attrs.define
class ClientJournal:
    """
    A client's acknowledged results, uncertain results and faults.

    The keys are file ids, except for unacknowledged files, whose keys are their unique names.
    """

    stored: dict[str, RandomContent] = attrs.field(factory=dict)
    unacknowledged: dict[str, RandomContent] = attrs.field(factory=dict)
    deleted: set[str] = attrs.field(factory=set)
    uncertain: dict[str, RandomContent] = attrs.field(factory=dict)
    budgets: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    downloads_granted: Counter[str] = attrs.field(factory=Counter)
    downloads_uncertain: Counter[str] = attrs.field(factory=Counter)
    statuses: Counter[tuple[str, Status]] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)

    def count(self, verb: str, response: Response | None, *expected: int) -> Status:
        """
        Count a response; every status is a fault except the expected ones, 429 and 503.
        """
        status = response.status if response is not None else None
        self.statuses[verb, status] += 1
        if response is not None and response.status not in {*expected, *RETRYABLE, NOT_SENT}:
            self.faults.append(f"{verb}: {response.status} {response.body[:200]!r}")
        if response is not None and response.status == 503 and "retry-after" not in response.headers:
            self.faults.append(f"{verb}: 503 without Retry-After")
        return status

    def spent(self, file: str) -> tuple[int, int]:
        """
        Return how many downloads a file's links have granted, and how many more they may have granted.
        """
        links = [link for link, (linked, _) in self.budgets.items() if linked == file]
        return sum(self.downloads_granted[link] for link in links), sum(
            self.downloads_uncertain[link] for link in links
        )


def is_uncertain(status: Status) -> bool:
    """
    Return whether the request may have had its effect without an acknowledgement.
    """
    return status is None or status == 503


def is_whole(response: Response) -> bool:
    """
    Return whether the response's body is as long as announced.
    """
    return len(response.body) == int(response.headers.get("content-length", 0))
