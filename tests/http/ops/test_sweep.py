"""
`sft sweep` from the operator's side.
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
SHORT_GRACE = {"ORPHAN_GRACE_HOURS": "1"}
NOTHING = {"given_up": 0, "expired": 0, "removed": 0, "orphans": 0, "orphan_bytes": 0, "forgotten": 0}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "data"


@pytest.fixture
def settings(data: Path) -> Settings:
    """
    A data folder with a file, a long-expired link to it, and an orphaned part that is two hours old.
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


def test_unreadable_row_does_not_stop_the_sweep(settings: Settings, data: Path) -> None:
    """Files to expire, to delete and to abort are all processed; an unreadable row also loses its file key."""
    with open_application(settings) as application:
        with application.maintenance.check_integrity.begin(read_only=True) as unit:
            (stored,) = unit.inventory.files(after=None, limit=9)
            file = unit.files.get(stored)
        assert file is not None
        expired = [
            application.vault.store_file(owner=file.owner, name=file.name, content=[b"over"]).id for _ in range(2)
        ]
        idle = [application.vault.begin_upload(owner=file.owner, name=file.name).file.id for _ in range(2)]
    with closing(sqlite3.connect(data / "sft.db")) as database, database:
        database.execute("UPDATE files SET max_downloads = 0, expires_at = 1 WHERE id = ?", [expired[0].bytes])
        database.execute("UPDATE files SET expires_at = 1 WHERE id = ?", [expired[1].bytes])
        for upload in idle:
            database.execute("UPDATE files SET created_at = 1, touched_at = 1 WHERE id = ?", [upload.bytes])
        database.execute("UPDATE files SET media_type = 3, expires_hours = 'x' WHERE id = ?", [idle[0].bytes])
        database.execute("UPDATE files SET max_downloads = 0 WHERE id = ?", [stored.bytes])
    # A blob of a file whose row cannot be read is kept: it may be one of the file's parts.
    unnamed = data / "blobs" / stored.value.hex / f"1-00000000-{9:016x}"
    unnamed.write_bytes(b"noise")
    os.utime(unnamed, (1, 1))
    result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--json"], env=SHORT_GRACE)
    swept = {"given_up": 2, "expired": 2, "removed": 4, "orphans": 1, "orphan_bytes": 5, "forgotten": 1}
    assert json.loads(result.output) == NOTHING | swept | {"failures": {}, "is_complete": True}
    assert blobs(settings) == 2
    assert unnamed.exists()


def blobs(settings: Settings) -> int:
    return sum(1 for _ in DiskBlobs(settings.blob_folder).list())


def test_dry_run_reports_what_the_next_sweep_does(settings: Settings) -> None:
    """The output is JSON or text; a second sweep finds nothing."""
    found = NOTHING | {"orphans": 1, "orphan_bytes": 5, "forgotten": 1}
    reports = []
    for options in (["--dry-run"], [], []):
        result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--json", *options], env=SHORT_GRACE)
        assert result.exit_code == 0, result.output
        reports.append(json.loads(result.output))
    assert reports == [kind | {"failures": {}, "is_complete": True} for kind in (found, found, NOTHING)]
    assert blobs(settings) == 1
    result = RUNNER.invoke(sft, ["sweep", "--data", "data", "--dry-run"], env=SHORT_GRACE)
    assert result.output.splitlines()[0] == "Nothing was changed. A sweep would report:"
    assert "orphaned parts     0 (0 bytes)" in result.output
    assert "expired rows       0" in result.output


def test_orphaned_part_is_kept_for_its_grace_period(settings: Settings) -> None:
    """The default is one day."""
    assert RUNNER.invoke(sft, ["sweep", "--data", "data"]).exit_code == 0
    assert blobs(settings) == 2


@pytest.mark.usefixtures("settings")
def test_unreachable_blob_store_has_status_1() -> None:
    """The failure is reported by its code."""
    endpoint = {"MINIO_ENDPOINT": f"127.0.0.1:{free_port()}", "MINIO_SECURE": "false"}
    keys = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8"}
    result = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SHORT_GRACE | endpoint | keys)
    assert result.exit_code == 1
    assert "failed: blob-store-unavailable (1 times)" in result.output
    assert "The sweep is incomplete." in result.output


def test_missing_database_is_not_created(data: Path) -> None:
    """The status is 2 and the output is one sentence; no folder and no keys are created."""
    result = RUNNER.invoke(sft, ["sweep", "--data", "data"])
    assert result.exit_code == 2
    assert "there is no database" in result.output
    assert not data.exists()


def test_sweep_needs_no_keys(settings: Settings, data: Path) -> None:
    """A sweep decrypts nothing."""
    for key in (data / "keys").iterdir():
        key.unlink()
    assert RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SHORT_GRACE).exit_code == 0
    assert blobs(settings) == 1
    assert list((data / "keys").iterdir()) == []


def test_sweep_on_an_old_sqlite_is_refused_beside_a_server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server sweeps itself; a dry run changes nothing and is allowed."""
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with open_application(settings):
        result = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SHORT_GRACE)
        assert result.exit_code == 2
        assert "is locked" in result.output
        assert "if a server is running, it sweeps every 300 seconds" in result.output
        off = RUNNER.invoke(sft, ["sweep", "--data", "data"], env=SHORT_GRACE | {"SWEEP_INTERVAL_SECONDS": "0"})
        assert (off.exit_code, "does not sweep while SWEEP_INTERVAL_SECONDS is 0" in off.output) == (2, True)
        assert RUNNER.invoke(sft, ["sweep", "--data", "data", "--dry-run"], env=SHORT_GRACE).exit_code == 0
    assert blobs(settings) == 2


def test_help_states_when_a_sweep_is_refused() -> None:
    """The help names the exit status of a sweep beside a server on an old SQLite."""
    text = " ".join(RUNNER.invoke(sft, ["sweep", "--help"]).output.split())
    assert "With SQLite before 3.51.3 only one process may write" in text
    assert "there the command exits with status 2 while a server runs" in text
    assert "with status 2" in text
