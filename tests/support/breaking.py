"""
System calls that fail, are interrupted, or do less than they were asked to: the N-th of them, or all from there on.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from sft_adapters.disk.syscalls import Syscalls

T = TypeVar("T")


@attrs.frozen
class Break:
    """
    What happens to a call: it fails with `number`, before it has done anything or `late`, or it falls short.

    One that is `lasting` happens to every call from then on, until it is mended.
    """

    name: str
    number: int = 0
    late: bool = False
    lasting: bool = False

    @property
    def is_harmless(self) -> bool:
        """
        Whether nobody but the store may notice.
        """
        return self.number in {0, errno.EINTR}


SHORT: Final = Break("short")
MAY_BE_SHORT: Final = {"write", "preadv"}
"""The calls that can do less than they were asked to."""
BREAKS: Final = (
    Break("EIO", errno.EIO),
    Break("ENOSPC", errno.ENOSPC),
    Break("EDQUOT", errno.EDQUOT),
    Break("EIO, done", errno.EIO, late=True),
    Break("EIO, lasting", errno.EIO, lasting=True),
    Break("ENOSPC, lasting", errno.ENOSPC, lasting=True),
    Break("EINTR", errno.EINTR),
    Break("EINTR, done", errno.EINTR, late=True),
    SHORT,
)


@attrs.define
class BreakingCalls:
    """
    Implements `Syscalls` on others: counts them, breaks those that it is armed for, and knows what is open.
    """

    calls: Syscalls
    is_durable: bool = False
    """Whether a sync is passed on: a test that cuts no power can do without."""
    made: list[str] = attrs.field(factory=list, init=False)
    opened: set[int] = attrs.field(factory=set, init=False)
    _nth: int = attrs.field(default=0, init=False)
    _break: Break = attrs.field(default=SHORT, init=False)

    def arm(self, nth: int = 0, what: Break = SHORT) -> None:
        """
        Count from here, and break the N-th call; 0 breaks none.
        """
        self.made.clear()
        self._nth, self._break = nth, what

    @property
    def has_broken(self) -> bool:
        """
        Whether the call to be broken has been made, and could be broken in this way.
        """
        if not self._nth or len(self.made) < self._nth:
            return False
        return self._break is not SHORT or self.made[self._nth - 1] in MAY_BE_SHORT

    def _call(self, name: str, call: Callable[..., T], *args: Any, **options: Any) -> T:
        self.made.append(name)
        is_it = self._nth == len(self.made) or (self._break.lasting and self.has_broken)
        if not is_it or not self._break.number:
            return call(*args, **options)
        # A write that was interrupted late tells how much it has written.
        is_late = self._break.late and (name, self._break.number) != ("write", errno.EINTR)
        if is_late or name == "close":
            done = call(*args, **options)
            if name == "open":
                # Whoever gets an error has no descriptor.
                assert isinstance(done, int)
                self.calls.close(done)
        raise OSError(self._break.number, "injected")

    def _most(self, view: memoryview) -> memoryview:
        falls_short = self._break is SHORT and self._nth == len(self.made) + 1
        return view[: (len(view) + 1) // 2] if falls_short else view

    def open(self, path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = self._call("open", self.calls.open, path, flags, mode, dir_fd=dir_fd)
        self.opened.add(descriptor)
        return descriptor

    def close(self, fd: int) -> None:
        self.opened.discard(fd)
        self._call("close", self.calls.close, fd)

    def write(self, fd: int, data: memoryview, /) -> int:
        return self._call("write", self.calls.write, fd, self._most(data))

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        return self._call("preadv", self.calls.preadv, fd, [self._most(buffers[0])], offset)

    def fsync(self, fd: int) -> None:
        self._call("fsync", self.calls.fsync if self.is_durable else self.calls.fstat, fd)

    def fstat(self, fd: int) -> os.stat_result:
        return self._call("fstat", self.calls.fstat, fd)

    def stat(self, path: str, **options: Any) -> os.stat_result:
        return self._call("stat", self.calls.stat, path, **options)

    def link(self, src: str, dst: str, **options: Any) -> None:
        self._call("link", self.calls.link, src, dst, **options)

    def unlink(self, path: str, **options: Any) -> None:
        self._call("unlink", self.calls.unlink, path, **options)

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self._call("mkdir", self.calls.mkdir, path, mode)

    def rmdir(self, path: Path) -> None:
        self._call("rmdir", self.calls.rmdir, path)

    def listdir(self, path: int, /) -> list[str]:
        return self._call("listdir", self.calls.listdir, path)
