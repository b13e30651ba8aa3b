"""
Telling a secret that was drawn at random from one that somebody thought up or copied.

A text is spelled in two ways. A random draw needs the bits of its characters: their number times
the binary logarithm of the smallest usual alphabet that holds them. Somebody who thinks it up
needs words, rows of keys and repetitions, each for some bits, and single characters at one bit
more than random ones. The second spelling is a code that can be read back, so of all random texts
at most one in 2^n is n bits shorter in it (Kraft's inequality): a random key is never mistaken for
an invented one, and it can be said how rarely.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Final

from sft_adapters.settings.weak_digests import begins_with_a_digest
from sft_adapters.settings.wordlist import PUBLISHED, ROWS, WORDS

_ALPHABETS: Final = (
    (re.compile(r"[0-9]*"), 10),
    (re.compile(r"[0-9a-f]*|[0-9A-F]*"), 16),
    (re.compile(r"[a-z]*|[A-Z]*"), 26),
    (re.compile(r"[a-z2-7]*|[A-Z2-7]*"), 32),
    (re.compile(r"[a-z0-9]*|[A-Z0-9]*"), 36),
    (re.compile(r"[A-Za-z]*"), 52),
    (re.compile(r"[A-Za-z0-9]*"), 58),
    (re.compile(r"[A-Za-z0-9+/_-]*"), 64),
)
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]+")
_GROUPS: Final = re.compile(r"[-:\s]")
_PADDED_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={1,2}")
_PRINTABLE: Final = 94
_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_SHORTEST: Final = 3
_FARTHEST: Final = 64

# What the second spelling chooses from at each place, and what the choice costs in bits.
_CHARACTER_BITS: Final = 1.0
_WORD_BITS: Final = 2.0 + math.log2(len(WORDS)) + math.log2(3)  # as it is, Capitalized or UPPER
_LEET_BITS: Final = 1.6  # a letter: small, large or a sign that looks like it
_ROWS: Final = tuple(row[::step] for row in ROWS for step in (1, -1))
_ROW_BITS: Final = 3.0 + math.log2(sum(map(len, _ROWS)))
_COPY_BITS: Final = 3.0 + math.log2(_FARTHEST)


def _by_beginning() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word in WORDS:
        found.setdefault(word[:_SHORTEST], []).append(word)
    return found


def _places_in_rows() -> dict[str, list[tuple[str, int]]]:
    found: dict[str, list[tuple[str, int]]] = {}
    for row in _ROWS:
        for place in range(len(row) - _SHORTEST + 1):
            found.setdefault(row[place : place + _SHORTEST], []).append((row, place))
    return found


_WORDS_BY_BEGINNING: Final = _by_beginning()
_PLACES_IN_ROWS: Final = _places_in_rows()

_SAVED_BY_INVENTION: Final = 32.0
"""So many bits shorter is no accident: one random text in four thousand million at most."""
_WEAK_BITS: Final = 44.0
_SAVED_BY_WEAKNESS: Final = 14.0
_LOOKED_AT: Final = 256
_BYTES_LOOKED_AT: Final = 64
_FEWEST_CHARACTERS: Final = 7
_FEWEST_BYTES_OF_TEXT: Final = 24


def bytes_meant(text: str) -> int:
    """
    How many bytes a secret text has, or stands for in hexadecimal or padded base64.

    Digits may stand in groups. Base64 without padding is counted as text: of 32 characters, which
    are worth 24 bytes, nobody can tell whether they are base64 or letters and digits drawn singly.
    """
    text = _ungrouped(text)
    if _HEXADECIMAL.fullmatch(text):
        return len(text) // 2
    if _PADDED_BASE64.fullmatch(text) and len(text) % 4 == 0:
        return len(text.rstrip("=")) * 3 // 4
    return len(text.encode())


def is_guessable_key(text: str) -> bool:
    """
    Whether a text of at least 32 characters is not one of random characters.
    """
    if is_published(text.encode()):
        return True
    text = _ungrouped(text)[:_LOOKED_AT]
    return (
        len(set(text)) < _FEWEST_CHARACTERS
        or _bits_at_random(text) - _bits_thought_up(text) >= _SAVED_BY_INVENTION
        or any(is_guessable_bytes(spelled) for spelled in _spelled(text))
    )


def is_guessable_bytes(value: bytes) -> bool:
    """
    Whether 16 bytes or more were not drawn at random: a text or its digest, a progression, a few bytes over and over.
    """
    if is_published(value) or begins_with_a_digest(value):
        return True
    # Of more bytes many are the same by chance, above all where they are of few kinds, as digits are.
    beginning = value[:_BYTES_LOOKED_AT]
    if len(set(beginning)) <= len(beginning) // 2:
        return True
    steps = Counter((after - before) % 256 for before, after in pairwise(beginning))
    if max(steps.values()) >= max(8, len(beginning) // 4):
        return True
    return len(value) >= _FEWEST_BYTES_OF_TEXT and _is_readable(value)


def is_weak_password(text: str) -> bool:
    """
    Whether a password, of any length, is what servers come with or what people make of that.

    It is if it consists of a few words, rows and repetitions, or of little else.
    """
    if is_published(text.encode()) or len(set(text)) < _SHORTEST:
        return True
    text = text[:_LOOKED_AT]
    bits = _bits_thought_up(text)
    if bits > _WEAK_BITS:
        return False
    return _bits_at_random(text) - bits >= _SAVED_BY_WEAKNESS or _bits_thought_up(text, characters=False) <= _WEAK_BITS


def is_published(value: bytes) -> bool:
    """
    Whether it looks random and stands in a manual or a specification.
    """
    return hashlib.sha256(value).hexdigest() in PUBLISHED


def _ungrouped(text: str) -> str:
    """
    Digits without what stands between groups of them, which nobody draws; any other text as it is.
    """
    digits = _GROUPS.sub("", text)
    return digits if _HEXADECIMAL.fullmatch(digits) else text


def _spelled(text: str) -> Iterator[bytes]:
    """
    The bytes that a text spells in hexadecimal, or else in base64.

    Hexadecimal is not read as base64 too: of random digits that makes bytes of few kinds.
    """
    if _HEXADECIMAL.fullmatch(text):
        yield bytes.fromhex(text[: len(text) // 2 * 2])
        return
    plain = text.rstrip("=").replace("-", "+").replace("_", "/")
    with suppress(ValueError):
        yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _is_readable(value: bytes) -> bool:
    try:
        return all(letter.isprintable() or letter.isspace() for letter in value.rstrip(b"\0").decode())
    except UnicodeDecodeError:
        return False


def _bits_of_one(text: str) -> float:
    plain = text.rstrip("=")
    return math.log2(next((size for letters, size in _ALPHABETS if letters.fullmatch(plain)), _PRINTABLE))


def _bits_at_random(text: str) -> float:
    return len(text.rstrip("=")) * _bits_of_one(text)


def _bits_thought_up(text: str, *, characters: bool = True) -> float:
    """
    The length of the shortest spelling; infinite if it needs characters, and they are not allowed.
    """
    text = text.rstrip("=")
    one = _CHARACTER_BITS + _bits_of_one(text) if characters else math.inf
    lower = text.lower()
    plain = lower.translate(_LEET)
    seen: dict[str, list[int]] = {}
    least = [0.0] + [math.inf] * len(text)
    for start in range(len(text)):
        so_far = least[start]
        least[start + 1] = min(least[start + 1], so_far + one)
        beginning = lower[start : start + _SHORTEST]
        found: list[tuple[int, float]] = []
        if beginning in _WORDS_BY_BEGINNING:
            found += _words_at(text, lower, start)
        if plain[start : start + _SHORTEST] in _WORDS_BY_BEGINNING:
            found += _leet_words_at(plain, start)
        if beginning in _PLACES_IN_ROWS:
            found += _rows_at(lower, start)
        before = seen.setdefault(text[start : start + _SHORTEST], [])
        found += _copies_at(text, start, before)
        before.append(start)
        for length, bits in found:
            least[start + length] = min(least[start + length], so_far + bits)
    return least[-1]


def _words_at(text: str, lower: str, start: int) -> Iterator[tuple[int, float]]:
    for word in _WORDS_BY_BEGINNING[lower[start : start + _SHORTEST]]:
        if text.startswith((word, word.capitalize(), word.upper()), start):
            yield len(word), _WORD_BITS


def _leet_words_at(plain: str, start: int) -> Iterator[tuple[int, float]]:
    for word in _WORDS_BY_BEGINNING[plain[start : start + _SHORTEST]]:
        if plain.startswith(word, start):
            yield len(word), _WORD_BITS + len(word) * _LEET_BITS


def _rows_at(lower: str, start: int) -> Iterator[tuple[int, float]]:
    for row, place in _PLACES_IN_ROWS[lower[start : start + _SHORTEST]]:
        length = _shared(lower, start, row, place)
        yield length, _ROW_BITS + _bits_of_length(length)


def _copies_at(text: str, start: int, places: list[int]) -> Iterator[tuple[int, float]]:
    for place in places[-_FARTHEST:]:
        if start - place <= _FARTHEST and (length := _shared(text, start, text, place)) >= _SHORTEST:
            yield length, _COPY_BITS + _bits_of_length(length)


def _shared(text: str, start: int, other: str, place: int) -> int:
    """
    How many characters of both are the same from here on.
    """
    most = min(len(text) - start, len(other) - place)
    return next((count for count in range(most) if text[start + count] != other[place + count]), most)


def _bits_of_length(length: int) -> float:
    """
    What a length costs that is at least the shortest (Elias' gamma code).
    """
    return 2 * math.floor(math.log2(length - _SHORTEST + 1)) + 1
