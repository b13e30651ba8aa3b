"""
Reading a server's URL: what cannot be meant is refused, and never shown.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
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
    Which kind of connection to open, and with what.
    """

    connection: type[Connection | UnixDomainSocketConnection]
    options: dict[str, Any] = attrs.field(repr=False)


def parse_url(url: str, *, database: int = 0) -> Address:
    """
    Read `redis://[[user]:password@]host[:port][/database]`, `rediss://…` (TLS) or `unix:///socket`.

    With `rediss` a query may name files: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile`. The
    server's certificate and name are always checked. `ConfigurationError` says what is wrong
    and shows nothing of the URL, because a misplaced character puts the password anywhere.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refusal("is not a URL") from None
    if not url.isprintable() or " " in url or parts.fragment:
        raise _refusal("holds a character that a URL does not hold as such: write it as %XX")
    options = _credentials(parts)
    if parts.scheme == "unix":
        if parts.netloc.rpartition("@")[2] or not parts.path or parts.query:
            raise _refusal("must be unix:///path/to/socket")
        return Address(UnixDomainSocketConnection, options | {"path": unquote(parts.path), "db": database})
    if parts.scheme not in {"redis", "rediss"}:
        raise _refusal("must begin with redis://, rediss:// or unix://")
    if not host:
        raise _refusal("names no host")
    if port == 0:
        raise _refusal("names port 0, on which nobody can listen")
    options |= {"host": unquote(host), "port": port or 6379, "db": _database(parts, database)}
    if parts.scheme == "redis":
        if parts.query:
            raise _refusal("takes no query: the settings say the rest")
        return Address(Connection, options)
    return Address(SSLConnection, options | _tls(parts))


def _refusal(sentence: str) -> ConfigurationError:
    return ConfigurationError(f"REDIS_URL {sentence}")


def _credentials(parts: SplitResult) -> dict[str, Any]:
    if parts.username and not parts.password:
        raise _refusal("names a user and no password: a password alone is written redis://:password@host")
    return {
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
    }


def _database(parts: SplitResult, database: int) -> int:
    """
    The one database that the URL or the setting names; both may, if they agree.
    """
    if not _DATABASE.fullmatch(parts.path):
        raise _refusal("must end with the host or with /NUMBER, the number of a database")
    named = int(parts.path[1:] or 0)
    if named and database and named != database:
        raise _refusal("and REDIS_SESSION_DB name two databases")
    return named or database


def _tls(parts: SplitResult) -> dict[str, Any]:
    files = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, path in files.items():
        if name not in _TLS_FILES:
            raise _refusal(f"takes no query but {', '.join(_TLS_FILES)}")
        if not _is_file(path):
            raise _refusal(f"names a file as {name} that is not there")
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_min_version": ssl.TLSVersion.TLSv1_2,
        **files,
    }


def _is_file(path: str) -> bool:
    try:
        return Path(path).is_file()
    except OSError:  # a name that no file can have
        return False
