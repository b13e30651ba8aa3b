"""
An upload under way: its intent, its key, how far it has come.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import attrs

from sft_core.ports import KeyRing
from sft_core.values import Secret
from sft_core.vault.model import (
    FILE_KEY_PURPOSE,
    File,
    Part,
)

TOUCH_INTERVAL: Final = timedelta(minutes=1)
"""How exactly a row tells when bytes of its upload last came: it is not written for every part."""


@attrs.define(kw_only=True)
class Upload:
    """
    A file on its way in: the intent, its key, and how far it has come. Changed by one task at a time.

    The row of a file that is small enough for one part comes with its commit: it is not `intended`
    before, no row knows of it, and its key is not wrapped yet, for a slow client may take longer
    than an operator to replace the key that wraps it. Only its last part may be stored like that:
    the one with which it comes to the `expected` size, which is unknown as long as it is None.
    """

    file: File
    key: Secret
    intended: bool = True
    expected: int | None = None
    held: int = 0
    received: int = 0
    parts: int = 0
    unrecorded: list[Part] = attrs.field(factory=list, repr=False)

    def with_key(self, keyring: KeyRing) -> File:
        """
        The file with its key as it is to be stored, wrapped under the active one.
        """
        wrapped = keyring.wrap(self.key, purpose=FILE_KEY_PURPOSE, context=self.file.key_context)
        return attrs.evolve(self.file, key=wrapped)


@attrs.frozen(kw_only=True)
class Place:
    """
    Where a part stands in its file: its number, its first byte, its size in bytes.
    """

    number: int
    start: int
    size: int

    @property
    def stop(self) -> int:
        """
        The byte behind it.
        """
        return self.start + self.size
