"""
Rows that are over, on both databases.
"""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from sqlalchemy import Engine

from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.expiring import SqlExpiring, answers_over, sessions_over, throttles_over
from sft_adapters.sql.limiter import SqlRateLimiter
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.testkit.contracts.examples import NOW, a_kept_answer, a_session, race, stored_user
from sft_core.values import Rate

SECOND = timedelta(seconds=1)
ENDS = [NOW + late * SECOND for late in (-2, -1, 0, 1)]
BEFORE = NOW
"""Two of them are over before it; one ends at that very moment."""


@pytest.fixture(params=["sessions", "throttles", "answers"])
def rows(request: pytest.FixtureRequest, engine: Engine, database: SqlDatabase) -> SqlExpiring:
    if request.param == "sessions":
        user, sessions = stored_user(database), SqlSessions(engine)
        for end in ENDS:
            sessions.open(a_session(user, expires_at=end))
        return sessions_over(engine)
    if request.param == "answers":
        owner = stored_user(database)
        with database() as unit:
            for end in ENDS:
                unit.answers.keep(a_kept_answer(owner, expires_at=end), now=end)
            unit.commit()
        return answers_over(engine)
    for number, end in enumerate(ENDS):
        SqlRateLimiter(engine).admit(f"key-{number}", Rate(1, SECOND), now=end - SECOND)
    return throttles_over(engine)


def left(rows: SqlExpiring) -> int:
    return rows.over(before=NOW + 9 * SECOND)


def test_only_what_was_over_before_goes(rows: SqlExpiring) -> None:
    """To the microsecond, and once; looking changes nothing."""
    assert [rows.over(before=BEFORE) for _ in range(2)] == [2, 2]
    assert rows.prune(before=BEFORE, limit=9) == 2
    assert rows.over(before=BEFORE) == rows.prune(before=BEFORE, limit=9) == 0
    assert left(rows) == 2


def test_no_more_than_the_limit_go_at_once(rows: SqlExpiring) -> None:
    """Fewer than the limit means that there are no more."""
    assert [rows.prune(before=BEFORE, limit=1) for _ in range(3)] == [1, 1, 0]
    assert left(rows) == 2


def test_many_at_once_do_it_once(rows: SqlExpiring) -> None:
    """Twelve that prune at the same time let go of two rows together."""
    assert sum(race(lambda: rows.prune(before=BEFORE, limit=9))) == 2
    assert left(rows) == 2


def test_a_session_that_lasts_stays(engine: Engine, database: SqlDatabase) -> None:
    """Also a revoked one, until its end: somebody may still show its token."""
    sessions = SqlSessions(engine)
    kept = a_session(stored_user(database), expires_at=NOW, revoked_at=NOW - SECOND)
    sessions.open(attrs.evolve(kept, revoked_at=None))
    sessions.revoke(kept.id, now=NOW - SECOND)
    assert sessions_over(engine).prune(before=NOW, limit=9) == 0
    assert sessions.get(kept.id) == kept
