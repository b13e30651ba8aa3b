"""
Digests of what is easy to guess: they look random, and whoever knows the habit makes them again.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Final

from sft_adapters.settings.wordlist import PHRASES, PUBLISHED, ROWS, WORDS

_USUAL: Final = ("md5", "sha1", "sha256", "sha512")
_OTHERS: Final = ("sha224", "sha384", "sha3_256", "sha3_512", "blake2b", "blake2s")
_TOLD_APART_BY: Final = 10
"""So many bytes are kept of each: no random key begins like one of a million of them."""
_ENDINGS: Final = ("1", "123")

_FIRST: Final = (
    *("admin", "api", "app", "auth", "change", "default", "dev", "encryption", "jwt", "master", "my", "root", "server"),
    *("session", "super", "test", "the", "this", "token", "your"),
)
_LAST: Final = ("key", "me", "pass", "password", "secret", "token")
_LAST_OF_THREE: Final = ("key", "password", "token")
_SEPARATORS: Final = ("", "-", "_", " ")
_ENDINGS_OF_JOINED: Final = ("", "1", "123", "!", "-2024", "2024")


def begins_with_a_digest(value: bytes) -> bool:
    """
    Whether the bytes are the digest of a word, a row of keys or an example, or begin with one.
    """
    beginnings = _beginnings()
    at = bisect_left(beginnings, value[:_TOLD_APART_BY])
    return at < len(beginnings) and beginnings[at] == value[:_TOLD_APART_BY]


@cache
def _beginnings() -> list[bytes]:
    found = {bytes.fromhex(digest)[:_TOLD_APART_BY] for digest in PUBLISHED}
    # A shell's `echo` ends what it is told with a new line.
    usual = [*_texts(), *_joined(), *(f"{text}\n" for text in _texts())]
    for texts, algorithms in ((usual, _USUAL), (_texts(), _OTHERS)):
        for text in texts:
            found.update(_beginning(algorithm, text.encode()) for algorithm in algorithms)
    return sorted(found)


def _beginning(algorithm: str, text: bytes) -> bytes:
    return hashlib.new(algorithm, text, usedforsecurity=False).digest()[:_TOLD_APART_BY]


def _texts() -> Iterator[str]:
    yield ""
    yield from map(chr, range(ord(" "), ord("~") + 1))
    yield from PHRASES
    for row in ROWS:
        for length in range(2, len(row) + 1):
            yield row[:length]
            yield row[:length].upper()
    for word in WORDS:
        yield from (word, word.capitalize(), word.upper())
        yield from (word + ending for ending in _ENDINGS)


def _joined() -> Iterator[str]:
    """
    What is made of the words that secrets are named by: one, two, or `secret` between two, and an ending.
    """
    some = [*product(_FIRST, _LAST), *product(("secret",), _LAST), *product(_FIRST, ("secret",), _LAST_OF_THREE)]
    for words, separator in product(some, _SEPARATORS):
        small, large = separator.join(words), separator.join(map(str.capitalize, words))
        for ending in _ENDINGS_OF_JOINED:
            yield small + ending
            yield large + ending
    for word, ending in product((*_FIRST, *_LAST, "changeme"), _ENDINGS_OF_JOINED):
        yield word + ending
        yield word.capitalize() + ending
