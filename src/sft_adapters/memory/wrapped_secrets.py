"""
The wrapped secrets of the database in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID

import attrs

from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.tables import Tables
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping
from sft_core.users.model import Totp
from sft_core.values import FileId, LinkId, UserId, WrappedSecret


@attrs.frozen
class MemoryWrappedSecrets:
    """
    Implements `sft_core.keys.ports.WrappedSecrets`.
    """

    database: MemoryDatabase

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        stored = list(_all(self._tables()))
        return {kind: Counter(one.wrapped.key_id for one in stored if one.kind is kind) for kind in SecretKind}

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        found = (one for one in _all(self._tables()) if one.kind is kind and one.wrapped.key_id == key_id)
        later = (one for one in found if after is None or one.id > after)
        return sorted(later, key=lambda one: one.id)[:limit]

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        with self.database() as unit:
            tables = unit.files.write()
            for one in rewrappings:
                tables.require_usable_key(one.new)
            replaced = sum(self.replace_one(tables, one) for one in rewrappings)
            unit.commit()
        return replaced

    def retire(self, key_id: str) -> bool:
        with self.database() as unit:
            tables = unit.files.write()
            if any(one.wrapped.key_id == key_id for one in _all(tables)):
                return False
            tables.retired_keys.add(key_id)
            unit.commit()
        return True

    def replace_one(self, tables: Tables, rewrapping: Rewrapping) -> bool:
        """
        Replace one wrapped secret if it is still stored as read; return whether it was.
        """
        read, rewrapped = rewrapping.stored, rewrapping.new
        if read not in _all(tables):
            return False
        match read.kind:
            case SecretKind.FILE_KEY:
                file = tables.files[FileId(read.id)]
                tables.files[file.id] = attrs.evolve(file, key=rewrapped)
            case SecretKind.LINK_TOKEN:
                link = tables.links[LinkId(read.id)]
                tables.links[link.id] = attrs.evolve(link, token=rewrapped)
            case SecretKind.TOTP_SEED:
                user = tables.users[UserId(read.id)]
                totp = Totp(rewrapped) if user.totp is None else attrs.evolve(user.totp, seed=rewrapped)
                tables.users[user.id] = attrs.evolve(user, totp=totp, revision=user.revision + 1)
        return True

    def _tables(self) -> Tables:
        with self.database(read_only=True) as unit:
            return unit.files.read()


def _all(tables: Tables) -> Iterator[StoredSecret]:
    for file in tables.files.values():
        if file.key is not None:
            yield _secret(SecretKind.FILE_KEY, file.id.value, file.key, file.version)
    for link in tables.links.values():
        if link.token is not None:
            yield _secret(SecretKind.LINK_TOKEN, link.id.value, link.token)
    for user in tables.users.values():
        if user.totp is not None:
            yield _secret(SecretKind.TOTP_SEED, user.id.value, user.totp.seed)


def _secret(kind: SecretKind, row: UUID, wrapped: WrappedSecret, version: int = 1) -> StoredSecret:
    return StoredSecret(kind=kind, id=row, version=version, wrapped=wrapped)
