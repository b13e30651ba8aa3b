"""
The project's own vectors: the generator reproduces them, and every reader agrees on them.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from uuid import UUID

import attrs
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap

from sft_adapters.crypto.chunked import ciphertext_length, decrypt_message, encrypt_message
from sft_adapters.crypto.content import ChunkedCipher
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.testkit import vectors
from sft_adapters.testkit.vectors import MessageVector, VaultVector
from sft_adapters.testkit.vectors.generate import write_all
from sft_core.errors import BlobSizeMismatch, SftError
from sft_core.ports import Entropy
from sft_core.values import ByteRange, FileId, FileName, MediaType, Secret, UserId, WrappedSecret
from sft_core.vault.model import File, FileState, Part
from sft_core.vault.use_cases import ReadFile

ALL = list(vectors.load())
MESSAGES = [vector for vector in ALL if isinstance(vector, MessageVector)]
PARTS = [vector for vector in ALL if isinstance(vector, VaultVector)]
READER_ERRORS = (ValueError, InvalidTag, InvalidUnwrap)

each_message = pytest.mark.parametrize("vector", MESSAGES, ids=lambda vector: vector.name)
each_part = pytest.mark.parametrize("vector", PARTS, ids=lambda vector: vector.name)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_generator_writes_what_is_committed(tmp_path: Path) -> None:
    """
    The generator reproduces the committed files byte for byte, and no others.
    """
    write_all(tmp_path)
    committed = Path(vectors.__file__).parent
    generated = {path.name: path.read_bytes() for path in tmp_path.glob("*.json")}
    assert generated == {path.name: path.read_bytes() for path in committed.glob("*.json")}


def test_generator_runs_as_a_module(tmp_path: Path) -> None:
    """
    The generator is a command that writes one file per vector into the given folder.
    """
    command = [sys.executable, "-m", "sft_adapters.testkit.vectors.generate", str(tmp_path)]
    subprocess.run(command, check=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert len(list(tmp_path.glob("*.json"))) == len(ALL)


def test_vectors_cover_valid_cases_and_every_error() -> None:
    """
    Each kind of vector has valid cases, and each error of reading has a case.
    """
    assert {vector.error for vector in MESSAGES} == {None, "content-not-authentic"}
    assert {vector.error for vector in PARTS} == {
        None,
        "content-not-authentic",
        "content-size-mismatch",
        "unwrap-failed",
        "unknown-key",
    }
    assert all((vector.error is None) == ("-valid-" in vector.name) for vector in ALL)


@each_message
def test_message_vector_in_the_implementation(vector: MessageVector) -> None:
    """
    A valid message is decrypted and reproduced; an invalid one raises its error.
    """
    key = Secret(vector.key)
    if vector.error is not None:
        with pytest.raises(SftError) as refused:
            decrypt_message(key, context=vector.context, ciphertext=vector.ciphertext)
        assert refused.value.code == vector.error
        return
    plaintext = decrypt_message(key, context=vector.context, ciphertext=vector.ciphertext)
    assert sha256(plaintext) == vector.plaintext_sha256
    salt = vector.ciphertext[:24]
    assert encrypt_message(key, salt=salt, context=vector.context, plaintext=plaintext) == vector.ciphertext


@each_message
def test_message_vector_in_the_stand_alone_reader(vector: MessageVector, reader: ModuleType) -> None:
    """
    The documentation's reader decrypts the same messages and refuses the same ones.
    """
    if vector.error is not None:
        with pytest.raises(READER_ERRORS):
            reader.read_message(vector.key, vector.context, vector.ciphertext)
        return
    plaintext = reader.read_message(vector.key, vector.context, vector.ciphertext)
    assert sha256(plaintext) == vector.plaintext_sha256


@attrs.frozen
class SingleFileVault:
    """
    A vault with one file of one part: store, manifest and unit of work in one object.
    """

    file: File
    part: Part
    blob: bytes

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[SingleFileVault]:
        assert read_only
        yield self

    @property
    def files(self) -> SingleFileVault:
        return self

    @property
    def manifests(self) -> SingleFileVault:
        return self

    def get(self, _file_id: FileId) -> File:
        return self.file

    def covering(self, _file_id: FileId, span: ByteRange, *, limit: int) -> Sequence[Part]:
        return [self.part][:limit] if len(span) else []

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        assert key == self.part.blob_key
        if len(self.blob) != size:
            raise BlobSizeMismatch
        buffer[:] = self.blob[start : start + len(buffer)]


def read_through_the_core(vector: VaultVector, entropy: Entropy) -> bytes:
    """
    Read a vector's part with the core's use case, as the only part of its file.
    """
    file = File(
        id=FileId(vector.file_id),
        owner=UserId(UUID(int=1)),
        name=FileName.parse("a.bin"),
        original_name=FileName.parse("a.bin"),
        media_type=MediaType.parse("application/octet-stream"),
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        state=FileState.SEALED,
        size=vector.size,
        version=vector.version,
        key=WrappedSecret(vector.key_id, vector.wrapped_key),
    )
    part = Part(
        number=vector.part,
        start=0,
        size=vector.size,
        stored_size=56 + vector.size + (vector.size // 16_384 + 1) * 16,
        blob_key=file.blob_key(vector.part, b"nonce"),
        header=vector.header,
    )
    active, *old = map(Secret, vector.ring)
    vault = SingleFileVault(file, part, vector.blob)
    read = ReadFile(
        begin=vault,  # type: ignore[arg-type]  # of a unit of work, reading needs the file and its manifest only
        keyring=AesKeyRing(active, tuple(old)),
        cipher=ChunkedCipher(entropy),
        blobs=vault,  # type: ignore[arg-type]  # of a store, reading needs `read_into` only
    )
    return b"".join(bytes(piece) for piece in read(file))


@each_part
def test_part_vector_in_the_implementation(vector: VaultVector, entropy: Entropy) -> None:
    """
    A valid part is read as its plaintext; an invalid one raises its error and returns nothing.
    """
    if vector.error is not None:
        with pytest.raises(SftError) as refused:
            read_through_the_core(vector, entropy)
        assert refused.value.code == vector.error
        return
    assert sha256(read_through_the_core(vector, entropy)) == vector.plaintext_sha256


@each_part
def test_part_vector_in_the_stand_alone_reader(vector: VaultVector, reader: ModuleType) -> None:
    """
    The documentation's reader decrypts the same parts and refuses the same ones.
    """

    def read() -> bytes:
        row = vector.file_id.bytes + vector.version.to_bytes(8, "big")
        key = reader.unwrap_key(list(vector.ring), vector.key_id, vector.wrapped_key, row)
        plaintext: bytes = reader.read_part(
            key, row, vector.part, size=vector.size, header=vector.header, blob=vector.blob
        )
        return plaintext

    if vector.error is not None:
        with pytest.raises((*READER_ERRORS, KeyError)):
            read()
        return
    assert sha256(read()) == vector.plaintext_sha256


def test_stand_alone_reader_reads_a_part_from_the_command_line() -> None:
    """
    As a command, the reader takes keys and manifest row as arguments, the blob on stdin, and prints the plaintext.
    """
    vector = next(part for part in PARTS if part.name == "vault-valid-later-part")
    reader = Path(__file__).parents[3] / "docs" / "reference" / "sft_reader.py"
    ring = ",".join(key.hex() for key in vector.ring)
    row = [vector.key_id, vector.wrapped_key.hex(), vector.file_id, vector.version]
    command = [sys.executable, reader, "part", ring, *row, vector.part, vector.size, vector.header.hex()]
    done = subprocess.run([*map(str, command)], input=vector.blob, capture_output=True, check=True)
    assert sha256(done.stdout) == vector.plaintext_sha256


def test_stand_alone_reader_reads_a_message_from_the_command_line() -> None:
    """
    As a command, the reader takes key and context as arguments, the message on stdin, and prints the plaintext.
    """
    vector = next(message for message in MESSAGES if message.name == "message-valid-three-chunks")
    reader = Path(__file__).parents[3] / "docs" / "reference" / "sft_reader.py"
    command = [sys.executable, str(reader), "message", vector.key.hex(), vector.context.hex()]
    done = subprocess.run(command, input=vector.ciphertext, capture_output=True, check=True)
    assert sha256(done.stdout) == vector.plaintext_sha256


def test_stand_alone_reader_stays_small() -> None:
    """
    The reader has at most 60 lines, all that is needed to read the format without this product.
    """
    reader = Path(__file__).parents[3] / "docs" / "reference" / "sft_reader.py"
    assert len(reader.read_text().splitlines()) <= 60


def test_documented_lengths_equal_the_implementation() -> None:
    """
    The documented message lengths equal those of the implementation.
    """
    page = (Path(__file__).parents[3] / "docs" / "reference" / "file-format.md").read_text()
    rows = re.findall(r"^ *\| ([0-9 ]+) \| ([0-9, ]+) \| ([0-9 ]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for size, chunks, length in (tuple(cell.replace(" ", "") for cell in row) for row in rows):
        assert sum(map(int, chunks.split(","))) == int(size)
        assert int(chunks.rpartition(",")[2]) < 16_384
        assert ciphertext_length(int(size)) == int(length)
