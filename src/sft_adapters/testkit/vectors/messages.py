"""
Vectors of the encryption scheme: messages that must decrypt, and one for each failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Final

from sft_adapters.testkit.vectors import MessageVector
from sft_adapters.testkit.vectors.plain import CHUNK, INFO, EncryptedMessage, chunk_nonce, seeded, write

CONTEXT: Final = b"sft/v1/test"
NOT_AUTHENTIC: Final = "content-not-authentic"


def valid_messages() -> Iterator[MessageVector]:
    """
    Generate messages of every shape that must decrypt.
    """
    shapes = {
        "empty": ("An empty message is one empty chunk.", (0,)),
        "one-byte": ("The shortest message that says something.", (1,)),
        "chunk-less-one": ("The longest single chunk.", (CHUNK - 1,)),
        "chunk": ("A full chunk is never the last: an empty one follows.", (CHUNK, 0)),
        "chunk-and-one": ("A full chunk, then one byte.", (CHUNK, 1)),
        "three-chunks": ("Two full chunks, then a short one.", (CHUNK, CHUNK, 100)),
        "counter-carries": ("Chunk 256 carries the counter into its second byte.", (*[CHUNK] * 256, 5)),
    }
    for name, (comment, sizes) in shapes.items():
        yield _valid(name, comment, CONTEXT, sizes)
    yield _valid("no-context", "The context may be empty.", b"", (5,))
    yield _valid(
        "context-with-nul", "The context is any bytes, also those of an earlier field.", INFO + b"\x00\xff", (5,)
    )


def _valid(name: str, comment: str, context: bytes, sizes: tuple[int, ...]) -> MessageVector:
    key = seeded(f"{name} key", 32)
    message = write(key, seeded(f"{name} salt", 24), context, sizes)
    return MessageVector(
        name=f"message-valid-{name}",
        comment=comment,
        error=None,
        plaintext_sha256=hashlib.sha256(message.plaintext).hexdigest(),
        key=key,
        context=context,
        ciphertext=message.ciphertext,
    )


def _flip(data: bytes, at: int, mask: int = 1) -> bytes:
    changed = bytearray(data)
    changed[at] ^= mask
    return bytes(changed)


def _from(pieces: Callable[[bytes, tuple[bytes, ...]], tuple[bytes, ...]]) -> Callable[[EncryptedMessage], bytes]:
    return lambda message: b"".join(pieces(message.header, message.chunks))


# Each takes a valid message of two full chunks and a short one and corrupts it in one way.
_CORRUPTIONS: Final[dict[str, tuple[str, Callable[[EncryptedMessage], bytes]]]] = {
    "nothing": ("No byte at all.", lambda _: b""),
    "salt-only": ("The header ends after the salt.", lambda m: m.ciphertext[:24]),
    "header-short": ("The header is one byte short.", lambda m: m.ciphertext[:55]),
    "header-only": ("No chunk follows the header.", lambda m: m.header),
    "salt-flipped": ("A bit of the salt is flipped.", lambda m: _flip(m.ciphertext, 0)),
    "commitment-flipped": ("A bit of the commitment is flipped.", lambda m: _flip(m.ciphertext, 24)),
    "commitment-last-bit": ("The commitment's last bit is flipped.", lambda m: _flip(m.ciphertext, 55)),
    "first-chunk-flipped": ("A bit of the first chunk is flipped.", lambda m: _flip(m.ciphertext, 56, 0x80)),
    "first-tag-flipped": ("A bit of the first chunk's tag is flipped.", lambda m: _flip(m.ciphertext, 56 + 16_399)),
    "middle-chunk-flipped": ("A bit of the middle chunk is flipped.", lambda m: _flip(m.ciphertext, 56 + 16_400 + 9)),
    "last-chunk-flipped": ("A bit of the last chunk is flipped.", lambda m: _flip(m.ciphertext, 56 + 2 * 16_400)),
    "last-tag-flipped": ("The last bit of the last tag is flipped.", lambda m: _flip(m.ciphertext, -1)),
    "last-byte-cut": ("The last byte is cut off.", lambda m: m.ciphertext[:-1]),
    "last-tag-cut": ("The last chunk's tag is cut off.", lambda m: m.ciphertext[:-16]),
    "cut-inside-a-tag": ("What is left of the last chunk is shorter than a tag.", lambda m: m.ciphertext[:-101]),
    "cut-inside-a-chunk": ("The message ends in the middle of the second chunk.", lambda m: m.ciphertext[:24_000]),
    "last-chunk-cut": ("The last chunk is missing.", lambda m: m.ciphertext[: 56 + 2 * 16_400]),
    "byte-added": ("One byte follows the last chunk.", lambda m: m.ciphertext + b"\x00"),
    "last-chunk-repeated": ("The last chunk comes twice.", lambda m: m.ciphertext + m.chunks[-1]),
    "chunks-swapped": ("Chunks 0 and 1 have changed places.", _from(lambda h, c: (h, c[1], c[0], c[2]))),
    "chunk-repeated": ("Chunk 0 is in the position of chunk 1.", _from(lambda h, c: (h, c[0], c[0], c[2]))),
    "chunk-dropped": ("Chunk 1 is left out.", _from(lambda h, c: (h, c[0], c[2]))),
    "first-chunk-dropped": ("Chunk 0 is left out.", _from(lambda h, c: (h, c[1], c[2]))),
    "chunk-inserted": ("Chunk 1 comes twice in a row.", _from(lambda h, c: (h, c[0], c[1], c[1], c[2]))),
    "chunks-reversed": ("The chunks are in reverse order.", _from(lambda h, c: (h, *c[::-1]))),
}


def corrupted_messages() -> Iterator[MessageVector]:
    """
    Generate valid messages with one change.
    """
    for name, (comment, corrupt) in _CORRUPTIONS.items():
        key = seeded(f"{name} key", 32)
        message = write(key, seeded(f"{name} salt", 24), CONTEXT, (CHUNK, CHUNK, 100))
        yield _invalid(name, comment, key, corrupt(message))


def misread_messages() -> Iterator[MessageVector]:
    """
    Generate valid messages read with another key or context, or combined from two.
    """
    key, salt = seeded("misread key", 32), seeded("misread salt", 24)
    good = write(key, salt, CONTEXT, (CHUNK, 100))
    other = write(key, seeded("misread other salt", 24), CONTEXT, (CHUNK, 100))
    yield _invalid("wrong-key", "Another key.", _flip(key, 31), good.ciphertext)
    yield _invalid("short-key", "The key is one byte short.", key[:31], good.ciphertext)
    yield _invalid("long-key", "The key is one byte long.", key + b"\x00", good.ciphertext)
    yield _invalid("wrong-context", "Another context.", key, good.ciphertext, CONTEXT + b"\x00")
    yield _invalid("no-context", "The context is left out.", key, good.ciphertext, b"")
    spliced = good.header + good.chunks[0] + other.chunks[1]
    yield _invalid("chunk-of-another-message", "The last chunk is another's, under the same key.", key, spliced)
    beheaded = other.header + b"".join(good.chunks)
    yield _invalid("header-of-another-message", "The header is another's, under the same key.", key, beheaded)
    headers = other.header[:24] + good.header[24:] + b"".join(good.chunks)
    yield _invalid("salt-of-another-message", "The salt is another's, under the same key.", key, headers)


def miswritten_messages() -> Iterator[MessageVector]:
    """
    Generate messages of a writer with one mistake.

    Only a reader with the same mistake accepts them.
    """
    for name, (comment, message) in {**_wrong_chunks(), **_wrong_derivations(), **_wrong_counters()}.items():
        yield _invalid(name, comment, seeded("miswritten key", 32), message.ciphertext)


def _wrong_chunks() -> dict[str, tuple[str, EncryptedMessage]]:
    return {
        "full-last-chunk": ("The last chunk is full, so the message has no end.", _miswrite((CHUNK,))),
        "two-full-chunks": ("Both chunks are full, so the message has no end.", _miswrite((CHUNK, CHUNK))),
        "short-chunk-inside": ("A chunk before the last one is short.", _miswrite((CHUNK - 1, 100))),
        "empty-chunk-inside": ("A chunk before the last one is empty.", _miswrite((CHUNK, 0, 100))),
        "larger-chunk": ("A chunk is larger than chunks are.", _miswrite((CHUNK + 100,))),
        "associated-data": ("The chunks carry associated data.", _miswrite(associated=CONTEXT)),
    }


def _wrong_derivations() -> dict[str, tuple[str, EncryptedMessage]]:
    return {
        "aead-128": ("The derivation names the 128-bit cipher.", _miswrite(info=INFO.replace(b"256", b"128"))),
        "no-separator": ("The derivation lacks the NUL after the cipher's name.", _miswrite(info=INFO[:-1])),
        "next-version": ("The derivation names version 2 of the scheme.", _miswrite(info=INFO.replace(b"v1", b"v2"))),
    }


def _wrong_counters() -> dict[str, tuple[str, EncryptedMessage]]:
    def from_one(base: bytes, number: int) -> bytes:
        return chunk_nonce(base, number + 1)

    def little_endian(base: bytes, number: int) -> bytes:
        return chunk_nonce(base, int.from_bytes(number.to_bytes(12, "little"), "big"))

    def added(base: bytes, number: int) -> bytes:
        return ((int.from_bytes(base, "big") + number) % 2**96).to_bytes(12, "big")

    def left_out(base: bytes, _number: int) -> bytes:
        return base

    return {
        "counter-from-one": ("The first chunk is counted as 1.", _miswrite(nonce=from_one)),
        "counter-little-endian": ("The chunk counter is little-endian.", _miswrite(nonce=little_endian)),
        "counter-added": ("The chunk counter is added to the nonce.", _miswrite((*[CHUNK] * 9, 1), nonce=added)),
        "counter-left-out": ("Every chunk has the same nonce.", _miswrite(nonce=left_out)),
    }


def _miswrite(
    sizes: tuple[int, ...] = (CHUNK, 100),
    *,
    info: bytes = INFO,
    nonce: Callable[[bytes, int], bytes] = chunk_nonce,
    associated: bytes = b"",
) -> EncryptedMessage:
    key, salt = seeded("miswritten key", 32), seeded("miswritten salt", 24)
    return write(key, salt, CONTEXT, sizes, info=info, nonce=nonce, associated=associated)


def _invalid(name: str, comment: str, key: bytes, ciphertext: bytes, context: bytes = CONTEXT) -> MessageVector:
    return MessageVector(
        name=f"message-invalid-{name}",
        comment=comment,
        error=NOT_AUTHENTIC,
        plaintext_sha256=None,
        key=key,
        context=context,
        ciphertext=ciphertext,
    )
