"""
The content of a put on its way out: counted, never copied, and never finished before it is known to be right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from sft_core.errors import BlobSizeMismatch
from sft_core.vault.ports import Buffer


@attrs.define
class Content:
    """
    Pieces that must add up to `size` bytes; `failure` is what they raised themselves, if they did.

    The last byte is held back until no piece is left. So a server has a whole object only if the
    pieces add up: in any other case its request ends too early, and it has to drop what it got.
    """

    pieces: Iterable[Buffer] = attrs.field(repr=False)
    size: int
    is_whole: bool = False
    failure: BaseException | None = None

    def chunks(self) -> Iterator[Buffer]:
        """
        What to send, in order; `BlobSizeMismatch` instead of the last chunk if the sum is wrong.
        """
        came, last = 0, b""
        for view in self._views():
            came += len(view)
            if came > self.size:
                break
            if came == self.size and view:
                last = bytes(view[-1:])
                view = view[:-1]  # noqa: PLW2901 (the rest of the same piece)
            yield view
        if came != self.size:
            raise BlobSizeMismatch(f"{came} bytes or more came, {self.size} were announced")
        self.is_whole = True
        yield last

    def _views(self) -> Iterator[memoryview]:
        try:
            iterator = iter(self.pieces)
        except BaseException as error:
            self.failure = error
            raise
        while True:
            try:
                piece = next(iterator)
            except StopIteration:
                return
            except BaseException as error:
                self.failure = error
                raise
            yield memoryview(piece).cast("B")
