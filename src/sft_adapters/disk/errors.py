"""
The operating system's errors as the store's own.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from sft_core.errors import BlobStoreFull, BlobStoreUnavailable
from sft_core.vault.ports import Buffer

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _PieceError(Exception):
    """
    The pieces to be stored raised `error`: the caller's own, though it may look like the disk's.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error


@contextmanager
def translated(key: str) -> Iterator[None]:
    """
    Turn the operating system's errors into the store's own; its words stay in the log's detail.
    """
    try:
        yield
    except _PieceError as failed:
        raise failed.error from None
    except OSError as error:
        detail = f"blob {key}: {errno.errorcode.get(error.errno or 0, 'unknown error')}"
        raise (BlobStoreFull if error.errno in _FULL else BlobStoreUnavailable)(detail) from error


def untranslated(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """
    The pieces; what goes wrong with them comes out of `translated` as it is.
    """
    try:
        yield from pieces
    except OSError as error:
        raise _PieceError(error) from None
