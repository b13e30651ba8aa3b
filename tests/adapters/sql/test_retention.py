"""
Rows that are over, on both databases.
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
"""Two of them are over before it; one ends at that very moment."""


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


def left(rows: ExpiringRows) -> int:
    return rows.count_expired(before=NOW + 9 * SECOND)


def test_only_what_was_over_before_goes(rows: ExpiringRows) -> None:
    """To the microsecond, and once; looking changes nothing."""
    assert [rows.count_expired(before=BEFORE) for _ in range(2)] == [2, 2]
    assert rows.delete_expired(before=BEFORE, limit=9) == 2
    assert rows.count_expired(before=BEFORE) == rows.delete_expired(before=BEFORE, limit=9) == 0
    assert left(rows) == 2


def test_no_more_than_the_limit_go_at_once(rows: ExpiringRows) -> None:
    """Fewer than the limit means that there are no more."""
    assert [rows.delete_expired(before=BEFORE, limit=1) for _ in range(3)] == [1, 1, 0]
    assert left(rows) == 2


def test_many_at_once_do_it_once(rows: ExpiringRows) -> None:
    """Twelve that prune at the same time let go of two rows together."""
    assert sum(race(lambda: rows.delete_expired(before=BEFORE, limit=9))) == 2
    assert left(rows) == 2


def test_a_session_that_lasts_stays(engine: Engine, database: SqlDatabase) -> None:
    """Also a revoked one, until its end: somebody may still show its token."""
    sessions = SqlSessions(engine)
    kept = a_session(stored_user(database), expires_at=NOW, revoked_at=NOW - SECOND)
    sessions.open(attrs.evolve(kept, revoked_at=None))
    sessions.revoke(kept.id, now=NOW - SECOND)
    assert expired_sessions(engine).delete_expired(before=NOW, limit=9) == 0
    assert sessions.get(kept.id) == kept


def test_many_kept_answers_do_not_make_it_slow_to_forget_a_token(engine: Engine, database: SqlDatabase) -> None:
    """They are looked through once for all links, not for each, and never while writers wait."""
    file = stored_file(database)
    heard: list[tuple[str, Any]] = []
    with database() as unit:
        unit.links.add(a_link(file, expires_at=NOW - SECOND))
        unit.commit()

    def note(_connection: object, _cursor: object, statement: str, parameters: Any, *_: object) -> None:
        heard.append((statement, parameters))

    links = ExpiredLinkTokens(engine)
    event.listen(engine, "before_cursor_execute", note)
    assert links.count_expired(before=NOW) == links.delete_expired(before=NOW, limit=9) == 1
    event.remove(engine, "before_cursor_execute", note)
    assert [statement for statement, _ in heard if statement.startswith("UPDATE") and "kept_answers" in statement] == []
    looks = [asked for asked in heard if "kept_answers" in asked[0]]
    assert len(looks) == 3
    if engine.dialect.name == "postgresql":
        with transaction(engine, read_only=True) as (connection, _):
            for statement, parameters in looks:
                plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
                assert "SubPlan" not in str(plan)
