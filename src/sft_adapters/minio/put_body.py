"""
The body of a put: counted, not copied, and incomplete unless its length is right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from sft_core.errors import BlobSizeMismatch
from sft_core.vault.ports import Buffer


@attrs.define
class PutBody:
    """
    Pieces that must add up to `size` bytes; `source_error` is what their source raised.

    The last byte is sent only after the source has no further piece. So the server receives the whole object only if
    the pieces add up. Otherwise the request ends early, and the server must discard it.
    """

    pieces: Iterable[Buffer] = attrs.field(repr=False)
    size: int
    is_complete: bool = False
    source_error: BaseException | None = None

    def chunks(self) -> Iterator[Buffer]:
        """
        Yield the bytes; raise `BlobSizeMismatch` before the last chunk unless they add up to `size`.
        """
        received, last = 0, b""
        for view in self._views():
            received += len(view)
            if received > self.size:
                break
            if received == self.size and view:
                last = bytes(view[-1:])
                view = view[:-1]  # noqa: PLW2901 (the rest of the same piece)
            yield view
        if received != self.size:
            raise BlobSizeMismatch(f"received {received} bytes or more, expected {self.size}")
        self.is_complete = True
        yield last

    def _views(self) -> Iterator[memoryview]:
        try:
            yield from (memoryview(piece).cast("B") for piece in self.pieces)
        except GeneratorExit:
            # The request has ended early.
            raise
        except BaseException as error:
            self.source_error = error
            raise
