"""
PostgreSQL, Valkey and S3 are killed, paused and started again under load: nothing is lost, all recovers.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.load import Client, Status, settle
from support.servers import Server
from support.stack import Stack, stack

pytestmark = pytest.mark.xdist_group("stack")

CLIENTS = 6
DOWN_SECONDS = 1.5
RECOVERY_SECONDS = 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with stack(tmp_path_factory.mktemp("stack"), settings={"SIGN_IN_ATTEMPTS": "1000"}) as everything:
        yield everything


@contextmanager
def load(running: Stack, name: str) -> Iterator[list[Client]]:
    """
    Clients at work until the block ends; each is a user of its own.
    """
    stop = threading.Event()
    tokens = [running.service.sign_up(f"{name}{number}") for number in range(CLIENTS)]
    clients = [Client(running.service, seed, stop, token) for seed, token in enumerate(tokens)]
    for client in clients:
        client.start()
    try:
        yield clients
    finally:
        stop.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive(), "a request never came back"


def stores_again(running: Stack, token: str) -> None:
    """
    Wait until the service stores and reads a file again, by itself.
    """
    end = time.monotonic() + RECOVERY_SECONDS
    probe = Client(running.service, 0, threading.Event(), token)
    while not probe.ledger.digests:
        assert time.monotonic() < end, "the service did not recover"
        probe.store(random.Random(0))
        time.sleep(0.05)


def seen(clients: list[Client]) -> Counter[tuple[str, Status]]:
    return sum((client.ledger.statuses for client in clients), Counter())


@pytest.mark.parametrize("name", ["postgres", "valkey", "s3"])
@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_server_that_fails_under_load_costs_nothing_that_was_acknowledged(
    running: Stack, name: str, way: str
) -> None:
    """Clients see answers, or "come again"; afterwards every file, link and count is as acknowledged."""
    server: Server = getattr(running, name)
    with load(running, f"{name}-{way}-") as clients:
        time.sleep(0.7)
        if way == "kill":
            server.kill()
            time.sleep(DOWN_SECONDS)
            server.start()
        else:
            server.pause()
            time.sleep(DOWN_SECONDS)
            server.resume()
        stores_again(running, clients[0].token)
        time.sleep(0.7)
    answers = seen(clients)
    assert answers["store", 201] > CLIENTS
    if way == "kill" and name != "valkey":
        assert any(status == 503 for _, status in answers), "nobody noticed"
    assert [fault for client in clients for fault in settle(client)] == []


def test_without_valkey_nothing_is_refused(running: Stack) -> None:
    """Sessions and limits go on from the database: no request fails for want of the cache."""
    with load(running, "uncached") as clients:
        running.valkey.kill()
        time.sleep(DOWN_SECONDS)
        running.valkey.start()
        time.sleep(0.5)
    assert {status for _, status in seen(clients)} <= {200, 201, 204, 403, 404}
    assert [fault for client in clients for fault in settle(client)] == []
