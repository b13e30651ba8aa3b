# ruff: noqa: INP001 (a script that stands alone)
"""
Reads one message of the file format, or one part of a vault file, whole, on its own.

    sft_reader.py message KEY CONTEXT                                       < message > plaintext
    sft_reader.py part RING KEY_ID WRAPPED FILE_ID VERSION PART SIZE HEADER < blob    > plaintext

VERSION, PART and SIZE are numbers, FILE_ID is a UUID, the rest is hexadecimal; RING is one or more
keys with commas between.
It needs Python and the package `cryptography`; docs/reference/file-format.md says what it does.
"""

import hmac
import sys
from uuid import UUID

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

SCHEME = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def read_message(key: bytes, context: bytes, message: bytes) -> bytes:
    """Decrypt a whole message; an exception, whatever its class, means that it is not authentic."""
    if len(key) != 32 or len(message) < 72 or (len(message) - 56) % 16_400 < 16:
        raise ValueError("no key or no message is that long")
    derived = HKDFExpand(SHA512(), 76, SCHEME + message[:24] + context).derive(key)
    if not hmac.compare_digest(derived[44:], message[24:56]):
        raise ValueError("another key, context or header")
    aead, base_nonce = AESGCM(derived[:32]), int.from_bytes(derived[32:44], "big")
    chunks = enumerate(message[start : start + 16_400] for start in range(56, len(message), 16_400))
    return b"".join(aead.decrypt((base_nonce ^ k).to_bytes(12, "big"), chunk, None) for k, chunk in chunks)


def unwrap_key(ring: list[bytes], key_id: str, wrapped: bytes, row: bytes) -> bytes:
    """Unwrap the file key of a row: the file's id (16 bytes), then its version (8, big-endian)."""
    names = {HKDF(SHA512(), 8, None, b"sft/v1/keyring/id").derive(key).hex(): key for key in ring}
    info = b"sft/v1/keyring/wrap\x00file-key\x00" + row
    return aes_key_unwrap(HKDF(SHA512(), 32, None, info).derive(names[key_id]), wrapped)


def read_part(key: bytes, row: bytes, part: int, *, size: int, header: bytes, blob: bytes) -> bytes:
    """Decrypt a part whose number, plaintext size and header come from the manifest."""
    if blob[:56] != header or len(blob) != 56 + size + (size // 16_384 + 1) * 16:
        raise ValueError("the blob is not the manifest's")
    return read_message(key, b"sft/v1/vault/" + row + part.to_bytes(8, "big"), blob)


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    data, unhex = sys.stdin.buffer.read(), bytes.fromhex
    if what == "message":
        plaintext = read_message(unhex(given[0]), unhex(given[1]), data)
    else:
        row = UUID(given[3]).bytes + int(given[4]).to_bytes(8, "big")
        key = unwrap_key([unhex(key) for key in given[0].split(",")], given[1], unhex(given[2]), row)
        plaintext = read_part(key, row, int(given[5]), size=int(given[6]), header=unhex(given[7]), blob=data)
    sys.stdout.buffer.write(plaintext)
