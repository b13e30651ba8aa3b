"""
PostgreSQL, Valkey and S3 are killed, paused and started again under load: nothing is lost, all recovers.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from sft_adapters.sql.engine import temporary_engine
from support.clients.journal import Status
from support.clients.load import Client, clients_running, find_discrepancies
from support.servers.backends import Server
from support.servers.stack import Stack, stack

CLIENTS = 6
ENOUGH = 5
"""Answers to each client that make a load."""

PATIENCE_SECONDS = 60
"""When to give up waiting for what must happen; how soon it does is not judged."""

IMPATIENT = {
    "DATABASE_TIMEOUT_SECONDS": "1",
    "DATABASE_CONNECT_SECONDS": "2",
    "DATABASE_STATEMENT_SECONDS": "1",
    "DATABASE_RESPONSE_GRACE_SECONDS": "0.5",
    "MINIO_READ_SECONDS": "1",
    "SWEEP_INTERVAL_SECONDS": "1",
}
"""The service gives a server that hangs up within seconds, so that a test can wait for it."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"SIGN_IN_ATTEMPTS": "1000", **IMPATIENT}
    with stack(tmp_path_factory.mktemp("stack"), settings=settings) as everything:
        yield everything


@contextmanager
def load(running: Stack, name: str) -> Iterator[list[Client]]:
    """
    Clients at work until the block ends; each is a user of its own.
    """
    tokens = [running.service.sign_up(f"{name}{number}") for number in range(CLIENTS)]
    clients = [Client(running.service, seed, token) for seed, token in enumerate(tokens)]
    with clients_running(clients, patience_seconds=PATIENCE_SECONDS):
        wait_for_each(clients, answered, ENOUGH, "the service did not begin to answer")
        yield clients


def until(happens: Callable[[], object], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not happens():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def answered(client: Client) -> int:
    """
    How many answers a client has had that were no "come again".
    """
    return sum(count for (_, status), count in told(client).items() if status is not None and status < 429)


def refused(client: Client) -> int:
    """
    How often a client was told to come again.
    """
    return sum(count for (_, status), count in told(client).items() if status == 503)


def told(client: Client) -> Counter[tuple[str, Status]]:
    """
    What a client was told so far; it may be at work.
    """
    return Counter(dict(list(client.journal.statuses.items())))


def wait_for_each(clients: list[Client], count: Callable[[Client], int], more: int, otherwise: str) -> None:
    """
    Wait until this count of each client is higher by `more` than it is now.
    """
    goals = [count(client) + more for client in clients]
    until(lambda: all(count(client) >= goal for client, goal in zip(clients, goals, strict=True)), otherwise)


def storing(running: Stack, token: str) -> Status:
    """
    The answer to one upload more, of somebody else.
    """
    probe = Client(running.service, 0, token)
    probe.store()
    (_, status), *_ = probe.journal.statuses
    return status


def seen(clients: list[Client]) -> Counter[tuple[str, Status]]:
    return sum(map(told, clients), Counter())


@contextmanager
def failing(server: Server, way: str) -> Iterator[None]:
    """
    A server that is dead or hangs inside the block, and is back after it.
    """
    if way == "kill":
        server.kill()
    else:
        server.pause()
    try:
        yield
    finally:
        if way == "kill":
            server.start()
        else:
            server.resume()


@pytest.mark.parametrize("name", ["postgres", "s3"])
@pytest.mark.parametrize("way", ["kill", "pause"])
def test_a_server_that_fails_under_load_costs_nothing_that_was_acknowledged(
    running: Stack, name: str, way: str
) -> None:
    """While it is away everybody is told to come again; afterwards every file, link and count is as acknowledged."""
    somebody = running.service.sign_up(f"{name}-{way}")
    with load(running, f"{name}-{way}-") as clients:
        with failing(getattr(running, name), way):
            wait_for_each(clients, refused, 1, "somebody was not told that the server is away")
            assert storing(running, somebody) == 503
        until(lambda: storing(running, somebody) == 201, "the service did not recover")
        wait_for_each(clients, answered, ENOUGH, "the service did not go on")
    assert seen(clients)["store", 201] > CLIENTS
    assert [fault for client in clients for fault in find_discrepancies(client)] == []
    until(lambda: nothing_is_left_over(running), "something was left unfinished, or is counted that is not there")


def nothing_is_left_over(running: Stack) -> bool:
    """
    Whether every file is whole, holds what it is long, and is the whole of what its owner is said to use.
    """
    url = running.service.settings["DATABASE_URL"]
    with temporary_engine(url, busy_seconds=10) as engine, engine.connect() as connection:
        unfinished = connection.execute(text("SELECT count(*) FROM files WHERE state <> 'sealed'")).scalar_one()
        stored = connection.execute(text("SELECT owner_id, sum(size), sum(held) FROM files GROUP BY owner_id")).all()
        used = connection.execute(text("SELECT owner_id, bytes FROM usages WHERE bytes <> 0")).all()
    sizes = {bytes(owner): int(size) for owner, size, _ in stored if size}
    held = {bytes(owner): int(size) for owner, _, size in stored if size}
    return not unfinished and sizes == held == {bytes(owner): count for owner, count in used}


@pytest.mark.parametrize("way", ["kill", "pause"])
def test_without_valkey_nothing_is_refused(running: Stack, way: str) -> None:
    """Sessions and limits go on from the database: no request fails for want of the cache."""
    with load(running, f"uncached-{way}-") as clients:
        with failing(running.valkey, way):
            wait_for_each(clients, answered, ENOUGH, "the service waits for its cache")
        wait_for_each(clients, answered, ENOUGH, "the service did not go on")
    assert {status for _, status in seen(clients)} <= {200, 201, 204, 403, 404}
    assert [fault for client in clients for fault in find_discrepancies(client)] == []
