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
    A secret, wrapped for the purpose and context of these tests.
    """
    return keyring.wrap(secret, purpose=PURPOSE, context=CONTEXT)


def unwrapped_by(keyring: KeyRing, wrapped: WrappedSecret) -> Secret:
    """
    The secret that opens for the purpose and context of these tests.
    """
    return keyring.unwrap(wrapped, purpose=PURPOSE, context=CONTEXT)


class KeyRingContract:
    """
    Give the fixtures `keyring`, and `other_keyring`: one that holds none of the first one's keys.
    """

    @pytest.mark.parametrize("size", [16, 24, 32, 40, 1000, 4096])
    def test_a_secret_comes_back(self, keyring: KeyRing, size: int) -> None:
        """What was wrapped is unwrapped, at the shortest, the longest and common sizes."""
        secret = Secret(os.urandom(size))
        assert unwrapped_by(keyring, wrapped_by(keyring, secret)) == secret

    @pytest.mark.parametrize("size", [0, 8, 15, 17, 20, 33, 4097, 4104])
    def test_a_secret_of_another_size_is_refused(self, keyring: KeyRing, size: int) -> None:
        """Only 16 to 4 096 bytes, a multiple of 8, are wrapped; nothing is padded in silence."""
        with pytest.raises(InvalidInput):
            wrapped_by(keyring, Secret(bytes(size)))

    def test_the_purpose_is_bound(self, keyring: KeyRing) -> None:
        """What was wrapped for one purpose does not open for another."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        for purpose in ("totp", "file-ke", "file-key-"):
            with pytest.raises(UnwrapFailed):
                keyring.unwrap(wrapped, purpose=purpose, context=CONTEXT)

    @pytest.mark.parametrize("context", [b"", b"another row", CONTEXT + b"\x00", CONTEXT[:-1], b"y" + CONTEXT])
    def test_the_context_is_bound(self, keyring: KeyRing, context: bytes) -> None:
        """A row that was copied onto another row does not open."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnwrapFailed):
            keyring.unwrap(wrapped, purpose=PURPOSE, context=context)

    def test_purpose_and_context_do_not_run_together(self, keyring: KeyRing) -> None:
        """What is moved from the one to the other makes another pair."""
        wrapped = keyring.wrap(Secret(os.urandom(32)), purpose="file", context=b"-key" + CONTEXT)
        with pytest.raises(UnwrapFailed):
            unwrapped_by(keyring, wrapped)

    @pytest.mark.parametrize("context", [b"", b"\x00", bytes(range(256))])
    def test_a_context_is_any_bytes(self, keyring: KeyRing, context: bytes) -> None:
        """Nothing, a NUL and every byte there is can be bound."""
        secret = Secret(os.urandom(32))
        wrapped = keyring.wrap(secret, purpose=PURPOSE, context=context)
        assert keyring.unwrap(wrapped, purpose=PURPOSE, context=context) == secret

    @pytest.mark.parametrize("purpose", ["", "schlüssel", "file\x00key"])
    def test_a_purpose_is_an_ascii_word(self, keyring: KeyRing, purpose: str) -> None:
        """What could be taken for another purpose and its context is refused both ways."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(InvalidInput):
            keyring.wrap(Secret(os.urandom(32)), purpose=purpose, context=CONTEXT)
        with pytest.raises(InvalidInput):
            keyring.unwrap(wrapped, purpose=purpose, context=CONTEXT)

    def test_every_flipped_bit_is_refused(self, keyring: KeyRing) -> None:
        """A wrapped secret with one bit flipped does not open."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        for bit in range(8 * len(wrapped.ciphertext)):
            changed = bytearray(wrapped.ciphertext)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(UnwrapFailed):
                unwrapped_by(keyring, attrs.evolve(wrapped, ciphertext=bytes(changed)))

    def test_every_other_length_is_refused(self, keyring: KeyRing) -> None:
        """A wrapped secret that was cut or lengthened does not open."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        longer = wrapped.ciphertext + bytes(16)
        for length in (*range(len(wrapped.ciphertext)), len(longer) - 8, len(longer)):
            with pytest.raises(UnwrapFailed):
                unwrapped_by(keyring, attrs.evolve(wrapped, ciphertext=longer[:length]))

    def test_a_missing_key_is_named(self, keyring: KeyRing, other_keyring: KeyRing) -> None:
        """A ring without the key says which one is missing, not just that it failed."""
        wrapped = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnknownKey) as missing:
            unwrapped_by(other_keyring, wrapped)
        assert missing.value.key_id == wrapped.key_id

    def test_a_key_of_the_same_name_is_not_the_same_key(self, keyring: KeyRing, other_keyring: KeyRing) -> None:
        """What another ring wrapped does not open, even if it is filed under a key of this ring."""
        foreign = wrapped_by(other_keyring, Secret(os.urandom(32)))
        own = wrapped_by(keyring, Secret(os.urandom(32)))
        with pytest.raises(UnwrapFailed):
            unwrapped_by(keyring, attrs.evolve(foreign, key_id=own.key_id))

    def test_nothing_secret_shows(self, keyring: KeyRing) -> None:
        """The wrapped form does not hold the secret, and no text shows it or the ciphertext."""
        secret = Secret(b"a secret of thirty-two bytes, no")
        wrapped = wrapped_by(keyring, secret)
        assert secret.reveal()[:16] not in wrapped.ciphertext
        assert repr(wrapped.ciphertext)[2:-1] not in repr(wrapped)
        assert "thirty-two" not in repr(unwrapped_by(keyring, wrapped)) + repr(keyring)
