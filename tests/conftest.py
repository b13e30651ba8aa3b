"""
Real servers for the tests that use them, started once per test process at their first use.

Two rules besides: if `CI` is `true` a skipped test fails; and with `-n`, tests that share a costly
server stay in one process.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from support.servers import backends


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Scheduling(config, log)


class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """
    Distributes tests that belong together as one unit and first, and all others singly; xdist's marks have no effect.
    """

    def _split_scope(self, nodeid: str) -> str:
        path = Path(nodeid.partition("::")[0])
        if path.match("tests/adapters/sql/*.py"):
            return "sql"
        if path.match("tests/scenarios/test_owner_*.py"):
            return "owner"
        if path.match("tests/scenarios/test_stored_data.py"):
            # Each of its two kinds has its own services.
            return "stored-postgres" if "postgres" in nodeid.partition("[")[2] else "stored-sqlite"
        return str(path) if path.match("tests/scenarios/*.py") else nodeid


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.skipped and os.environ.get("CI", "").lower() == "true":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome, report.longrepr = "failed", f"Nothing is skipped where CI is true. {reason}"
    return report


@pytest.fixture(scope="session")
def postgres() -> Iterator[backends.Postgres]:
    with backends.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[backends.Valkey]:
    with backends.valkey() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[backends.S3]:
    with backends.s3() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: backends.Postgres) -> Iterator[str]:
    """
    The URL of a separate database for one test.
    """
    with postgres.database() as url:
        yield url


@pytest.fixture
def bucket() -> str:
    """
    The name of a separate bucket for one test, which the test creates itself.
    """
    return f"sft-test-{secrets.token_hex(6)}"
