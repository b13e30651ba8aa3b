"""
Broken stores of wrapped secrets, and a broken file repository, based on the in-memory ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID

import attrs

from sft_adapters.memory.tables import Files, Tables
from sft_adapters.memory.wrapped_secrets import MemoryWrappedSecrets
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.values import FileId, LinkId, UserId, WrappedSecret
from sft_core.vault.model import File, FileState


def _stored(tables: Tables, read: StoredSecret) -> WrappedSecret | None:
    if read.kind is SecretKind.FILE_KEY:
        file = tables.files.get(FileId(read.id))
        return file.key if file else None
    if read.kind is SecretKind.LINK_TOKEN:
        link = tables.links.get(LinkId(read.id))
        return link.token if link else None
    user = tables.users.get(UserId(read.id))
    return user.totp.seed if user and user.totp else None


class ReplacesUnconditionally(MemoryWrappedSecrets):
    """
    The row is updated by its id alone, so a concurrent change is overwritten.
    """

    def replace_one(self, tables: Tables, rewrapping: Rewrapping) -> bool:
        stored = _stored(tables, rewrapping.stored)
        if stored is None:
            return False
        return super().replace_one(tables, Rewrapping(attrs.evolve(rewrapping.stored, wrapped=stored), rewrapping.new))


class RestoresDestroyedSecrets(MemoryWrappedSecrets):
    """
    The row is updated by its id alone, even if its key was destroyed meanwhile.
    """

    def replace_one(self, tables: Tables, rewrapping: Rewrapping) -> bool:
        read = rewrapping.stored
        file = tables.files.get(FileId(read.id))
        if read.kind is SecretKind.FILE_KEY and file is not None and file.key is None:
            tables.files[file.id] = attrs.evolve(file, key=rewrapping.new)
            return True
        return super().replace_one(tables, rewrapping)


class KeepsTheRevision(MemoryWrappedSecrets):
    """
    A seed is re-wrapped without a new revision, so an earlier read can be saved.
    """

    def replace_one(self, tables: Tables, rewrapping: Rewrapping) -> bool:
        replaced = super().replace_one(tables, rewrapping)
        user = tables.users.get(UserId(rewrapping.stored.id))
        if replaced and user is not None:
            tables.users[user.id] = attrs.evolve(user, revision=user.revision - 1)
        return replaced


class NeverCommits(MemoryWrappedSecrets):
    """
    A batch is reported as replaced but never committed.
    """

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        with self.database() as unit:
            return sum(self.replace_one(unit.files.write(), one) for one in rewrappings)


class RetiresKeysInUse(MemoryWrappedSecrets):
    """
    A key is retired without a check of the rows.
    """

    def retire(self, key_id: str) -> bool:
        with self.database() as unit:
            unit.files.write().retired_keys.add(key_id)
            unit.commit()
        return True


class ChecksWithoutRetiring(MemoryWrappedSecrets):
    """
    The rows are checked, but later secrets can still be wrapped under the key.
    """

    def retire(self, key_id: str) -> bool:
        return not any(key_id in keys for keys in self.count().values())


class KeepsARefusedRetirement(MemoryWrappedSecrets):
    """
    A refused retirement is not undone.
    """

    def retire(self, key_id: str) -> bool:
        with self.database() as unit:
            unit.files.write().retired_keys.add(key_id)
            unit.commit()
        return not any(key_id in keys for keys in self.count().values())


class SkipsARow(MemoryWrappedSecrets):
    """
    A page starts one row too late.
    """

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        found = super().under(key_id, kind, after=after, limit=limit + 1)
        return found[:limit] if after is None else found[1:]


class LosesTheVersion(MemoryWrappedSecrets):
    """
    A file's version is not returned, so its key does not unwrap.
    """

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        return [attrs.evolve(one, version=1) for one in super().under(key_id, kind, after=after, limit=limit)]

    def replace_one(self, tables: Tables, rewrapping: Rewrapping) -> bool:
        file = tables.files.get(FileId(rewrapping.stored.id))
        version = file.version if file and rewrapping.stored.kind is SecretKind.FILE_KEY else 1
        return super().replace_one(
            tables, attrs.evolve(rewrapping, stored=attrs.evolve(rewrapping.stored, version=version))
        )


class CountsSealedFilesOnly(MemoryWrappedSecrets):
    """
    Unsealed files are not counted, so a key that they need seems unused.
    """

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        counted = {kind: dict(keys) for kind, keys in super().count().items()}
        for file in self._tables().files.values():
            if file.state is not FileState.SEALED and file.key is not None:
                counted[SecretKind.FILE_KEY][file.key.key_id] -= 1
        return {kind: {key: number for key, number in keys.items() if number} for kind, keys in counted.items()}


class SealRestoresTheOldWrapping(Files):
    """
    Sealing stores the key as it was when the upload began.
    """

    def replace(self, file: File, *, expected: FileState) -> bool:
        replaced = super().replace(file, expected=expected)
        if replaced:
            self.write().files[file.id] = file
        return replaced
