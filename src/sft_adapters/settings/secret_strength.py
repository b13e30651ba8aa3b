"""
Rules that distinguish random secrets from those that a person invented or copied.

The comment at each rule bounds how often it refuses a random key, drawn as bytes (in hexadecimal,
base64 or base64url) or as characters (digits, letters, base32, base58). The sum is below 2^-40.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import pairwise, product
from math import comb, log2
from typing import Final

from sft_adapters.settings.weak_secrets import COMMON, ENDINGS, FIRST, FOLLOWERS, LAST, PHRASES, PUBLISHED, ROWS, WORDS

_GROUPS: Final = re.compile(r"[-:\s]")
_HEXADECIMAL: Final = re.compile(r"[0-9A-Fa-f]+")
_PADDED_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]+={1,2}")
_BASE64: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9+/_-]+={0,2}")
_WORD: Final = re.compile("|".join(sorted(WORDS, key=len, reverse=True)))
_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_DECORATION: Final = r"[\W\d_]{0,5}"
_WEAK_PASSWORD: Final = re.compile(f"{_DECORATION}(?:(?:{_WORD.pattern}){_DECORATION}){{1,2}}")
_STYLES: Final = tuple(map(re.compile, ("[a-z]+|[0-9]+", "[A-Z][a-z]*|[0-9]+", "[A-Z]+|[0-9]+")))
_ALPHABETS: Final = (
    (re.compile(r"[a-z]+|[A-Z]+"), 26),
    (re.compile(r"[a-z2-7]+|[A-Z2-7]+"), 32),
    (re.compile(r"[a-z0-9]+|[A-Z0-9]+"), 36),
    (re.compile(r"[A-Za-z]+"), 52),
    (re.compile(r"[A-Za-z0-9]+"), 58),
    (re.compile(r"[A-Za-z0-9+/_-]+"), 64),
)
_DIGEST_BYTES: Final = 10


def decoded_size(text: str) -> int:
    """
    Return the size in bytes of a secret in hexadecimal, padded base64 or plain text.

    Separators between groups of hexadecimal digits do not count. Base64 without padding counts as
    text: 32 characters of it may as well be letters and digits drawn one by one.
    """
    text = _without_separators(text)
    if _HEXADECIMAL.fullmatch(text):
        return len(text) // 2
    if _PADDED_BASE64.fullmatch(text) and len(text) % 4 == 0:
        return len(text.rstrip("=")) * 3 // 4
    return len(text.encode())


def is_guessable_key(text: str) -> bool:
    """
    Return whether a text of at least 32 characters was invented or copied.
    """
    if is_published(text.encode()):
        return True
    text = _without_separators(text[:1024])[:256]
    # Of 64 random digits five or fewer differ once in 2^56. Of at most 256 random digits the last
    # 16 repeat earlier ones, at one of 256 distances, once in 2^45. Other alphabets are larger.
    if len(set(text)) < 6 or _repeats(text, 16):
        return True
    # Random hexadecimal digits form words, and are of one style.
    if not _HEXADECIMAL.fullmatch(text) and (
        _is_passphrase(text) or _is_made_of_words(text) or _reads_like_english(text)
    ):
        return True
    return any(is_guessable_bytes(value) for value in _decoded(text))


def is_guessable_bytes(value: bytes) -> bool:
    """
    Return whether 16 or more bytes are text, a known digest, a progression or repetition.
    """
    if is_published(value) or value[:_DIGEST_BYTES] in _digests():
        return True
    start = value[:64]
    # In bytes decoded from random characters no value has more than one chance in 210 (base58). A
    # third of 24 bytes holds all values once in 2^50, a half of 23 steps are equal once in 2^50,
    # and 7 bytes or more repeat earlier ones once in 2^47; longer keys are safer.
    steps = Counter((after - before) % 256 for before, after in pairwise(start))
    if 3 * len(set(start)) <= len(start) or 2 * max(steps.values()) >= len(start) - 1 or _repeats(start, 7):
        return True
    if value.endswith(bytes(6)):
        # A text that is filled up with zeros; random bytes end so once in 2^48.
        return True
    # 24 random bytes spell base64 once in 2^44, 32 are printable once in 2^43, and 23 of 32 are
    # small letters or spaces once in 2^47.
    return (
        re.fullmatch(rb"(?=.{24})[A-Za-z0-9+/_-]{22,}={0,2}[\s-]*", value) is not None
        or re.fullmatch(rb"[ -~\t\r\n]{32,}", value) is not None
        or len(re.findall(rb"[a-z ]", value[:32])) >= 23
    )


def is_weak_password(text: str) -> bool:
    """
    Return whether a password is published, or one or two known words with few signs.
    """
    if is_published(text.encode()) or len(set(text)) < 3:
        return True
    lower = text[:256].lower()
    if len(text) >= 3 and any(row.startswith(lower) for row in ROWS):
        return True
    plain = lower.strip("0123456789!@#$%^&*.-_?")
    variants = (lower, plain.translate(_LEET)) if len(lower) - len(plain) <= 5 else (lower,)
    return any(variant in COMMON or _WEAK_PASSWORD.fullmatch(variant) for variant in variants)


def is_published(value: bytes) -> bool:
    """
    Return whether a value looks random but is printed in a manual or a specification.
    """
    return hashlib.sha256(value).hexdigest() in PUBLISHED


def _without_separators(text: str) -> str:
    """
    Return grouped hexadecimal digits without what separates the groups, and any other text unchanged.
    """
    digits = _GROUPS.sub("", text)
    return digits if _HEXADECIMAL.fullmatch(digits) else text


def _decoded(text: str) -> Iterator[bytes]:
    """
    Yield the bytes of a text that is recognizably hexadecimal or base64.

    Digits alone, or letters of one case, are more likely drawn as such, and decode to few values.
    """
    if _HEXADECIMAL.fullmatch(text):
        if not text.isdecimal():
            yield bytes.fromhex(text[: len(text) // 2 * 2])
    elif _BASE64.fullmatch(text):
        plain = text.rstrip("=").replace("-", "+").replace("_", "/")
        with suppress(ValueError):
            yield base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _repeats(value: str | bytes, least: int) -> bool:
    """
    Return whether the last `least` elements or more repeat earlier ones at one distance.
    """
    return any(value[distance:] == value[:-distance] for distance in range(1, len(value) - least + 1))


def _is_passphrase(text: str) -> bool:
    """
    Return whether a text is five or more words or numbers with one separator.

    They have one style and different lengths. A passphrase of any length is refused: key material is drawn, not
    composed. 32 random characters of base64url, the only alphabet with such separators, are one once in 2^42.
    """
    for separator in "-_ .":
        pieces = text.strip(separator).split(separator)
        if len(pieces) >= 5 and len(set(map(len, pieces))) > 1:
            return any(all(map(style.fullmatch, pieces)) for style in _STYLES)
    return False


def _is_made_of_words(text: str) -> bool:
    """
    Return whether known words make up more of a text than chance explains.

    A given letter in either case has at most one chance in 26, or in 16 if digits and signs that resemble it count too.
    The chance that a text has m letters in k words is thus at most 26^-m, times the words to choose from, times the
    places for them. Below 2^-50 it is refused: for 85 values of k and two readings that is at most 2^-42.
    """
    lower = text.lower()
    return any(
        _bits_of_words(reading, bits) >= 50 for reading, bits in ((lower, log2(26)), (lower.translate(_LEET), 4.0))
    )


def _bits_of_words(text: str, bits_of_a_letter: float) -> float:
    words = _WORD.findall(text)
    letters = sum(map(len, words))
    places = comb(len(text) - letters + len(words), len(words))
    return letters * bits_of_a_letter - len(words) * log2(len(WORDS)) - log2(places)


def _reads_like_english(text: str) -> bool:
    """
    Return whether the pairs of letters in a text are more English than chance explains.

    The text is compared with a code of it: how many letters are in how many runs, and where; which other characters;
    the case of each letter; the first letter; and each further one by its rank among those that follow the one
    before, where rank n has the chance 0.2 * 0.8^n. As a code can be read back, at most one random text in 2^42 is
    42 bits shorter in it than in the smallest alphabet that it may be drawn from (Kraft's inequality).
    """
    size = next((size for alphabet, size in _ALPHABETS if alphabet.fullmatch(text)), None)
    runs = re.findall(r"[a-z]+", text.lower())
    letters = "".join(runs)
    if size is None or not letters:
        return False
    ranks = sum(FOLLOWERS[before].index(letter) for before, letter in pairwise(letters))
    others = len(text) - len(letters)
    places = len(text) ** 2 * comb(others + 1, len(runs)) * comb(len(letters) - 1, len(runs) - 1)
    bits = log2(26) + (len(letters) - 1) * log2(5) + ranks * log2(1.25) + others * log2(14) + log2(places)
    if size > 36:
        bits += len(letters)
    return len(text) * log2(size) - bits >= 42


@cache
def _digests() -> frozenset[bytes]:
    """
    Return the beginnings of digests of words, rows of keys, examples and names of secrets.

    A random key begins like one of fewer than 2^18 of them once in 2^62.
    """
    texts = ["", *map(chr, range(ord(" "), ord("~") + 1)), *PHRASES]
    texts += [row[:length] for row in ROWS for length in range(2, len(row) + 1)]
    texts += [style(word) for word in WORDS for style in (str.lower, str.capitalize, str.upper)]
    common = [
        variant for word in COMMON for variant in (word, word.capitalize(), word.upper(), f"{word}1", f"{word}123")
    ]
    names = [*product(FIRST, LAST), *product(("secret",), LAST), *product(FIRST, ("secret",), LAST)]
    joined = [
        separator.join(map(style, words))
        for words in names
        for separator in ("", "-", "_", " ")
        for style in (str.lower, str.capitalize)
    ]
    usual = [*common, *(text + ending for text in (*texts, *joined) for ending in ENDINGS)]
    found = {bytes.fromhex(digest)[:_DIGEST_BYTES] for digest in PUBLISHED}
    for algorithms, some in (
        (("md5", "sha1", "sha256", "sha512"), usual),
        (("sha224", "sha384", "sha3_256", "sha3_512", "blake2b", "blake2s"), [*texts, *common]),
    ):
        for name, text in product(algorithms, some):
            found.add(getattr(hashlib, name)(text.encode(), usedforsecurity=False).digest()[:_DIGEST_BYTES])
    return frozenset(found)
