"""
Whole operations on a folder of blobs, of which one call into the operating system after the other fails.

Each operation is done once to count its calls. Then it is done anew for each call and each way in
which a call can fail: what was acknowledged is there, what is there was sent, the error is one of
ours and the right one; and as soon as the fault is gone the operation can be done, and one sweep
leaves no trace of it. Of the operations with many calls each call meets three of the nine ways, and
its neighbours the others: they are the same calls again and again.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from sft_adapters.disk.blobs import DiskBlobs
from sft_core.errors import BlobStoreFull, BlobStoreUnavailable, SftError
from sft_http.problems import status_of
from support.breaking import BREAKS, Break, BreakingCalls
from support.operations import OPERATIONS, Operation, a_world

MANY, EVERY = 60, 3
FULL = {errno.ENOSPC, errno.EDQUOT}


class Disk:
    """
    A world on a folder whose calls can be broken.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = BreakingCalls(os)
        self.world = a_world(lambda _clock: DiskBlobs(root, self.calls))

    def begun(self, kind: type[Operation]) -> Operation:
        """
        An operation in a fresh folder, prepared and not begun.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.calls.arm()
        self.world.begin_anew()
        operation = kind(self.world)
        operation.before()
        return operation

    def check_traces(self) -> None:
        """
        That nothing is in the folder but what the rows know of, and nothing is open.
        """
        parts = self.world.database._committed.parts.values()
        recorded = {part.blob_key for some in parts for part in some}
        files = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        folders = {path.name for path in self.root.iterdir()}
        assert (files, folders) == (recorded, {key.partition("/")[0] for key in recorded})
        assert not self.calls.opened


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "blobs")


def attempted(operation: Operation) -> SftError | None:
    try:
        operation.act()
    except SftError as error:
        return error
    return None


def judged(error: SftError | None, operation: Operation, what: Break) -> None:
    """
    That the caller was told what is the matter, if anything.
    """
    if what.is_harmless:
        assert error is None
        assert operation.is_done
    elif error is not None:
        assert type(error) is (BlobStoreFull if what.number in FULL else BlobStoreUnavailable)
        assert status_of(error) == (507 if what.number in FULL else 503)


def ways(nth: int, count: int) -> tuple[Break, ...]:
    """
    How the N-th of so many calls fails: in each way, or in a long operation in every third.
    """
    return BREAKS if count < MANY else BREAKS[nth % EVERY :: EVERY]


def calls_of(disk: Disk, kind: type[Operation]) -> int:
    """
    How many calls an operation makes that goes well.
    """
    operation = disk.begun(kind)
    disk.calls.arm()
    operation.act()
    assert operation.is_done
    return len(disk.calls.made)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_whichever_call_fails_and_however_nothing_told_is_lost(disk: Disk, kind: type[Operation]) -> None:
    """Every call of every operation is broken."""
    count = calls_of(disk, kind)
    assert count > 5
    for nth in range(1, count + 1):
        for what in ways(nth, count):
            operation = disk.begun(kind)
            disk.calls.arm(nth, what)
            error = attempted(operation)
            assert disk.calls.has_broken
            disk.calls.arm()
            judged(error, operation, what)
            assert not disk.calls.opened
            disk.world.check()
            operation.again()
            assert operation.is_done
            disk.world.settle()
            disk.check_traces()


def test_the_harness_finds_a_lost_error(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that goes on after a failed write is found out."""
    write = DiskBlobs._write_all

    def writes_on(*args: object) -> None:
        try:
            write(*args)  # type: ignore[arg-type]
        except OSError:
            return

    monkeypatch.setattr(DiskBlobs, "_write_all", writes_on)
    with pytest.raises(AssertionError):
        test_whichever_call_fails_and_however_nothing_told_is_lost(disk, OPERATIONS[1])
