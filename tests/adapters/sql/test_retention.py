"""
Expired rows, on both databases.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from sqlalchemy import Engine, event

from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.rate_limiter import SqlRateLimiter
from sft_adapters.sql.retention import (
    ExpiredLinkTokens,
    ExpiringRows,
    expired_idempotency_records,
    expired_sessions,
    expired_throttles,
)
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.sql.transactions import transaction
from sft_adapters.testkit.contracts.examples import (
    NOW,
    a_link,
    a_session,
    an_idempotency_record,
    race,
    stored_file,
    stored_user,
)
from sft_core.values import Rate

SECOND = timedelta(seconds=1)
ENDS = [NOW + late * SECOND for late in (-2, -1, 0, 1)]
BEFORE = NOW
"""Two of the rows have expired before it; one expires at exactly this time."""


@pytest.fixture(params=["sessions", "throttles", "answers"])
def rows(request: pytest.FixtureRequest, engine: Engine, database: SqlDatabase) -> ExpiringRows:
    if request.param == "sessions":
        user, sessions = stored_user(database), SqlSessions(engine)
        for end in ENDS:
            sessions.open(a_session(user, expires_at=end))
        return expired_sessions(engine)
    if request.param == "answers":
        owner = stored_user(database)
        with database() as unit:
            for end in ENDS:
                unit.idempotency_records.add(an_idempotency_record(owner, expires_at=end), now=end)
            unit.commit()
        return expired_idempotency_records(engine)
    for number, end in enumerate(ENDS):
        SqlRateLimiter(engine).acquire(f"key-{number}", Rate(1, SECOND), now=end - SECOND)
    return expired_throttles(engine)


def remaining(rows: ExpiringRows) -> int:
    return rows.count_expired(before=NOW + 9 * SECOND)


def test_only_expired_rows_are_deleted(rows: ExpiringRows) -> None:
    """Rows that expired before the time are deleted, once; counting changes nothing."""
    assert [rows.count_expired(before=BEFORE) for _ in range(2)] == [2, 2]
    assert rows.delete_expired(before=BEFORE, limit=9) == 2
    assert rows.count_expired(before=BEFORE) == rows.delete_expired(before=BEFORE, limit=9) == 0
    assert remaining(rows) == 2


def test_deletion_respects_its_limit(rows: ExpiringRows) -> None:
    """A result below the limit means that no expired row remains."""
    assert [rows.delete_expired(before=BEFORE, limit=1) for _ in range(3)] == [1, 1, 0]
    assert remaining(rows) == 2


def test_concurrent_deletions_delete_each_row_once(rows: ExpiringRows) -> None:
    """Twelve concurrent deletions delete two rows in total."""
    assert sum(race(lambda: rows.delete_expired(before=BEFORE, limit=9))) == 2
    assert remaining(rows) == 2


def test_session_is_kept_until_it_expires(engine: Engine, database: SqlDatabase) -> None:
    """Sessions, revoked ones too, stay until they expire, because their tokens may still be presented."""
    sessions = SqlSessions(engine)
    kept = a_session(stored_user(database), expires_at=NOW, revoked_at=NOW - SECOND)
    sessions.open(attrs.evolve(kept, revoked_at=None))
    sessions.revoke(kept.id, now=NOW - SECOND)
    assert expired_sessions(engine).delete_expired(before=NOW, limit=9) == 0
    assert sessions.get(kept.id) == kept


def test_idempotency_records_are_searched_once_for_expired_tokens(engine: Engine, database: SqlDatabase) -> None:
    """The records are searched once for all links, not once per link, and not while writers wait."""
    file = stored_file(database)
    executed: list[tuple[str, Any]] = []
    with database() as unit:
        unit.links.add(a_link(file, expires_at=NOW - SECOND))
        unit.commit()

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        executed.append((statement, parameters))

    links = ExpiredLinkTokens(engine)
    event.listen(engine, "before_cursor_execute", note)
    assert links.count_expired(before=NOW) == links.delete_expired(before=NOW, limit=9) == 1
    event.remove(engine, "before_cursor_execute", note)
    assert [
        statement for statement, _ in executed if statement.startswith("UPDATE") and "kept_answers" in statement
    ] == []
    reads = [read for read in executed if "kept_answers" in read[0]]
    assert len(reads) == 3
    if engine.dialect.name == "postgresql":
        with transaction(engine, read_only=True) as (connection, _):
            for statement, parameters in reads:
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
                assert "SubPlan" not in str(plan)
