"""
Exact counts under concurrency: sixty-four clients in four processes act at the same time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, func, select

from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.tables import files
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import (
    NOW,
    a_link,
    a_session,
    a_user,
    an_idempotency_record,
    holding_file,
    stored_file,
    stored_user,
)
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_core.values import Page
from sft_core.vault.model import FileState, ResumableUpload, VaultPolicy, blob_prefix
from support.app import races
from support.app.vault import vault_on
from support.waiting import eventually


@pytest.fixture(scope="session")
def race() -> Iterator[races.Race]:
    with races.racing() as race:
        yield race


@pytest.fixture
def url(engine: Engine) -> Iterator[str]:
    """
    The database's URL; afterwards a SQLite file is checked for damage.
    """
    yield engine.url.render_as_string(hide_password=False)
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(engine.url.database or "")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_download_budget_is_exact(race: races.Race, url: str, database: SqlDatabase) -> None:
    """Of thirteen downloads in the budget exactly thirteen are granted and counted."""
    link = a_link(stored_file(database), max_downloads=races.BUDGET)
    with database() as unit:
        unit.links.add(link)
        unit.commit()
    assert race(races.consume_download, url, link.id.bytes) == races.BUDGET
    with database(read_only=True) as unit:
        stored = unit.links.find(link.token_digest)
    assert stored is not None
    assert stored.downloads == races.BUDGET


def test_upload_has_one_writer(race: races.Race, url: str, database: SqlDatabase) -> None:
    """Only the current writer adds a part, so part numbers and offsets have no gap."""
    file = stored_file(database, state=FileState.RECEIVING)
    with database() as unit:
        unit.uploads.add(ResumableUpload(file_id=file.id))
        unit.commit()
    appended = race(races.append_part, url, file.id.bytes)
    with database(read_only=True) as unit:
        parts = unit.manifests.tail(file.id, limit=races.CLIENTS)
        upload = unit.uploads.get(file.id)
    assert upload is not None
    assert upload.fencing_token == races.CLIENTS
    assert 1 <= appended <= races.CLIENTS
    assert [(part.number, part.start) for part in parts] == [(number, number) for number in range(appended)]


@pytest.mark.parametrize("is_expired", [False, True], ids=["unknown", "expired"])
def test_idempotency_key_has_one_result(race: races.Race, url: str, database: SqlDatabase, *, is_expired: bool) -> None:
    """One of sixty-four results is recorded under a key, whether the key was unused or had expired."""
    owner = stored_user(database)
    before = an_idempotency_record(owner, expires_at=NOW)
    if is_expired:
        with database() as unit:
            unit.idempotency_records.add(before, now=NOW - timedelta(hours=1))
            unit.commit()
    assert race(races.record_result, url, owner.id.bytes + before.key_digest) == 1
    with database(read_only=True) as unit:
        assert unit.idempotency_records.find(before.key_digest, now=NOW) is not None


def test_refresh_token_is_exchanged_once(race: races.Race, url: str, database: SqlDatabase, engine: Engine) -> None:
    """One of sixty-four exchanges of a session's generation succeeds."""
    sessions, session = SqlSessions(engine), a_session(stored_user(database))
    sessions.open(session)
    assert race(races.rotate, url, session.id.bytes) == 1
    stored = sessions.get(session.id)
    assert stored is not None
    assert stored.generation == 1


def test_totp_step_is_spent_once(race: races.Race, url: str, database: SqlDatabase) -> None:
    """One TOTP step signs in one client."""
    user = stored_user(database)
    assert race(races.spend, url, user.id.bytes) == 1
    with database(read_only=True) as unit:
        stored = unit.users.get(user.id)
    assert stored is not None
    assert stored.revision == user.revision + 1


def test_username_is_registered_once(race: races.Race, url: str, database: SqlDatabase) -> None:
    """One client gets the username and the email address."""
    assert race(races.register, url, b"racer") == 1
    with database(read_only=True) as unit:
        assert unit.users.find(a_user("racer").email) is not None


@pytest.mark.parametrize(
    "racer",
    [races.upload, races.upload_announced, races.upload_small],
    ids=["as it comes", "announced", "in one commit"],
)
def test_quota_is_exact(race: races.Race, url: str, database: SqlDatabase, racer: races.Racer) -> None:
    """Of one user's sixty-four files thirteen fit, exactly those are stored, and only they are counted."""
    owner = stored_user(database)
    assert race(racer, url, owner.id.bytes) == races.BUDGET
    with database(read_only=True) as unit:
        stored = unit.files.list_sealed(owner.id, Page(), now=NOW)
        assert [file.size for file in stored] == [races.SIZE] * races.BUDGET
        assert unit.quotas.used(owner.id) == races.BUDGET * races.SIZE
    with transaction(database.engine, read_only=True) as (connection, _):
        assert connection.execute(select(func.count(), func.sum(files.c.held))).one() == (
            races.BUDGET,
            races.BUDGET * races.SIZE,
        )


def test_rate_limit_is_exact(race: races.Race, url: str) -> None:
    """Exactly thirteen of thirteen allowed attempts succeed at one time."""
    assert race(races.acquire, url, b"sign-in:racer") == races.BUDGET


def test_concurrent_sweeps_do_no_harm(race: races.Race, url: str, database: SqlDatabase, tmp_path: Path) -> None:
    """Each of sixty-four sweeps completes: leftovers are deleted, sealed files are complete, sums are exact."""
    blobs = DiskBlobs(tmp_path / "blobs")
    blobs.root.mkdir()
    vault = vault_on(database, VaultPolicy(max_file_size=1 << 20), blobs)
    owner = stored_user(database)
    with database() as unit:
        blobs.set_store_id(unit.store_identity.set_store_id("0123456789abcdef" * 2))
        unit.commit()
    kept = vault.seal(vault.begun(owner, b"kept", b"whole"))
    before = {blob.key for blob in blobs.list()}
    for number in range(4):
        vault.begun(owner, b"idle", b"upload")
        given_up = vault.begun(owner, b"given up").file.aborted(NOW)
        with database() as unit:
            unit.files.replace(given_up, expected=FileState.RECEIVING)
            unit.commit()
        blobs.put(f"{number:032x}/1-00000000-{'0' * 16}", [b"orphan"], size=6)
    assert race(races.sweep, url, str(blobs.root).encode()) == races.CLIENTS
    assert {blob.key for blob in blobs.list()} == before
    assert {path.name for path in blobs.root.iterdir()} == {blob_prefix(kept.id)[:-1], STORE_ID_NAME}
    with database(read_only=True) as unit:
        assert list(unit.inventory.files(after=None, limit=9)) == [kept.id]
        assert unit.quotas.used(owner.id) == kept.size
        assert list(unit.quota_audit.drifts()) == []


def _outside(engine: Engine) -> str:
    """
    The URL of the same database for connections outside the engine.
    """
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_recount_locks_the_file_before_the_sum(postgres_engine: Engine) -> None:
    """A recount locks in the order of all others, file before sum, so it cannot deadlock with a deletion."""
    database, postgres_url = SqlDatabase(postgres_engine), _outside(postgres_engine)
    owner = stored_user(database)
    file = holding_file(database, owner, 7)
    wanted = [owner.id.bytes]

    def recount() -> None:
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            unit.commit()

    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with psycopg.connect(postgres_url) as ending, psycopg.connect(postgres_url) as other, ThreadPoolExecutor() as pool:
        ending.execute("SELECT 1 FROM files WHERE id = %s FOR UPDATE", [file.id.bytes])
        recounted = pool.submit(recount)
        eventually(lambda: other.execute(waiting).fetchone() == (1,))
        other.rollback()
        locked = other.execute("SELECT bytes FROM usages WHERE owner_id = %s FOR UPDATE NOWAIT", wanted)
        assert locked.fetchone() == (7,)
        other.rollback()
        ending.rollback()
        recounted.result(10)


def test_recount_does_not_write_correct_rows(postgres_engine: Engine) -> None:
    """Another transaction may hold a lock on a correct row and wait for the sum."""
    database, postgres_url = SqlDatabase(postgres_engine), _outside(postgres_engine)
    owner = stored_user(database)
    right = holding_file(database, owner, 50, state=FileState.SEALED, size=50)
    wrong = holding_file(database, owner, 3, state=FileState.SEALED, size=50)
    version = "SELECT xmin::text FROM files WHERE id = %s"
    with psycopg.connect(postgres_url, autocommit=True) as other:
        before = [other.execute(version, [file.id.bytes]).fetchone() for file in (right, wrong)]
        with database() as unit:
            unit.quota_audit.recount(owner.id)
            unit.commit()
        after = [other.execute(version, [file.id.bytes]).fetchone() for file in (right, wrong)]
    assert after[0] == before[0]
    assert after[1] != before[1]
