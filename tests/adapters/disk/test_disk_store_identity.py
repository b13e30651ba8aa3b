"""
The mark of a folder of blobs: what else may stand in its place, and how durable it is.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sft_adapters.disk.blobs import DiskBlobs, has_blobs
from sft_adapters.testkit.contracts.blobs import KEY, put
from sft_core.errors import BlobStoreFull, BlobStoreUnavailable
from sft_core.maintenance.store_identity import STORE_ID_NAME
from support.faults.power import OUTCOMES, Node, VolatileCalls, disk_after_cut
from support.faults.syscalls import SYSCALL_FAULTS, FaultySyscalls, SyscallFault

MARK, ANOTHER = "0123456789abcdef" * 2, "f" * 32
ROOT = Path("/volatile")
LATE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path)


def test_the_mark_is_a_line_in_a_file_of_its_own(blobs: DiskBlobs) -> None:
    """Its owner's only, under a name that no folder of blobs has, with nothing left beside it."""
    blobs.set_store_id(MARK)
    path = blobs.root / STORE_ID_NAME
    assert [path] == list(blobs.root.iterdir())
    assert path.read_text() == f"{MARK}\n"
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink) == (0o600, 1)
    assert not has_blobs(blobs.root)


def test_it_is_nothing_that_is_over(blobs: DiskBlobs) -> None:
    """However old it is; what is over beside it goes."""
    blobs.set_store_id(MARK)
    put(blobs, KEY, b"content")
    for path in [*blobs.root.rglob("*")]:
        os.utime(path, (1, 1))
    assert (blobs.count_expired(before=LATE), blobs.delete_expired(before=LATE, limit=9)) == (0, 0)
    blobs.delete(KEY)
    assert [path.name for path in blobs.root.iterdir()] == [STORE_ID_NAME]


PLANTED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.touch(),
    "short": lambda path: path.write_text(MARK),
    "long": lambda path: path.write_text(f"{MARK}0\n"),
    "words": lambda path: path.write_text("No mark, but as long as one is.\n\n"),
    "bytes": lambda path: path.write_bytes(bytes(range(200, 233))),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "circle": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_what_is_no_mark_is_nobodys(blobs: DiskBlobs, plant: Callable[[Path], object]) -> None:
    """It is told from no mark at all, it is no database's, and none is put in its place."""
    plant(blobs.root / STORE_ID_NAME)
    assert blobs.store_id() == blobs.set_store_id(MARK) == ""
    assert [path.name for path in blobs.root.iterdir()] == [STORE_ID_NAME]


def test_a_folder_that_is_not_there_has_no_mark_to_tell(tmp_path: Path) -> None:
    """Where a disk is not mounted, that is not taken for a store without one."""
    blobs = DiskBlobs(tmp_path / "gone")
    for action in (blobs.store_id, lambda: blobs.set_store_id(MARK)):
        with pytest.raises(BlobStoreUnavailable):
            action()


def test_whenever_the_power_is_cut_a_mark_is_whole_or_not_there() -> None:
    """Before the call returns it may be missing, and never torn; afterwards it is there."""
    calls = VolatileCalls(ROOT, lambda: 0.0)
    seen: list[Node] = []
    calls.on_step = lambda: seen.append(calls.disk())
    assert DiskBlobs(ROOT, calls).set_store_id(MARK) == MARK
    assert len(seen) == 6
    calls.on_step = lambda: None
    done = calls.disk()
    for disk in [*seen, done]:
        for outcome in OUTCOMES:
            calls.power_up(disk_after_cut(disk, outcome))
            blobs = DiskBlobs(ROOT, calls)
            assert blobs.store_id() in ({MARK} if disk is done else {MARK, None})
            assert blobs.set_store_id(ANOTHER) == (blobs.store_id() or ANOTHER)


@pytest.mark.parametrize("what", SYSCALL_FAULTS, ids=lambda what: what.name)
def test_whichever_call_fails_a_mark_is_whole_or_not_there(tmp_path: Path, what: SyscallFault) -> None:
    """The next attempt brings it, nothing is left open, and what is left lying is a temporary file at most."""
    for nth in range(1, 99):
        root = tmp_path / str(nth)
        root.mkdir()
        calls = FaultySyscalls(os)
        blobs = DiskBlobs(root, calls)
        calls.arm(nth, what)
        with suppress(BlobStoreFull, BlobStoreUnavailable):
            blobs.set_store_id(MARK)
        if len(calls.calls_made) < nth:
            break
        calls.arm()
        assert not calls.opened
        assert blobs.store_id() in {MARK, None}
        assert blobs.set_store_id(MARK) == blobs.store_id() == MARK
        left = {path.name for path in root.iterdir()} - {STORE_ID_NAME}
        assert len(left) <= (what.number not in {0, errno.EINTR})
        assert all(name.startswith(".new-") for name in left)
    assert nth > 10
