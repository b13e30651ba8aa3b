"""
Summarise the links of an owner's files.
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.sharing.model import LinkSummary, ShareLink, reveal
from sft_core.sharing.ports import SharingUnit
from sft_core.values import FileId
from sft_core.vault.model import File


@attrs.frozen(kw_only=True)
class SummariseLinks:
    """
    Summarise the links of an owner's files, one summary for each file.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock
    keyring: KeyRing

    def __call__(self, files: Sequence[File]) -> dict[FileId, LinkSummary]:
        with self.begin(read_only=True) as unit:
            links = unit.links.of_files([file.id for file in files])
        by_file: dict[FileId, list[ShareLink]] = {file.id: [] for file in files}
        for link in links:
            by_file[link.file_id].append(link)
        return {file_id: self._summary(links) for file_id, links in by_file.items()}

    def _summary(self, links: Sequence[ShareLink]) -> LinkSummary:
        now = self.clock.now()
        current = next((link for link in links if link.is_live(now)), None)
        return LinkSummary(
            current=current,
            token=reveal(self.keyring, current) if current is not None else None,
            downloads=sum(link.downloads for link in links),
        )
