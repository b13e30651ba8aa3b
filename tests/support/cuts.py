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
from support.breaking import Break, BreakingCalls
from support.operations import Operation
from support.power import CLASSES, NOTHING, Drawn, Lot, Node, VolatileCalls, after_a_cut
from support.worlds import World, a_world

ROOT: Final = Path("/volatile")
DRAWN_CUTS: Final = 200
"""How many cuts of all operations together are drawn by lot, beside those of each class."""


@attrs.define
class SteppingDatabase(MemoryDatabase):
    """
    Tells of each commit, before it.
    """

    step: Callable[[], None] = attrs.field(default=lambda: None)

    def _publish(self, tables: Tables) -> None:
        self.step()
        super()._publish(tables)


@attrs.frozen
class Moment:
    """
    Everything at one step: the time, the disk, what is committed, what was told, and what was given to the store.
    """

    now: datetime
    disk: Node
    rows: Tables
    known: dict[FileId, bytes]
    leaving: set[FileId]
    operation: Operation


@attrs.define
class Machine:
    """
    A world on a disk whose power can be cut.
    """

    world: World
    calls: VolatileCalls
    database: SteppingDatabase
    breaking: BreakingCalls

    def begun(self, kind: type[Operation]) -> Operation:
        """
        An operation on an empty disk, prepared and not begun.
        """
        self.watch(lambda: None)
        self.breaking.arm()
        self.calls.format()
        return kind.begun(self.world)

    def watch(self, step: Callable[[], None]) -> None:
        """
        Be told of each step from here on.
        """
        self.calls.step = self.database.step = step

    def moment(self, operation: Operation) -> Moment:
        """
        Everything as it is.
        """
        world = self.world
        rows, disk = self.database._committed, self.calls.disk()
        return Moment(world.clock.now(), disk, rows, dict(world.known), set(world.leaving), copy.copy(operation))

    def moments(self, kind: type[Operation]) -> list[Moment]:
        """
        Each step of an operation, and its end.
        """
        operation = self.begun(kind)
        seen: list[Moment] = []
        self.watch(lambda: seen.append(self.moment(operation)))
        operation.act()
        self.watch(lambda: None)
        return [*seen, self.moment(operation)]

    def cut(self, moment: Moment, lot: Lot) -> Operation:
        """
        Cut the power at a moment, start again, and check that what was told is there and nothing is torn.
        """
        self.calls.power_up(after_a_cut(moment.disk, lot))
        self.database._committed = moment.rows
        self.world.clock._now = moment.now
        self.world.known, self.world.leaving = dict(moment.known), set(moment.leaving)
        self.world.check()
        return copy.copy(moment.operation)

    def cut_and_go_on(self, moment: Moment, lot: Lot) -> None:
        """
        The same; then the operation is gone on with, and a sweep leaves no trace of the cut.
        """
        self.cut(moment, lot).go_on()
        folders = {name: node for name, node in self.calls.top.names.items() if name != STORE_ID_NAME}
        left = {f"{folder}/{name}" for folder, node in folders.items() for name in node.names}
        assert left == {blob.key for blob in self.world.blobs.list()}, "something is left"
        assert all(node.names for node in folders.values()), "an empty folder is left"


def a_machine(
    calls: Callable[[Syscalls], Syscalls] = lambda calls: calls,
    store: Callable[[IdentifiedBlobStore], IdentifiedBlobStore] = lambda store: store,
) -> Machine:
    """
    A machine whose calls and whose store may be others than the sound ones.
    """
    database = SteppingDatabase()
    made: list[tuple[VolatileCalls, BreakingCalls]] = []

    def blobs(now: Callable[[], float]) -> IdentifiedBlobStore:
        volatile = VolatileCalls(ROOT, now)
        breaking = BreakingCalls(volatile, is_durable=True)
        made.append((volatile, breaking))
        return store(DiskBlobs(ROOT, calls(breaking)))

    world = a_world(lambda clock: blobs(lambda: clock.now().timestamp()), database)
    volatile, breaking = made[0]
    return Machine(world, volatile, database, breaking)


def cut_everywhere(machine: Machine, kind: type[Operation], *, seeds: Iterable[int]) -> int:
    """
    Cut the power at each step of an operation in each class, and at steps and in ways drawn by lot; how often.
    """
    moments = machine.moments(kind)
    for moment in moments:
        for lot in CLASSES:
            machine.cut_and_go_on(moment, lot)
    count = len(moments) * len(CLASSES)
    for seed in seeds:
        draw = random.Random(seed)
        machine.cut_and_go_on(draw.choice(moments), Drawn(draw))
        count += 1
    return count


def cut_after_a_failure(machine: Machine, kind: type[Operation]) -> int:
    """
    Let one call after the other fail, do the operation again, and cut the power at its end; how often.
    """
    nth = 0
    while True:
        nth += 1
        operation = machine.begun(kind)
        machine.breaking.arm(nth, Break("EIO", errno.EIO))
        if operation.attempt() is not None:
            machine.breaking.arm()
            operation.again()
        if not machine.breaking.has_broken and operation.is_done and len(machine.breaking.made) < nth:
            machine.breaking.arm()
            return nth - 1
        machine.breaking.arm()
        machine.cut(machine.moment(operation), NOTHING)
