"""
What several processes do to one database at the same moment.

The functions stand in a module of their own, because a spawned process has to import them.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from uuid import UUID

from sft_adapters.sql.database import SqlDatabase
from sft_adapters.sql.engine import open_engine
from sft_adapters.sql.sessions import SqlSessions
from sft_adapters.testkit.contracts.examples import NOW
from sft_core.values import LinkId, SessionId, UserId

PROCESSES = 4
ATTEMPTS = 10
FIRST_STEP = 101

Racer = Callable[[str, bytes], int]


def claim(url: str, link: bytes) -> int:
    database = SqlDatabase(open_engine(url, busy_seconds=30))
    won = 0
    for _ in range(ATTEMPTS):
        with database() as unit:
            won += unit.links.claim(LinkId(UUID(bytes=link)), now=NOW)
            unit.commit()
    return won


def rotate(url: str, session: bytes) -> int:
    sessions = SqlSessions(open_engine(url, busy_seconds=30))
    key = SessionId(UUID(bytes=session))
    return sum(sessions.rotate(key, generation=0, now=NOW, expires_at=NOW) for _ in range(ATTEMPTS))


def spend(url: str, user: bytes) -> int:
    database = SqlDatabase(open_engine(url, busy_seconds=30))
    won = 0
    for step in range(FIRST_STEP, FIRST_STEP + ATTEMPTS):
        with database() as unit:
            won += unit.users.record_sign_in(UserId(UUID(bytes=user)), NOW, step)
            unit.commit()
    return won


def race(racer: Racer, url: str, key: bytes) -> int:
    """
    What four processes got together that did the same at the same time.
    """
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        return sum(pool.map(racer, [url] * PROCESSES, [key] * PROCESSES))
