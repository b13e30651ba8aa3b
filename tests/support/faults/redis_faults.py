"""
Faults of a Redis or Valkey server, each active inside a block.
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
    Kill the server; it restarts without its data.
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
    Pause the server: its connections stay open without responses, and it keeps its data.
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
    Delete the server's data and scripts.
    """
    with valkey.client() as client:
        client.flushall()
        client.script_flush()
    yield


@contextmanager
def scripts_flushed(valkey: Valkey) -> Iterator[None]:
    """
    Delete the server's scripts.
    """
    with valkey.client() as client:
        client.script_flush()
    yield


@contextmanager
def full(valkey: Valkey) -> Iterator[None]:
    """
    Set a memory limit that is already exceeded, without eviction: writes are refused.
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
    Make the server the replica of an unreachable one: it serves reads and refuses writes.
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
    Require more replicas than there are, so that writes are refused.
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
    Let the server load its data slowly, so that it responds `LOADING`; it needs `--enable-debug-command yes`.
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
    Fill the server beyond its memory limit, so that any key may be evicted at any moment.
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
