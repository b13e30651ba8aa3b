"""
C2SP chunked encryption with AES-256-GCM, "Cobblestone-256" (docs/reference/file-format, "Scheme").

A message is `salt || commitment || chunk 0 || chunk 1 || …`. Chunks hold 16 KiB of plaintext and
the last one always holds less, so its length alone says that it is the last.
"""

from __future__ import annotations

import hmac
import io
from typing import Final, Self

import attrs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sft_adapters.crypto.kdf import expand
from sft_core.errors import AuthenticationFailed, InvalidValue
from sft_core.values import Secret

KEY_BYTES: Final = 32
SALT_BYTES: Final = 24
COMMITMENT_BYTES: Final = 32
HEADER_BYTES: Final = SALT_BYTES + COMMITMENT_BYTES
CHUNK_BYTES: Final = 16_384
TAG_BYTES: Final = 16
SEALED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
MAX_CHUNKS: Final = 2**38

_NONCE_BYTES: Final = 12
_INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def sealed_length(size: int) -> int:
    """
    The length in bytes of the message that holds `size` bytes of plaintext.
    """
    chunks = size // CHUNK_BYTES + 1
    if not 0 < chunks <= MAX_CHUNKS:
        raise InvalidValue("size", f"a message holds 0 to {MAX_CHUNKS} chunks of {CHUNK_BYTES} bytes")
    return HEADER_BYTES + size + chunks * TAG_BYTES


def opened_length(length: int) -> int:
    """
    How many bytes of plaintext a message of `length` bytes holds.

    `AuthenticationFailed` if no message is that long: something was cut off or added.
    """
    full, rest = divmod(length - HEADER_BYTES, SEALED_CHUNK_BYTES)
    if not 0 <= full < MAX_CHUNKS or rest < TAG_BYTES:
        raise AuthenticationFailed(f"no message is {length} bytes long")
    return full * CHUNK_BYTES + rest - TAG_BYTES


@attrs.frozen(kw_only=True)
class MessageKeys:
    """
    What a message's input key, salt and context derive to.
    """

    key: bytes = attrs.field(repr=False)
    base_nonce: bytes = attrs.field(repr=False)
    commitment: bytes = attrs.field(repr=False)

    @classmethod
    def derive(cls, key: Secret, *, salt: bytes, context: bytes) -> Self:
        """
        Derive them; `InvalidValue` unless the key has 32 bytes and the salt 24.
        """
        if len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
            raise InvalidValue("key", f"a message takes a key of {KEY_BYTES} bytes and a salt of {SALT_BYTES}")
        size = KEY_BYTES + _NONCE_BYTES + COMMITMENT_BYTES
        derived = expand(key.reveal(), info=_INFO + salt + context, size=size)
        return cls(
            key=derived[:KEY_BYTES],
            base_nonce=derived[KEY_BYTES:-COMMITMENT_BYTES],
            commitment=derived[-COMMITMENT_BYTES:],
        )


@attrs.frozen(kw_only=True)
class Message:
    """
    One message, ready to encrypt or decrypt runs of consecutive chunks in any order.
    """

    header: bytes = attrs.field(repr=False)
    _aead: AESGCM = attrs.field(repr=False)
    _base_nonce: int = attrs.field(repr=False)

    @classmethod
    def begin(cls, key: Secret, *, salt: bytes, context: bytes) -> Self:
        """
        A new message; the salt must never have been used with this key before.
        """
        keys = MessageKeys.derive(key, salt=salt, context=context)
        return cls._keyed(keys, salt + keys.commitment)

    @classmethod
    def open(cls, key: Secret, *, header: bytes, context: bytes) -> Self:
        """
        The message that begins with `header`; `AuthenticationFailed` unless key and context are its own.
        """
        if len(key) != KEY_BYTES or len(header) != HEADER_BYTES:
            raise AuthenticationFailed("the key or the header has a length that no message has")
        keys = MessageKeys.derive(key, salt=header[:SALT_BYTES], context=context)
        if not hmac.compare_digest(keys.commitment, header[SALT_BYTES:]):
            raise AuthenticationFailed("the header does not commit to this key and context")
        return cls._keyed(keys, header)

    @classmethod
    def _keyed(cls, keys: MessageKeys, header: bytes) -> Self:
        return cls(header=header, aead=AESGCM(keys.key), base_nonce=int.from_bytes(keys.base_nonce, "big"))

    def encrypt_run(self, first: int, plaintext: memoryview, into: memoryview, *, last: bool) -> int:
        """
        Encrypt whole chunks from number `first` on, and return how many bytes were written.

        `last` closes the message: then what is over 16 KiB chunks, even if nothing, is its last
        chunk. Otherwise the plaintext is a multiple of 16 KiB.
        """
        encrypt_into, base = self._aead.encrypt_into, self._base_nonce
        written = 0
        for index in range(len(plaintext) // CHUNK_BYTES + last):
            chunk = plaintext[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]
            end = written + len(chunk) + TAG_BYTES
            nonce = (base ^ (first + index)).to_bytes(_NONCE_BYTES, "big")
            encrypt_into(nonce, chunk, None, into[written:end])
            written = end
        return written

    def decrypt_run(self, first: int, ciphertext: memoryview) -> bytes:
        """
        Authenticate encrypted chunks from number `first` on and return their plaintext.

        `AuthenticationFailed` names the first chunk that is not what was encrypted; then nothing
        is returned. Only the last chunk given may be short: whether it may be is the caller's rule.
        """
        decrypt_into, base = self._aead.decrypt_into, self._base_nonce
        full, rest = divmod(len(ciphertext), SEALED_CHUNK_BYTES)
        # BytesIO hands out its buffer without a copy; join and bytes(bytearray) would copy it all.
        plaintext = io.BytesIO(bytes(full * CHUNK_BYTES + max(rest - TAG_BYTES, 0)))
        number = first
        try:
            with plaintext.getbuffer() as into:
                for number in range(first, first + full + (rest > 0)):
                    index = number - first
                    chunk = ciphertext[index * SEALED_CHUNK_BYTES : (index + 1) * SEALED_CHUNK_BYTES]
                    nonce = (base ^ number).to_bytes(_NONCE_BYTES, "big")
                    decrypt_into(nonce, chunk, None, into[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
        except InvalidTag:
            raise AuthenticationFailed(f"chunk {number} does not authenticate") from None
        return plaintext.getvalue()


def encrypt_message(key: Secret, *, salt: bytes, context: bytes, plaintext: bytes) -> bytes:
    """
    Encrypt a whole message at once; the salt must never have been used with this key before.
    """
    message = Message.begin(key, salt=salt, context=context)
    ciphertext = bytearray(sealed_length(len(plaintext)))
    ciphertext[:HEADER_BYTES] = message.header
    message.encrypt_run(0, memoryview(plaintext), memoryview(ciphertext)[HEADER_BYTES:], last=True)
    return bytes(ciphertext)


def decrypt_message(key: Secret, *, context: bytes, ciphertext: bytes) -> bytes:
    """
    Decrypt a whole message at once; `AuthenticationFailed` if anything about it is not as it was.
    """
    opened_length(len(ciphertext))
    message = Message.open(key, header=ciphertext[:HEADER_BYTES], context=context)
    return message.decrypt_run(0, memoryview(ciphertext)[HEADER_BYTES:])
