"""
Check rows: whether the rows they refer to exist, and whether their secrets unwrap.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from uuid import UUID

import attrs

from sft_core.errors import UnknownKey, UnwrapFailed
from sft_core.maintenance.check_files import PAGE
from sft_core.maintenance.findings import Damage, Finding
from sft_core.maintenance.ports import Record, RecordKind, UpkeepUnit
from sft_core.ports import Begin, KeyRing

_SECRETS: Final = {RecordKind.LINK: "its token", RecordKind.USER: "the seed of its second factor"}


@attrs.frozen(kw_only=True)
class ExamineRecords:
    """
    Find dangling references, and secrets of links and users that do not unwrap.

    `purposes` maps each kind of row to the purpose its secret is wrapped for. Each finding is checked
    again and reported only if it persists. Secrets under a key that is not in the ring are skipped
    here: `CheckIntegrity` reports them by key, not by row. `CheckFile` checks the keys of files.
    """

    begin: Begin[UpkeepUnit]
    keyring: KeyRing
    purposes: Mapping[RecordKind, str]

    def __call__(self) -> Iterator[Finding]:
        for kind in RecordKind:
            after: UUID | None = None
            while True:
                with self.begin(read_only=True) as unit:
                    page = unit.records.page(kind, after=after, limit=PAGE)
                for record in page:
                    yield from self._lasting(record)
                if len(page) < PAGE:
                    break
                after = page[-1].id

    def _lasting(self, record: Record) -> Iterator[Finding]:
        findings = list(self._wrong(record))
        if findings:
            with self.begin(read_only=True) as unit:
                now = unit.records.get(record.kind, record.id)
            still = frozenset(self._wrong(now)) if now is not None else frozenset()
            yield from (finding for finding in findings if finding in still)

    def _wrong(self, record: Record) -> Iterator[Finding]:
        for name in sorted(record.lacks):
            yield _of(record, Damage.DANGLING_ROW, f"the {name} that it belongs to does not exist")
        if record.secret is not None:
            try:
                self.keyring.unwrap(record.secret, purpose=self.purposes[record.kind], context=record.id.bytes)
            except UnknownKey:
                return
            except UnwrapFailed:
                detail = f"{_SECRETS[record.kind]} does not unwrap with key {record.secret.key_id}, which it names"
                yield _of(record, Damage.WRONG_WRAPPED_SECRET, detail)


def _of(record: Record, damage: Damage, detail: str) -> Finding:
    return Finding(damage=damage, subject=f"{record.kind.value} {record.id}", detail=detail)
