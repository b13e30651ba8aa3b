"""
Run `sft` with a fault that a campaign has to find: `python planted.py late-parts serve …`.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import Connection

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.sql import files, quotas
from sft_core.vault.ports import Buffer
from sft_http.cli.main import sft

LATE_SECONDS: Final = 0.5


def late_parts() -> None:
    """
    Acknowledge a part before it is stored: until then only this process can read it.
    """
    put, read_into = DiskBlobs.put, DiskBlobs.read_into
    unstored: dict[str, bytes] = {}

    def put_later(self: DiskBlobs, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        unstored[key] = content = b"".join(bytes(piece) for piece in pieces)

        def store() -> None:
            put(self, key, [content], size=size)
            unstored.pop(key)

        threading.Timer(LATE_SECONDS, store).start()

    def read(self: DiskBlobs, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        content = unstored.get(key)
        if content is None:
            read_into(self, key, start, buffer, size=size)
        else:
            buffer[:] = content[start : start + len(buffer)]

    DiskBlobs.put = put_later  # type: ignore[method-assign]
    DiskBlobs.read_into = read  # type: ignore[method-assign]


def kept_quota() -> None:
    """
    Do not release a file's quota when it is deleted.
    """

    def keep(connection: Connection, owner: bytes, size: int) -> None:
        pass

    quotas.release_quota = vars(files)["release_quota"] = keep


def deaf_workers() -> None:
    """
    Prevent workers from noticing that their main process has ended.
    """
    parent = os.getpid()
    os.getppid = lambda: parent


BUGS: Final[dict[str, Callable[[], None]]] = {
    "deaf-workers": deaf_workers,
    "kept-quota": kept_quota,
    "late-parts": late_parts,
}


def main() -> None:
    """
    Plant the named fault, and run the command.
    """
    BUGS[sys.argv.pop(1)]()
    sft()


if __name__ == "__main__":
    main()
