"""
The key ring: a wrapped secret is unwrapped only for its purpose and context.
"""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.crypto.keyring import AesKeyRing, key_id
from sft_core.errors import ConfigurationError, InvalidValue, UnwrapFailed
from sft_core.values import Secret, WrappedSecret

OLD, NEW = Secret(bytes(range(32))), Secret(bytes(range(32, 64)))
SECRET = Secret(b"sixteen byte key")
PURPOSE, CONTEXT = "file-key", b"a row"

sizes = st.integers(2, 512).map(lambda blocks: 8 * blocks)
secrets = sizes.flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(Secret)


@pytest.fixture
def ring() -> AesKeyRing:
    return AesKeyRing(NEW, (OLD,))


@pytest.fixture
def wrapped(ring: AesKeyRing) -> WrappedSecret:
    return ring.wrap(SECRET, purpose=PURPOSE, context=CONTEXT)


@given(secret=secrets, purpose=st.from_regex("[a-z0-9-]{1,64}", fullmatch=True), context=st.binary(max_size=64))
def test_secret_round_trips(secret: Secret, purpose: str, context: bytes) -> None:
    """
    A secret is unwrapped for the purpose and context of its wrapping, and its ciphertext is 8 bytes longer.
    """
    ring = AesKeyRing(NEW)
    wrapped = ring.wrap(secret, purpose=purpose, context=context)
    assert ring.unwrap(wrapped, purpose=purpose, context=context) == secret
    assert len(wrapped.ciphertext) == len(secret) + 8


def test_new_secrets_are_wrapped_under_the_active_key(ring: AesKeyRing, wrapped: WrappedSecret) -> None:
    """
    A wrapped secret names the active key, and unwraps in a ring with only that key.
    """
    assert wrapped.key_id == ring.active_id == key_id(NEW)
    assert AesKeyRing(NEW).unwrap(wrapped, purpose=PURPOSE, context=CONTEXT) == SECRET


def test_old_key_unwraps_its_secrets(ring: AesKeyRing) -> None:
    """
    After a rotation the old key unwraps its secrets, which name it.
    """
    before = AesKeyRing(OLD).wrap(SECRET, purpose=PURPOSE, context=CONTEXT)
    assert before.key_id == key_id(OLD) != ring.active_id
    assert ring.unwrap(before, purpose=PURPOSE, context=CONTEXT) == SECRET


def test_secret_with_another_key_id_is_not_unwrapped(ring: AesKeyRing, wrapped: WrappedSecret) -> None:
    """
    A row that names another key of the ring than the wrapping one is not unwrapped.
    """
    with pytest.raises(UnwrapFailed):
        ring.unwrap(attrs.evolve(wrapped, key_id=key_id(OLD)), purpose=PURPOSE, context=CONTEXT)


@pytest.mark.parametrize("purpose", ["", "File-Key", "file key", "file\x00key", "schlüssel", "x" * 65, "key\n"])
def test_purpose_is_a_word(purpose: str, ring: AesKeyRing, wrapped: WrappedSecret) -> None:
    """
    A purpose that could be confused with another purpose and context is refused for wrapping and unwrapping.
    """
    with pytest.raises(InvalidValue):
        ring.wrap(SECRET, purpose=purpose, context=CONTEXT)
    with pytest.raises(InvalidValue):
        ring.unwrap(wrapped, purpose=purpose, context=CONTEXT)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_ring_of_keys_of_another_size_is_refused(size: int) -> None:
    """
    Active and retiring keys must have 32 bytes, and the error names the setting.
    """
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY"):
        AesKeyRing(Secret(bytes(size)))
    with pytest.raises(ConfigurationError, match="ENCRYPTION_KEY"):
        AesKeyRing(NEW, (Secret(bytes(size)),))


def test_key_ids_are_stable() -> None:
    """
    A key's id never changes, because stored rows refer to it.
    """
    assert key_id(OLD) == "4d0194f3c5b6678a"
    assert key_id(NEW) == "4708de993b51ee38"


def test_ring_does_not_show_its_keys(ring: AesKeyRing) -> None:
    """
    The `repr` of a ring contains ids and no key.
    """
    assert ring.active_id in repr(ring)
    for key in (OLD, NEW):
        assert key.reveal().hex() not in repr(ring)
        assert repr(key.reveal())[2:-1] not in repr(ring)
