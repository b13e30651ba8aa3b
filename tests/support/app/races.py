"""
Operations that sixty-four clients in four processes run on one database at the same moment.

They are module-level functions, because a spawned process has to import them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import Barrier as ThreadBarrier
from uuid import UUID

import attrs
from sqlalchemy import Engine

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import PostgresTimeouts, open_engine
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.system import SystemClock
from sft_adapters.testkit.contracts.examples import NOW, a_user, an_idempotency_record, some_parts
from sft_core.errors import AlreadyRegistered, QuotaExceeded, TooManyAttempts
from sft_core.maintenance.sweep import Sweep, SweepPolicy
from sft_core.values import FileId, FileName, LinkId, Rate, SessionId, UserId
from sft_core.vault.model import FileState, VaultPolicy
from support.app.vault import vault_on

PROCESSES = 4
THREADS = 16
CLIENTS = PROCESSES * THREADS
MEETING_SECONDS = 60.0

STEP = 101
BUDGET = 13

SECOND = timedelta(seconds=1)

SIZE = 1000
POLICY = VaultPolicy(max_file_size=1 << 20, quota=BUDGET * SIZE + SIZE // 2)
"""A quota of thirteen and a half files."""

Racer = Callable[[Engine, bytes], bool]

_meeting: Barrier


def consume_download(engine: Engine, link: bytes) -> bool:
    with SqlDatabase(engine)() as unit:
        won = unit.links.consume_download(LinkId(UUID(bytes=link)), now=NOW)
        unit.commit()
    return won


def rotate(engine: Engine, session: bytes) -> bool:
    later = NOW + timedelta(days=1)
    return SqlSessions(engine).rotate(SessionId(UUID(bytes=session)), generation=0, now=NOW, expires_at=later)


def spend(engine: Engine, user: bytes) -> bool:
    with SqlDatabase(engine)() as unit:
        won = unit.users.record_sign_in(UserId(UUID(bytes=user)), NOW, STEP)
        unit.commit()
    return won


def append_part(engine: Engine, upload: bytes) -> bool:
    """
    Take over an upload and append a part to its manifest; return False if another client took it over since.
    """
    file_id = FileId(UUID(bytes=upload))
    database = SqlDatabase(engine)
    with database() as unit:
        file = unit.files.get(file_id)
        assert file is not None
        unit.files.replace(file, expected=FileState.RECEIVING)
        writer = unit.uploads.acquire(file_id)
        assert writer is not None
        unit.commit()
    with database() as unit:
        unit.files.replace(file, expected=FileState.RECEIVING)
        if not unit.uploads.is_current(file_id, writer):
            return False
        count, size = unit.manifests.totals(file_id)
        unit.manifests.append(file_id, some_parts(file, 1, first=count, start=size))
        unit.commit()
    return True


def register(engine: Engine, name: bytes) -> bool:
    try:
        with SqlDatabase(engine)() as unit:
            unit.users.add(a_user(name.decode()))
            unit.commit()
    except AlreadyRegistered:
        return False
    return True


def record_result(engine: Engine, owner_and_key: bytes) -> bool:
    """
    Record a result under an idempotency key that all clients use.
    """
    owner, key = UserId(UUID(bytes=owner_and_key[:16])), owner_and_key[16:]
    record = attrs.evolve(an_idempotency_record(a_user()), owner=owner, key_digest=key)
    with SqlDatabase(engine)() as unit:
        kept = unit.idempotency_records.add(record, now=NOW)
        unit.commit()
    return kept


def acquire(engine: Engine, key: bytes) -> bool:
    try:
        SqlRateLimiter(engine).acquire(key.decode(), Rate(BUDGET, BUDGET * SECOND), now=NOW)
    except TooManyAttempts:
        return False
    return True


def upload(engine: Engine, user: bytes) -> bool:
    """
    Store a file in one part without announcing its size.
    """
    return _upload(engine, user, part_size=SIZE)


def upload_announced(engine: Engine, user: bytes) -> bool:
    """
    Store a file in four parts with an announced size.
    """
    return _upload(engine, user, part_size=SIZE // 4, announced_size=SIZE)


def upload_small(engine: Engine, user: bytes) -> bool:
    """
    Store a file smaller than a part, in one commit.
    """
    return _upload(engine, user, part_size=2 * SIZE)


def _upload(engine: Engine, user: bytes, *, part_size: int, announced_size: int | None = None) -> bool:
    store = vault_on(SqlDatabase(engine), POLICY).in_parts_of(part_size)
    try:
        store(
            owner=UserId(UUID(bytes=user)),
            name=FileName.parse("raced.bin"),
            content=[bytes(SIZE)],
            announced_size=announced_size,
        )
    except QuotaExceeded:
        return False
    return True


def sweep(engine: Engine, folder: bytes) -> bool:
    """
    Sweep a database and a folder of blobs without any grace period.
    """
    policy = SweepPolicy(idle=timedelta(0), non_resumable_idle=timedelta(0), orphan_grace=timedelta(0), batch_size=2)
    blobs = DiskBlobs(Path(folder.decode()))
    swept = Sweep(begin=SqlDatabase(engine), clock=SystemClock(), blobs=blobs, expiring=[blobs], policy=policy)()
    return swept.is_complete and not swept.failures


def _meet_at(barrier: Barrier) -> None:
    global _meeting  # noqa: PLW0603 (a pool's initializer sets the barrier of its process)
    _meeting = barrier


def _meet() -> None:
    _meeting.wait(MEETING_SECONDS)


def _run_clients(racer: Racer, url: str, key: bytes) -> int:
    timeouts = PostgresTimeouts(statement_seconds=60, idle_seconds=60)
    engine = open_engine(url, busy_seconds=60, connections=THREADS, timeouts=timeouts)
    start = ThreadBarrier(THREADS, action=_meet)

    def client() -> bool:
        with engine.connect():
            start.wait(MEETING_SECONDS)
        return racer(engine, key)

    try:
        with ThreadPoolExecutor(THREADS) as threads:
            return sum(future.result() for future in [threads.submit(client) for _ in range(THREADS)])
    finally:
        engine.dispose()


@attrs.frozen
class Race:
    """
    Four waiting processes; each race starts sixteen clients in each of them.
    """

    pool: ProcessPoolExecutor

    def __call__(self, racer: Racer, url: str, key: bytes) -> int:
        """
        Return how many of the sixty-four clients succeeded.
        """
        return sum(self.pool.map(_run_clients, [racer] * PROCESSES, [url] * PROCESSES, [key] * PROCESSES))


@contextmanager
def racing() -> Iterator[Race]:
    """
    Start the processes, and stop them with the block.
    """
    context = get_context("spawn")
    with ProcessPoolExecutor(
        PROCESSES, mp_context=context, initializer=_meet_at, initargs=(context.Barrier(PROCESSES),)
    ) as pool:
        yield Race(pool)
