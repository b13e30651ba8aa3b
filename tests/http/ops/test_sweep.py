"""
`sft sweep` as an operator meets it.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from sft_adapters.bootstrap.configuration import settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.settings import Settings
from sft_core.values import EmailAddress, FileName, Password, Username
from sft_http.cli.main import sft
from support.servers.processes import free_port

RUNNER = CliRunner()
LIGHT = {"ARGON2_MEMORY_KIB": "8192"}
SOON = {"ORPHAN_GRACE_HOURS": "1"}
NOTHING = {"given_up": 0, "expired": 0, "removed": 0, "orphans": 0, "orphan_bytes": 0, "forgotten": 0}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture
def settings(data: Path) -> Settings:
    """
    A data folder with a file, a link to it that is over for long, and a part of no file of two hours ago.
    """
    settings = settings_for(data, LIGHT)
    prepare(settings)
    with open_application(settings) as application:
        user = application.users.register_user(
            email=EmailAddress.parse("maya@example.org"),
            username=Username.parse("maya"),
            password=Password.parse("a long one"),
        )
        file = application.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[b"content"])
        application.sharing.issue_share_link(owner=user.id, file_id=file.id)
    orphan = data / "blobs" / f"{7:032x}" / f"1-00000000-{7:016x}"
    orphan.parent.mkdir()
    orphan.write_bytes(b"noise")
    os.utime(orphan, (time.time() - 7200,) * 2)
    with closing(sqlite3.connect(data / "sft.db")) as database, database:
        database.execute("UPDATE users SET created_at = 1")
        database.execute("UPDATE links SET expires_at = 1")
    return settings


def test_a_row_that_cannot_be_read_hides_no_other(settings: Settings, data: Path) -> None:
    """Of files that are over, to be removed or given up: each is brought to its end, the key of the unreadable too."""
    with open_application(settings) as application:
        with application.maintenance.check_integrity.begin(read_only=True) as unit:
            (stored,) = unit.inventory.files(after=None, limit=9)
            file = unit.files.get(stored)
        assert file is not None
        over = [application.vault.store_file(owner=file.owner, name=file.name, content=[b"over"]).id for _ in range(2)]
        idle = [application.vault.begin_upload(owner=file.owner, name=file.name).file.id for _ in range(2)]
    with closing(sqlite3.connect(data / "sft.db")) as database, database:
        database.execute("UPDATE files SET max_downloads = 0, expires_at = 1 WHERE id = ?", [over[0].bytes])
        database.execute("UPDATE files SET expires_at = 1 WHERE id = ?", [over[1].bytes])
        for upload in idle:
            database.execute("UPDATE files SET created_at = 1, touched_at = 1 WHERE id = ?", [upload.bytes])
        database.execute("UPDATE files SET media_type = 3, expires_hours = 'x' WHERE id = ?", [idle[0].bytes])
        database.execute("UPDATE files SET max_downloads = 0 WHERE id = ?", [stored.bytes])
    # Nobody knows what such a file needs.
    unnamed = data / "blobs" / stored.value.hex / f"1-00000000-{9:016x}"
    unnamed.write_bytes(b"noise")
    os.utime(unnamed, (1, 1))
    result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--json"], env=SOON)
    swept = {"given_up": 2, "expired": 2, "removed": 4, "orphans": 1, "orphan_bytes": 5, "forgotten": 1}
    assert json.loads(result.output) == NOTHING | swept | {"failures": {}, "is_complete": True}
    assert blobs(settings) == 2
    assert unnamed.exists()


def blobs(settings: Settings) -> int:
    return sum(1 for _ in DiskBlobs(settings.blob_folder).list())


def test_a_dry_run_tells_what_a_sweep_then_does(settings: Settings) -> None:
    """As JSON and in words; the second sweep has nothing to do."""
    found = NOTHING | {"orphans": 1, "orphan_bytes": 5, "forgotten": 1}
    done = []
    for options in (["--dry-run"], [], []):
        result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--json", *options], env=SOON)
        assert result.exit_code == 0, result.output
        done.append(json.loads(result.output))
    assert done == [kind | {"failures": {}, "is_complete": True} for kind in (found, found, NOTHING)]
    assert blobs(settings) == 1
    result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--dry-run"], env=SOON)
    assert result.output.splitlines()[0] == "Nothing was changed. A sweep would report:"
    assert "orphaned parts     0 (0 bytes)" in result.output
    assert "expired rows       0" in result.output


def test_a_part_is_spared_in_its_grace_period(settings: Settings) -> None:
    """Without a setting it is a day."""
    assert RUNNER.invoke(sft, ["sweep", "--data", "data"]).exit_code == 0
    assert blobs(settings) == 2


@pytest.mark.usefixtures("settings")
def test_a_store_that_is_away_is_status_1() -> None:
    """What failed is told by its code."""
    away = {"MINIO_ENDPOINT": f"127.0.0.1:{free_port()}", "MINIO_SECURE": "false"}
    keys = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8"}
    result = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SOON | away | keys)
    assert result.exit_code == 1
    assert "failed: blob-store-unavailable (1 times)" in result.output
    assert "The sweep is incomplete." in result.output


def test_without_a_database_nothing_is_made(data: Path) -> None:
    """Status 2 and one sentence; no folder, no keys."""
    result = RUNNER.invoke(sft, ["sweep", "--data", "data"])
    assert result.exit_code == 2
    assert "there is no database" in result.output
    assert not data.exists()


def test_a_sweep_needs_no_keys(settings: Settings, data: Path) -> None:
    """It opens nothing."""
    for key in (data / "keys").iterdir():
        key.unlink()
    assert RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SOON).exit_code == 0
    assert blobs(settings) == 1
    assert list((data / "keys").iterdir()) == []


def test_where_one_process_may_write_a_sweep_is_told_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A running server sweeps by itself; a dry run changes nothing and may come in."""
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with open_application(settings):
        result = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SOON)
        assert result.exit_code == 2
        assert "is locked" in result.output
        assert "if a server is running, it sweeps every 300 seconds" in result.output
        off = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SOON | {"SWEEP_INTERVAL_SECONDS": "0"})
        assert (off.exit_code, "does not sweep while SWEEP_INTERVAL_SECONDS is 0" in off.output) == (2, True)
        assert RUNNER.invoke(sft, ["sweep", "--data", "data", "--dry-run"], env=SOON).exit_code == 0
    assert blobs(settings) == 2


def test_the_help_says_what_is_refused() -> None:
    """With the status, so that nobody is surprised beside a server on such a SQLite."""
    told = " ".join(RUNNER.invoke(sft, ["sweep", "--help"]).output.split())
    assert "With SQLite before 3.51.3 only one process may write" in told
    assert "there the command exits with status 2 while a server runs" in told
    assert "with status 2" in told
