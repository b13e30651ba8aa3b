"""
Clients that keep a service busy, write down what it acknowledged, and hold it to that afterwards.
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

from support.ledger import MAY_PASS, UNSENT, Content, Ledger, in_doubt, is_whole
from support.service import Service
from support.wire import Answer, connected, multipart, receive, send

SIZES = (0, 1, 1000, 16_384, 100_000, 300_000)

KNOCK_SECONDS = 0.05
"""How soon a client that found nobody listening tries again."""


def nobody(_verb: str) -> None:
    """
    Whom it does not concern that a request is on its way.
    """


@attrs.define(eq=False)
class Client:
    """
    One user who stores, reads, shares, redeems and deletes until told to stop.

    `when_sent` is told the verb of each request when the last byte of it has been sent.
    """

    service: Service
    seed: int
    token: str
    ledger: Ledger = attrs.field(factory=Ledger)
    when_sent: Callable[[str], object] = nobody
    dice: random.Random = attrs.field(init=False)

    @dice.default
    def _dice_of_the_seed(self) -> random.Random:
        return random.Random(self.seed)

    @property
    def verbs(self) -> Sequence[Callable[[], None]]:
        """
        What the client does, each as often as it stands here.
        """
        return [self.store, self.store, self.read, self.read, self.share, self.redeem, self.redeem, self.delete]

    def work(self, stop: threading.Event) -> None:
        """
        Do one thing after the other until the event.
        """
        try:
            while not stop.is_set():
                self.dice.choice(self.verbs)()
        except Exception as error:  # noqa: BLE001 (an answer that is none ends no client unseen)
            self.ledger.faults.append(f"an answer that nobody understands: {error!r}")

    # --- requests ------------------------------------------------------------------------------

    def asked(
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
    ) -> Answer | None:
        """
        The answer to a request, if it came; one that broke off counts if it may be `cut`.

        The body is announced with a `length` that is not its own if one is given.
        """
        sent = dict(headers or {})
        if not anonymous:
            sent["Authorization"] = f"Bearer {self.token}"
        try:
            with connected(self.service.port) as connection:
                send(connection, method, self.service.api + path, sent, len(body) if length is None else length)
                connection.sendall(body)
                self.when_sent(verb)
                answer = receive(connection)
        except ConnectionRefusedError:
            time.sleep(KNOCK_SECONDS)
            return Answer(UNSENT, {}, b"")
        except OSError:
            return None
        return answer if cut or method == "HEAD" or is_whole(answer) else None

    def asked_json(self, verb: str, path: str, body: Any, *, anonymous: bool = False) -> Answer | None:
        headers = {"Content-Type": "application/json"}
        return self.asked(verb, "POST", path, body=json.dumps(body).encode(), headers=headers, anonymous=anonymous)

    # --- what it does --------------------------------------------------------------------------

    def new_file(self, sizes: Sequence[int] = SIZES) -> tuple[str, Content]:
        """
        A name that no other file has, and something to store under it.
        """
        return f"{secrets.token_hex(8)}.bin", Content(self.dice.getrandbits(64), self.dice.choice(sizes))

    def note_stored(self, verb: str, name: str, content: Content, answer: Answer | None) -> None:
        """
        Write down what became of a file that was sent.
        """
        status = self.ledger.count(verb, answer, 201)
        if status == 201 and answer is not None:
            told = answer.json()
            self.ledger.stored[told["id"]] = content
            if told["file_size"] != content.size:
                self.ledger.faults.append(f"{verb}: {content.size} bytes were sent, {told['file_size']} are told")
        elif in_doubt(status):
            self.ledger.unanswered[name] = content

    def store(self) -> None:
        name, content = self.new_file()
        headers, (before, after) = multipart(name)
        answer = self.asked("store", "POST", "/files/upload", body=before + content.data + after, headers=dict(headers))
        self.note_stored("store", name, content, answer)

    def read(self) -> None:
        if self.ledger.stored:
            file = self.dice.choice(list(self.ledger.stored))
            answer = self.asked("read", "GET", f"/files/{file}/download", cut=True)
            if self.ledger.count("read", answer, 200) == 200 and answer is not None:
                self.check("read", self.ledger.stored[file], answer)

    def check(self, verb: str, content: Content, answer: Answer) -> bool:
        """
        Whether a body came whole; then it is the file's, and one that broke off is shorter than announced.
        """
        if not is_whole(answer):
            self.ledger.statuses[verb, None] += 1
            return False
        if not content.is_in(answer):
            self.ledger.faults.append(f"{verb}: a file of {content.size} bytes has other bytes")
        return True

    def share(self) -> None:
        if self.ledger.stored:
            file, budget = self.dice.choice(list(self.ledger.stored)), self.dice.randint(1, 3)
            answer = self.asked_json("share", f"/files/{file}/share", {"max_downloads": budget})
            if self.ledger.count("share", answer, 200) == 200 and answer is not None:
                self.ledger.budgets[answer.json()["share_token"]] = (file, budget)

    def redeem(self) -> None:
        if not self.ledger.budgets:
            return
        # Of links that are over it is enough to try a few.
        link = max(self.dice.choices(list(self.ledger.budgets), k=2), key=self._promises)
        file, _ = self.ledger.budgets[link]
        answer = self.asked("redeem", "GET", f"/files/shared/{link}", anonymous=True, cut=True)
        gone = [404] if file in self.ledger.deleted or file in self.ledger.doubtful else []
        status = self.ledger.count("redeem", answer, 200, 403, *gone)
        if status == 200 and answer is not None:
            self.ledger.granted[link] += 1
            if file in self.ledger.stored:
                self.check("redeem", self.ledger.stored[file], answer)
        elif status is None or status in MAY_PASS:
            self.ledger.open_grants[link] += 1

    def _promises(self, link: str) -> bool:
        file, budget = self.ledger.budgets[link]
        return file in self.ledger.stored and self.ledger.granted[link] < budget

    def delete(self) -> None:
        if self.ledger.doubtful:
            self.delete_again()
        elif len(self.ledger.stored) >= 3:
            file = self.dice.choice(list(self.ledger.stored))
            status = self.ledger.count("delete", self.asked("delete", "DELETE", f"/files/{file}"), 204)
            if status == 204:
                self.ledger.deleted.add(file)
                del self.ledger.stored[file]
            elif in_doubt(status):
                self.ledger.doubtful[file] = self.ledger.stored.pop(file)

    def delete_again(self) -> None:
        """
        Ask once more for a deletion that nobody has answered; that it is done already is an answer.
        """
        file = next(iter(self.ledger.doubtful))
        status = self.ledger.count("delete", self.asked("delete", "DELETE", f"/files/{file}"), 204, 404)
        if status in {204, 404}:
            self.ledger.deleted.add(file)
            del self.ledger.doubtful[file]


@contextmanager
def at_work(clients: Sequence[Client], *, patience_seconds: float = 60) -> Iterator[None]:
    """
    Let the clients work, each in a thread of its own, until the block ends.
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
            assert not thread.is_alive(), "a request never came back"


# --- afterwards ----------------------------------------------------------------------------------


def settle(client: Client) -> list[str]:
    """
    What is not as it was acknowledged, once the service is well again: nothing, it should be.

    An upload that was in doubt and is there counts as acknowledged from here on.
    """
    listing = client.asked("list", "GET", "/files/?limit=1000")
    if listing is None or listing.status != 200:
        return [*client.ledger.faults, f"no listing: {listing and listing.status}"]
    listed = {file["id"]: file for file in listing.json()}
    return [*client.ledger.faults, *_unheard_of(client, listed), *_lost(client, listed), *_links(client, listed)]


def _unheard_of(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    """
    Files that nobody sent, or that were deleted; uploads that were in doubt and are there are taken up.
    """
    ledger = client.ledger
    for file in listed.keys() - ledger.stored.keys():
        name = listed[file]["original_filename"]
        if file in ledger.deleted:
            yield f"deleted and still listed: {file}"
        elif file in ledger.doubtful:
            # What was asked for may still come to be, so it is not taken up.
            answer = client.asked("verify", "GET", f"/files/{file}/download")
            if answer is None or not (answer.status == 404 or ledger.doubtful[file].is_in(answer)):
                yield f"neither deleted nor whole: {file}, {answer and answer.status}"
        elif name in ledger.unanswered:
            ledger.stored[file] = ledger.unanswered.pop(name)
        else:
            yield f"listed, and nobody sent it: {file}"


def _lost(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    ledger = client.ledger
    for file, content in ledger.stored.items():
        answer = client.asked("verify", "GET", f"/files/{file}/download")
        if answer is None or answer.status != 200 or not content.is_in(answer):
            yield f"lost or damaged: {file} of {content.size} bytes, {answer and answer.status}"
        if file not in listed:
            yield f"not listed: {file}"
        elif listed[file]["file_size"] != content.size:
            yield f"listed with {listed[file]['file_size']} bytes of {content.size}: {file}"
    for file in ledger.deleted:
        answer = client.asked("verify", "GET", f"/files/{file}")
        if answer is None or answer.status != 404:
            yield f"deleted and still there: {file}, {answer and answer.status}"


def _links(client: Client, listed: dict[str, Any]) -> Iterator[str]:
    """
    Links that give more than they had or less, or after their file; counts that are neither granted nor in doubt.
    """
    ledger = client.ledger
    for link, (file, budget) in ledger.budgets.items():
        if ledger.granted[link] > budget:
            yield f"a budget of {budget} gave {ledger.granted[link]} downloads"
        if ledger.granted[link] >= budget or file in ledger.deleted:
            answer = client.asked("verify", "GET", f"/files/shared/{link}", anonymous=True)
            if answer is None or answer.status not in {403, 404}:
                yield f"a link that is over opens: {answer and answer.status}"
        elif file in ledger.stored and not ledger.open_grants[link]:
            answer = client.asked("verify", "HEAD", f"/files/shared/{link}", anonymous=True)
            if answer is None or answer.status != 200:
                yield f"a link that was given and not spent is lost: {answer and answer.status}"
    for file in ledger.stored.keys() & listed.keys():
        count, (spent, unsure) = listed[file]["download_count"], ledger.spent(file)
        if not spent <= count <= spent + unsure:
            yield f"{count} downloads are counted, {spent} were granted, {unsure} are in doubt"


def forget_what_is_over(client: Client) -> None:
    """
    Close the books on what has been looked at and will not change: files that are deleted, and their links.
    """
    ledger = client.ledger
    for link, (file, _) in list(ledger.budgets.items()):
        if file in ledger.deleted:
            del ledger.budgets[link]
    ledger.deleted.clear()
