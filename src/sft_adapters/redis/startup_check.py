"""
The probe at start: whether the peer is a Redis server that accepts this client.
"""

from __future__ import annotations

import ssl
from typing import Final

import redis
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError

_NOT_REDIS: Final = "the peer does not respond as a Redis server"
_SILENCE_SECONDS: Final = 0.1


def probe(driver: redis.Redis) -> tuple[Exception | None, str]:
    """
    Run a harmless command on its own connection; return its error and the wrong setting.

    An error without a wrong setting means that the server is unavailable.
    """
    pool = driver.connection_pool
    connection = pool.connection_class(**pool.connection_kwargs)
    is_silent = False
    try:
        connection.connect()
        # A proxy without a server closes the connection at once; a server of another protocol, at the command.
        is_silent = not connection.can_read(timeout=_SILENCE_SECONDS)
        connection.send_command("EVAL", "return 1", "0")
        return None, "" if connection.read_response() == 1 else _NOT_REDIS
    except Exception as error:  # noqa: BLE001 (garbage from a peer makes the driver raise anything)
        return error, _wrong_setting(error, is_silent=is_silent)
    finally:
        connection.disconnect()


def _wrong_setting(error: Exception, *, is_silent: bool) -> str:
    cause = error.__cause__ or error.__context__
    if isinstance(error, AuthenticationError | NoPermissionError):
        return "the server refuses these credentials"
    if "DB index" in str(error):
        return "the server has no such database"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return "the server's certificate is not trusted: check ssl_ca_certs"
    if isinstance(cause, ssl.SSLError):
        return "the server does not speak TLS: try redis://"
    is_garbage = isinstance(error, InvalidResponse) or not isinstance(error, RedisError | OSError)
    is_closed = is_silent and isinstance(error, redis.ConnectionError)
    return _NOT_REDIS if is_garbage or is_closed else ""
