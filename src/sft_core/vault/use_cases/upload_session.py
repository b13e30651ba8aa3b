"""
The state of an upload in progress, and the slot of a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import attrs

from sft_core.ports import KeyRing
from sft_core.values import Secret
from sft_core.vault.model import FILE_KEY_PURPOSE, MANIFEST_PAGE, File, Part

TOUCH_INTERVAL: Final = timedelta(minutes=1)
"""The shortest time between two updates of `touched_at` while parts arrive: not every part costs a write."""
MAX_TAIL_PARTS: Final = 48
"""How many parts at the end of a manifest are considered for merging: more than a part can double in size."""


@attrs.define(kw_only=True)
class UploadSession:
    """
    An upload in progress, used by one request at a time.

    `StorePart` is the only writer of parts. What differs between uploads is data here:

    - Without an intent row (`is_persisted` is false) the row of a file that fits into one part is written by the commit
      that seals it. Its key is not wrapped before, because a slow client may take longer than an operator takes to
      retire the key-encryption key. Only the part that completes `expected_size` is stored without a row, so none is
      while that size is None.
    - With a `fencing_token` the upload is resumable: pending parts are recorded as soon as no other part follows, a
      later writer excludes this one, and `expected_size` is a bound. Short parts of `tail` are merged up to
      `merge_limit` bytes.
    - At most `batch_size` parts are pending before they are recorded in one commit. If the session `is_provisional`,
      they are recorded or discarded on request only, after a checksum has been verified.

    `offset` and `recorded_parts` count the bytes and the parts in the manifest, `received` and `parts` the pending ones
    as well. `pending` parts are durable and not in the manifest; the first of them replaces the `replaced` ones. No
    manifest refers to `orphans`, and none will: they are to be deleted. After a commit whose outcome is unknown, or
    that failed unless it is resumable, the session `is_in_doubt`: it accepts no more parts, and is not sealed.
    """

    file: File
    key: Secret
    is_persisted: bool = True
    expected_size: int | None = None
    reserved_bytes: int = 0
    fencing_token: int | None = None
    merge_limit: int = 0
    batch_size: int = MANIFEST_PAGE
    is_provisional: bool = False
    offset: int = 0
    recorded_parts: int = 0
    received: int = attrs.field(default=attrs.Factory(lambda session: session.offset, takes_self=True))
    parts: int = attrs.field(default=attrs.Factory(lambda session: session.recorded_parts, takes_self=True))
    tail: Sequence[Part] = attrs.field(default=(), repr=False)
    pending: list[Part] = attrs.field(factory=list, repr=False)
    replaced: list[Part] = attrs.field(factory=list, repr=False)
    orphans: list[Part] = attrs.field(factory=list, repr=False)
    is_in_doubt: bool = False

    @property
    def is_resumable(self) -> bool:
        return self.fencing_token is not None

    def with_key(self, keyring: KeyRing) -> File:
        wrapped = keyring.wrap(self.key, purpose=FILE_KEY_PURPOSE, context=self.file.key_context)
        return attrs.evolve(self.file, key=wrapped)

    def mergeable(self, size: int) -> list[Part]:
        """
        Return the short recorded parts that `size` new bytes merge with, up to `merge_limit`.
        """
        merged: list[Part] = []
        for part in reversed([] if self.pending else self.tail):
            if part.size > size or part.size + size > self.merge_limit:
                break
            merged.insert(0, part)
            size += part.size
        return merged

    def add_pending(self, part: Part) -> None:
        if not self.pending:
            self.replaced = [short for short in self.tail if short.number >= part.number]
        self.pending.append(part)
        self.parts, self.received = part.number + 1, part.span.stop

    def clear_pending(self) -> tuple[list[Part], list[Part]]:
        """
        Reset to the recorded offset; return the pending parts and those they would replace.
        """
        cleared = self.pending, self.replaced
        self.pending, self.replaced = [], []
        self.parts, self.received = self.recorded_parts, self.offset
        return cleared

    def advance(self, parts: Sequence[Part], replaced: Sequence[Part]) -> None:
        """
        Count parts that a commit has added to the manifest; the `replaced` become orphans.
        """
        self.parts = self.recorded_parts = parts[-1].number + 1
        self.received = self.offset = parts[-1].span.stop
        if self.is_resumable:
            self.tail = [*self.tail[: len(self.tail) - len(replaced)], *parts][-MAX_TAIL_PARTS:]
            self.reserved_bytes = self.offset if self.expected_size is None else self.expected_size
        self.orphans += replaced


@attrs.frozen(kw_only=True)
class PartSlot:
    """
    The position of a part in its file: number, first byte, size in bytes.
    """

    number: int
    start: int
    size: int

    @property
    def stop(self) -> int:
        return self.start + self.size
