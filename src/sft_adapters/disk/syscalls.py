"""
System calls of the disk blob store: few enough to inject a fault into each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import attrs

P = ParamSpec("P")
T = TypeVar("T")


class Syscalls(Protocol):
    """
    The system calls that `DiskBlobs` uses: functions of the module `os`, which implements this port.

    Each fails with an `OSError` that has an `errno`. A relative path is an entry of the folder `dir_fd`. `write` and
    `preadv` may transfer a part of the bytes; `preadv` returns 0 at the end of the file. After `fsync` a file's bytes
    or a folder's entries survive a power cut.
    """

    def open(self, path: Path | str, flags: int, mode: int = ..., *, dir_fd: int | None = ...) -> int: ...

    def close(self, fd: int) -> None: ...

    def write(self, fd: int, data: memoryview, /) -> int: ...

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int: ...

    def fsync(self, fd: int) -> None: ...

    def fstat(self, fd: int) -> os.stat_result: ...

    def stat(self, path: str, *, dir_fd: int | None = ..., follow_symlinks: bool = ...) -> os.stat_result: ...

    def link(
        self,
        src: str,
        dst: str,
        *,
        src_dir_fd: int | None = ...,
        dst_dir_fd: int | None = ...,
        follow_symlinks: bool = ...,
    ) -> None: ...

    def unlink(self, path: str, *, dir_fd: int | None = ...) -> None: ...

    def mkdir(self, path: Path, mode: int = ...) -> None: ...

    def rmdir(self, path: Path) -> None: ...

    def listdir(self, path: int, /) -> list[str]: ...


@attrs.frozen
class RetryOnEintr:
    """
    Implements `Syscalls`: retries a call that a signal interrupted (EINTR).

    Python itself retries read, write, open and fsync (PEP 475), but not the calls on names, which network and
    user-space file systems may interrupt too. An interrupted call may have taken effect, so the caller of a retried
    call must accept the traces of its own first attempt.
    """

    calls: Syscalls

    def open(self, path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        return _retry(self.calls.open, path, flags, mode, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        # The descriptor is closed even then, and its number may already belong to another file.
        with suppress(InterruptedError):
            self.calls.close(fd)

    def write(self, fd: int, data: memoryview, /) -> int:
        return _retry(self.calls.write, fd, data)

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        return _retry(self.calls.preadv, fd, buffers, offset)

    def fsync(self, fd: int) -> None:
        _retry(self.calls.fsync, fd)

    def fstat(self, fd: int) -> os.stat_result:
        return _retry(self.calls.fstat, fd)

    def stat(self, path: str, **options: Any) -> os.stat_result:  # noqa: ANN401 (as in `os`)
        return _retry(self.calls.stat, path, **options)

    def link(self, src: str, dst: str, **options: Any) -> None:  # noqa: ANN401 (as in `os`)
        _retry(self.calls.link, src, dst, **options)

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        _retry(self.calls.unlink, path, dir_fd=dir_fd)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        _retry(self.calls.mkdir, path, mode)

    def rmdir(self, path: Path) -> None:
        _retry(self.calls.rmdir, path)

    def listdir(self, path: int, /) -> list[str]:
        return _retry(self.calls.listdir, path)


def _retry(call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    while True:
        with suppress(InterruptedError):
            return call(*args, **options)
