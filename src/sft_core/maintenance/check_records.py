"""
Check rows: whether the rows they refer to exist, and whether their secrets unwrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import attrs

from sft_core.errors import UnknownKey, UnwrapFailed
from sft_core.maintenance.findings import Damage, Finding
from sft_core.maintenance.paging import PAGE, paged
from sft_core.maintenance.ports import IntegrityRow, MaintenanceUnit, RowKind
from sft_core.ports import KeyRing, UnitOfWorkFactory
from sft_core.sharing.model import LINK_TOKEN_PURPOSE
from sft_core.users.model import TOTP_PURPOSE

_SECRETS: Final = {
    RowKind.LINK: ("its token", LINK_TOKEN_PURPOSE),
    RowKind.USER: ("the seed of its second factor", TOTP_PURPOSE),
}


@attrs.frozen(kw_only=True)
class CheckRecords:
    """
    Find dangling references, and secrets of links and users that do not unwrap.

    Each finding is checked again, and reported only if it persists. Secrets under a key that is not in the ring are
    skipped here: `CheckIntegrity` reports them by key, not by row. `CheckFile` checks the keys of files.
    """

    begin: UnitOfWorkFactory[MaintenanceUnit]
    keyring: KeyRing

    def __call__(self) -> Iterator[Finding]:
        for kind in RowKind:
            for row in paged(self.begin, partial(_page, kind)):
                yield from self._persistent(row)

    def _persistent(self, row: IntegrityRow) -> Iterator[Finding]:
        findings = list(self._findings(row))
        if findings:
            with self.begin(read_only=True) as unit:
                now = unit.integrity_rows.get(row.kind, row.id)
            still = frozenset(self._findings(now)) if now is not None else frozenset()
            yield from (finding for finding in findings if finding in still)

    def _findings(self, row: IntegrityRow) -> Iterator[Finding]:
        subject = f"{row.kind.value} {row.id}"
        for name in sorted(row.missing):
            yield Finding(Damage.DANGLING_ROW, subject, f"the {name} that it belongs to does not exist")
        if row.secret is not None:
            secret, purpose = _SECRETS[row.kind]
            try:
                self.keyring.unwrap(row.secret, purpose=purpose, context=row.id.bytes)
            except UnknownKey:
                return
            except UnwrapFailed:
                detail = f"{secret} does not unwrap with key {row.secret.key_id}, which it names"
                yield Finding(Damage.WRONG_WRAPPED_SECRET, subject, detail)


def _page(kind: RowKind, unit: MaintenanceUnit, last: IntegrityRow | None) -> Sequence[IntegrityRow]:
    return unit.integrity_rows.page(kind, after=last.id if last is not None else None, limit=PAGE)
