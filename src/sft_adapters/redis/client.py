"""
A client that answers soon or not at all: short timeouts, no second tries, and a rest after a fault.
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
    A Lua script over one key, named by its digest: the server is sent the text if it has lost it.

    It answers with a number or a string; nil says that what stands under the key is not ours.
    """

    text: str
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest_of_text(self) -> str:
        return hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()

    def run(self, driver: redis.Redis, key: str, arguments: tuple[Argument, ...]) -> object:
        """
        Run it as one atomic step; the driver's exceptions are the caller's to handle.
        """
        try:
            return driver.evalsha(self.digest, 1, key, *arguments)
        except NoScriptError:
            return driver.eval(self.text, 1, key, *arguments)


@attrs.frozen(eq=False)
class Client:
    """
    Asks a server that may be out of order; every method returns in bounded time, and only `check` raises.

    At most `connections` callers ask at one time; one more waits `wait_seconds` for a place and
    then does without. Make it after the fork, share it between threads, and close it.
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
        The key under which something is kept here.
        """
        return f"{self.prefix}{kind}:{name}"

    def ask(self, script: Script, key: str, *arguments: Argument) -> Reply | None:
        """
        What the script answers, or None if there is no answer to be had: do without.

        A script that is given up may still run later, when a server that hung goes on.
        """
        answer = self._asked(lambda: script.run(self._driver, key, arguments))
        return answer if isinstance(answer, bytes | int) else None

    def drop(self, key: str) -> None:
        """
        Delete a key, or owe it.
        """
        if self._asked(lambda: self._delete(key)) is None:
            self.owe(key)

    def owe(self, key: str) -> None:
        """
        Delete a key as soon as the server can be reached, before this process asks anything else.
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
        The answer, or None; whether a question is put at all, the breaker decides.
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
            raise TypeError("what answered the deletion is no count")
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
    A client for a URL (`parse_url`); nothing is connected yet. `ConfigurationError` if it is malformed.

    Connecting, sending and each wait for bytes may take `timeout_seconds`. After a fault nobody
    asks for `rest_seconds`. At most `owed_keys` deletions are owed to a server out of reach.
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
