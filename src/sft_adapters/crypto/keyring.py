"""
The key ring: AES key wrap under keys derived for one purpose and one context.
"""

from __future__ import annotations

import re
from typing import Final

import attrs
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from sft_adapters.crypto.kdf import derive
from sft_core.errors import ConfigurationError, InvalidValue, UnknownKey, UnwrapFailed
from sft_core.values import Secret, WrappedSecret

RING_KEY_BYTES: Final = 32

_ID_INFO: Final = b"sft/v1/keyring/id"
_WRAP_INFO: Final = b"sft/v1/keyring/wrap\x00"
_PURPOSE: Final = re.compile(r"[a-z0-9-]{1,64}")
_MAX_SECRET_BYTES: Final = 4096


def key_id(key: Secret) -> str:
    """
    Return a key's id: 16 hexadecimal digits, which reveal nothing else about the key.
    """
    return derive(key.reveal(), info=_ID_INFO, size=8).hex()


def wrap_under(kek: bytes, secret: Secret) -> bytes:
    """
    Wrap a secret by AES key wrap (RFC 3394, section 2.2.1).

    `InvalidValue` is raised unless it has 16 to 4 096 bytes, a multiple of 8.
    """
    value = secret.reveal()
    if len(value) % 8 or not 16 <= len(value) <= _MAX_SECRET_BYTES:
        raise InvalidValue("secret", f"must have 16 to {_MAX_SECRET_BYTES} bytes, a multiple of 8")
    return aes_key_wrap(kek, value)


def unwrap_under(kek: bytes, ciphertext: bytes) -> Secret:
    """
    Unwrap a secret (RFC 3394, section 2.2.2); raise `UnwrapFailed` unless it was wrapped under `kek`.
    """
    try:
        return Secret(aes_key_unwrap(kek, ciphertext))
    except InvalidUnwrap:
        raise UnwrapFailed from None


@attrs.frozen
class AesKeyRing:
    """
    Implements `sft_core.ports.KeyRing` with one active key and any number of retiring keys.

    New secrets are wrapped under the active key. A wrapped secret names its key, so retiring keys unwrap their secrets
    until these are re-wrapped. A key that does not have 32 bytes raises `ConfigurationError`.
    """

    active: Secret
    retiring: tuple[Secret, ...] = ()
    active_id: str = attrs.field(init=False)
    _keys: dict[str, Secret] = attrs.field(init=False, repr=False, eq=False)

    @active_id.default
    def _active_key_id(self) -> str:
        return key_id(self.active)

    @_keys.default
    def _keys_by_id(self) -> dict[str, Secret]:
        keys = (self.active, *self.retiring)
        if any(len(key) != RING_KEY_BYTES for key in keys):
            raise ConfigurationError(f"ENCRYPTION_KEY: every key of the ring must have {RING_KEY_BYTES} bytes")
        return {key_id(key): key for key in keys}

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def wrap(self, secret: Secret, *, purpose: str, context: bytes) -> WrappedSecret:
        kek = _key_encryption_key(self.active, purpose, context)
        return WrappedSecret(self.active_id, wrap_under(kek, secret))

    def unwrap(self, wrapped: WrappedSecret, *, purpose: str, context: bytes) -> Secret:
        key = self._keys.get(wrapped.key_id)
        if key is None:
            raise UnknownKey(wrapped.key_id)
        return unwrap_under(_key_encryption_key(key, purpose, context), wrapped.ciphertext)


def _key_encryption_key(key: Secret, purpose: str, context: bytes) -> bytes:
    # A purpose contains no NUL byte, so no purpose and context derive the key of another pair.
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidValue("purpose", "must have 1 to 64 lower-case letters, digits and hyphens")
    return derive(key.reveal(), info=_WRAP_INFO + purpose.encode() + b"\x00" + context, size=32)
