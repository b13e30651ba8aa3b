"""
Complete operations on a folder of blobs, with each system call failing in turn.

Each operation runs once to count its system calls, and then once for each call and each way in which that
call can fail. What was acknowledged is stored, what is stored was sent, and the error is the right SftError;
once the fault ends the operation succeeds, and one sweep leaves no trace of it. A call fails in each of its
nine ways; only reads and writes can be short. In operations with many calls each call fails in three of the
ways and its neighbours in the others, because the same calls occur again and again.
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
    A vault on a folder whose system calls can be made to fail.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.calls = FaultySyscalls(os)
        self.vault = vault_under_test(lambda _clock: DiskBlobs(root, self.calls))

    def prepared(self, kind: type[Operation]) -> Operation:
        """
        An operation in a new folder, prepared but not started.
        """
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir()
        self.calls.arm()
        return kind.prepared(self.vault)

    def check_traces(self) -> None:
        """
        Assert that the folder contains only its store id and the blobs of rows, and that nothing is open.
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


def assert_right_error(error: SftError | None, operation: Operation, fault: SyscallFault) -> None:
    """
    Assert that the caller got the right error, if any.
    """
    if fault.is_harmless:
        assert error is None
        assert operation.is_done
    elif error is not None:
        assert type(error) is (BlobStoreFull if fault.number in FULL else BlobStoreUnavailable)
        assert status_of(error) == (507 if fault.number in FULL else 503)


def faults_of(nth: int, calls: Sequence[str]) -> tuple[SyscallFault, ...]:
    """
    The ways in which the N-th of these calls fails: all possible ones, or every third in a long operation.
    """
    some = SYSCALL_FAULTS if len(calls) < MANY else SYSCALL_FAULTS[nth % EVERY :: EVERY]
    return some if calls[nth - 1] in CAN_BE_SHORT else tuple(fault for fault in some if fault is not SHORT)


def calls_of(disk: Disk, kind: type[Operation]) -> Sequence[str]:
    """
    The system calls of a successful operation.
    """
    operation = disk.prepared(kind)
    disk.calls.arm()
    operation.run()
    assert operation.is_done
    return tuple(disk.calls.calls_made)


@pytest.mark.parametrize("kind", OPERATIONS)
def test_failed_call_loses_nothing_acknowledged(disk: Disk, kind: type[Operation]) -> None:
    """Each call of every operation fails in each way, and the guarantees hold."""
    calls = calls_of(disk, kind)
    assert len(calls) > 5
    for nth in range(1, len(calls) + 1):
        for fault in faults_of(nth, calls):
            operation = disk.prepared(kind)
            disk.calls.arm(nth, fault)
            error = operation.try_run()
            assert disk.calls.has_failed
            disk.calls.arm()
            assert_right_error(error, operation, fault)
            assert not disk.calls.opened
            disk.vault.check()
            operation.recover()
            disk.check_traces()


def test_harness_finds_a_lost_error(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness detects a store that continues after a failed write."""
    write = DiskBlobs._write_and_close

    def ignore_write_errors(*args: object) -> None:
        try:
            write(*args)  # type: ignore[arg-type]
        except OSError:
            return

    monkeypatch.setattr(DiskBlobs, "_write_and_close", ignore_write_errors)
    with pytest.raises(AssertionError):
        test_failed_call_loses_nothing_acknowledged(disk, OPERATIONS[1])
