"""
Clients that keep a service busy, write down what it acknowledged, and hold it to that afterwards.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import secrets
import threading
from collections import Counter
from typing import Any

import attrs

from support.service import Service
from support.wire import Answer, call, connected, multipart, receive, send

Status = int | None
"""None where no answer came: nobody knows whether the request did anything."""

MAY_PASS = {429, 503}


@attrs.define
class Ledger:
    """
    What the service said yes to, what it left open, and what it should not have said.
    """

    digests: dict[str, str] = attrs.field(factory=dict)
    deleted: set[str] = attrs.field(factory=set)
    doubtful: set[str] = attrs.field(factory=set)
    budgets: dict[str, tuple[str, int]] = attrs.field(factory=dict)
    granted: Counter[str] = attrs.field(factory=Counter)
    open_grants: Counter[str] = attrs.field(factory=Counter)
    statuses: Counter[tuple[str, Status]] = attrs.field(factory=Counter)
    faults: list[str] = attrs.field(factory=list)

    def count(self, verb: str, answer: Answer | None, *expected: int) -> Status:
        """
        Note an answer; any but the expected ones and "come again later" is a fault.
        """
        status = answer.status if answer is not None else None
        self.statuses[verb, status] += 1
        if answer is not None and answer.status not in {*expected, *MAY_PASS}:
            self.faults.append(f"{verb}: {answer.status} {answer.body[:200]!r}")
        if answer is not None and answer.status == 503 and "retry-after" not in answer.headers:
            self.faults.append(f"{verb}: 503 without Retry-After")
        return status


@attrs.define(eq=False, slots=False)
class Client(threading.Thread):
    """
    One user who stores, reads, shares, redeems and deletes until told to stop.
    """

    service: Service
    seed: int
    stop: threading.Event
    token: str
    ledger: Ledger = attrs.field(factory=Ledger)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def run(self) -> None:
        dice = random.Random(self.seed)
        verbs = [self.store, self.store, self.read, self.read, self.share, self.redeem, self.redeem, self.delete]
        while not self.stop.is_set():
            dice.choice(verbs)(dice)

    def asked(self, method: str, path: str, *, body: Any = None, token: str | None = None) -> Answer | None:
        try:
            return call(self.service.port, method, path, token=self.token if token is None else token, body=body)
        except (OSError, http.client.HTTPException):
            return None

    def store(self, dice: random.Random) -> None:
        content = secrets.token_bytes(dice.choice([0, 1, 1000, 16_384, 100_000, 300_000]))
        headers, (before, after) = multipart(f"{secrets.token_hex(4)}.bin")
        form = before + content + after
        try:
            with connected(self.service.port) as connection:
                headers["Authorization"] = f"Bearer {self.token}"
                send(connection, "POST", f"{self.service.api}/files/upload", headers, len(form))
                connection.sendall(form)
                answer: Answer | None = receive(connection)
        except OSError:
            answer = None
        if self.ledger.count("store", answer, 201) == 201 and answer is not None:
            self.ledger.digests[answer.json()["id"]] = hashlib.sha256(content).hexdigest()

    def read(self, dice: random.Random) -> None:
        if not self.ledger.digests:
            return
        file = dice.choice(list(self.ledger.digests))
        answer = self.asked("GET", f"{self.service.api}/files/{file}/download")
        if self.ledger.count("read", answer, 200) == 200 and answer is not None:
            self.check(file, answer)

    def check(self, file: str, answer: Answer) -> None:
        """
        A whole body is the file's; one that broke off is shorter than announced, and says so by that.
        """
        if len(answer.body) != int(answer.headers["content-length"]):
            self.ledger.statuses["read", None] += 1
        elif hashlib.sha256(answer.body).hexdigest() != self.ledger.digests[file]:
            self.ledger.faults.append(f"read: {file} has other bytes")

    def share(self, dice: random.Random) -> None:
        if not self.ledger.digests:
            return
        file, budget = dice.choice(list(self.ledger.digests)), dice.randint(1, 3)
        answer = self.asked("POST", f"{self.service.api}/files/{file}/share", body={"max_downloads": budget})
        if self.ledger.count("share", answer, 200) == 200 and answer is not None:
            self.ledger.budgets[answer.json()["share_token"]] = (file, budget)

    def redeem(self, dice: random.Random) -> None:
        if not self.ledger.budgets:
            return
        link = dice.choice(list(self.ledger.budgets))
        file, _ = self.ledger.budgets[link]
        answer = self.asked("GET", f"{self.service.api}/files/shared/{link}", token="")
        gone = [404] if file in self.ledger.deleted | self.ledger.doubtful else []
        status = self.ledger.count("redeem", answer, 200, 403, *gone)
        if status == 200 and answer is not None:
            self.ledger.granted[link] += 1
            if file in self.ledger.digests:
                self.check(file, answer)
        elif status is None or status in MAY_PASS:
            self.ledger.open_grants[link] += 1

    def delete(self, dice: random.Random) -> None:
        if len(self.ledger.digests) < 3:
            return
        file = dice.choice(list(self.ledger.digests))
        status = self.ledger.count("delete", self.asked("DELETE", f"{self.service.api}/files/{file}"), 204)
        del self.ledger.digests[file]
        (self.ledger.deleted if status == 204 else self.ledger.doubtful).add(file)


def settle(client: Client) -> list[str]:
    """
    What is not as it was acknowledged, once the service is well again: nothing, it should be.
    """
    service, ledger, faults = client.service, client.ledger, list(client.ledger.faults)
    for file, digest in ledger.digests.items():
        answer = client.asked("GET", f"{service.api}/files/{file}/download")
        if answer is None or answer.status != 200 or hashlib.sha256(answer.body).hexdigest() != digest:
            faults.append(f"lost or damaged: {file}, {answer and answer.status}")
    for file in ledger.deleted:
        answer = client.asked("GET", f"{service.api}/files/{file}")
        if answer is None or answer.status != 404:
            faults.append(f"deleted and still there: {file}, {answer and answer.status}")
    listing = client.asked("GET", f"{service.api}/files/?limit=1000")
    if listing is None or listing.status != 200:
        faults.append(f"no listing: {listing and listing.status}")
    elif missing := set(ledger.digests) - {file["id"] for file in listing.json()}:
        faults.append(f"not listed: {missing}")
    return [*faults, *_miscounted(client)]


def _miscounted(client: Client) -> list[str]:
    """
    Budgets that gave too much, and counts that are not what was granted, give or take what is in doubt.
    """
    ledger, faults = client.ledger, []
    spent: Counter[str] = Counter()
    unsure: Counter[str] = Counter()
    for link, (file, budget) in ledger.budgets.items():
        spent[file] += ledger.granted[link]
        unsure[file] += ledger.open_grants[link]
        if ledger.granted[link] > budget:
            faults.append(f"a budget of {budget} gave {ledger.granted[link]} downloads")
    for file in ledger.digests:
        answer = client.asked("GET", f"{client.service.api}/files/{file}")
        count = answer.json()["download_count"] if answer is not None and answer.status == 200 else -1
        if not spent[file] <= count <= spent[file] + unsure[file]:
            faults.append(f"{count} downloads are counted, {spent[file]} were granted, {unsure[file]} are in doubt")
    return faults
