"""
Digests of what is easy to guess: they look random, and whoever knows the habit makes them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Final

from sft_adapters.guessable_words import PHRASES, PUBLISHED, ROWS, WORDS

_ALGORITHMS: Final = ("md5", "sha1", "sha256", "sha512")
_TOLD_APART_BY: Final = 10
"""So many bytes are kept of each: no random key begins like one of a hundred thousand of them."""
_ENDINGS: Final = ("1", "123")


def begins_with_a_digest(value: bytes) -> bool:
    """
    Whether the bytes are the digest of a word, a row of keys or an example, or begin with one.
    """
    return value[:_TOLD_APART_BY] in _beginnings()


@cache
def _beginnings() -> frozenset[bytes]:
    texts = [text.encode() for text in _texts()]
    # A shell's `echo` ends what it is told with a new line.
    texts += [text + b"\n" for text in texts]
    found = {
        hashlib.new(algorithm, text, usedforsecurity=False).digest()[:_TOLD_APART_BY]
        for algorithm in _ALGORITHMS
        for text in texts
    }
    return frozenset(found | {bytes.fromhex(digest)[:_TOLD_APART_BY] for digest in PUBLISHED})


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
