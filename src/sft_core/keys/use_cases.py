"""
Operators' use cases for the keys of the ring.
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
class RewrapBatch:
    """
    The result of re-wrapping one batch of secrets of one kind.

    `skipped` secrets were changed or deleted concurrently. `undecryptable` ones do not unwrap, and are unchanged.
    """

    kind: SecretKind
    rewrapped: int
    skipped: int = 0
    undecryptable: tuple[StoredSecret, ...] = ()


@attrs.frozen(kw_only=True)
class RewrapSecrets:
    """
    Re-wrap every secret under one key of the ring with the active key.

    The work is done as the caller iterates. The rows are its only state, so it can be stopped at any point and run
    again. A dry run unwraps every secret and changes none.

    It makes up to three passes, until one finds nothing to do, since secrets may be skipped and services may be about
    to store new ones. Some may remain, and while a service still wraps under the key there are always more: only
    `WrappedSecrets.count` shows that none is left.

    Raises `UnknownKey` if the ring does not contain the key, and `InvalidValue` if it is the active one.
    """

    secrets: WrappedSecrets
    keyring: KeyRing

    def __call__(self, *, key_id: str, batch: int, dry_run: bool = False) -> Iterator[RewrapBatch]:
        undecryptable: set[StoredSecret] = set()
        for _ in range(1 if dry_run else MAX_PASSES):
            found_any = False
            for kind in SecretKind:
                for done in self._of_kind(kind, key_id, batch, dry_run=dry_run):
                    new = tuple(one for one in done.undecryptable if one not in undecryptable)
                    found = bool(done.rewrapped or done.skipped)
                    if found or new:
                        yield attrs.evolve(done, undecryptable=new)
                    found_any |= found
                    undecryptable.update(new)
            if not found_any:
                return

    def _of_kind(self, kind: SecretKind, key_id: str, batch: int, *, dry_run: bool) -> Iterator[RewrapBatch]:
        after: UUID | None = None
        while found := self.secrets.under(key_id, kind, after=after, limit=batch):
            yield self._done(kind, found, dry_run=dry_run)
            after = found[-1].id

    def _done(self, kind: SecretKind, found: Sequence[StoredSecret], *, dry_run: bool) -> RewrapBatch:
        rewrappings, undecryptable = [], []
        for read in found:
            try:
                rewrappings.append(self._rewrapped(read))
            except UnwrapFailed:
                undecryptable.append(read)
        replaced = len(rewrappings) if dry_run else self.secrets.replace(rewrappings)
        skipped = len(rewrappings) - replaced
        return RewrapBatch(kind=kind, rewrapped=replaced, skipped=skipped, undecryptable=tuple(undecryptable))

    def _rewrapped(self, read: StoredSecret) -> Rewrapping:
        secret = self.keyring.unwrap(read.wrapped, purpose=read.kind.value, context=read.context)
        new = self.keyring.wrap(secret, purpose=read.kind.value, context=read.context)
        if new.key_id == read.wrapped.key_id:
            raise InvalidValue("key", "is the active one")
        return Rewrapping(read, new)
