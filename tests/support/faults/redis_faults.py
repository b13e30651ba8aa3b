"""
Ways to put a Redis or Valkey server of our own out of order, and back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from sft_adapters.redis.client import Client
from support.servers.backends import Valkey

Connect = Callable[..., Client]
Fault = Callable[[Valkey], AbstractContextManager[None]]


@contextmanager
def down(valkey: Valkey) -> Iterator[None]:
    """
    Killed; it comes back empty.
    """
    assert valkey.server is not None
    valkey.server.kill()
    try:
        yield
    finally:
        valkey.server.start()


@contextmanager
def hanging(valkey: Valkey) -> Iterator[None]:
    """
    Its connections stay open and nobody answers; it comes back with all it had.
    """
    assert valkey.server is not None
    valkey.server.pause()
    try:
        yield
    finally:
        valkey.server.resume()


@contextmanager
def flushed(valkey: Valkey) -> Iterator[None]:
    """
    It has lost its data and its scripts.
    """
    with valkey.client() as client:
        client.flushall()
        client.script_flush()
    yield


@contextmanager
def scripts_flushed(valkey: Valkey) -> Iterator[None]:
    """
    It has lost its scripts.
    """
    with valkey.client() as client:
        client.script_flush()
    yield


@contextmanager
def full(valkey: Valkey) -> Iterator[None]:
    """
    It has reached its limit and evicts nothing: what needs memory is refused.
    """
    with valkey.client() as client:
        client.config_set("maxmemory", 1)
        try:
            yield
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def read_only(valkey: Valkey) -> Iterator[None]:
    """
    It is the replica of a server that nobody reaches: it answers with what it has and takes nothing.
    """
    with valkey.client() as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def short_of_replicas(valkey: Valkey) -> Iterator[None]:
    """
    It refuses changes, because too few replicas would take them.
    """
    with valkey.client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            yield
        finally:
            client.config_set("min-replicas-to-write", 0)


@contextmanager
def loading(valkey: Valkey) -> Iterator[None]:
    """
    It reads its data from disk and answers only that it does; the server needs `--enable-debug-command yes`.
    """
    with valkey.client() as client:
        with client.pipeline() as filling:
            for number in range(10_000):
                filling.set(f"ballast:{number}", b"x" * 500)
            filling.execute()
        client.config_set("loading-process-events-interval-bytes", 1024)
        client.config_set("key-load-delay", 500)
        reload = threading.Thread(target=_reload, args=(valkey,))
        reload.start()
        _wait_until_loading(valkey)
        try:
            yield
        finally:
            client.config_set("key-load-delay", 0)
            reload.join()
            client.flushall()


def _reload(valkey: Valkey) -> None:
    with valkey.client() as client:
        client.execute_command("DEBUG", "RELOAD")


def _wait_until_loading(valkey: Valkey) -> None:
    end = time.monotonic() + 10
    while time.monotonic() < end:
        with redis.Redis.from_url(valkey.url, retry=Retry(NoBackoff(), 0)) as client:
            try:
                client.get("x")
            except redis.BusyLoadingError:
                return
        time.sleep(0.005)
    raise TimeoutError("the server did not begin to load")


@contextmanager
def evicting(valkey: Valkey) -> Iterator[None]:
    """
    It has reached its limit, and others fill it: any key may be gone at any moment.
    """
    stop = threading.Event()

    def fill() -> None:
        number = 0
        with valkey.client() as client:
            while not stop.is_set():
                number += 1
                with suppress(redis.RedisError):
                    client.set(f"filler:{number}", b"x" * 2000)

    with valkey.client() as client:
        client.config_set("maxmemory-policy", "allkeys-random")
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 100_000)
        thread = threading.Thread(target=fill)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            client.config_set("maxmemory", 0)
            client.config_set("maxmemory-policy", "noeviction")
            client.flushall()


PERSISTENT: Final[dict[str, Fault]] = {
    "down": down,
    "hanging": hanging,
    "full": full,
    "read-only": read_only,
    "short of replicas": short_of_replicas,
}
TRANSIENT: Final[dict[str, Fault]] = {
    "flushed": flushed,
    "scripts flushed": scripts_flushed,
    "loading": loading,
    "evicting": evicting,
}
