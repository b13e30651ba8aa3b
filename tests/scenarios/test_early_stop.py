"""
SIGTERM and SIGINT during the start: the service exits cleanly, and the next start works.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sft_adapters.sql import migrate
from sft_http.cli.early_stop import StartupSignals, Stopped
from support.servers.processes import free_port, kill_tree
from support.servers.service import serving
from support.waiting import eventually

LIMITS = {"GRACEFUL_STOP_SECONDS": "1", "ARGON2_MEMORY_KIB": "8192"}
BOTH = pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])


@contextmanager
def starting(root: Path, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """
    A starting service that has installed its SIGTERM handler, and perhaps nothing else.
    """
    command = [sys.executable, "-m", "sft_http.cli.main", "serve", "--data", str(root / "data")]
    process = subprocess.Popen(
        [*command, "--port", str(free_port())],
        env=os.environ | LIMITS | environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        eventually(lambda: handles_sigterm(process), seconds=30)
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
            process.communicate()


def handles_sigterm(process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None
    (line,) = [
        line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if line.startswith("SigCgt:")
    ]
    return bool(int(line.split()[1], 16) & 1 << signal.SIGTERM - 1)


def assert_clean_exit(process: subprocess.Popen[str], sign: signal.Signals) -> None:
    process.send_signal(sign)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 0, output
    assert "Traceback" not in output


@BOTH
def test_signal_at_any_moment_of_the_start_exits_cleanly(tmp_path: Path, sign: signal.Signals) -> None:
    """It arrives during imports, key creation, migration or worker start; the next start uses what was created."""
    for moment in range(5):
        with starting(tmp_path) as process:
            time.sleep(moment * 0.3)
            assert_clean_exit(process, sign)
    with serving(tmp_path, settings=LIMITS) as service:
        assert service.call("GET", "/files/").status == 401
    assert not list((tmp_path / "data/keys").glob("*.unused*"))


@BOTH
def test_signal_while_waiting_for_a_migration_exits_cleanly(
    tmp_path: Path, postgres_url: str, sign: signal.Signals
) -> None:
    """The wait ends, the database is unchanged, and the next start creates the schema."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
    with psycopg.connect(postgres_url, autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [migrate.LOCK])
        with starting(tmp_path, DATABASE_URL=postgres_url) as process:
            eventually(lambda: other.execute(waiting).fetchone() == (1,), seconds=30)
            assert_clean_exit(process, sign)
        eventually(lambda: other.execute(waiting).fetchone() == (0,))
        assert other.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)
    with serving(tmp_path, settings={**LIMITS, "DATABASE_URL": postgres_url}) as service:
        assert service.call("GET", "/files/").status == 401


class Finalised:
    """
    An object that receives SIGTERM in its finaliser, where exceptions are discarded.
    """

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGTERM)
        for _ in range(1000):
            pass


def signalled(seconds: float, interval: float) -> None:
    """
    Start the timer of the repetition when another SIGTERM has arrived.
    """
    signal.raise_signal(signal.SIGTERM)
    SETITIMER(signal.ITIMER_REAL, seconds, interval)


def expired(seconds: float, interval: float) -> None:
    """
    Start the timer of the repetition and continue when it has expired several times.
    """
    SETITIMER(signal.ITIMER_REAL, seconds, interval)
    end = time.monotonic() + 5 * seconds
    while time.monotonic() < end:
        time.sleep(seconds)


SETITIMER = signal.setitimer


@pytest.mark.parametrize("start_timer", [None, signalled, expired])
def test_signal_during_a_finaliser_is_raised_again(
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    start_timer: Callable[[float, float], None] | None,
) -> None:
    """This holds also if another signal or the timer comes first, and nothing is printed."""

    def setitimer(which: int, seconds: float, interval: float = 0.0) -> None:
        if seconds and start_timer is not None:
            start_timer(seconds, interval)
        else:
            SETITIMER(which, seconds, interval)

    monkeypatch.setattr("sft_http.cli.early_stop.signal.setitimer", setitimer)
    stop = StartupSignals()
    stop.install()
    try:
        thing = Finalised()
        del thing
        with pytest.raises(Stopped):
            time.sleep(10)
    finally:
        stop.restore()
    assert "".join(capfd.readouterr()) == ""
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_check_after_a_discarded_signal_raises_it_once() -> None:
    """The timer does not interrupt the clean-up that follows."""
    stop = StartupSignals()
    stop.install()
    try:
        thing = Finalised()
        del thing
        with pytest.raises(Stopped):
            stop.check()
        time.sleep(0.1)
    finally:
        stop.restore()


def test_restore_keeps_handlers_of_other_code() -> None:
    """It replaces only the handlers that the start installed."""
    default, before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    stop = StartupSignals()
    stop.install()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        stop.restore()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) == before
    finally:
        signal.signal(signal.SIGTERM, default)
