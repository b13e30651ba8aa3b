"""
Rows under the doctor's eyes: whether what they name is there, and whether the secrets in them open.
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
    Find rows that name something that is not there, and secrets of links and users that do not open.

    `purposes` says what the secrets of each kind of row are wrapped for. What looks wrong is looked
    at again, and told if it is still so. A secret under a key that the ring does not hold is left
    out: of those it is told by key, not by row. Files' own keys are `ExamineFile`'s.
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
            yield _of(record, Damage.DANGLING_ROW, f"the {name} that it belongs to is not there")
        if record.secret is not None:
            try:
                self.keyring.unwrap(record.secret, purpose=self.purposes[record.kind], context=record.id.bytes)
            except UnknownKey:
                return
            except UnwrapFailed:
                detail = f"{_SECRETS[record.kind]} does not open under key {record.secret.key_id}, which it names"
                yield _of(record, Damage.WRONG_WRAPPED_SECRET, detail)


def _of(record: Record, damage: Damage, detail: str) -> Finding:
    return Finding(damage=damage, subject=f"{record.kind.value} {record.id}", detail=detail)
