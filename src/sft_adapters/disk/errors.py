"""
Map errors of the operating system to errors of the blob store.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from sft_core.errors import BlobStoreFull, BlobStoreUnavailable
from sft_core.vault.ports import Buffer

_STORE_FULL_ERRNOS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class _SourceError(Exception):
    """
    Wraps an `OSError` of the source of the pieces, not of the disk.
    """


@contextmanager
def map_os_errors(key: str) -> Iterator[None]:
    """
    Map errors of the operating system to the blob store's; details name the errno only.

    Raises:
        BlobStoreFull: The disk or the disk quota is full, or the file exceeds the file system's limit.
        BlobStoreUnavailable: Any other error of the operating system.
    """
    try:
        yield
    except _SourceError as failed:
        raise failed.args[0] from None
    except OSError as error:
        detail = f"blob {key}: {errno.errorcode.get(error.errno or 0, 'unknown error')}"
        raise (BlobStoreFull if error.errno in _STORE_FULL_ERRNOS else BlobStoreUnavailable)(detail) from error


def protect_source_errors(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    """
    Yield the pieces; an `OSError` from their source passes through `map_os_errors` unchanged.
    """
    try:
        yield from pieces
    except OSError as error:
        raise _SourceError(error) from None
