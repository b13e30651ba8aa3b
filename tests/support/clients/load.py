"""
Clients that keep a service busy, record what it acknowledges, and compare it with the service afterwards.
"""

from __future__ import annotations

import json
import random
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from support.clients.journal import NOT_SENT, RETRYABLE, ClientJournal, RandomContent, is_uncertain, is_whole
from support.clients.wire import Response, connected, multipart, receive, send
from support.servers.service import Service

SIZES = (0, 1, 1000, 16_384, 100_000, 300_000)

RECONNECT_SECONDS = 0.05
"""Delay before a client repeats a connection that was refused."""


def ignore(_verb: str) -> None:
    """
    Ignore that a request was sent.
    """


@attrs.define(eq=False)
class Client:
    """
    A user that stores, reads, shares, redeems and deletes files until it is stopped.

    `on_sent` is called with the verb of each request after its last byte was sent.
    """

    service: Service
    seed: int
    token: str
    journal: ClientJournal = attrs.field(factory=ClientJournal)
    on_sent: Callable[[str], object] = ignore
    random_source: random.Random = attrs.field(init=False)

    @random_source.default
    def _seeded(self) -> random.Random:
        return random.Random(self.seed)

    @property
    def verbs(self) -> Sequence[Callable[[], None]]:
        """
        The client's actions; an action in the list twice is chosen twice as often.
        """
        return [self.store, self.store, self.read, self.read, self.share, self.redeem, self.redeem, self.delete]

    def work(self, stop: threading.Event) -> None:
        """
        Run random actions until the event is set.
        """
        try:
            while not stop.is_set():
                self.random_source.choice(self.verbs)()
        except Exception as error:  # noqa: BLE001 (any error is recorded, so that no client stops unnoticed)
            self.journal.faults.append(f"unexpected response: {error!r}")

    # --- requests ------------------------------------------------------------------------------

    def request(
        self,
        verb: str,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        anonymous: bool = False,
        cut: bool = False,
        length: int | None = None,
    ) -> Response | None:
        """
        Return the response, or None if the connection was lost; with `cut` an incomplete response counts.

        The `length` announced for the body may differ from its actual length.
        """
        sent = dict(headers or {})
        if not anonymous:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            with connected(self.service.port) as connection:
                send(connection, method, self.service.api + path, sent, len(body) if length is None else length)
                connection.sendall(body)
                self.on_sent(verb)
                response = receive(connection)
        except ConnectionRefusedError:
            time.sleep(RECONNECT_SECONDS)
            return Response(NOT_SENT, {}, b"")
        except OSError:
            return None
        return response if cut or method == "HEAD" or is_whole(response) else None

    def request_json(self, verb: str, path: str, body: Any, *, anonymous: bool = False) -> Response | None:
        headers = {"Content-Type": "application/json"}
        return self.request(verb, "POST", path, body=json.dumps(body).encode(), headers=headers, anonymous=anonymous)

    # --- actions -------------------------------------------------------------------------------

    def new_file(self, sizes: Sequence[int] = SIZES) -> tuple[str, RandomContent]:
        """
        Return a unique name and content for it.
        """
        return f"{secrets.token_hex(8)}.bin", RandomContent(
            self.random_source.getrandbits(64), self.random_source.choice(sizes)
        )

    def record_upload(self, verb: str, name: str, content: RandomContent, response: Response | None) -> None:
        """
        Record the outcome of an upload.
        """
        status = self.journal.count(verb, response, 201)
        if status == 201 and response is not None:
            reported = response.json()
            self.journal.stored[reported["id"]] = content
            if reported["file_size"] != content.size:
                self.journal.faults.append(f"{verb}: {content.size} bytes sent, {reported['file_size']} reported")
        elif is_uncertain(status):
            self.journal.unacknowledged[name] = content

    def store(self) -> None:
        name, content = self.new_file()
        headers, (before, after) = multipart(name)
        response = self.request(
            "store", "POST", "/files/upload", body=before + content.data + after, headers=dict(headers)
        )
        self.record_upload("store", name, content, response)

    def read(self) -> None:
        if self.journal.stored:
            file = self.random_source.choice(list(self.journal.stored))
            response = self.request("read", "GET", f"/files/{file}/download", cut=True)
            if self.journal.count("read", response, 200) == 200 and response is not None:
                self.check("read", self.journal.stored[file], response)

    def check(self, verb: str, content: RandomContent, response: Response) -> bool:
        """
        Return whether the body is complete; if it is, its bytes have to be the file's.
        """
        if not is_whole(response):
            self.journal.statuses[verb, None] += 1
            return False
        if not content.matches(response):
            self.journal.faults.append(f"{verb}: a file of {content.size} bytes has other bytes")
        return True

    def share(self) -> None:
        if self.journal.stored:
            file, budget = self.random_source.choice(list(self.journal.stored)), self.random_source.randint(1, 3)
            response = self.request_json("share", f"/files/{file}/share", {"max_downloads": budget})
            if self.journal.count("share", response, 200) == 200 and response is not None:
                self.journal.budgets[response.json()["share_token"]] = (file, budget)

    def redeem(self) -> None:
        if not self.journal.budgets:
            return
        # Prefer usable links: a few requests of exhausted ones are enough.
        link = max(self.random_source.choices(list(self.journal.budgets), k=2), key=self._is_usable)
        file, _ = self.journal.budgets[link]
        response = self.request("redeem", "GET", f"/files/shared/{link}", anonymous=True, cut=True)
        expected_missing = [404] if file in self.journal.deleted or file in self.journal.uncertain else []
        status = self.journal.count("redeem", response, 200, 403, *expected_missing)
        if status == 200 and response is not None:
            self.journal.downloads_granted[link] += 1
            if file in self.journal.stored:
                self.check("redeem", self.journal.stored[file], response)
        elif status is None or status in RETRYABLE:
            self.journal.downloads_uncertain[link] += 1

    def _is_usable(self, link: str) -> bool:
        file, budget = self.journal.budgets[link]
        return file in self.journal.stored and self.journal.downloads_granted[link] < budget

    def delete(self) -> None:
        if self.journal.uncertain:
            self.delete_again()
        elif len(self.journal.stored) >= 3:
            file = self.random_source.choice(list(self.journal.stored))
            status = self.journal.count("delete", self.request("delete", "DELETE", f"/files/{file}"), 204)
            if status == 204:
                self.journal.deleted.add(file)
                del self.journal.stored[file]
            elif is_uncertain(status):
                self.journal.uncertain[file] = self.journal.stored.pop(file)

    def delete_again(self) -> None:
        """
        Repeat an unacknowledged deletion; a 404 means that it was done already.
        """
        file = next(iter(self.journal.uncertain))
        status = self.journal.count("delete", self.request("delete", "DELETE", f"/files/{file}"), 204, 404)
        if status in {204, 404}:
            self.journal.deleted.add(file)
            del self.journal.uncertain[file]


@contextmanager
def clients_running(clients: Sequence[Client], *, patience_seconds: float = 60) -> Iterator[None]:
    """
    Run each client in a thread of its own until the block ends.
    """
    stop = threading.Event()
    threads = [threading.Thread(target=client.work, args=[stop], daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(patience_seconds)
            assert not thread.is_alive(), "a request did not end in time"


# --- comparison after recovery -------------------------------------------------------------------


def find_discrepancies(client: Client) -> list[str]:
    """
    Return every difference from the acknowledged state, once the service has recovered.

    An unacknowledged upload that exists counts as acknowledged from here on.
    """
    listing = client.request("list", "GET", "/files/?limit=1000")
    if listing is None or listing.status != 200:
        return [*client.journal.faults, f"no listing: {listing and listing.status}"]
    listed = {file["id"]: file for file in listing.json()}
    return [*client.journal.faults, *_unexpected(client, listed), *_lost(client, listed), *_links(client, listed)]


def _unexpected(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    """
    Yield files that no client sent or that were deleted; record uncertain uploads that exist as stored.
    """
    journal = client.journal
    for file in listed.keys() - journal.stored.keys():
        name = listed[file]["original_filename"]
        if file in journal.deleted:
            yield f"deleted and still listed: {file}"
        elif file in journal.uncertain:
            # The requested deletion may still happen, so the file is not recorded as stored.
            response = client.request("verify", "GET", f"/files/{file}/download")
            if response is None or not (response.status == 404 or journal.uncertain[file].matches(response)):
                yield f"neither deleted nor intact: {file}, {response and response.status}"
        elif name in journal.unacknowledged:
            journal.stored[file] = journal.unacknowledged.pop(name)
        else:
            yield f"listed, but no client sent it: {file}"


def _lost(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    journal = client.journal
    for file, content in journal.stored.items():
        response = client.request("verify", "GET", f"/files/{file}/download")
        if response is None or response.status != 200 or not content.matches(response):
            yield f"lost or damaged: {file} of {content.size} bytes, {response and response.status}"
        if file not in listed:
            yield f"not listed: {file}"
        elif listed[file]["file_size"] != content.size:
            yield f"listed with {listed[file]['file_size']} bytes of {content.size}: {file}"
    for file in journal.deleted:
        response = client.request("verify", "GET", f"/files/{file}")
        if response is None or response.status != 404:
            yield f"deleted and still found: {file}, {response and response.status}"


def _links(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    """
    Yield links that grant too many or too few downloads or outlive their file, and counts outside their bounds.
    """
    journal = client.journal
    for link, (file, budget) in journal.budgets.items():
        if journal.downloads_granted[link] > budget:
            yield f"a budget of {budget} granted {journal.downloads_granted[link]} downloads"
        if journal.downloads_granted[link] >= budget or file in journal.deleted:
            response = client.request("verify", "GET", f"/files/shared/{link}", anonymous=True)
            if response is None or response.status not in {403, 404}:
                yield f"an exhausted link or a link of a deleted file opens: {response and response.status}"
        elif file in journal.stored and not journal.downloads_uncertain[link]:
            response = client.request("verify", "HEAD", f"/files/shared/{link}", anonymous=True)
            if response is None or response.status != 200:
                yield f"an unexhausted link is lost: {response and response.status}"
    for file in journal.stored.keys() & listed.keys():
        count, (spent, unsure) = listed[file]["download_count"], journal.spent(file)
        if not spent <= count <= spent + unsure:
            yield f"{count} downloads are counted, {spent} were granted, {unsure} are uncertain"


def forget_deleted(client: Client) -> None:
    """
    Close the books on what has been looked at and will not change: files that are deleted, and their links.
    """
    journal = client.journal
    for link, (file, _) in list(journal.budgets.items()):
        if file in journal.deleted:
            del journal.budgets[link]
    journal.deleted.clear()
