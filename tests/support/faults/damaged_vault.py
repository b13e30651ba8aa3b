"""
A sample vault, every kind of damage that tests plant in it, and a snapshot of its whole state.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from sft_adapters.bootstrap.configuration import settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import temporary_engine
from sft_core.application import Application
from sft_core.users.model import TOTP_PURPOSE
from sft_core.values import EmailAddress, FileName, Password, Secret, Username, WrappedSecret
from sft_core.vault.model import FILE_KEY_PURPOSE, File, Part
from support.servers.backends import S3

PART: Final = 1 << 16
ENVIRON: Final = {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": str(PART), "ORPHAN_GRACE_HOURS": "1"}


class Store(Protocol):
    """
    Direct access to the blobs, as an operator of the store has it.
    """

    def read(self, key: str) -> bytes: ...

    def write(self, key: str, content: bytes) -> None: ...

    def delete(self, key: str) -> None: ...

    def age(self, key: str) -> None: ...

    def listed(self) -> list[str]: ...


@attrs.frozen
class Folder:
    """
    Blobs in a folder.
    """

    root: Path

    def read(self, key: str) -> bytes:
        return (self.root / key).read_bytes()

    def write(self, key: str, content: bytes) -> None:
        (self.root / key).parent.mkdir(exist_ok=True)
        (self.root / key).write_bytes(content)

    def delete(self, key: str) -> None:
        (self.root / key).unlink()

    def age(self, key: str) -> None:
        os.utime(self.root / key, (1, 1))

    def listed(self) -> list[str]:
        return [str((Path(at) / name).relative_to(self.root)) for at, _, names in os.walk(self.root) for name in names]


@attrs.frozen
class Bucket:
    """
    Blobs in a bucket of an S3 server.
    """

    server: S3
    name: str

    def read(self, key: str) -> bytes:
        response = self.server.client().get_object(self.name, key)
        try:
            return bytes(response.read())
        finally:
            response.close()
            response.release_conn()

    def write(self, key: str, content: bytes) -> None:
        self.server.client().put_object(self.name, key, io.BytesIO(content), len(content))

    def delete(self, key: str) -> None:
        self.server.client().remove_object(self.name, key)

    def age(self, key: str) -> None:
        assert self.server.folder is not None
        os.utime(self.server.folder / self.name / key, (1, 1))

    def listed(self) -> list[str]:
        found = self.server.client().list_objects(self.name, recursive=True)
        return [str(item.object_name) for item in found]


@attrs.frozen
class SampleVault:
    """
    The vault of one owner: files of one part, of three parts and of no bytes, and a link; no service has it open.
    """

    settings: Settings
    environ: Mapping[str, str]
    store: Store
    small: File
    large: File
    other: File
    empty: File

    @property
    def database(self) -> Path:
        return self.settings.data_dir / "sft.db"

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """
        Return the rows of a statement on a separate connection, which does not enforce foreign keys.
        """
        with closing(sqlite3.connect(self.database)) as connection, connection:
            return connection.execute(statement, values).fetchall()

    def parts(self, file: File) -> list[Part]:
        with self.opened() as sft, sft.maintenance.check_integrity.begin(read_only=True) as unit:
            return list(unit.inventory.parts(file.id, after=-1, limit=9))

    def key(self, file: File, number: int = 0) -> str:
        return self.parts(file)[number].blob_key

    @contextmanager
    def opened(self) -> Iterator[Application]:
        with open_application(self.settings) as sft:
            yield sft

    def age_all(self) -> None:
        """
        Make every blob older than any grace period.
        """
        for key in self.store.listed():
            self.store.age(key)

    def snapshot(self) -> dict[str, object]:
        """
        Return every row and the content of every blob.
        """
        tables = [name for (name,) in self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found: dict[str, object] = {name: sorted(map(repr, self.rows(f"SELECT * FROM {name}"))) for name in tables}
        return found | {key: self.store.read(key) for key in self.store.listed()}


def sample_vault(data: Path, more: Mapping[str, str] = {}) -> SampleVault:
    """
    Create a sample vault with its blobs in a folder.
    """
    environ = {**ENVIRON, **more}
    settings = settings_for(data, environ)
    prepare(settings)
    with open_application(settings) as sft:
        user = sft.users.register_user(
            email=EmailAddress.parse("maya@example.org"),
            username=Username.parse("maya"),
            password=Password.parse("a long one"),
        )

        def stored(content: bytes) -> File:
            return sft.vault.store_file(owner=user.id, name=FileName.parse("notes.bin"), content=[content])

        files = {
            "small": stored(os.urandom(1000)),
            "large": stored(os.urandom(2 * PART + 999)),
            "other": stored(os.urandom(2 * PART + 999)),
            "empty": stored(b""),
        }
        sft.sharing.issue_share_link(owner=user.id, file_id=files["large"].id)
        sft.users.set_up_totp(user=user)
    with temporary_engine(settings.database_url, busy_seconds=9) as engine, engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET created_at = 1")
    return SampleVault(settings=settings, environ=environ, store=Folder(settings.blob_folder), **files)


def copy_of(vault: SampleVault, data: Path, bucket: Bucket | None = None) -> SampleVault:
    """
    Copy a vault into another folder, and its blobs into a new bucket if one is given.
    """
    shutil.copytree(vault.settings.data_dir, data)
    environ = {**ENVIRON, **(bucket.server.environ(bucket.name) if bucket is not None else {})}
    settings = settings_for(data, environ)
    prepare(settings)
    store: Store = Folder(settings.blob_folder) if bucket is None else bucket
    if bucket is not None:
        for key in vault.store.listed():
            store.write(key, vault.store.read(key))
    return attrs.evolve(vault, settings=settings, environ=environ, store=store)


# --- damage to blobs -----------------------------------------------------------------------------------


def missing_part(vault: SampleVault) -> None:
    vault.store.delete(vault.key(vault.large, 1))


def short_part(vault: SampleVault) -> None:
    key = vault.key(vault.large, 1)
    vault.store.write(key, vault.store.read(key)[:-1])


def emptied_part(vault: SampleVault) -> None:
    vault.store.write(vault.key(vault.large, 1), b"")


def long_part(vault: SampleVault) -> None:
    key = vault.key(vault.large, 1)
    vault.store.write(key, vault.store.read(key) + b"\0")


def flipped(at: int) -> Callable[[SampleVault], None]:
    """
    Flip a bit of the byte at this index, which may be negative.
    """

    def plant(vault: SampleVault) -> None:
        key = vault.key(vault.large, 1)
        content = bytearray(vault.store.read(key))
        content[at] ^= 4
        vault.store.write(key, bytes(content))

    plant.__name__ = f"flipped_at_{at}"
    return plant


def flipped_in_an_empty_file(vault: SampleVault) -> None:
    key = vault.key(vault.empty)
    content = bytearray(vault.store.read(key))
    content[-1] ^= 1
    vault.store.write(key, bytes(content))


def foreign_part(vault: SampleVault) -> None:
    """Replace a part by the part of another file with the same number and length."""
    vault.store.write(vault.key(vault.large, 1), vault.store.read(vault.key(vault.other, 1)))


def foreign_longer_part(vault: SampleVault) -> None:
    vault.store.write(vault.key(vault.small), vault.store.read(vault.key(vault.other, 1)))


def swapped_parts(vault: SampleVault) -> None:
    """Replace a part by another part of the same file, which itself stays."""
    vault.store.write(vault.key(vault.large, 1), vault.store.read(vault.key(vault.large, 0)))


def random_part(vault: SampleVault) -> None:
    key = vault.key(vault.large, 1)
    vault.store.write(key, os.urandom(len(vault.store.read(key))))


def older_part(vault: SampleVault) -> None:
    """Replace a part by other content encrypted under the same file key for the same part number."""
    part = vault.parts(vault.large)[1]
    with vault.opened() as sft:
        assert vault.large.key is not None
        check_file = sft.maintenance.check_integrity.check_file
        key = check_file.keyring.unwrap(vault.large.key, purpose=FILE_KEY_PURPOSE, context=vault.large.key_context)
        encrypted = check_file.cipher.encrypt(key, context=vault.large.part_context(1), plaintext=os.urandom(part.size))
        vault.store.write(part.blob_key, b"".join(map(bytes, encrypted.pieces)))


def orphan_part(vault: SampleVault) -> None:
    _old(vault, f"{7:032x}/1-00000000-{7:016x}")


def orphan_in_file_folder(vault: SampleVault) -> None:
    _old(vault, vault.small.blob_key(0, bytes(8)))


def _old(vault: SampleVault, key: str) -> None:
    vault.store.write(key, b"noise")
    vault.store.age(key)


# --- damage to rows ------------------------------------------------------------------------------------


def row_without_a_file(vault: SampleVault) -> None:
    """Delete a file's row but not its manifest, and reduce the usage as a deletion does."""
    own = vault.small.id.bytes
    vault.rows("UPDATE usages SET bytes = bytes - (SELECT held FROM files WHERE id = ?)", own)
    vault.rows("DELETE FROM files WHERE id = ?", own)


def file_without_parts(vault: SampleVault) -> None:
    vault.rows("DELETE FROM parts WHERE file_id = ?", vault.large.id.bytes)


def manifest_with_a_gap(vault: SampleVault) -> None:
    vault.rows("DELETE FROM parts WHERE file_id = ? AND number = 1", vault.large.id.bytes)


def misnamed_part(vault: SampleVault) -> None:
    """Let the manifest name a missing blob, so that no row names the blob with the only copy of the part."""
    change = "UPDATE parts SET blob_key = ? WHERE file_id = ? AND number = 1"
    vault.rows(change, vault.large.blob_key(1, bytes(8)), vault.large.id.bytes)


def altered_manifest(vault: SampleVault) -> None:
    vault.rows("UPDATE parts SET header = zeroblob(56) WHERE file_id = ? AND number = 1", vault.large.id.bytes)


def _set_key(vault: SampleVault, wrapped: WrappedSecret) -> None:
    change = "UPDATE files SET key_id = ?, wrapped_key = ? WHERE id = ?"
    vault.rows(change, wrapped.key_id, wrapped.ciphertext, vault.large.id.bytes)


def key_of_another_file(vault: SampleVault) -> None:
    assert vault.other.key is not None
    _set_key(vault, vault.other.key)


def wrong_file_key(vault: SampleVault) -> None:
    """Replace the file key by one that unwraps but has encrypted nothing."""
    with vault.opened() as sft:
        keyring = sft.maintenance.check_integrity.check_file.keyring
        key = Secret(os.urandom(32))
        _set_key(vault, keyring.wrap(key, purpose=FILE_KEY_PURPOSE, context=vault.large.key_context))


def no_file_key(vault: SampleVault) -> None:
    vault.rows("UPDATE files SET key_id = NULL, wrapped_key = NULL WHERE id = ?", vault.large.id.bytes)


def unknown_key_id(vault: SampleVault) -> None:
    vault.rows("UPDATE files SET key_id = '0123456789abcdef' WHERE id = ?", vault.large.id.bytes)


def unknown_key_of_a_link(vault: SampleVault) -> None:
    vault.rows("UPDATE links SET token_key_id = '0123456789abcdef'")


def unknown_key_of_a_second_factor(vault: SampleVault) -> None:
    vault.rows("UPDATE users SET totp_key_id = '0123456789abcdef'")


def file_without_owner(vault: SampleVault) -> None:
    """Let a file name a missing owner, and reduce the usage of its real one."""
    own = vault.small.id.bytes
    vault.rows("UPDATE usages SET bytes = bytes - (SELECT held FROM files WHERE id = ?)", own)
    vault.rows("UPDATE files SET owner_id = zeroblob(16) WHERE id = ?", own)


def link_without_file(vault: SampleVault) -> None:
    vault.rows("UPDATE links SET file_id = zeroblob(16)")


def link_without_owner(vault: SampleVault) -> None:
    vault.rows("UPDATE links SET owner_id = zeroblob(16)")


def upload_without_file(vault: SampleVault) -> None:
    columns = "(file_id, kind, is_public, metadata, sources, writer)"
    vault.rows(f"INSERT INTO uploads {columns} VALUES (zeroblob(16), 'whole', 0, '', x'', 0)")


def usage_without_owner(vault: SampleVault) -> None:
    vault.rows("INSERT INTO usages VALUES (zeroblob(16), 0)")


def undecryptable_token(vault: SampleVault) -> None:
    """Flip a bit of the wrapped link token."""
    ((token,),) = vault.rows("SELECT wrapped_token FROM links")
    vault.rows("UPDATE links SET wrapped_token = ?", token[:-1] + bytes([token[-1] ^ 1]))


def seed_of_another_user(vault: SampleVault) -> None:
    """Replace the TOTP seed by one that was wrapped for another user."""
    with vault.opened() as sft:
        wrapped = sft.users.set_up_totp.keyring.wrap(Secret(b"seed" * 8), purpose=TOTP_PURPOSE, context=bytes(16))
    vault.rows("UPDATE users SET totp_seed = ?", wrapped.ciphertext)


def truncated_seed(vault: SampleVault) -> None:
    vault.rows("UPDATE users SET totp_seed = substr(totp_seed, 1, 9)")


def quota_drift(vault: SampleVault) -> None:
    vault.rows("UPDATE usages SET bytes = bytes + 1")


def held_drift(vault: SampleVault) -> None:
    vault.rows("UPDATE files SET held = held - 1 WHERE id = ?", vault.large.id.bytes)


def stuck_upload(vault: SampleVault) -> None:
    with vault.opened() as sft:
        upload = sft.vault.begin_upload(owner=vault.small.owner, name=FileName.parse("stuck.bin"))
        sft.vault.store_part(upload, b"half")
    vault.rows("UPDATE files SET created_at = 1, touched_at = 1 WHERE id = ?", upload.file.id.bytes)


def unfinished_removal(vault: SampleVault) -> None:
    with vault.opened() as sft:
        upload = sft.vault.begin_upload(owner=vault.small.owner, name=FileName.parse("over.bin"))
        sft.vault.store_part(upload, b"half")
    over = "state = 'aborting', key_id = NULL, wrapped_key = NULL, created_at = 1, touched_at = 1"
    vault.rows(f"UPDATE files SET {over} WHERE id = ?", upload.file.id.bytes)


def unfinished_removal_of_a_miscounted_owner(vault: SampleVault) -> None:
    """The owner's recorded usage is less than the size of the unfinished file."""
    unfinished_removal(vault)
    vault.rows("UPDATE usages SET bytes = 1")


def unreadable_row(column: str, value: object) -> Callable[[SampleVault], None]:
    """
    Set a column to a value that is invalid for a file but allowed by the schema.
    """

    def plant(vault: SampleVault) -> None:
        vault.rows(f"UPDATE files SET {column} = ? WHERE id = ?", value, vault.large.id.bytes)

    plant.__name__ = f"unreadable_{column}"
    return plant


# --- parts under a wrong key ---------------------------------------------------------------------------


def part_in_another_folder(vault: SampleVault) -> None:
    """Move a part into the folder of another file."""
    key = vault.key(vault.large, 1)
    content = vault.store.read(key)
    vault.store.delete(key)
    vault.store.write(vault.small.blob_key(1, bytes(8)), content)


def part_under_another_name(vault: SampleVault) -> None:
    """Copy a part to another key, and truncate the original to nothing."""
    key = vault.key(vault.large, 1)
    vault.store.write(vault.large.blob_key(1, bytes(8)), vault.store.read(key))
    vault.store.write(key, b"")


def file_in_another_folder(vault: SampleVault) -> None:
    """Move all parts of a file into a folder that belongs to no file."""
    for part in vault.parts(vault.large):
        content = vault.store.read(part.blob_key)
        vault.store.delete(part.blob_key)
        vault.store.write(f"{7:032x}/{part.blob_key.partition('/')[2]}", content)
