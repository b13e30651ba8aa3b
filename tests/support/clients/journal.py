"""
What users of a service write down: what it said yes to, what it left open, what it should not have said.
"""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Final

import attrs

from support.clients.wire import Response

Status = int | None
"""None where no whole answer came: nobody knows whether the request did anything."""

NOT_SENT: Final = 0
"""Where nobody listened: the request did nothing."""

RETRYABLE = {429, 503}


@attrs.frozen
class RandomContent:
    """
    Bytes that can be made again: so many of them, from a seed.
    """

    seed: int
    size: int

    @property
    def data(self) -> bytes:
        return random.Random(self.seed).randbytes(self.size)

    def matches(self, response: Response) -> bool:
        """
        Whether the body of an answer is these bytes.
        """
        return hashlib.sha256(response.body).digest() == hashlib.sha256(self.data).digest()


@attrs.define
class ClientJournal:
    """
    What the service said yes to, what it left open, and what it should not have said.

    Files by their ids, but those that nobody has said yes to by the names they were sent under, which are unique.
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
        Note an answer; any but the expected ones and "come again later" is a fault.
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
        How many downloads the links of a file have granted, and how many they may have granted besides.
        """
        links = [link for link, (linked, _) in self.budgets.items() if linked == file]
        return sum(self.downloads_granted[link] for link in links), sum(
            self.downloads_uncertain[link] for link in links
        )


def is_uncertain(status: Status) -> bool:
    """
    Whether the request may have done what it asked for though nobody said so.
    """
    return status is None or status == 503


def is_whole(response: Response) -> bool:
    """
    Whether the body of an answer is as long as announced.
    """
    return len(response.body) == int(response.headers.get("content-length", 0))
