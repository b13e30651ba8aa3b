"""
Ports of key management. Each docstring is a contract.
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
    A secret as read, and the same secret under a new wrapping.
    """

    stored: StoredSecret
    new: WrappedSecret


class WrappedSecrets(Protocol):
    """
    Every wrapped secret of files, links and users; each call is its own transaction.
    """

    def count(self) -> Mapping[SecretKind, Mapping[str, int]]:
        """
        Count the secrets of each kind by key id; the result contains every kind.
        """

    def under(self, key_id: str, kind: SecretKind, *, after: UUID | None, limit: int) -> Sequence[StoredSecret]:
        """
        Return the first `limit` secrets of a kind under a key, by row id.

        With `after`, only those with a greater id: paging with the last id returned skips none.
        """

    def replace(self, rewrappings: Sequence[Rewrapping]) -> int:
        """
        Store each new wrapping whose secret is still stored as read; return the number stored.

        A secret that was changed or deleted is skipped, and so may be one that another transaction is changing: the
        call waits for none. Afterwards a `save` of a user read before raises `Conflict`, and `replace` of a file keeps
        the new wrapping, so neither restores the old one.

        Raises `KeyRetired`, storing none, if a new wrapping is under a retired key.
        """

    def retire(self, key_id: str) -> bool:
        """
        Retire a key if no stored secret needs it; otherwise return False and retire nothing.

        After True no row needs the key and none ever will: a transaction that adds a secret wrapped under it, even one
        that started earlier, gets `KeyRetired` before its commit. A retired key is no error.
        """
