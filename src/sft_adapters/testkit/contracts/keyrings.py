"""
The contract of `sft_core.ports.KeyRing`.
"""

from __future__ import annotations

import os

import attrs
import pytest

from sft_core.errors import InvalidInput, UnknownKey, UnwrapFailed
from sft_core.ports import KeyRing
from sft_core.values import Secret, WrappedSecret

PURPOSE = "file-key"
CONTEXT = b"the id of a row"


def wrapped_by(keyring: KeyRing, secret: Secret) -> WrappedSecret:
    """
    Wrap a secret for the purpose and context of these tests.
    """
    return keyring.wrap(secret, purpose=PURPOSE, context=CONTEXT)


def unwrapped_by(keyring: KeyRing, wrapped: WrappedSecret) -> Secret:
    """
    Unwrap a secret for the purpose and context of these tests.
    """
    return keyring.unwrap(wrapped, purpose=PURPOSE, context=CONTEXT)


class KeyRingContract:
    """
    Contract suite of `KeyRing`: authenticated wrapping, bound to a purpose and a context.

    An adapter passes if a wrapped secret unwraps with the same key, purpose and context only, every altered
    ciphertext raises `UnwrapFailed`, and a missing key raises `UnknownKey` with its id.

    Fixtures:
        keyring: The key ring.
        other_keyring: A key ring that contains none of the first one's keys.
    """

    @pytest.mark.parametrize("size", [16, 24, 32, 40, 1000, 4096])
    def test_wrap_then_unwrap_returns_the_secret(self, keyring: KeyRing, size: int) -> None:
        """A wrapped secret unwraps, at the shortest, the longest and common sizes."""
        secret = Secret(os.urandom(size))
        assert unwrapped_by(keyring, wrapped_by(keyring, secret)) == secret

    @pytest.mark.parametrize("size", [0, 8, 15, 17, 20, 33, 4097, 4104])
    def test_wrap_invalid_size_is_refused(self, keyring: KeyRing, size: int) -> None:
        """Only 16 to 4 096 bytes, a multiple of 8, can be wrapped; nothing is padded."""
        with pytest.raises(InvalidInput):
            wrapped_by(keyring, Secret(bytes(size)))

    def test_unwrap_with_another_purpose_fails(self, keyring: KeyRing) -> None:
        """A secret wrapped for one purpose does not unwrap for another."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        for purpose in ("totp", "file-ke", "file-key-"):
            with pytest.raises(UnwrapFailed):
                keyring.unwrap(wrapped, purpose=purpose, context=CONTEXT)

    @pytest.mark.parametrize("context", [b"", b"another row", CONTEXT + b"\x00", CONTEXT[:-1], b"y" + CONTEXT])
    def test_unwrap_with_another_context_fails(self, keyring: KeyRing, context: bytes) -> None:
        """A wrapped secret copied to another row does not unwrap."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnwrapFailed):
            keyring.unwrap(wrapped, purpose=PURPOSE, context=context)

    def test_unwrap_with_shifted_purpose_and_context_fails(self, keyring: KeyRing) -> None:
        """Moving bytes from the purpose to the context makes another pair."""
        wrapped = keyring.wrap(Secret(os.urandom(32)), purpose="file", context=b"-key" + CONTEXT)
        with pytest.raises(UnwrapFailed):
            unwrapped_by(keyring, wrapped)

    @pytest.mark.parametrize("context", [b"", b"\x00", bytes(range(256))])
    def test_context_accepts_any_bytes(self, keyring: KeyRing, context: bytes) -> None:
        """A context may be empty, and may contain a NUL and every other byte."""
        secret = Secret(os.urandom(32))
        wrapped = keyring.wrap(secret, purpose=PURPOSE, context=context)
        assert keyring.unwrap(wrapped, purpose=PURPOSE, context=context) == secret

    @pytest.mark.parametrize("purpose", ["", "schlüssel", "file\x00key"])
    def test_invalid_purpose_is_refused(self, keyring: KeyRing, purpose: str) -> None:
        """A purpose that could collide with another purpose and context is refused by both methods."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(InvalidInput):
            keyring.wrap(Secret(os.urandom(32)), purpose=purpose, context=CONTEXT)
        with pytest.raises(InvalidInput):
            keyring.unwrap(wrapped, purpose=purpose, context=CONTEXT)

    def test_unwrap_with_a_flipped_bit_fails(self, keyring: KeyRing) -> None:
        """A wrapped secret with one flipped bit does not unwrap."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        for bit in range(8 * len(wrapped.ciphertext)):
            changed = bytearray(wrapped.ciphertext)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(UnwrapFailed):
                unwrapped_by(keyring, attrs.evolve(wrapped, ciphertext=bytes(changed)))

    def test_unwrap_with_another_length_fails(self, keyring: KeyRing) -> None:
        """A wrapped secret that was cut or lengthened does not unwrap."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        longer = wrapped.ciphertext + bytes(16)
        for length in (*range(len(wrapped.ciphertext)), len(longer) - 8, len(longer)):
            with pytest.raises(UnwrapFailed):
                unwrapped_by(keyring, attrs.evolve(wrapped, ciphertext=longer[:length]))

    def test_unwrap_without_the_key_names_it(self, keyring: KeyRing, other_keyring: KeyRing) -> None:
        """A ring without the key raises `UnknownKey` with the id of the missing key."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnknownKey) as missing:
            unwrapped_by(other_keyring, wrapped)
        assert missing.value.key_id == wrapped.key_id

    def test_unwrap_under_a_reused_key_id_fails(self, keyring: KeyRing, other_keyring: KeyRing) -> None:
        """Another ring's wrapped secret does not unwrap under a key id of this ring."""
        foreign = wrapped_by(other_keyring, Secret(os.urandom(32)))
        own = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnwrapFailed):
            unwrapped_by(keyring, attrs.evolve(foreign, key_id=own.key_id))

    def test_wrapped_form_and_reprs_reveal_nothing(self, keyring: KeyRing) -> None:
        """The wrapped form does not contain the secret, and no repr shows it or the ciphertext."""
        secret = Secret(b"a secret of thirty-two bytes, no")
        wrapped = wrapped_by(keyring, secret)
        assert secret.reveal()[:16] not in wrapped.ciphertext
        assert repr(wrapped.ciphertext)[2:-1] not in repr(wrapped)
        assert "thirty-two" not in repr(unwrapped_by(keyring, wrapped)) + repr(keyring)
