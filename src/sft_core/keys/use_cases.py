"""
What an operator does about the keys of the ring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import attrs

from sft_core.errors import InvalidValue, UnwrapFailed
from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.keys.ports import Rewrapping, WrappedSecrets
from sft_core.ports import KeyRing

MAX_PASSES: Final = 3


@attrs.frozen(kw_only=True)
class Batch:
    """
    What became of some secrets of one kind.

    Those `passed_over` were changed by somebody else at the same moment, or are gone; those
    `unopened` do not open under the key they name, and stay as they are.
    """

    kind: SecretKind
    rewrapped: int
    passed_over: int = 0
    unopened: tuple[StoredSecret, ...] = ()


@attrs.frozen(kw_only=True)
class RewrapSecrets:
    """
    Bring every secret that needs one key of the ring under the active one, batch by batch.

    It happens while the batches are taken, and there is no state but the rows: who stops at any
    point has lost nothing, and begins again. A dry run opens every secret and changes none.
    `UnknownKey` if the ring does not hold the key, `InvalidValue` if it is the active one.

    It looks again, a few times, until there is nothing to do: some may be passed over, and services
    may have been about to store something. Something may be left even so, and while a service still
    wraps under the key there is always more: only a count tells that none is left.
    """

    secrets: WrappedSecrets
    keyring: KeyRing

    def __call__(self, *, key_id: str, batch: int, dry_run: bool = False) -> Iterator[Batch]:
        unopened: set[StoredSecret] = set()
        for _ in range(1 if dry_run else MAX_PASSES):
            found_any = False
            for kind in SecretKind:
                for done in self._of_kind(kind, key_id, batch, dry_run=dry_run):
                    found_any |= bool(done.rewrapped or done.passed_over)
                    if done.rewrapped or done.passed_over or not unopened.issuperset(done.unopened):
                        yield attrs.evolve(done, unopened=tuple(one for one in done.unopened if one not in unopened))
                    unopened.update(done.unopened)
            if not found_any:
                return

    def _of_kind(self, kind: SecretKind, key_id: str, batch: int, *, dry_run: bool) -> Iterator[Batch]:
        after: UUID | None = None
        while found := self.secrets.under(key_id, kind, after=after, limit=batch):
            yield self._done(kind, found, dry_run=dry_run)
            after = found[-1].id

    def _done(self, kind: SecretKind, found: Sequence[StoredSecret], *, dry_run: bool) -> Batch:
        rewrappings, unopened = [], []
        for read in found:
            try:
                rewrappings.append(self._anew(read))
            except UnwrapFailed:
                unopened.append(read)
        replaced = len(rewrappings) if dry_run else self.secrets.replace(rewrappings)
        passed_over = len(rewrappings) - replaced
        return Batch(kind=kind, rewrapped=replaced, passed_over=passed_over, unopened=tuple(unopened))

    def _anew(self, read: StoredSecret) -> Rewrapping:
        secret = self.keyring.unwrap(read.wrapped, purpose=read.kind.value, context=read.context)
        anew = self.keyring.wrap(secret, purpose=read.kind.value, context=read.context)
        if anew.key_id == read.wrapped.key_id:
            raise InvalidValue("key", "is the active one")
        return Rewrapping(read, anew)
