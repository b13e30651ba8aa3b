"""
Set the expiry time of a file.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from sft_core.errors import FileNotFound
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.values import FileId, UserId
from sft_core.vault.model import MAX_FILE_HOURS, File, FileState, check_bound
from sft_core.vault.ports import VaultUnit
from sft_core.vault.use_cases.read import FindFile


@attrs.frozen(kw_only=True)
class SetExpiry:
    """
    Let a file expire 1 to 87 600 hours from now, or with None never.

    Raises `InvalidValue` for any other number, and what `FindFile` raises: an expired file cannot be restored.
    """

    begin: UnitOfWorkFactory[VaultUnit]
    clock: Clock
    find: FindFile

    def __call__(self, *, owner: UserId, file_id: FileId, expires_hours: int | None) -> File:
        check_bound("expires_hours", expires_hours, MAX_FILE_HOURS)
        end = None if expires_hours is None else self.clock.now() + timedelta(hours=expires_hours)
        with self.begin() as unit:
            found = self.find.within(unit, owner=owner, file_id=file_id)
            file = attrs.evolve(found, expires_at=end)
            # The file may have expired while this unit waited for the row; other callers already got `FileNotFound`.
            if not unit.files.replace(file, expected=FileState.SEALED) or found.is_expired(self.clock.now()):
                raise FileNotFound
            unit.commit()
        return file
