"""
PostgreSQL, Valkey and S3 are killed or paused under load: no acknowledged data is lost, and the service recovers.
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
ENOUGH_RESPONSES = 5
"""Responses to each client from which the load counts as running."""

WAIT_SECONDS = 60
"""Upper bound of each wait in seconds; the tests do not measure how long recovery takes."""

IMPATIENT = {
    "DATABASE_TIMEOUT_SECONDS": "1",
    "DATABASE_CONNECT_SECONDS": "2",
    "DATABASE_STATEMENT_SECONDS": "1",
    "DATABASE_RESPONSE_GRACE_SECONDS": "0.5",
    "MINIO_READ_SECONDS": "1",
    "SWEEP_INTERVAL_SECONDS": "1",
}
"""Timeouts of a few seconds, so that a test can wait until a hung server is reported as unavailable."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {"SIGN_IN_ATTEMPTS": "1000", **IMPATIENT}
    with stack(tmp_path_factory.mktemp("stack"), settings=settings) as everything:
        yield everything


@contextmanager
def load(running: Stack, name: str) -> Iterator[list[Client]]:
    """
    Keep clients busy until the block ends; each is a separate user.
    """
    tokens = [running.service.sign_up(f"{name}{number}") for number in range(CLIENTS)]
    clients = [Client(running.service, seed, token) for seed, token in enumerate(tokens)]
    with clients_running(clients, patience_seconds=WAIT_SECONDS):
        wait_for_each(clients, answered, ENOUGH_RESPONSES, "the service did not start to respond")
        yield clients


def until(happens: Callable[[], object], message: str) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while not happens():
        assert time.monotonic() < end, message
        time.sleep(0.02)


def answered(client: Client) -> int:
    """
    Return how many responses a client has received that were not 429 or 503.
    """
    return sum(count for (_, status), count in status_counts(client).items() if status is not None and status < 429)


def refused(client: Client) -> int:
    """
    Return how many 503 responses a client has received.
    """
    return sum(count for (_, status), count in status_counts(client).items() if status == 503)


def status_counts(client: Client) -> Counter[tuple[str, Status]]:
    """
    Return a copy of the counts of a client that may still be sending requests.
    """
    return Counter(dict(list(client.journal.statuses.items())))


def wait_for_each(clients: list[Client], count: Callable[[Client], int], more: int, message: str) -> None:
    """
    Wait until this count of each client has grown by `more`.
    """
    goals = [count(client) + more for client in clients]
    until(lambda: all(count(client) >= goal for client, goal in zip(clients, goals, strict=True)), message)


def upload_status(running: Stack, token: str) -> Status:
    """
    Upload one more file as another user and return its status.
    """
    probe = Client(running.service, 0, token)
    probe.store()
    (_, status), *_ = probe.journal.statuses
    return status


def all_status_counts(clients: list[Client]) -> Counter[tuple[str, Status]]:
    return sum(map(status_counts, clients), Counter())


@contextmanager
def failing(server: Server, way: str) -> Iterator[None]:
    """
    Kill or pause the server inside the block, and start or resume it afterwards.
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
def test_server_failure_under_load_loses_nothing_acknowledged(running: Stack, name: str, way: str) -> None:
    """Requests get 503 during the failure; afterwards every file, link and count is as it was acknowledged."""
    token = running.service.sign_up(f"{name}-{way}")
    with load(running, f"{name}-{way}-") as clients:
        with failing(getattr(running, name), way):
            wait_for_each(clients, refused, 1, "a client received no 503 while the server was unavailable")
            assert upload_status(running, token) == 503
        until(lambda: upload_status(running, token) == 201, "the service did not recover")
        wait_for_each(clients, answered, ENOUGH_RESPONSES, "the service did not continue after the failure")
    assert all_status_counts(clients)["store", 201] > CLIENTS
    assert [fault for client in clients for fault in find_discrepancies(client)] == []
    until(lambda: is_consistent(running), "an upload is unfinished, or a quota counts bytes that are not stored")


def is_consistent(running: Stack) -> bool:
    """
    Return whether every file is sealed and every owner's usage equals the total size of their files.
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
def test_valkey_failure_refuses_no_request(running: Stack, way: str) -> None:
    """Sessions and rate limits use the database instead."""
    with load(running, f"uncached-{way}-") as clients:
        with failing(running.valkey, way):
            wait_for_each(clients, answered, ENOUGH_RESPONSES, "the service does not respond without its cache")
        wait_for_each(clients, answered, ENOUGH_RESPONSES, "the service did not continue after the failure")
    assert {status for _, status in all_status_counts(clients)} <= {200, 201, 204, 403, 404}
    assert [fault for client in clients for fault in find_discrepancies(client)] == []
