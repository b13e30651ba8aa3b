"""
A Redis client with short timeouts, no retries, and a circuit breaker.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Final, cast

import attrs
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sft_adapters.redis import startup_check
from sft_adapters.redis.circuit_breaker import CircuitBreaker
from sft_adapters.redis.pending_deletes import PendingDeletes
from sft_adapters.redis.url import parse_url
from sft_core.errors import ConfigurationError

Reply = bytes | int
Argument = bytes | str | int

_DELETE_BATCH: Final = 1000


@attrs.frozen
class Script:
    """
    A Lua script over one key, called by its digest.

    It returns a number or a string, or nil if the value of the key has an unknown format.
    """

    text: str
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest_of_text(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@attrs.frozen(eq=False)
class Client:
    """
    A client of a server that may fail.

    Every method returns in bounded time, and only `check` raises. As many calls as there are `slots`
    run at once. A further call waits up to `wait_seconds` for a slot and then skips the server. Create the
    client after the fork, share it between threads, and close it.
    """

    _driver: redis.Redis = attrs.field(repr=False)
    prefix: str
    wait_seconds: float
    _slots: threading.BoundedSemaphore
    _breaker: CircuitBreaker
    _pending_deletes: PendingDeletes

    def key(self, kind: str, name: str) -> str:
        """
        Return the Redis key of a name of one kind.
        """
        return f"{self.prefix}{kind}:{name}"

    def run(self, script: Script, key: str, *arguments: Argument) -> Reply | None:
        """
        Run a script atomically; return its reply, or None for nil or an unavailable server.

        A script without a reply may still run later, when a hanging server resumes.
        """
        reply = self._call(lambda: self._run(script, key, arguments))
        return reply if isinstance(reply, bytes | int) else None

    def delete(self, key: str) -> None:
        """
        Delete a key now, or later if the server is unavailable.
        """
        if self._call(lambda: self._delete_keys(key)) is None:
            self.delete_later(key)

    def delete_later(self, key: str) -> None:
        """
        Delete a key when the server is reachable, before any other call of this process.
        """
        self._pending_deletes.add(key)

    def check(self) -> bool:
        """
        Return whether the server is available, for the start; its failure is logged.

        Raises `ConfigurationError` if the server refuses the credentials, the database or TLS, or is no Redis server.
        """
        error, wrong_setting = startup_check.probe(self._driver)
        if wrong_setting:
            raise ConfigurationError(f"REDIS_URL: {wrong_setting}")
        if error is not None:
            self._breaker.record_failure(type(error).__name__)
        return error is None

    def close(self) -> None:
        """
        Close every connection.
        """
        self._driver.connection_pool.disconnect()

    def _call(self, request: Callable[[], object]) -> object:
        # None if the circuit breaker is open, no slot is free, or the call fails.
        if not self._slots.acquire(timeout=self.wait_seconds):
            return None
        try:
            if not self._breaker.allow_request():
                return None
            self._delete_pending()
            reply = request()
        except Exception as error:  # noqa: BLE001 (a peer that sends garbage makes a driver raise anything)
            self._breaker.record_failure(type(error).__name__)
            return None
        else:
            self._breaker.record_success()
            return reply
        finally:
            self._slots.release()

    def _run(self, script: Script, key: str, arguments: tuple[Argument, ...]) -> object:
        try:
            return self._driver.evalsha(script.digest, 1, key, *arguments)
        except NoScriptError:
            # The server has lost the script.
            return self._driver.eval(script.text, 1, key, *arguments)

    def _delete_pending(self) -> None:
        pending = self._pending_deletes.snapshot()
        keys = list(pending)
        for start in range(0, len(keys), _DELETE_BATCH):
            self._delete_keys(*keys[start : start + _DELETE_BATCH])
        self._pending_deletes.confirm(pending)

    def _delete_keys(self, *keys: str) -> int:
        deleted = self._driver.delete(*keys)
        if not isinstance(deleted, int):
            raise TypeError("the reply to a deletion is not a number")
        return deleted


def open_client(
    url: str,
    *,
    database: int = 0,
    prefix: str = "sft:",
    timeout_seconds: float = 0.25,
    cooldown_seconds: float = 1.0,
    connections: int = 16,
    wait_seconds: float = 0.05,
    max_pending_deletes: int = 10_000,
) -> Client:
    """
    Create a client for a URL (see `parse_url`); it connects on first use.

    Connecting, sending and each wait for bytes may take up to `timeout_seconds`. After a failure the
    server is not used for `cooldown_seconds`. At most `max_pending_deletes` deletions are pending for an
    unreachable server. Raises `ConfigurationError` if the URL is malformed.
    """
    address = parse_url(url, database=database)
    pool = redis.ConnectionPool(
        connection_class=cast("type[redis.Connection]", address.connection),
        max_connections=connections,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
        decode_responses=False,
        protocol=2,
        driver_info=None,
        **address.options,
    )
    return Client(
        driver=redis.Redis(connection_pool=pool),
        prefix=prefix,
        wait_seconds=wait_seconds,
        slots=threading.BoundedSemaphore(connections),
        breaker=CircuitBreaker(cooldown_seconds),
        pending_deletes=PendingDeletes(max_pending_deletes),
    )
