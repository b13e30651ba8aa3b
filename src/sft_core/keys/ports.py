"""
What it takes to bring stored secrets under another key. The docstring is the contract.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import attrs

from sft_core.keys.model import SecretKind, StoredSecret
from sft_core.values import WrappedSecret


@attrs.frozen
class Rewrapping:
    """
    A secret as it was read, and the same secret wrapped anew.
    """

    read: StoredSecret
    anew: WrappedSecret


class WrappedSecrets(Protocol):
    """
    Every wrapped secret of every file, link and user. Each call is a transaction of its own.
    """

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        """
        How many secrets of each kind need which key, by its id; every kind is there.
        """
        ...

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        """
        The first `limit` secrets of a kind that need this key, by the ids of their rows.

        With `after` only those of later ids, so that who goes on from the last one misses none.
        """
        ...

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        """
        Store each secret's new wrapping where what was read is still what is stored; how many were.

        One that has changed or gone stays as it is, and so may one that somebody else is changing
        at the moment: nobody is waited for. A `save` of a user who was read before is a `Conflict`
        from then on, and `replace` of a file keeps the new wrapping, so neither brings the old back.
        `KeyRetired`, replacing none, if one was wrapped anew under a retired key.
        """
        ...

    def retire(self, key_id: str) -> bool:
        """
        Let nothing be wrapped under this key any more; False, changing nothing in the end, if something still is.

        Once it has returned True no row needs the key, and none ever will: whoever adds a secret
        that was wrapped under it, even one who began before, meets `KeyRetired` before the commit.
        A key that is retired already is no error.
        """
        ...
