"""
An in-memory folder that loses unsynced changes in a power cut, in every way that a file system may.

A file's bytes are durable once the file is synced, and a created or removed name once its folder is. Until then each
may have reached the disk or not, in any order, and of a file's bytes only a part, zeros or garbage. Every file system
in use guarantees more.
"""

from __future__ import annotations

import copy
import errno
import os
import random
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import attrs

_FOLDER: Final = stat.S_IFDIR | 0o700


@attrs.define(eq=False)
class Node:
    """
    A file or a folder in two states: visible to processes, and durable on the disk.
    """

    number: int
    mode: int
    changed_at: float
    content: bytes = b""
    durable_content: bytes = b""
    names: dict[str, Node] = attrs.field(factory=dict)
    durable_names: dict[str, Node] = attrs.field(factory=dict)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)

    def status(self) -> os.stat_result:
        moment = self.changed_at
        return os.stat_result((self.mode, self.number, 1, 1, 0, 0, len(self.content), moment, moment, moment))


class CrashOutcome(Protocol):
    """
    Decides which unsynced changes reached the disk.
    """

    def name(self) -> bool:
        """
        Return whether the change of a name reached the disk.
        """
        ...

    def content(self, durable: bytes, visible: bytes) -> bytes:
        """
        Return a file's content after the power cut.
        """
        ...


def _torn(visible: bytes) -> bytes:
    return visible[: len(visible) // 2]


def _zeros(visible: bytes) -> bytes:
    return bytes(len(visible))


def _rubbish(visible: bytes) -> bytes:
    return bytes(byte ^ 0xA5 for byte in visible)


@attrs.frozen
class FixedOutcome:
    """
    An outcome that treats all changes of names alike, and all contents alike.
    """

    names: bool
    written: Callable[[bytes], bytes] | None = None

    def name(self) -> bool:
        return self.names

    def content(self, durable: bytes, visible: bytes) -> bytes:
        return durable if self.written is None else self.written(visible)


NOTHING_WRITTEN: Final = FixedOutcome(names=False)
EVERYTHING_WRITTEN: Final = FixedOutcome(names=True, written=bytes)
OUTCOMES: Final[tuple[CrashOutcome, ...]] = (
    NOTHING_WRITTEN,
    EVERYTHING_WRITTEN,
    FixedOutcome(names=True),
    FixedOutcome(names=True, written=_torn),
    FixedOutcome(names=True, written=_zeros),
    FixedOutcome(names=True, written=_rubbish),
)
"""Nothing, everything, the names and no bytes, and the names with half the bytes, zeros or rubbish."""


@attrs.frozen
class RandomOutcome:
    """
    An outcome that decides each change at random.
    """

    random_source: random.Random

    def name(self) -> bool:
        return self.random_source.random() < 0.5

    def content(self, durable: bytes, visible: bytes) -> bytes:
        return self.random_source.choice((durable, visible, _torn(visible), _zeros(visible), _rubbish(visible)))


@attrs.define
class VolatileCalls:
    """
    Implements `Syscalls` on one folder, `root`; `on_step` is called before each call that changes something.
    """

    root: Path
    now: Callable[[], float]
    on_step: Callable[[], None] = attrs.field(default=lambda: None)
    top: Node = attrs.field(init=False)
    _opened: dict[int, Node] = attrs.field(factory=dict, init=False)
    _last: int = attrs.field(default=1000, init=False)

    def __attrs_post_init__(self) -> None:
        self.format()

    def format(self) -> None:
        """
        Start with an empty, durable folder.
        """
        self.power_up(Node(0, _FOLDER, self.now()))

    def power_up(self, top: Node) -> None:
        """
        Continue from the state of a disk, without open files.
        """
        self.top = top
        self._opened.clear()

    def disk(self) -> Node:
        """
        Return a copy of the current state, unsynced changes included.
        """
        return copy.deepcopy(self.top)

    def open(self, path: Path | str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        folder, name = self._locate(path, dir_fd)
        node = self.top if folder is None else folder.names.get(name)
        if flags & os.O_CREAT:
            self.on_step()
            if node is not None:
                raise OSError(errno.EEXIST, name)
            if folder is None or not self._is_linked(folder):
                raise OSError(errno.ENOENT, name)
            node = folder.names[name] = Node(self._number(), stat.S_IFREG | mode, self.now())
            folder.changed_at = self.now()
        if node is None:
            raise OSError(errno.ENOENT, name)
        if flags & os.O_DIRECTORY and not node.is_folder:
            raise OSError(errno.ENOTDIR, name)
        descriptor = self._number()
        self._opened[descriptor] = node
        return descriptor

    def close(self, fd: int) -> None:
        del self._opened[fd]

    def write(self, fd: int, data: memoryview, /) -> int:
        self.on_step()
        node = self._opened[fd]
        node.content += bytes(data)
        node.changed_at = self.now()
        return len(data)

    def preadv(self, fd: int, buffers: Sequence[memoryview], offset: int, /) -> int:
        piece = self._opened[fd].content[offset : offset + len(buffers[0])]
        buffers[0][: len(piece)] = piece
        return len(piece)

    def fsync(self, fd: int) -> None:
        self.on_step()
        self.make_durable(self._opened[fd])

    @staticmethod
    def make_durable(node: Node) -> None:
        """
        Apply the effect of a sync.
        """
        node.durable_content = node.content
        node.durable_names = dict(node.names)

    def fstat(self, fd: int) -> os.stat_result:
        return self._opened[fd].status()

    def stat(self, path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True) -> os.stat_result:
        assert not follow_symlinks
        return self._found(path, dir_fd)[1].status()

    def link(
        self,
        src: str,
        dst: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        assert not follow_symlinks
        self.on_step()
        _, node = self._found(src, src_dir_fd)
        folder, name = self._locate(dst, dst_dir_fd)
        assert folder is not None
        if name in folder.names:
            raise OSError(errno.EEXIST, name)
        folder.names[name] = node
        folder.changed_at = self.now()

    def unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        self.on_step()
        folder, _ = self._found(path, dir_fd)
        del folder.names[path]
        folder.changed_at = self.now()

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        self.on_step()
        if path.name in self.top.names:
            raise OSError(errno.EEXIST, path.name)
        self.top.names[path.name] = Node(self._number(), stat.S_IFDIR | mode, self.now())

    def rmdir(self, path: Path) -> None:
        self.on_step()
        node = self.top.names.get(path.name)
        if node is None:
            raise OSError(errno.ENOENT, path.name)
        if node.names:
            raise OSError(errno.ENOTEMPTY, path.name)
        del self.top.names[path.name]

    def listdir(self, path: int, /) -> list[str]:
        return list(self._opened[path].names)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def _locate(self, path: Path | str, dir_fd: int | None) -> tuple[Node | None, str]:
        if dir_fd is not None:
            return self._opened[dir_fd], str(path)
        path = Path(path)
        return (None if path == self.root else self.top), path.name

    def _found(self, path: str, dir_fd: int | None) -> tuple[Node, Node]:
        folder, name = self._locate(path, dir_fd)
        assert folder is not None
        node = folder.names.get(name)
        if node is None:
            raise OSError(errno.ENOENT, name)
        return folder, node

    def _is_linked(self, folder: Node) -> bool:
        return folder is self.top or any(node is folder for node in self.top.names.values())


def disk_after_cut(disk: Node, outcome: CrashOutcome) -> Node:
    """
    Return the disk's state after a power cut; everything on it is durable then.
    """
    top = copy.deepcopy(disk)
    _apply_outcome(top, outcome, set())
    return top


def _apply_outcome(node: Node, outcome: CrashOutcome, visible: set[int]) -> None:
    if node.number in visible:
        return
    visible.add(node.number)
    if not node.is_folder:
        if node.content != node.durable_content:
            node.content = node.durable_content = outcome.content(node.durable_content, node.content)
        return
    kept = {}
    for name in sorted({*node.names, *node.durable_names}):
        new, old = node.names.get(name), node.durable_names.get(name)
        entry = new if new is not old and outcome.name() else old
        if entry is not None:
            kept[name] = entry
            _apply_outcome(entry, outcome, visible)
    node.names, node.durable_names = kept, dict(kept)
