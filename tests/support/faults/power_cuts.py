"""
The power is cut at every step of an operation, and everything must be as it was told to be.
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
"""How many cuts of all operations together are drawn by lot, beside those of each class."""


@attrs.define
class SteppingDatabase(MemoryDatabase):
    """
    Tells of each commit, before it.
    """

    on_step: Callable[[], None] = attrs.field(default=lambda: None)

    def _publish(self, tables: Tables) -> None:
        self.on_step()
        super()._publish(tables)


@attrs.frozen
class Snapshot:
    """
    Everything at one step: the time, the disk, what is committed, what was told, and what was given to the store.
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
    A world on a disk whose power can be cut.
    """

    vault: VaultUnderTest
    calls: VolatileCalls
    database: SteppingDatabase
    faulty_calls: FaultySyscalls

    def prepared(self, kind: type[Operation]) -> Operation:
        """
        An operation on an empty disk, prepared and not begun.
        """
        self.watch(lambda: None)
        self.faulty_calls.arm()
        self.calls.format()
        return kind.prepared(self.vault)

    def watch(self, on_step: Callable[[], None]) -> None:
        """
        Be told of each step from here on.
        """
        self.calls.on_step = self.database.on_step = on_step

    def snapshot(self, operation: Operation) -> Snapshot:
        """
        Everything as it is.
        """
        vault = self.vault
        rows, disk = self.database._committed, self.calls.disk()
        return Snapshot(
            vault.clock.now(), disk, rows, dict(vault.acknowledged), set(vault.being_deleted), copy.copy(operation)
        )

    def snapshots(self, kind: type[Operation]) -> list[Snapshot]:
        """
        Each step of an operation, and its end.
        """
        operation = self.prepared(kind)
        seen: list[Snapshot] = []
        self.watch(lambda: seen.append(self.snapshot(operation)))
        operation.run()
        self.watch(lambda: None)
        return [*seen, self.snapshot(operation)]

    def cut(self, snapshot: Snapshot, outcome: CrashOutcome) -> Operation:
        """
        Cut the power at a moment, start again, and check that what was told is there and nothing is torn.
        """
        self.calls.power_up(disk_after_cut(snapshot.disk, outcome))
        self.database._committed = snapshot.rows
        self.vault.clock._now = snapshot.now
        self.vault.acknowledged, self.vault.being_deleted = dict(snapshot.acknowledged), set(snapshot.being_deleted)
        self.vault.check()
        return copy.copy(snapshot.operation)

    def cut_and_recover(self, snapshot: Snapshot, outcome: CrashOutcome) -> None:
        """
        The same; then the operation is gone on with, and a sweep leaves no trace of the cut.
        """
        self.cut(snapshot, outcome).recover()
        folders = {name: node for name, node in self.calls.top.names.items() if name != STORE_ID_NAME}
        left = {f"{folder}/{name}" for folder, node in folders.items() for name in node.names}
        assert left == {blob.key for blob in self.vault.blobs.list()}, "something is left"
        assert all(node.names for node in folders.values()), "an empty folder is left"


def new_machine(
    calls: Callable[[Syscalls], Syscalls] = lambda calls: calls,
    store: Callable[[IdentifiedBlobStore], IdentifiedBlobStore] = lambda store: store,
) -> Machine:
    """
    A machine whose calls and whose store may be others than the sound ones.
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
    Cut the power at each step of an operation in each class, and at steps and in ways drawn by lot; how often.
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
    Let one call after the other fail, do the operation again, and cut the power at its end; how often.
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
