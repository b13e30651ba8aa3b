"""
C2SP chunked encryption with AES-256-GCM, "Cobblestone-256" (docs/reference/file-format, "Scheme").

A message is `salt || commitment || chunk 0 || chunk 1 || …`. Each chunk contains 16 KiB of plaintext,
the last one always less, so its length alone identifies it as the last.
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
ENCRYPTED_CHUNK_BYTES: Final = CHUNK_BYTES + TAG_BYTES
MAX_CHUNKS: Final = 2**38

_NONCE_BYTES: Final = 12
_INFO: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def ciphertext_length(size: int) -> int:
    """
    Return the length in bytes of the message for `size` bytes of plaintext.

    `InvalidValue` is raised if no message can contain that many bytes.
    """
    chunks = size // CHUNK_BYTES + 1
    if not 0 < chunks <= MAX_CHUNKS:
        raise InvalidValue("size", f"a message contains 1 to {MAX_CHUNKS} chunks of {CHUNK_BYTES} bytes")
    return HEADER_BYTES + size + chunks * TAG_BYTES


def plaintext_length(length: int) -> int:
    """
    Return the number of plaintext bytes in a message of `length` bytes.

    `AuthenticationFailed` is raised if no message has this length: bytes were removed or added.
    """
    full, rest = divmod(length - HEADER_BYTES, ENCRYPTED_CHUNK_BYTES)
    if not 0 <= full < MAX_CHUNKS or rest < TAG_BYTES:
        raise AuthenticationFailed(f"no valid message is {length} bytes long")
    return full * CHUNK_BYTES + rest - TAG_BYTES


@attrs.frozen(kw_only=True)
class MessageKeys:
    """
    The keys derived from a message's input key, salt and context.
    """

    key: bytes = attrs.field(repr=False)
    base_nonce: bytes = attrs.field(repr=False)
    commitment: bytes = attrs.field(repr=False)

    @classmethod
    def derive(cls, key: Secret, *, salt: bytes, context: bytes) -> Self:
        """
        Derive the keys; raise `InvalidValue` unless the key has 32 bytes and the salt 24.
        """
        if len(key) != KEY_BYTES or len(salt) != SALT_BYTES:
            raise InvalidValue("key", f"a message needs a key of {KEY_BYTES} bytes and a salt of {SALT_BYTES}")
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
    One message; encrypts or decrypts runs of consecutive chunks in any order.
    """

    header: bytes = attrs.field(repr=False)
    _aead: AESGCM = attrs.field(repr=False)
    _base_nonce: int = attrs.field(repr=False)

    @classmethod
    def new(cls, key: Secret, *, salt: bytes, context: bytes) -> Self:
        """
        Start a new message; a salt must not be used twice with the same key.
        """
        keys = MessageKeys.derive(key, salt=salt, context=context)
        return cls._from_keys(keys, salt + keys.commitment)

    @classmethod
    def open(cls, key: Secret, *, header: bytes, context: bytes) -> Self:
        """
        Open the message that begins with `header`.

        `AuthenticationFailed` is raised if a length is wrong, or the header does not commit to this key and context.
        """
        if len(key) != KEY_BYTES or len(header) != HEADER_BYTES:
            raise AuthenticationFailed("the key or the header has a wrong length")
        keys = MessageKeys.derive(key, salt=header[:SALT_BYTES], context=context)
        if not hmac.compare_digest(keys.commitment, header[SALT_BYTES:]):
            raise AuthenticationFailed("the header does not commit to this key and context")
        return cls._from_keys(keys, header)

    @classmethod
    def _from_keys(cls, keys: MessageKeys, header: bytes) -> Self:
        return cls(header=header, aead=AESGCM(keys.key), base_nonce=int.from_bytes(keys.base_nonce, "big"))

    def encrypt_run(self, first: int, plaintext: memoryview, into: memoryview, *, last: bool) -> int:
        """
        Encrypt consecutive chunks, numbered from `first`, and return the number of bytes written.

        With `last` the message is closed: the rest after the last full 16 KiB chunk becomes the last chunk, even if it
        is empty. Without it the plaintext must be a multiple of 16 KiB.
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
        Authenticate consecutive encrypted chunks, numbered from `first`, and return their plaintext.

        Only the last given chunk may be short. Whether it may end the message is the caller's check.
        `AuthenticationFailed` names the first chunk that is not the one that was encrypted; no plaintext is returned.
        """
        decrypt_into, base = self._aead.decrypt_into, self._base_nonce
        full, rest = divmod(len(ciphertext), ENCRYPTED_CHUNK_BYTES)
        # BytesIO returns its buffer without a copy; join and bytes(bytearray) would copy all of it.
        plaintext = io.BytesIO(bytes(full * CHUNK_BYTES + max(rest - TAG_BYTES, 0)))
        number = first
        try:
            with plaintext.getbuffer() as into:
                for number in range(first, first + full + (rest > 0)):
                    index = number - first
                    chunk = ciphertext[index * ENCRYPTED_CHUNK_BYTES : (index + 1) * ENCRYPTED_CHUNK_BYTES]
                    nonce = (base ^ number).to_bytes(_NONCE_BYTES, "big")
                    decrypt_into(nonce, chunk, None, into[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
        except InvalidTag:
            raise AuthenticationFailed(f"chunk {number} does not authenticate") from None
        return plaintext.getvalue()


def encrypt_message(key: Secret, *, salt: bytes, context: bytes, plaintext: bytes) -> bytes:
    """
    Encrypt a whole message at once; see `Message.new`.
    """
    message = Message.new(key, salt=salt, context=context)
    ciphertext = bytearray(ciphertext_length(len(plaintext)))
    ciphertext[:HEADER_BYTES] = message.header
    message.encrypt_run(0, memoryview(plaintext), memoryview(ciphertext)[HEADER_BYTES:], last=True)
    return bytes(ciphertext)


def decrypt_message(key: Secret, *, context: bytes, ciphertext: bytes) -> bytes:
    """
    Decrypt a whole message at once.

    `AuthenticationFailed` is raised if its length, key, context, header or a chunk is wrong.
    """
    plaintext_length(len(ciphertext))
    message = Message.open(key, header=ciphertext[:HEADER_BYTES], context=context)
    return message.decrypt_run(0, memoryview(ciphertext)[HEADER_BYTES:])
