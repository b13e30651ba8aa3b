"""
The calls into the operating system that a store of files is made of: few enough to be broken one by one.
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


class SystemCalls(Protocol):
    """
    What `DiskBlobs` asks of the operating system; the module `os` is one that really does it.

    Each call is that of `os` by its name, and fails with an `OSError` that has an `errno`.
    """

    def open(self, path: Path | str, flags: int, mode: int = ..., *, dir_fd: int | None = ...) -> int:
        """
        Open a file or a folder; `dir_fd` is the folder in which `path` is a name.
        """
        ...

    def close(self, fd: int) -> None:
        """
        Give a descriptor back.
        """
        ...

    def write(self, fd: int, data: memoryview, /) -> int:
        """
        Write bytes, or fewer than that, and tell how many.
        """
        ...

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        """
        Fill buffers with bytes from an offset, or the beginning of them, and tell how many; 0 at the end.
        """
        ...

    def fsync(self, fd: int) -> None:
        """
        Let a file's bytes, or a folder's entries, outlast a power cut.
        """
        ...

    def fstat(self, fd: int) -> os.stat_result:
        """
        What a descriptor leads to.
        """
        ...

    def stat(self, path: str, *, dir_fd: int | None = ..., follow_symlinks: bool = ...) -> os.stat_result:
        """
        What a name in a folder leads to.
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
        Give a file a second name that is free.
        """
        ...

    def unlink(self, path: str, *, dir_fd: int | None = ...) -> None:
        """
        Take a name away, and a file with its last one.
        """
        ...

    def mkdir(self, path: Path, mode: int = ...) -> None:
        """
        Make a folder.
        """
        ...

    def rmdir(self, path: Path) -> None:
        """
        Remove an empty folder.
        """
        ...

    def listdir(self, path: int, /) -> list[str]:
        """
        The names in a folder, by its descriptor.
        """
        ...


@attrs.frozen
class Uninterrupted:
    """
    Implements `SystemCalls`: a call that a signal has interrupted is made again.

    Python does so itself with those that read, write, open and sync (PEP 475), and not with those
    that work on names, which a network's or a user's file system lets be interrupted as well. Such
    a call may have been carried out: who makes it has to bear with its own trace.
    """

    calls: SystemCalls

    def open(self, path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        return _again(self.calls.open, path, flags, mode, dir_fd=dir_fd)

    def close(self, fd: int) -> None:
        # The descriptor is gone all the same, and its number may be another file's by now.
        with suppress(InterruptedError):
            self.calls.close(fd)

    def write(self, fd: int, data: memoryview, /) -> int:
        return _again(self.calls.write, fd, data)

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        return _again(self.calls.preadv, fd, buffers, offset)

    def fsync(self, fd: int) -> None:
        _again(self.calls.fsync, fd)

    def fstat(self, fd: int) -> os.stat_result:
        return _again(self.calls.fstat, fd)

    def stat(self, path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        return _again(self.calls.stat, path, dir_fd=dir_fd, follow_symlinks=follow_symlinks)

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
        _again(self.calls.link, src, dst, **folders, follow_symlinks=follow_symlinks)

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        _again(self.calls.unlink, path, dir_fd=dir_fd)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        _again(self.calls.mkdir, path, mode)

    def rmdir(self, path: Path) -> None:
        _again(self.calls.rmdir, path)

    def listdir(self, path: int, /) -> list[str]:
        return _again(self.calls.listdir, path)


def _again(call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    while True:
        with suppress(InterruptedError):
            return call(*args, **options)
