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
class SyscallFault:
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


SHORT: Final = SyscallFault("short")
CAN_BE_SHORT: Final = {"write", "preadv"}
"""The calls that can do less than they were asked to."""
SYSCALL_FAULTS: Final = (
    SyscallFault("EIO", errno.EIO),
    SyscallFault("ENOSPC", errno.ENOSPC),
    SyscallFault("EDQUOT", errno.EDQUOT),
    SyscallFault("EIO, done", errno.EIO, late=True),
    SyscallFault("EIO, lasting", errno.EIO, lasting=True),
    SyscallFault("ENOSPC, lasting", errno.ENOSPC, lasting=True),
    SyscallFault("EINTR", errno.EINTR),
    SyscallFault("EINTR, done", errno.EINTR, late=True),
    SHORT,
)


@attrs.define
class FaultySyscalls:
    """
    Implements `Syscalls` on others: counts them, breaks those that it is armed for, and knows what is open.
    """

    calls: Syscalls
    is_durable: bool = False
    """Whether a sync is passed on: a test that cuts no power can do without."""
    calls_made: list[str] = attrs.field(factory=list, init=False)
    opened: set[int] = attrs.field(factory=set, init=False)
    _nth: int = attrs.field(default=0, init=False)
    _fault: SyscallFault = attrs.field(default=SHORT, init=False)

    def arm(self, nth: int = 0, what: SyscallFault = SHORT) -> None:
        """
        Count from here, and break the N-th call; 0 breaks none.
        """
        self.calls_made.clear()
        self._nth, self._fault = nth, what

    @property
    def has_failed(self) -> bool:
        """
        Whether the call to be broken has been made, and could be broken in this way.
        """
        if not self._nth or len(self.calls_made) < self._nth:
            return False
        return self._fault is not SHORT or self.calls_made[self._nth - 1] in CAN_BE_SHORT

    def _call(self, name: str, call: Callable[..., T], *args: Any, **options: Any) -> T:
        self.calls_made.append(name)
        fails = self._nth == len(self.calls_made) or (self._fault.lasting and self.has_failed)
        if not fails or not self._fault.number:
            return call(*args, **options)
        # A write that was interrupted late tells how much it has written.
        is_late = self._fault.late and (name, self._fault.number) != ("write", errno.EINTR)
        if is_late or name == "close":
            done = call(*args, **options)
            if name == "open":
                # Whoever gets an error has no descriptor.
                assert isinstance(done, int)
                self.calls.close(done)
        raise OSError(self._fault.number, "injected")

    def _shortened(self, view: memoryview) -> memoryview:
        is_short = self._fault is SHORT and self._nth == len(self.calls_made) + 1
        return view[: (len(view) + 1) // 2] if is_short else view

    def open(self, path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        descriptor = self._call("open", self.calls.open, path, flags, mode, dir_fd=dir_fd)
        self.opened.add(descriptor)
        return descriptor

    def close(self, fd: int) -> None:
        self.opened.discard(fd)
        self._call("close", self.calls.close, fd)

    def write(self, fd: int, data: memoryview, /) -> int:
        return self._call("write", self.calls.write, fd, self._shortened(data))

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        return self._call("preadv", self.calls.preadv, fd, [self._shortened(buffers[0])], offset)

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
