"""
The official Wycheproof vectors of every primitive of the file format.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sft_adapters.crypto.chunked import (
    HEADER_BYTES,
    SALT_BYTES,
    Message,
    MessageKeys,
    decrypt_message,
    encrypt_message,
    plaintext_length,
)
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.kdf import derive
from sft_adapters.crypto.keyring import unwrap_under, wrap_under
from sft_adapters.testkit.vectors import plain
from sft_core.errors import AuthenticationFailed, InvalidValue, UnwrapFailed
from sft_core.ports import Entropy
from sft_core.values import ByteRange, Secret


def unpacked(vector: Any) -> tuple[Secret, bytes, bytes]:
    key, context = Secret(bytes.fromhex(vector["key"])), bytes.fromhex(vector["ctx"])
    return key, context, zlib.decompress(bytes.fromhex(vector["ct"]))


def test_chunked_decryption_of_whole_messages(c2sp_vector: Any) -> None:
    """
    A valid message is decrypted to its plaintext, an invalid one is refused.
    """
    key, context, ciphertext = unpacked(c2sp_vector)
    if c2sp_vector["result"] == "invalid":
        with pytest.raises(AuthenticationFailed):
            decrypt_message(key, context=context, ciphertext=ciphertext)
        return
    plaintext = decrypt_message(key, context=context, ciphertext=ciphertext)
    assert len(plaintext) == c2sp_vector["msgLength"]
    assert hashlib.sha512(plaintext).hexdigest() == c2sp_vector["msgSha512"]


def test_chunked_decryption_in_windows(c2sp_vector: Any, entropy: Entropy) -> None:
    """
    Read as a part, a valid message is decrypted, and an invalid one returns nothing beyond its valid prefix.
    """
    key, context, ciphertext = unpacked(c2sp_vector)
    released: list[bytes] = []

    def read() -> None:
        size = plaintext_length(len(ciphertext))
        part = ChunkedCipher(entropy).reader(key, context=context, header=ciphertext[:HEADER_BYTES], size=size)
        whole = ByteRange(0, size)
        # An empty part has no window, so its one chunk is checked as a whole message.
        windows = part.windows(whole) if size else [ByteRange(0, len(ciphertext))]
        released.extend(part.decrypt(w, memoryview(ciphertext)[w.start : w.stop], whole) for w in windows)

    if c2sp_vector["result"] == "invalid":
        with pytest.raises(AuthenticationFailed):
            read()
        assert len(b"".join(released)) <= c2sp_vector.get("msgLength", 0)
        return
    read()
    assert hashlib.sha512(b"".join(released)).hexdigest() == c2sp_vector["msgSha512"]


def test_chunked_derivation(c2sp_keyed_vector: Any) -> None:
    """
    Key, base nonce and commitment equal those of the vector.
    """
    key, context, ciphertext = unpacked(c2sp_keyed_vector)
    keys = MessageKeys.derive(key, salt=ciphertext[:SALT_BYTES], context=context)
    assert keys.key.hex() == c2sp_keyed_vector["aeadKey"]
    assert keys.base_nonce.hex() == c2sp_keyed_vector["baseNonce"]
    assert keys.commitment == ciphertext[SALT_BYTES:HEADER_BYTES]


def test_chunked_encryption_under_the_vectors_salt(c2sp_valid_vector: Any) -> None:
    """
    Encrypting a valid vector's plaintext reproduces its ciphertext.
    """
    key, context, ciphertext = unpacked(c2sp_valid_vector)
    salt, plaintext = ciphertext[:SALT_BYTES], decrypt_message(key, context=context, ciphertext=ciphertext)
    assert encrypt_message(key, salt=salt, context=context, plaintext=plaintext) == ciphertext


def test_writer_of_our_own_vectors_agrees(c2sp_valid_vector: Any) -> None:
    """
    Messages of the project's vector writer have the official headers and are decrypted.
    """
    key, context, ciphertext = unpacked(c2sp_valid_vector)
    full, rest = divmod(c2sp_valid_vector["msgLength"], plain.CHUNK)
    written = plain.write(key.reveal(), ciphertext[:SALT_BYTES], context, (*[plain.CHUNK] * full, rest))
    assert written.header == ciphertext[:HEADER_BYTES]
    assert decrypt_message(key, context=context, ciphertext=written.ciphertext) == written.plaintext


def test_gcm_through_the_chunk_path(gcm_chunk_vector: Any) -> None:
    """
    A chunk is AES-256-GCM under base nonce XOR number, for any valid chunk number.

    Only vectors with a 12-byte nonce and no associated data can be chunks.
    """
    aead, nonce = AESGCM(bytes.fromhex(gcm_chunk_vector["key"])), int(gcm_chunk_vector["iv"], 16)
    plaintext = bytes.fromhex(gcm_chunk_vector["msg"])
    sealed = bytes.fromhex(gcm_chunk_vector["ct"] + gcm_chunk_vector["tag"])
    for number in (0, 1, 255, 256, 2**32, 2**38 - 1):
        message = Message(header=b"", aead=aead, base_nonce=nonce ^ number)
        if gcm_chunk_vector["result"] == "invalid":
            with pytest.raises(AuthenticationFailed):
                message.decrypt_run(number, memoryview(sealed))
            continue
        assert message.decrypt_run(number, memoryview(sealed)) == plaintext
        into = bytearray(len(sealed))
        assert message.encrypt_run(number, memoryview(plaintext), memoryview(into), last=True) == len(sealed)
        assert into == sealed


def test_gcm_of_the_library_itself(gcm_vector: Any) -> None:
    """
    The library's AES-GCM agrees with every vector; nonces under 8 or over 128 bytes are refused.
    """
    aead, nonce = AESGCM(bytes.fromhex(gcm_vector["key"])), bytes.fromhex(gcm_vector["iv"])
    associated = bytes.fromhex(gcm_vector["aad"])
    plaintext, sealed = bytes.fromhex(gcm_vector["msg"]), bytes.fromhex(gcm_vector["ct"] + gcm_vector["tag"])
    if not 8 <= len(nonce) <= 128:
        with pytest.raises(ValueError, match="Nonce"):
            aead.decrypt(nonce, sealed, associated)
    elif gcm_vector["result"] == "invalid":
        with pytest.raises(InvalidTag):
            aead.decrypt(nonce, sealed, associated)
    else:
        assert aead.decrypt(nonce, sealed, associated) == plaintext
        assert aead.encrypt(nonce, plaintext, associated) == sealed


def test_hkdf_sha_512(hkdf_vector: Any) -> None:
    """
    Extract and expand give the vector's output; more output than HKDF allows is refused.
    """
    secret, salt, info = (bytes.fromhex(hkdf_vector[name]) for name in ("ikm", "salt", "info"))
    if hkdf_vector["result"] == "invalid":
        with pytest.raises(ValueError, match="larger"):
            derive(secret, salt=salt, info=info, size=hkdf_vector["size"])
        return
    assert derive(secret, salt=salt, info=info, size=hkdf_vector["size"]).hex() == hkdf_vector["okm"]


def test_aes_key_wrap(wrap_vector: Any) -> None:
    """
    Valid wrappings are unwrapped and reproduced; all others are refused, 8-byte keys included.
    """
    kek, secret, wrapped = (bytes.fromhex(wrap_vector[name]) for name in ("key", "msg", "ct"))
    if wrap_vector["result"] == "valid":
        assert unwrap_under(kek, wrapped) == Secret(secret)
        assert wrap_under(kek, Secret(secret)) == wrapped
        return
    with pytest.raises(UnwrapFailed):
        unwrap_under(kek, wrapped)
    if len(secret) % 8 or len(secret) < 16:
        with pytest.raises(InvalidValue):
            wrap_under(kek, Secret(secret))


def test_absent_vectors_are_a_failure_in_ci(tmp_path: Path) -> None:
    """
    Without the vectors the tests are skipped by name, and fail if `CI` is true.
    """
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", __file__, "-k", "aes_key_wrap"]
    environment = {**os.environ, "CI": "true", "SFT_TEST_VECTORS": str(tmp_path)}
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert " 1 error in " in done.stdout, done.stdout + done.stderr
    assert f"there is no aes_wrap_test.json in {tmp_path}" in done.stdout
