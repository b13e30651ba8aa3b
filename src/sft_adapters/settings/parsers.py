"""
Parsers of settings' texts; a `ValueError` says what is wrong but never quotes the text.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from sft_adapters.settings import secret_strength
from sft_core.values import Secret

W = TypeVar("W", bound=str)
Algorithm = Literal["HS256", "HS384", "HS512"]
SessionStoreKind = Literal["database", "redis", "memory"]

_TRUE: Final = ("true", "1", "yes", "on")
_FALSE: Final = ("false", "0", "no", "off")
# A random text of 40 characters contains one of them once in some 2^28.
_PLACEHOLDERS: Final = re.compile(
    r"change.?(this|in.?prod)|change.me|changeme|your.?(secret|super|encryption)|secret.?key|encryption.?key"
    r"|example|default|placeholder|password|passw0rd|insecure|replace.?(me|this|with)|super.?secret|my.?secret",
    flags=re.IGNORECASE,
)
_MIN_SHARED_BYTES: Final = 8
_MIN_SECRET_BYTES: Final = 32
_PORT_ZERO: Final = re.compile(r"([^:]*|.*]):0+")
_PASSWORDS_IN_A_QUERY: Final = frozenset({"password", "passwd", "pwd", "sslpassword"})


def utf8(raw: str) -> str:
    """
    Return the text if it is UTF-8; the environment may contain other bytes.
    """
    try:
        raw.encode()
    except UnicodeEncodeError:
        raise ValueError("must be UTF-8") from None
    return raw


def text(raw: str) -> str:
    """
    Printable text of reasonable length.
    """
    if len(raw) > 4096 or not raw.isprintable():
        raise ValueError("must be printable text")
    return raw


def boolean(raw: str) -> bool:
    """
    `true` or `false`, in one of their usual spellings.
    """
    if raw.lower() not in (*_TRUE, *_FALSE):
        raise ValueError("must be true or false")
    return raw.lower() in _TRUE


def whole(least: int, most: int) -> Callable[[str], int]:
    """
    A reader of whole numbers in bounds; underscores may group digits.
    """

    def read(raw: str) -> int:
        if re.fullmatch(r"[0-9]{1,20}(_[0-9]{3})*", raw) and least <= int(raw) <= most:
            return int(raw)
        raise ValueError(f"must be a whole number from {least} to {most}")

    return read


def number(least: float, most: float) -> Callable[[str], float]:
    """
    A reader of decimal numbers in bounds.
    """

    def read(raw: str) -> float:
        if re.fullmatch(r"[0-9]{1,10}(\.[0-9]{1,6})?", raw) and least <= float(raw) <= most:
            return float(raw)
        raise ValueError(f"must be a number from {least:g} to {most:g}")

    return read


def one_of(*choices: W) -> Callable[[str], W]:
    """
    A reader of one word out of a few.
    """

    def read(raw: str) -> W:
        for choice in choices:
            if raw == choice:
                return choice
        raise ValueError(f"must be one of {', '.join(choices)}")

    return read


algorithm: Final[Callable[[str], Algorithm]] = one_of("HS256", "HS384", "HS512")
session_store: Final[Callable[[str], SessionStoreKind]] = one_of("database", "redis", "memory")


def listed(raw: str) -> list[str]:
    """
    A list, as JSON or separated by commas.
    """
    if raw.startswith("["):
        try:
            values: Any = json.loads(raw)
        except (ValueError, RecursionError):
            raise ValueError("must be a list, as JSON or separated by commas") from None
        if not all(isinstance(value, str) for value in values):
            raise ValueError("must be a list of texts")
        return [value.strip() for value in values if value.strip()]
    return [value.strip() for value in raw.split(",") if value.strip()]


def extensions(raw: str) -> frozenset[str]:
    """
    File extensions, with or without their dot, in any case.
    """
    found = frozenset("." + value.lower().lstrip(".") for value in listed(raw))
    if any(not re.fullmatch(r"\.[^\s./\\]{1,32}", extension) for extension in found):
        raise ValueError("must be a list of file extensions")
    return found


def origins(raw: str) -> tuple[str, ...]:
    """
    Web origins (RFC 6454): scheme, host and port, nothing else; or `*`.
    """
    found = tuple(listed(raw))
    if not all(origin == "*" or _is_origin(origin) for origin in found):
        raise ValueError("must be a list of origins such as https://files.example.org")
    return found


def _is_origin(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    has_host = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in text
    return has_host and text == f"{parts.scheme}://{parts.netloc}"


def path_prefix(raw: str) -> str:
    """
    A path that begins with a slash and does not end with one.
    """
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+){1,8}", raw):
        raise ValueError("must be a path such as /api/v1")
    return raw


def issuer(raw: str) -> str:
    """
    A name in an `otpauth` URI, where a colon ends it.
    """
    if ":" in text(raw):
        raise ValueError("must be a name without a colon")
    return raw


def shared_secret(raw: str) -> Secret:
    """
    A secret shared with a server: long enough, and no default or example value.
    """
    if len(text(raw)) < _MIN_SHARED_BYTES:
        raise ValueError(f"must have at least {_MIN_SHARED_BYTES} characters")
    if _is_given_away(raw):
        raise ValueError("is a default or example value: give the server another one")
    return Secret(raw.encode())


def server_url(raw: str) -> str:
    """
    A URL of a server; its passwords must not be defaults of servers.

    A password may be before the host or in the query. Port 0 is refused: drivers silently replace it.
    """
    try:
        parts = urlsplit(text(raw))
        query = [(name.lower(), value) for name, value in parse_qsl(parts.query)]
        passwords = [value for name, value in query if name in _PASSWORDS_IN_A_QUERY]
        passwords.append(unquote(parts.password or ""))
    except ValueError:
        raise ValueError("is not a URL") from None
    if any(password and _is_given_away(password) for password in passwords):
        raise ValueError("holds a default or example password: give the server another one")
    # PostgreSQL's drivers take several servers, and ports in the query too.
    hosts = [parts.netloc.rpartition("@")[2], *(value for name, value in query if name == "host")]
    ports = [f":{port}" for name, value in query if name == "port" for port in value.split(",")]
    if any(_PORT_ZERO.fullmatch(host) for host in (*",".join(hosts).split(","), *ports)):
        raise ValueError("names port 0, on which no server can listen")
    return raw


def _is_given_away(password: str) -> bool:
    return _PLACEHOLDERS.search(password) is not None or secret_strength.is_weak_password(password)


def secret_key(raw: str) -> Secret:
    """
    Random text that stands for at least 32 bytes; no passphrase or example.
    """
    value = raw.encode()
    if len(value) < _MIN_SECRET_BYTES:
        raise ValueError(f"must have at least {_MIN_SECRET_BYTES} bytes")
    # PyJWT refuses them too, but only once the storage is prepared.
    if "---- BEGIN" in raw or "-----BEGIN" in raw or raw.startswith(("ssh-", "ecdsa-sha2-")):
        raise ValueError("must be random text, not a key in a file format")
    if secret_strength.is_guessable_key(raw):
        raise ValueError("is a default or example value: make one of your own at random")
    if secret_strength.decoded_size(raw) < _MIN_SECRET_BYTES:
        raise ValueError(f"must stand for at least {_MIN_SECRET_BYTES} random bytes: two hexadecimal digits are one")
    return Secret(value)


def encryption_key(raw: str) -> Secret:
    """
    32 random bytes in base64, standard or URL-safe.
    """
    try:
        value = base64.b64decode(raw.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        value = b""
    if len(value) != 32:
        raise ValueError("must be the base64 of 32 bytes")
    if secret_strength.is_guessable_bytes(value):
        raise ValueError("is a default or example value: make one of your own at random")
    return Secret(value)


def encryption_keys(raw: str) -> tuple[Secret, ...]:
    """
    Several keys, each as `encryption_key` reads it.
    """
    try:
        return tuple(encryption_key(text) for text in listed(raw))
    except ValueError as error:
        raise ValueError(f"holds a key that is not right: each {error}") from None


def is_same_key(secret_text: Secret, key: Secret) -> bool:
    """
    Whether a text secret spells the very bytes of a key.
    """
    spelled = {base64.b64encode(key.reveal()), base64.urlsafe_b64encode(key.reveal()), key.reveal()}
    return any(hmac.compare_digest(secret_text.reveal(), spelling) for spelling in spelled)
