"""
Power cuts at every step of an operation, after which every acknowledged state has to be found.
"""

from __future__ import annotations

import copy
import errno
import random
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Final

import attrs

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.disk.syscalls import Syscalls
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.tables import Tables
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_core.values import FileId
from sft_core.vault.ports import IdentifiedBlobStore
from support.app.vault_under_test import VaultUnderTest, vault_under_test
from support.faults.operations import Operation
from support.faults.power import (
    NOTHING_WRITTEN,
    OUTCOMES,
    CrashOutcome,
    Node,
    RandomOutcome,
    VolatileCalls,
    disk_after_cut,
)
from support.faults.syscalls import FaultySyscalls, SyscallFault

ROOT: Final = Path("/volatile")
DRAWN_CUTS: Final = 200
"""Number of random cuts of all operations together, in addition to those of each outcome class."""


@attrs.define
class SteppingDatabase(MemoryDatabase):
    """
    An in-memory database that calls `on_step` before each commit.
    """

    on_step: Callable[[], None] = attrs.field(default=lambda: None)

    def _publish(self, tables: Tables) -> None:
        self.on_step()
        super()._publish(tables)


@attrs.frozen
class Snapshot:
    """
    The state at one step: the time, the disk, the committed rows, and what was acknowledged or being deleted.
    """

    now: datetime
    disk: Node
    rows: Tables
    acknowledged: dict[FileId, bytes]
    being_deleted: set[FileId]
    operation: Operation


@attrs.define
class Machine:
    """
    A vault on a disk whose power can be cut.
    """

    vault: VaultUnderTest
    calls: VolatileCalls
    database: SteppingDatabase
    faulty_calls: FaultySyscalls

    def prepared(self, kind: type[Operation]) -> Operation:
        """
        Return a prepared operation on an empty disk.
        """
        self.watch(lambda: None)
        self.faulty_calls.arm()
        self.calls.format()
        return kind.prepared(self.vault)

    def watch(self, on_step: Callable[[], None]) -> None:
        """
        Call `on_step` before each further step.
        """
        self.calls.on_step = self.database.on_step = on_step

    def snapshot(self, operation: Operation) -> Snapshot:
        """
        Return the current state.
        """
        vault = self.vault
        rows, disk = self.database._committed, self.calls.disk()
        return Snapshot(
            vault.clock.now(), disk, rows, dict(vault.acknowledged), set(vault.being_deleted), copy.copy(operation)
        )

    def snapshots(self, kind: type[Operation]) -> list[Snapshot]:
        """
        Return the state at each step of an operation, and after it.
        """
        operation = self.prepared(kind)
        states: list[Snapshot] = []
        self.watch(lambda: states.append(self.snapshot(operation)))
        operation.run()
        self.watch(lambda: None)
        return [*states, self.snapshot(operation)]

    def cut(self, snapshot: Snapshot, outcome: CrashOutcome) -> Operation:
        """
        Restore the state after a power cut at a snapshot, and assert that acknowledged files exist and none is torn.
        """
        self.calls.power_up(disk_after_cut(snapshot.disk, outcome))
        self.database._committed = snapshot.rows
        self.vault.clock._now = snapshot.now
        self.vault.acknowledged, self.vault.being_deleted = dict(snapshot.acknowledged), set(snapshot.being_deleted)
        self.vault.check()
        return copy.copy(snapshot.operation)

    def cut_and_recover(self, snapshot: Snapshot, outcome: CrashOutcome) -> None:
        """
        Cut the power, finish the operation, and assert that a sweep leaves no trace of the cut.
        """
        self.cut(snapshot, outcome).recover()
        folders = {name: node for name, node in self.calls.top.names.items() if name != STORE_ID_NAME}
        files = {f"{folder}/{name}" for folder, node in folders.items() for name in node.names}
        assert files == {blob.key for blob in self.vault.blobs.list()}, "the disk and the store's listing differ"
        assert all(node.names for node in folders.values()), "an empty folder was not deleted"


def new_machine(
    calls: Callable[[Syscalls], Syscalls] = lambda calls: calls,
    store: Callable[[IdentifiedBlobStore], IdentifiedBlobStore] = lambda store: store,
) -> Machine:
    """
    Build a machine, optionally with faulty system calls or a faulty store.
    """
    database = SteppingDatabase()
    made: list[tuple[VolatileCalls, FaultySyscalls]] = []

    def blobs(now: Callable[[], float]) -> IdentifiedBlobStore:
        volatile = VolatileCalls(ROOT, now)
        faulty_calls = FaultySyscalls(volatile, is_durable=True)
        made.append((volatile, faulty_calls))
        return store(DiskBlobs(ROOT, calls(faulty_calls)))

    vault = vault_under_test(lambda clock: blobs(lambda: clock.now().timestamp()), database)
    volatile, faulty_calls = made[0]
    return Machine(vault, volatile, database, faulty_calls)


def cut_everywhere(machine: Machine, kind: type[Operation], *, seeds: Iterable[int]) -> int:
    """
    Cut the power at each step in each outcome class and at random steps; return the number of cuts.
    """
    snapshots = machine.snapshots(kind)
    for snapshot in snapshots:
        for outcome in OUTCOMES:
            machine.cut_and_recover(snapshot, outcome)
    count = len(snapshots) * len(OUTCOMES)
    for seed in seeds:
        draw = random.Random(seed)
        machine.cut_and_recover(draw.choice(snapshots), RandomOutcome(draw))
        count += 1
    return count


def cut_after_a_failure(machine: Machine, kind: type[Operation]) -> int:
    """
    Fail each call in turn, retry the operation, and cut the power at its end; return the number of cuts.
    """
    nth = 0
    while True:
        nth += 1
        operation = machine.prepared(kind)
        machine.faulty_calls.arm(nth, SyscallFault("EIO", errno.EIO))
        if operation.try_run() is not None:
            machine.faulty_calls.arm()
            operation.retry()
        if not machine.faulty_calls.has_failed and operation.is_done and len(machine.faulty_calls.calls_made) < nth:
            machine.faulty_calls.arm()
            return nth - 1
        machine.faulty_calls.arm()
        machine.cut(machine.snapshot(operation), NOTHING_WRITTEN)
