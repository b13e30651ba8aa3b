"""
A first question, at the start: whether it is Redis, and takes us.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final

import redis
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError

_NOT_REDIS: Final = "what listens there does not answer as a Redis server"
_QUIET_SECONDS: Final = 0.1


def asked(driver: redis.Redis) -> tuple[Exception | None, str]:
    """
    What went wrong with a harmless question, and what an operator has to mend, if it is that.
    """
    try:
        answer = driver.eval("return 1", 0)
    except Exception as fault:  # noqa: BLE001 (a peer that sends garbage makes a driver raise anything)
        return fault, _to_be_mended(driver, fault)
    return None, "" if answer == 1 else _NOT_REDIS


def _to_be_mended(driver: redis.Redis, fault: Exception) -> str:
    causes = list(_causes(fault))
    if isinstance(fault, AuthenticationError | NoPermissionError):
        return "the server refuses these credentials"
    if "DB index" in str(fault):
        return "the server has no such database"
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "the server shows no certificate that is trusted (ssl_ca_certs)"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "the server speaks no TLS: does redis:// fit it?"
    is_garbage = isinstance(fault, InvalidResponse) or not isinstance(fault, RedisError | OSError)
    is_cut = isinstance(fault, redis.ConnectionError) and not is_garbage
    return _NOT_REDIS if is_garbage or (is_cut and _hangs_up_when_asked(driver)) else ""


def _causes(fault: BaseException | None) -> Iterator[BaseException]:
    while fault is not None:
        yield fault
        fault = fault.__cause__ or fault.__context__


def _hangs_up_when_asked(driver: redis.Redis) -> bool:
    """
    Whether it takes a connection, keeps it, and ends it at the first word, as who speaks another protocol does.

    A proxy whose server is away ends the connection unasked, and a server that is away takes none.
    """
    pool = driver.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    was_asked = False
    try:
        connection.connect()
        if not connection.can_read(timeout=_QUIET_SECONDS):
            connection.send_command("PING")
            was_asked = True
            connection.read_response()
    except redis.ConnectionError:
        return was_asked
    except RedisError:
        return False
    finally:
        connection.disconnect()
    return False
