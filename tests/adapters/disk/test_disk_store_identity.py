"""
The store identity of a folder of blobs: invalid ids, and durability.
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

STORE_ID, ANOTHER_ID = "0123456789abcdef" * 2, "f" * 32
ROOT = Path("/volatile")
LATE = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def blobs(tmp_path: Path) -> DiskBlobs:
    return DiskBlobs(tmp_path)


def test_store_id_is_a_line_in_its_own_file(blobs: DiskBlobs) -> None:
    """The file is readable by its owner only, has a name that no blob folder has, and nothing is left beside it."""
    blobs.set_store_id(STORE_ID)
    path = blobs.root / STORE_ID_NAME
    assert [path] == list(blobs.root.iterdir())
    assert path.read_text() == f"{STORE_ID}\n"
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_nlink) == (0o600, 1)
    assert not has_blobs(blobs.root)


def test_store_id_does_not_expire(blobs: DiskBlobs) -> None:
    """The store id is not deleted however old it is, while expired files beside it are."""
    blobs.set_store_id(STORE_ID)
    put(blobs, KEY, b"content")
    for path in [*blobs.root.rglob("*")]:
        os.utime(path, (1, 1))
    assert (blobs.count_expired(before=LATE), blobs.delete_expired(before=LATE, limit=9)) == (0, 0)
    blobs.delete(KEY)
    assert [path.name for path in blobs.root.iterdir()] == [STORE_ID_NAME]


PLANTED: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.touch(),
    "short": lambda path: path.write_text(STORE_ID),
    "long": lambda path: path.write_text(f"{STORE_ID}0\n"),
    "words": lambda path: path.write_text("No mark, but as long as one is.\n\n"),
    "bytes": lambda path: path.write_bytes(bytes(range(200, 233))),
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "link": lambda path: path.symlink_to("/etc/passwd"),
    "circle": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_invalid_store_id_matches_no_database(blobs: DiskBlobs, plant: Callable[[Path], object]) -> None:
    """An invalid store id differs from a missing one, matches no database, and is not replaced."""
    plant(blobs.root / STORE_ID_NAME)
    assert blobs.store_id() == blobs.set_store_id(STORE_ID) == ""
    assert [path.name for path in blobs.root.iterdir()] == [STORE_ID_NAME]


def test_missing_folder_raises(tmp_path: Path) -> None:
    """An unmounted disk is not taken for a store without an id."""
    blobs = DiskBlobs(tmp_path / "gone")
    for action in (blobs.store_id, lambda: blobs.set_store_id(STORE_ID)):
        with pytest.raises(BlobStoreUnavailable):
            action()


def test_store_id_is_complete_or_absent_after_a_power_cut() -> None:
    """Before the call returns the id may be missing but is never torn; afterwards it is stored."""
    calls = VolatileCalls(ROOT, lambda: 0.0)
    snapshots: list[Node] = []
    calls.on_step = lambda: snapshots.append(calls.disk())
    assert DiskBlobs(ROOT, calls).set_store_id(STORE_ID) == STORE_ID
    assert len(snapshots) == 6
    calls.on_step = lambda: None
    done = calls.disk()
    for disk in [*snapshots, done]:
        for outcome in OUTCOMES:
            calls.power_up(disk_after_cut(disk, outcome))
            blobs = DiskBlobs(ROOT, calls)
            assert blobs.store_id() in ({STORE_ID} if disk is done else {STORE_ID, None})
            assert blobs.set_store_id(ANOTHER_ID) == (blobs.store_id() or ANOTHER_ID)


@pytest.mark.parametrize("what", SYSCALL_FAULTS, ids=lambda what: what.name)
def test_store_id_is_complete_or_absent_whichever_call_fails(tmp_path: Path, what: SyscallFault) -> None:
    """The next attempt stores the id, no descriptor stays open, and at most a temporary file remains."""
    for nth in range(1, 99):
        root = tmp_path / str(nth)
        root.mkdir()
        calls = FaultySyscalls(os)
        blobs = DiskBlobs(root, calls)
        calls.arm(nth, what)
        with suppress(BlobStoreFull, BlobStoreUnavailable):
            blobs.set_store_id(STORE_ID)
        if len(calls.calls_made) < nth:
            break
        calls.arm()
        assert not calls.opened
        assert blobs.store_id() in {STORE_ID, None}
        assert blobs.set_store_id(STORE_ID) == blobs.store_id() == STORE_ID
        remaining = {path.name for path in root.iterdir()} - {STORE_ID_NAME}
        assert len(remaining) <= (what.number not in {0, errno.EINTR})
        assert all(name.startswith(".new-") for name in remaining)
    assert nth > 10
