"""
The chunked scheme on whole messages: every change to a message is refused.
"""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_adapters.crypto.chunked import (
    CHUNK_BYTES,
    ENCRYPTED_CHUNK_BYTES,
    HEADER_BYTES,
    MAX_CHUNKS,
    TAG_BYTES,
    Message,
    MessageKeys,
    ciphertext_length,
    decrypt_message,
    encrypt_message,
    plaintext_length,
)
from sft_core.errors import AuthenticationFailed, InvalidValue
from sft_core.values import Secret

KEY = Secret(bytes(range(32)))
SALT = bytes(range(24))
CONTEXT = b"context"
SIZES = (0, 1, 15, 16, 17, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 1_048_575, 1_048_576, 1_048_577)


def plaintext_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def encrypted(plaintext: bytes) -> bytes:
    return encrypt_message(KEY, salt=SALT, context=CONTEXT, plaintext=plaintext)


def decrypted(ciphertext: bytes) -> bytes:
    return decrypt_message(KEY, context=CONTEXT, ciphertext=ciphertext)


THREE_CHUNKS = encrypted(plaintext_of(2 * CHUNK_BYTES + 100))
HEADER = THREE_CHUNKS[:HEADER_BYTES]
CHUNKS = [
    THREE_CHUNKS[start : start + ENCRYPTED_CHUNK_BYTES]
    for start in range(HEADER_BYTES, len(THREE_CHUNKS), ENCRYPTED_CHUNK_BYTES)
]


@pytest.mark.parametrize("size", SIZES)
def test_message_round_trips(size: int) -> None:
    """
    An encrypted message is decrypted, at every size around a chunk boundary.
    """
    plaintext = plaintext_of(size)
    ciphertext = encrypted(plaintext)
    assert len(ciphertext) == ciphertext_length(size)
    assert decrypted(ciphertext) == plaintext


@given(st.binary(max_size=3 * CHUNK_BYTES), st.binary(max_size=64), st.binary(min_size=32, max_size=32))
@settings(max_examples=50, deadline=None)
def test_any_message_round_trips(plaintext: bytes, context: bytes, key: bytes) -> None:
    """
    Encryption round-trips for any plaintext, context and key.
    """
    ciphertext = encrypt_message(Secret(key), salt=SALT, context=context, plaintext=plaintext)
    assert decrypt_message(Secret(key), context=context, ciphertext=ciphertext) == plaintext


@given(st.integers(0, (MAX_CHUNKS - 1) * CHUNK_BYTES + CHUNK_BYTES - 1))
def test_lengths_are_inverse_functions(size: int) -> None:
    """
    A message's length determines its plaintext's, up to 4 PiB, and grows by a tag per chunk.
    """
    length = ciphertext_length(size)
    assert plaintext_length(length) == size
    assert length == HEADER_BYTES + size + TAG_BYTES * (size // CHUNK_BYTES + 1)


def test_impossible_ciphertext_length_is_refused() -> None:
    """
    Of the lengths up to three chunks exactly those of possible messages are accepted.
    """
    possible = {ciphertext_length(size) for size in range(3 * CHUNK_BYTES)}
    for length in range(HEADER_BYTES + 3 * ENCRYPTED_CHUNK_BYTES):
        if length in possible:
            plaintext_length(length)
        else:
            with pytest.raises(AuthenticationFailed):
                plaintext_length(length)


@pytest.mark.parametrize("size", [-1, -CHUNK_BYTES, -CHUNK_BYTES - 1, MAX_CHUNKS * CHUNK_BYTES])
def test_impossible_plaintext_size_is_refused(size: int) -> None:
    """
    A message has at least zero bytes and at most 2^38 chunks.
    """
    with pytest.raises(InvalidValue):
        ciphertext_length(size)


def test_length_of_too_many_chunks_is_refused() -> None:
    """
    A message of more than 2^38 chunks is refused by its length alone.
    """
    with pytest.raises(AuthenticationFailed):
        plaintext_length(HEADER_BYTES + MAX_CHUNKS * ENCRYPTED_CHUNK_BYTES + TAG_BYTES)


def flips() -> list[int]:
    """
    Bits to flip: all of the header and of the first and last 64 bytes, and 500 others.
    """
    edges = [*range(HEADER_BYTES + 64), *range(len(THREE_CHUNKS) - 64, len(THREE_CHUNKS))]
    bits = [byte * 8 + bit for byte in edges for bit in range(8)]
    return bits + random.Random(1).sample(range(len(THREE_CHUNKS) * 8), 500)


def test_every_flipped_bit_is_refused() -> None:
    """
    A message with one bit flipped, in its header, a chunk or a tag, is refused.
    """
    for bit in flips():
        changed = bytearray(THREE_CHUNKS)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationFailed):
            decrypted(bytes(changed))


def test_every_truncation_is_refused() -> None:
    """
    Every proper prefix of a message of three chunks is refused.
    """
    for length in range(len(THREE_CHUNKS)):
        with pytest.raises(AuthenticationFailed):
            decrypted(THREE_CHUNKS[:length])
    assert len(decrypted(THREE_CHUNKS)) == 2 * CHUNK_BYTES + 100


@pytest.mark.parametrize("extra", [b"\x00", bytes(15), bytes(16), bytes(ENCRYPTED_CHUNK_BYTES), CHUNKS[-1]])
def test_bytes_after_the_last_chunk_are_refused(extra: bytes) -> None:
    """
    Nothing may follow the last chunk, not even a chunk that authenticates elsewhere.
    """
    with pytest.raises(AuthenticationFailed):
        decrypted(THREE_CHUNKS + extra)


def test_every_other_arrangement_of_chunks_is_refused() -> None:
    """
    Of all sequences of one to four of a message's chunks only the original is accepted.
    """
    accepted = []
    for count in range(1, 5):
        for order in itertools.product(range(3), repeat=count):
            try:
                decrypted(HEADER + b"".join(CHUNKS[number] for number in order))
            except AuthenticationFailed:
                continue
            accepted.append(order)
    assert accepted == [(0, 1, 2)]


def test_chunks_of_another_message_are_refused() -> None:
    """
    A chunk with the same number from another message under the same key is refused.
    """
    other = encrypt_message(KEY, salt=SALT[::-1], context=CONTEXT, plaintext=plaintext_of(2 * CHUNK_BYTES + 100))
    for number in range(3):
        start = HEADER_BYTES + number * ENCRYPTED_CHUNK_BYTES
        stop = start + ENCRYPTED_CHUNK_BYTES
        with pytest.raises(AuthenticationFailed):
            decrypted(THREE_CHUNKS[:start] + other[start:stop] + THREE_CHUNKS[stop:])


@pytest.mark.parametrize("key", [bytes(32), KEY.reveal()[:31], KEY.reveal() + b"\x00", b""])
def test_another_key_is_refused(key: bytes) -> None:
    """
    A message is decrypted only under its own key, and keys of another length are refused.
    """
    with pytest.raises(AuthenticationFailed):
        decrypt_message(Secret(key), context=CONTEXT, ciphertext=THREE_CHUNKS)


@pytest.mark.parametrize("context", [b"", b"contex", b"context\x00", b"Context"])
def test_another_context_is_refused(context: bytes) -> None:
    """
    A message is decrypted only in its own context.
    """
    with pytest.raises(AuthenticationFailed):
        decrypt_message(KEY, context=context, ciphertext=THREE_CHUNKS)


def test_failure_names_the_chunk() -> None:
    """
    The error's detail names the damaged chunk for the operator.
    """
    with pytest.raises(AuthenticationFailed, match="chunk 1 does not authenticate"):
        decrypted(HEADER + CHUNKS[0] + bytes(ENCRYPTED_CHUNK_BYTES) + CHUNKS[2])


@pytest.mark.parametrize(
    ("key", "salt"), [(bytes(31), SALT), (bytes(33), SALT), (bytes(32), SALT[:23]), (bytes(32), b"")]
)
def test_key_or_salt_of_another_length_is_refused(key: bytes, salt: bytes) -> None:
    """
    A key or salt of the wrong length is refused before encryption.
    """
    with pytest.raises(InvalidValue):
        encrypt_message(Secret(key), salt=salt, context=CONTEXT, plaintext=b"")


def test_two_salts_share_nothing() -> None:
    """
    Another salt derives another key, another nonce and another commitment.
    """
    one = MessageKeys.derive(KEY, salt=SALT, context=CONTEXT)
    other = MessageKeys.derive(KEY, salt=SALT[::-1], context=CONTEXT)
    assert one.key != other.key
    assert one.base_nonce != other.base_nonce
    assert one.commitment != other.commitment


def test_derived_keys_are_not_in_repr() -> None:
    """
    The `repr` of derived keys and of a message contains no secret.
    """
    keys = MessageKeys.derive(KEY, salt=SALT, context=CONTEXT)
    shown = repr(keys) + repr(Message.new(KEY, salt=SALT, context=CONTEXT))
    for secret in (keys.key, keys.base_nonce):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
        assert str(int.from_bytes(secret, "big")) not in shown
