"""
System calls of the blob store on disk.

They are few enough to inject a fault into each.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import attrs

P = ParamSpec("P")
T = TypeVar("T")


class Syscalls(Protocol):
    """
    The system calls that `DiskBlobs` uses, implemented by the module `os`.

    Each method is the function of the same name in `os` and fails with an `OSError` that has an `errno`.
    """

    def open(self, path: Path | str, flags: int, mode: int = ..., *, dir_fd: int | None = ...) -> int:
        """
        Open a file or a folder.

        A relative `path` is an entry of the folder `dir_fd`.
        """
        ...

    def close(self, fd: int) -> None:
        """
        Close a descriptor.
        """
        ...

    def write(self, fd: int, data: memoryview, /) -> int:
        """
        Write some or all of the bytes; return their number.
        """
        ...

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        """
        Read from an offset into some or all of the buffers.

        Return the number of bytes, 0 at the end.
        """
        ...

    def fsync(self, fd: int) -> None:
        """
        Make a file's bytes or a folder's entries survive a power cut.
        """
        ...

    def fstat(self, fd: int) -> os.stat_result:
        """
        Return the status of an open file.
        """
        ...

    def stat(self, path: str, *, dir_fd: int | None = ..., follow_symlinks: bool = ...) -> os.stat_result:
        """
        Return the status of an entry of a folder.
        """
        ...

    def link(
        self,
        src: str,
        dst: str,
        *,
        src_dir_fd: int | None = ...,
        dst_dir_fd: int | None = ...,
        follow_symlinks: bool = ...,
    ) -> None:
        """
        Give a file another name; it fails if that name exists.
        """
        ...

    def unlink(self, path: str, *, dir_fd: int | None = ...) -> None:
        """
        Remove a name, and the file with its last name.
        """
        ...

    def mkdir(self, path: Path, mode: int = ...) -> None:
        """
        Create a folder.
        """
        ...

    def rmdir(self, path: Path) -> None:
        """
        Remove an empty folder.
        """
        ...

    def listdir(self, path: int, /) -> list[str]:
        """
        Return the names in the folder that a descriptor refers to.
        """
        ...


@attrs.frozen
class RetryOnEintr:
    """
    Implements `Syscalls`: retries a call that a signal interrupted (EINTR).

    Python itself retries read, write, open and fsync (PEP 475), but not the calls on names, which
    network and user-space file systems may interrupt too. An interrupted call may have taken effect,
    so the caller of a retried call must accept the traces of its own first attempt.
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

    def stat(self, path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return _retry(self.calls.stat, path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

    def link(
        self,
        src: str,
        dst: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        folders = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
        _retry(self.calls.link, src, dst, **folders, follow_symlinks=follow_symlinks)

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
