"""
One campaign cycle: clients under load, a kill, a recovery, and a verification of the acknowledged state.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs

from campaign.resident import PART, CampaignClient, new_client
from campaign.victim import TIMEOUT_SECONDS, ServiceUnderTest, Violation
from support.clients.journal import NOT_SENT, Status
from support.clients.load import clients_running
from support.clients.tus import workers
from support.clients.wire import call

CLIENTS: Final = 6

QUOTA: Final = 1 << 30

WAYS: Final = {"worker": 10, "master": 5, "all of it": 4, "all of it, and again while it starts": 1}
"""What is killed, and in how many of twenty cycles."""

ANY_TIME_SECONDS: Final = 1.5
"""Bound in seconds, counted from full load, of a kill that waits for no request."""

VERBS: Final = ("store", "put", "tus create", "tus append", "redeem", "delete", "share", "sign in", "refresh")
"""Requests that a kill may wait for: it comes once the last byte of such a request has been sent."""

HOT_SECONDS: Final = 0.02
"""Bound in seconds of the delay between that byte and the kill."""

SETTINGS: Final[Mapping[str, str]] = {
    "ARGON2_MEMORY_KIB": "8192",
    "PART_SIZE": str(PART),
    "ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
    "SIGN_IN_ATTEMPTS": "10000",
    "USER_QUOTA": str(QUOTA),
    "LINGER_SECONDS": "0",
    "SWEEP_INTERVAL_SECONDS": "1",
    # The campaign's sweep runs with a later clock, so all that is an hour old then has expired.
    "UPLOAD_IDLE_HOURS": "1",
    "ORPHAN_GRACE_HOURS": "1",
}
"""Small parts, cheap hashes, sweeps in progress during the kill, and limits that no client reaches."""


@attrs.define
class Watch:
    """
    Chooses the moment of the kill.
    """

    within_seconds: float = ANY_TIME_SECONDS
    _verb: str | None = None
    _sent: threading.Event = attrs.field(factory=threading.Event)

    def notify(self, verb: str) -> None:
        """
        Note that a request of this kind has been sent.
        """
        if verb == self._verb:
            self._sent.set()

    def wait(self, random_source: random.Random) -> str:
        """
        Wait until the moment that is drawn, and return its description.
        """
        if random_source.random() < 0.5:
            time.sleep(random_source.uniform(0, self.within_seconds))
            return "at any time"
        self._sent.clear()
        self._verb = verb = random_source.choice(VERBS)
        self._sent.wait(2 * self.within_seconds)
        self._verb = None
        time.sleep(random_source.uniform(0, HOT_SECONDS))
        return f"after {verb}"


@attrs.define
class Figures:
    """
    The results of a campaign.
    """

    kills: Counter[str] = attrs.field(factory=Counter)
    moments: Counter[str] = attrs.field(factory=Counter)
    seconds_to_health: dict[str, list[float]] = attrs.field(factory=dict)
    sweeps: int = 0
    swept: Counter[str] = attrs.field(factory=Counter)
    files_verified: int = 0
    statuses: Counter[tuple[str, Status]] = attrs.field(factory=Counter)


@attrs.define
class Campaign:
    """
    Clients and their service, through any number of cycles.
    """

    target: ServiceUnderTest
    random_source: random.Random
    sweeps_beside: bool
    """Whether a sweep may run beside the service, which the storage determines."""

    ways: Mapping[str, int] = WAYS
    clients: list[CampaignClient] = attrs.field(factory=list)
    figures: Figures = attrs.field(factory=Figures)
    watch: Watch = attrs.field(factory=Watch)

    def begin(self) -> None:
        """
        Start the service, and register the clients.
        """
        self.target.start()
        for number in range(CLIENTS):
            client = new_client(self.target.service, number)
            client.on_sent = self.watch.notify
            self.clients.append(client)

    def cycle(self) -> None:
        """
        Kill once under load, and verify everything; a `Violation` names the discrepancies.
        """
        (way,) = self.random_source.choices(list(self.ways), list(self.ways.values()))
        with clients_running(self.clients):
            self._wait_for_each(1)
            moment = self.watch.wait(self.random_source)
            killed_at = time.monotonic()
            expected_to_end = self.target.kill(way, self.random_source)
            if way != "worker":
                if "again" in way:
                    self.target.kill_while_starting(self.random_source.uniform(0, 1))
                self.target.start()
            self._wait_for_health()
            self.figures.seconds_to_health.setdefault(way, []).append(time.monotonic() - killed_at)
            self._wait_for_each(1)
        self.target.wait_until_ended(expected_to_end)
        self.figures.kills[way] += 1
        self.figures.moments[moment] += 1
        self.check()

    def check(self) -> None:
        """
        Verify everything that the service has acknowledged to any client.
        """
        with ThreadPoolExecutor(len(self.clients)) as threads:
            faults = [
                fault for found in threads.map(CampaignClient.find_discrepancies, self.clients) for fault in found
            ]
        self.figures.files_verified += sum(len(client.journal.stored) for client in self.clients)
        self._require_no(faults)

    def sweep(self) -> None:
        """
        Run a later sweep and the doctor, and assert that nothing is left over and all usage is exact.
        """
        for client in self.clients:
            client.finish()
        self.assert_all_finished()
        if self.sweeps_beside:
            self._sweep()
        else:
            with self.target.stopped():
                self._sweep()
            self._wait_for_health()
            self._require_no([] if self.target.service.is_tidy() else ["the data folder contains leftovers"])
        self._require_no([fault for client in self.clients for fault in client.has_used(QUOTA)])
        self.check()

    def assert_all_finished(self) -> None:
        """
        Assert that nothing is in progress or in doubt except the uploads left to the sweep.
        """
        open_ = [client for client in self.clients if client.uploads or client.journal.uncertain]
        self._require_no([f"cannot be finished: {client.uploads} {client.journal.uncertain}" for client in open_])

    def _sweep(self) -> None:
        status, swept = self.target.command_output_later("sweep")
        self.figures.sweeps += 1
        self.figures.swept.update(
            {name: swept[name] for name in ("given_up", "expired", "removed", "orphans", "forgotten")}
        )
        self._require_no([] if status == 0 and swept["is_complete"] else [f"the sweep ended with {status}: {swept}"])
        status, report = self.target.command_output_later("doctor", "--verify-data")
        self._require_no(
            [] if status == 0 else [f"the doctor ended with {status}: {report['findings']} {report['failures']}"]
        )

    def _wait_for_each(self, additional: int) -> None:
        """
        Wait until each client has received so many more responses, or one has found a fault.
        """
        goals = [self._responses(client) + additional for client in self.clients]
        end = time.monotonic() + TIMEOUT_SECONDS
        while any(self._responses(client) < goal for client, goal in zip(self.clients, goals, strict=True)):
            if any(client.journal.faults for client in self.clients):
                return
            if time.monotonic() > end:
                raise Violation("a client has had no response for too long")
            time.sleep(0.005)

    @staticmethod
    def _responses(client: CampaignClient) -> int:
        report = list(client.journal.statuses.items())
        return sum(count for (_, status), count in report if status not in {None, NOT_SENT, 503})

    def _wait_for_health(self) -> None:
        """
        Wait until a request that reads the database succeeds and all workers run.
        """
        target = self.target
        end = time.monotonic() + TIMEOUT_SECONDS
        while not (self._is_healthy() and len(workers(target.service)) == target.workers):
            if target.service.process.poll() is not None:
                raise Violation(f"the service ended by itself with {target.service.process.returncode}")
            if time.monotonic() > end:
                raise Violation("the service did not recover")
            time.sleep(0.005)

    def _is_healthy(self) -> bool:
        service = self.target.service
        try:
            path = f"{service.api}/files/?limit=1"
            return call(service.port, "GET", path, token=self.clients[0].token).status == 200
        except OSError:
            return False

    @staticmethod
    def _require_no(faults: Sequence[str]) -> None:
        if faults:
            raise Violation("\n  ".join(faults))

    def total(self) -> Figures:
        """
        The figures, including the requests of all clients.
        """
        self.figures.statuses = sum((client.journal.statuses for client in self.clients), Counter())
        return self.figures
