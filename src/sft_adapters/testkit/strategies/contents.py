"""
Strategies for a file's name, media type and content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from sft_adapters.testkit.strategies.arguments import check_bounds, check_kind, parsed, valid_values
from sft_core.values import MAX_FILE_NAME_CHARACTERS, FileName, MediaType

CHUNK_BYTES: Final = 16_384
"""Plaintext bytes of one chunk of the file format: a bound near which errors are likely."""

_BIDI: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_BREAKING: Final = "\x00\t\n\r\x1b\x7f\x85\u2028\u2029"
_DEVICES: Final = ("con", "prn", "aux", "NUL", "com1", "LPT9", "Com\u00b2", "conin$", "CONOUT$")
_TYPE: Final = "abcdefghijklmnopqrstuvwxyz0123456789!#$&^_.+-"


def file_names(
    *, min_size: int = 1, max_size: int = MAX_FILE_NAME_CHARACTERS, extension: str = ""
) -> SearchStrategy[FileName]:
    """
    File names of `min_size` to `max_size` characters (1 to 255) that end in `extension`.

    They are plain, or in any script with combining and astral characters, or of the maximum length.
    """
    check_bounds("the size", min_size, max_size, lowest=1, highest=MAX_FILE_NAME_CHARACTERS)
    check_kind("extension", extension, str)
    if len(extension) >= max_size or (extension and parsed(FileName.parse, f"a{extension}") is None):
        raise InvalidArgument(f"no file name of at most {max_size} characters ends in {extension!r}")
    least, most = max(min_size - len(extension), 1), max_size - len(extension)
    texts = _stem_texts(least, most).map(lambda stem: stem + extension)
    return valid_values(FileName.parse, texts, lambda name: min_size <= len(str(name)) <= max_size)


def _stem_texts(least: int, most: int) -> SearchStrategy[str]:
    any_script = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="/\\" + _BIDI)
    plain = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_ .", min_size=least, max_size=most)
    odd = st.text(any_script, min_size=least, max_size=min(most, least + 30))
    marked = st.text("ae\u0301\u0308\u3099\u0915\u093c\U0001f600\U00020000", min_size=least, max_size=most)
    longest = st.text(any_script, min_size=1, max_size=5).map(lambda text: (text * most)[:most])
    return st.one_of(plain, odd, marked, longest)


def bad_file_names() -> SearchStrategy[str]:
    """
    Invalid file names: each violates one rule of `FileName` and is plain otherwise.
    """
    plain = st.text("abcxyz", max_size=8)
    within = st.one_of(st.sampled_from("/\\" + _BIDI + _BREAKING), st.characters(categories=["Cc", "Cs", "Zl", "Zp"]))
    spaces = st.sampled_from(" \u00a0\u2003\u3000")
    return st.one_of(
        st.sampled_from(["", ".", "..", "..."]),
        st.builds("{}{}{}".format, plain, within, plain),
        st.builds(lambda space, text: f"{space}{text}x", spaces, plain),
        st.builds("x{}{}".format, plain, st.one_of(spaces, st.just("."))),
        st.builds("{}{}".format, st.sampled_from(_DEVICES), st.sampled_from(["", ".txt", " .tar.gz"])),
        st.integers(MAX_FILE_NAME_CHARACTERS + 1, 4096).map(lambda size: "n" * size),
        # A character that NFC decomposes into two: within the limit as typed, beyond it as stored.
        st.integers(MAX_FILE_NAME_CHARACTERS // 2 + 1, MAX_FILE_NAME_CHARACTERS).map(lambda size: "\u0958" * size),
    )


def media_types() -> SearchStrategy[MediaType]:
    """
    Media types without parameters: common ones, unusual ones, and ones of the maximum length.
    """
    common = st.sampled_from(["application/pdf", "image/svg+xml", "text/html", "text/plain"])
    half = st.one_of(st.text(_TYPE, min_size=1, max_size=12), st.just("t" * 63))
    return st.one_of(common, st.builds("{}/{}".format, half, half)).map(MediaType.parse)


class Content(bytes):
    """
    Bytes whose repr is their size and seed.

    A failure then prints one line and not a megabyte.
    """

    seed: int

    def __repr__(self) -> str:
        return f"content(size={len(self)}, seed={self.seed})"


def content(*, size: int, seed: int = 0) -> Content:
    """
    Return the content of a size in bytes and a seed (0 to 255).

    It is the same at each call. No run of it repeats within it or in a content with another seed, so bytes from
    a wrong offset are detected.
    """
    check_bounds("size", size, size, lowest=0, highest=2**30)
    check_bounds("seed", seed, seed, lowest=0, highest=255)
    made = Content(hashlib.shake_128(bytes([seed])).digest(size))
    made.seed = seed
    return made


def contents(*, max_size: int = 1 << 18, around: Sequence[int] = (CHUNK_BYTES,)) -> SearchStrategy[Content]:
    """
    Contents of 0 to `max_size` bytes, most of them short or near a bound.

    Near means within a byte of one of the sizes in `around`.
    """
    check_bounds("max_size", 0, max_size, lowest=0, highest=2**30)
    for bound in around:
        check_bounds("around", bound, bound, lowest=0, highest=2**30)
    near = [bound + more for bound in around for more in (-1, 0, 1) if 0 <= bound + more <= max_size]
    sizes = st.integers(0, min(max_size, 64))
    if near:
        sizes = st.one_of(sizes, st.sampled_from(sorted(set(near))))
    return st.builds(content, size=st.one_of(sizes, st.integers(0, max_size)), seed=st.integers(0, 255))
