"""
Stores with planted durability bugs, each of which a power cut must reveal.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, Final

import attrs

from sft_adapters.disk.syscalls import RetryOnEintr, Syscalls
from sft_core.vault.ports import Buffer
from support.app.library import DelegatingBlobs
from support.faults.operations import AppendToUpload, StoreSmallFile, StoreThreeParts
from support.faults.power_cuts import Machine, cut_after_a_failure, cut_everywhere, new_machine


@attrs.frozen
class SyncsNoFile(RetryOnEintr):
    """
    A file gets its name before its bytes are synced.
    """

    def fsync(self, fd: int) -> None:
        if stat.S_ISDIR(self.fstat(fd).st_mode):
            super().fsync(fd)


@attrs.frozen
class SyncsNoFolder(RetryOnEintr):
    """
    A file's bytes are durable, but its name is not.
    """

    def fsync(self, fd: int) -> None:
        if not stat.S_ISDIR(self.fstat(fd).st_mode):
            super().fsync(fd)


@attrs.frozen
class SyncsNoRoot(RetryOnEintr):
    """
    A file's name is durable, but in a folder whose own name is not.
    """

    def fsync(self, fd: int) -> None:
        if self.fstat(fd).st_ino:
            super().fsync(fd)


@attrs.frozen
class SyncsTheRootOnceOnly(SyncsNoRoot):
    """
    Only the call that creates a folder syncs its name; if that sync fails, no later call repeats it.
    """

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        super().mkdir(path, mode)
        root = self.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.calls.fsync(root)
        finally:
            self.close(root)


@attrs.frozen
class PassesOverTheRoot(RetryOnEintr):
    """
    A failed sync of a folder's name is ignored.
    """

    def fsync(self, fd: int) -> None:
        with suppress(OSError) if not self.fstat(fd).st_ino else nullcontext():
            super().fsync(fd)


@attrs.define
class NamesBeforeTheSync(RetryOnEintr):
    """
    A file is synced only after it has its name.
    """

    _waiting: list[int] = attrs.field(factory=list, init=False)

    def fsync(self, fd: int) -> None:
        if stat.S_ISDIR(self.fstat(fd).st_mode):
            super().fsync(fd)
        else:
            self._waiting.append(fd)

    def close(self, fd: int) -> None:
        if fd not in self._waiting:
            super().close(fd)

    def link(self, src: str, dst: str, **options: Any) -> None:
        super().link(src, dst, **options)
        for fd in self._waiting:
            super().fsync(fd)
            super().close(fd)
        self._waiting.clear()


@attrs.define
class StoresWithTheNextCall(DelegatingBlobs):
    """
    A put returns before it stores the blob, so the row is committed first.
    """

    _late: list[tuple[str, bytes, int]] = attrs.field(factory=list, init=False)

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        self._catch_up()
        self._late.append((key, b"".join(map(bytes, pieces)), size))

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        self._late.clear()  # after the power cut: the content of memory is lost
        super().read_into(key, start, buffer, size=size)

    def delete(self, key: str) -> None:
        self._catch_up()
        super().delete(key)

    def _catch_up(self) -> None:
        while self._late:
            key, content, size = self._late.pop()
            super().put(key, [content], size=size)


@attrs.frozen
class Bug:
    """
    A broken machine, the search for its bug, and the expected failure.
    """

    kind: type[object]
    machine: Callable[[], Machine]
    found_as: str
    only_after_a_failure: bool = False

    @property
    def name(self) -> str:
        return self.kind.__name__

    def search(self) -> None:
        """
        Cut the power at every step at which the bug may be revealed.
        """
        if self.only_after_a_failure:
            cut_after_a_failure(self.machine(), StoreSmallFile)
            cut_after_a_failure(self.machine(), AppendToUpload)
        else:
            cut_everywhere(self.machine(), StoreSmallFile, seeds=())
            cut_everywhere(self.machine(), StoreThreeParts, seeds=())


def _calls(kind: Callable[[Syscalls], Syscalls]) -> Callable[[], Machine]:
    return lambda: new_machine(calls=kind)


BUGS: Final = (
    Bug(SyncsNoFile, _calls(SyncsNoFile), "cannot be read|is not what was put"),
    Bug(SyncsNoFolder, _calls(SyncsNoFolder), "cannot be read"),
    Bug(SyncsNoRoot, _calls(SyncsNoRoot), "cannot be read"),
    Bug(NamesBeforeTheSync, _calls(NamesBeforeTheSync), "is not what was put"),
    Bug(StoresWithTheNextCall, lambda: new_machine(store=StoresWithTheNextCall), "cannot be read"),
    Bug(PassesOverTheRoot, _calls(PassesOverTheRoot), "cannot be read", only_after_a_failure=True),
    Bug(SyncsTheRootOnceOnly, _calls(SyncsTheRootOnceOnly), "cannot be read", only_after_a_failure=True),
)
