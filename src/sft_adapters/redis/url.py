"""
Parse the URL of a server; a malformed one is rejected and never quoted.
"""

from __future__ import annotations

import os
import re
import ssl
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import attrs
from redis import Connection, SSLConnection, UnixDomainSocketConnection

from sft_core.errors import ConfigurationError

_DATABASE: Final = re.compile(r"/?|/[0-9]{1,7}")
_TLS_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@attrs.frozen
class Address:
    """
    The type of connection to open, and its options.
    """

    connection: type[Connection | UnixDomainSocketConnection]
    options: dict[str, Any] = attrs.field(repr=False)


def parse_url(url: str, *, database: int = 0) -> Address:
    """
    Parse `redis://[[user]:password@]host[:port][/database]`, `rediss://…` (TLS) or `unix:///socket`.

    With `rediss` the query may name files: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. The
    server's certificate and host name are always verified.

    Raises `ConfigurationError` if the URL is malformed. The error does not quote it, because a misplaced character may
    put the password anywhere.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _invalid("is not a URL") from None
    if not url.isprintable() or " " in url or parts.fragment:
        raise _invalid("contains a character that must be written as %XX in a URL")
    options = _credentials(parts)
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path or parts.query:
            raise _invalid("must be unix:///path/to/socket")
        return Address(UnixDomainSocketConnection, options | {"path": unquote(parts.path), "db": database})
    if parts.scheme not in {"redis", "rediss"}:
        raise _invalid("must begin with redis://, rediss:// or unix://")
    if not host:
        raise _invalid("must contain a host")
    if port == 0:
        raise _invalid("must not contain port 0, on which no server can listen")
    options |= {"host": unquote(host), "port": port or 6379, "db": _database(parts, database)}
    if parts.scheme == "redis":
        if parts.query:
            raise _invalid("must not have a query: use the settings instead")
        return Address(Connection, options)
    return Address(SSLConnection, options | _tls(parts))


def _invalid(sentence: str) -> ConfigurationError:
    return ConfigurationError(f"REDIS_URL {sentence}")


def _credentials(parts: SplitResult) -> dict[str, Any]:
    if parts.username and not parts.password:
        raise _invalid("has a user but no password; write a password alone as redis://:password@host")
    return {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def _database(parts: SplitResult, database: int) -> int:
    # The URL and the setting must agree if both are given.
    if not _DATABASE.fullmatch(parts.path):
        raise _invalid("must end with the host or with /NUMBER, the number of a database")
    named = int(parts.path[1:] or 0)
    if named and database and named != database:
        raise _invalid("and REDIS_SESSION_DB must name the same database")
    return named or database


def _tls(parts: SplitResult) -> dict[str, Any]:
    files = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, path in files.items():
        if name not in _TLS_FILES:
            raise _invalid(f"may have no query parameters but {', '.join(_TLS_FILES)}")
        if not os.path.isfile(path):  # noqa: PTH113 (unlike `Path.is_file`, False for a name that no file can have)
            raise _invalid(f"names a file in {name} that does not exist")
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        **files,
    }
