"""
System calls that fail, are interrupted or transfer less than requested: the N-th call, or all from it on.
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
    The fault of a call: it fails with errno `number`, before its effect or `late` after it, or it transfers less.

    A `lasting` fault affects every further call until it is disarmed.
    """

    name: str
    number: int = 0
    late: bool = False
    lasting: bool = False

    @property
    def is_harmless(self) -> bool:
        """
        Whether the store has to handle the fault without an error to its caller.
        """
        return self.number in {0, errno.EINTR}


SHORT: Final = SyscallFault("short")
CAN_BE_SHORT: Final = {"write", "preadv"}
"""The calls that can transfer less than requested."""
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
    Delegates `Syscalls`, counts the calls, injects armed faults, and tracks open descriptors.
    """

    calls: Syscalls
    is_durable: bool = False
    """Whether `fsync` is passed on; only tests that cut the power need it."""
    calls_made: list[str] = attrs.field(factory=list, init=False)
    opened: set[int] = attrs.field(factory=set, init=False)
    _nth: int = attrs.field(default=0, init=False)
    _fault: SyscallFault = attrs.field(default=SHORT, init=False)

    def arm(self, nth: int = 0, what: SyscallFault = SHORT) -> None:
        """
        Restart the count, and inject the fault into the N-th call; 0 injects none.
        """
        self.calls_made.clear()
        self._nth, self._fault = nth, what

    @property
    def has_failed(self) -> bool:
        """
        Whether the armed call was made and the fault could affect it.
        """
        if not self._nth or len(self.calls_made) < self._nth:
            return False
        return self._fault is not SHORT or self.calls_made[self._nth - 1] in CAN_BE_SHORT

    def _call(self, name: str, call: Callable[..., T], *args: Any, **options: Any) -> T:
        self.calls_made.append(name)
        fails = self._nth == len(self.calls_made) or (self._fault.lasting and self.has_failed)
        if not fails or not self._fault.number:
            return call(*args, **options)
        # A write that is interrupted after its effect returns the number of written bytes.
        is_late = self._fault.late and (name, self._fault.number) != ("write", errno.EINTR)
        if is_late or name == "close":
            done = call(*args, **options)
            if name == "open":
                # The caller receives an error in place of the descriptor, so it is closed here.
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
