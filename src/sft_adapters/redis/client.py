"""
A Redis client with short timeouts, no retries, and a circuit breaker.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any, Final, cast

import attrs
import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError
from redis.retry import Retry

from sft_adapters.redis import startup_check
from sft_adapters.redis.circuit_breaker import Breaker
from sft_adapters.redis.pending_deletes import Debts
from sft_adapters.redis.url import parse_url
from sft_core.errors import ConfigurationError

Reply = bytes | int
Argument = bytes | str | int

_KEYS_AT_ONCE: Final = 1000


@attrs.frozen
class Script:
    """
    A Lua script over one key, called by its digest.

    A server that has lost the script receives its text. It returns a number or a string, or nil if the
    value of the key has an unknown format.
    """

    text: str
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest_of_text(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, driver: redis.Redis, key: str, arguments: tuple[Argument, ...]) -> object:
        """
        Run the script atomically; the caller handles the driver's exceptions.
        """
        try:
            return driver.evalsha(self.digest, 1, key, *arguments)
        except NoScriptError:
            return driver.eval(self.text, 1, key, *arguments)


@attrs.frozen(eq=False)
class Client:
    """
    A client of a server that may fail.

    Every method returns in bounded time, and only `check` raises. At most `connections` calls run at
    once. A further call waits up to `wait_seconds` for a slot and then skips the server. Create the
    client after the fork, share it between threads, and close it.
    """

    _driver: redis.Redis = attrs.field(repr=False)
    prefix: str
    connections: int
    wait_seconds: float
    _breaker: Breaker
    _debts: Debts
    _places: threading.BoundedSemaphore = attrs.field(init=False, repr=False)

    @_places.default
    def _as_many_as_connections(self) -> threading.BoundedSemaphore:
        return threading.BoundedSemaphore(self.connections)

    def key(self, kind: str, name: str) -> str:
        """
        Return the Redis key of a name of one kind.
        """
        return f"{self.prefix}{kind}:{name}"

    def ask(self, script: Script, key: str, *arguments: Argument) -> Reply | None:
        """
        Run a script and return its reply.

        None if the server is unavailable or replied with nil. A script without a reply may still run
        later, when a hanging server resumes.
        """
        answer = self._asked(lambda: script.run(self._driver, key, arguments))
        return answer if isinstance(answer, bytes | int) else None

    def drop(self, key: str) -> None:
        """
        Delete a key now, or later if the server is unavailable.
        """
        if self._asked(lambda: self._delete(key)) is None:
            self.owe(key)

    def owe(self, key: str) -> None:
        """
        Delete a key when the server is reachable, before any other call of this process.
        """
        self._debts.add(key)

    def check(self) -> bool:
        """
        Return whether the server is available, for the start; its failure is logged.

        Raises:
            ConfigurationError: the server refuses the credentials, the database or TLS, or is no Redis server.
        """
        error, wrong_setting = startup_check.probe(self._driver)
        if wrong_setting:
            raise ConfigurationError(f"REDIS_URL: {wrong_setting}")
        if error is not None:
            self._breaker.failed(type(error).__name__)
        return error is None

    def close(self) -> None:
        """
        Close every connection.
        """
        self._driver.connection_pool.disconnect()

    def _asked(self, question: Callable[[], object]) -> object:
        """
        Return the reply of a call.

        None if the circuit breaker is open, no slot is free, or the call fails.
        """
        if not self._places.acquire(timeout=self.wait_seconds):
            return None
        try:
            if not self._breaker.may_ask():
                return None
            self._pay()
            answer = question()
        except Exception as error:  # noqa: BLE001 (a peer that sends garbage makes a driver raise anything)
            self._breaker.failed(type(error).__name__)
            return None
        else:
            self._breaker.answered()
            return answer
        finally:
            self._places.release()

    def _pay(self) -> None:
        due = self._debts.due()
        keys = list(due)
        for start in range(0, len(keys), _KEYS_AT_ONCE):
            self._delete(*keys[start : start + _KEYS_AT_ONCE])
        self._debts.paid(due)

    def _delete(self, *keys: str) -> int:
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
    rest_seconds: float = 1.0,
    connections: int = 16,
    wait_seconds: float = 0.05,
    owed_keys: int = 10_000,
) -> Client:
    """
    Create a client for a URL (see `parse_url`); it connects on first use.

    Connecting, sending and each wait for bytes may take up to `timeout_seconds`. After a failure the
    server is not used for `rest_seconds`. At most `owed_keys` deletions are pending for an
    unreachable server.

    Raises:
        ConfigurationError: The URL is malformed.
    """
    where = parse_url(url, database=database)
    options: dict[str, Any] = {
        "socket_timeout": timeout_seconds,
        "socket_connect_timeout": timeout_seconds,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,
        "driver_info": None,
    }
    pool = redis.ConnectionPool(
        connection_class=cast("type[redis.Connection]", where.connection),
        max_connections=connections,
        **options,
        **where.options,
    )
    return Client(
        driver=redis.Redis(connection_pool=pool),
        prefix=prefix,
        connections=connections,
        wait_seconds=wait_seconds,
        breaker=Breaker(rest_seconds),
        debts=Debts(owed_keys),
    )
