"""
Whole operations on a folder of blobs, of which one call into the operating system after the other fails.

Each operation is done once to count its calls. Then it is done anew for each call and each way in
which a call can fail: what was acknowledged is there, what is there was sent, the error is one of
ours and the right one; and as soon as the fault is gone the operation can be done, and one sweep
leaves no trace of it. A call meets each of the nine ways that it can break in: only one that reads or
writes can fall short. Of the operations with many calls each call meets three of them, and its
neighbours the others: they are the same calls again and again.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from sft_adapters.disk.blobs import DiskBlobs
from sft_core.errors import BlobStoreFull, BlobStoreUnavailable, SftError
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_http.problems import status_of
from support.app.vault_under_test import vault_under_test
from support.faults.operations import OPERATIONS, Operation
from support.faults.syscalls import CAN_BE_SHORT, SHORT, SYSCALL_FAULTS, FaultySyscalls, SyscallFault

MANY, EVERY = 40, 3
FULL = {errno.ENOSPC, errno.EDQUOT}


class Disk:
    """
    A world on a folder whose calls can be broken.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = FaultySyscalls(os)
        self.vault = vault_under_test(lambda _clock: DiskBlobs(root, self.calls))

    def prepared(self, kind: type[Operation]) -> Operation:
        """
        An operation in a fresh folder, prepared and not begun.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.calls.arm()
        return kind.prepared(self.vault)

    def check_traces(self) -> None:
        """
        That nothing is in the folder but its mark and what the rows know of, and nothing is open.
        """
        parts = self.vault.database.snapshot().parts.values()
        recorded = {part.blob_key for some in parts for part in some}
        files = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        folders = {path.name for path in self.root.iterdir() if path.name != STORE_ID_NAME}
        assert (files, folders) == (recorded | {STORE_ID_NAME}, {key.partition("/")[0] for key in recorded})
        assert not self.calls.opened


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "blobs")


def judged(error: SftError | None, operation: Operation, what: SyscallFault) -> None:
    """
    That the caller was told what is the matter, if anything.
    """
    if what.is_harmless:
        assert error is None
        assert operation.is_done
    elif error is not None:
        assert type(error) is (BlobStoreFull if what.number in FULL else BlobStoreUnavailable)
        assert status_of(error) == (507 if what.number in FULL else 503)


def ways(nth: int, calls: Sequence[str]) -> tuple[SyscallFault, ...]:
    """
    How the N-th of these calls fails: in each way that it can, or in a long operation in every third.
    """
    some = SYSCALL_FAULTS if len(calls) < MANY else SYSCALL_FAULTS[nth % EVERY :: EVERY]
    return some if calls[nth - 1] in CAN_BE_SHORT else tuple(what for what in some if what is not SHORT)


def calls_of(disk: Disk, kind: type[Operation]) -> Sequence[str]:
    """
    The calls that an operation makes that goes well.
    """
    operation = disk.prepared(kind)
    disk.calls.arm()
    operation.run()
    assert operation.is_done
    return tuple(disk.calls.calls_made)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_whichever_call_fails_and_however_nothing_told_is_lost(disk: Disk, kind: type[Operation]) -> None:
    """Every call of every operation is broken."""
    calls = calls_of(disk, kind)
    assert len(calls) > 5
    for nth in range(1, len(calls) + 1):
        for what in ways(nth, calls):
            operation = disk.prepared(kind)
            disk.calls.arm(nth, what)
            error = operation.try_run()
            assert disk.calls.has_failed
            disk.calls.arm()
            judged(error, operation, what)
            assert not disk.calls.opened
            disk.vault.check()
            operation.recover()
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
