"""
The `sft` command as an operator meets it.
"""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from sft_adapters.container import embedded_settings, migrate_schema, open_application, processes_that_may_write
from sft_core.errors import ConfigurationError
from sft_core.version import __version__
from sft_http.cli.main import sft

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_version_is_told() -> None:
    """`sft --version` tells the distribution's version."""
    result = RUNNER.invoke(sft, ["--version"])
    assert (result.exit_code, result.output) == (0, f"sft, version {__version__}\n")


def test_help_loads_no_server_package() -> None:
    """Asking for help imports neither the server nor an adapter."""
    program = (
        "import sys; from click.testing import CliRunner; from sft_http.cli.main import sft; "
        "print(CliRunner().invoke(sft, ['--help']).output); "
        "heavy = {'falcon', 'gunicorn', 'sqlalchemy', 'sft_adapters'}; "
        "sys.exit(any(name.split('.')[0] in heavy for name in sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    assert "serve" in result.stdout
    assert "migrate" in result.stdout


def test_migrate_makes_the_schema_and_checks_it(empty_folder: Path) -> None:
    """A check fails before and holds after; migrating twice changes nothing."""
    (empty_folder / "data").mkdir()
    before = RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"])
    assert before.exit_code == 2
    assert "sft migrate" in before.output
    for _ in range(2):
        assert RUNNER.invoke(sft, ["migrate", "--data", "data"]).output == "The schema is up to date.\n"
    assert RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"]).exit_code == 0


def test_a_first_start_makes_private_folders_and_keys(empty_folder: Path) -> None:
    """Data folder and keys can be read by their owner only, and the keys are used from then on."""
    first = embedded_settings(empty_folder / "data")
    again = embedded_settings(empty_folder / "data")
    assert first.secret_key == again.secret_key
    assert first.encryption_key == again.encryption_key
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (empty_folder / "data", *(empty_folder / "data").rglob("*"))
    }
    assert modes == {"data": 0o700, "keys": 0o700, "secret.key": 0o600, "encryption.key": 0o600}


def test_a_lost_key_is_never_replaced(empty_folder: Path) -> None:
    """Where there is data already, a missing key is an error and not a new key."""
    settings = embedded_settings(empty_folder / "data")
    migrate_schema(settings)
    (empty_folder / "data/keys/encryption.key").unlink()
    with pytest.raises(ConfigurationError, match="bring the key back"):
        embedded_settings(empty_folder / "data")
    assert not (empty_folder / "data/keys/encryption.key").exists()


def test_a_key_that_others_may_read_is_refused(empty_folder: Path) -> None:
    """A key file with loose permissions is named, with the way to mend it."""
    embedded_settings(empty_folder / "data")
    (empty_folder / "data/keys/secret.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        embedded_settings(empty_folder / "data")


def test_a_linked_key_is_refused(empty_folder: Path) -> None:
    """A key file is a regular file: a symbolic link in its place is not followed."""
    embedded_settings(empty_folder / "data")
    key = empty_folder / "data/keys/secret.key"
    key.rename(empty_folder / "elsewhere.key")
    key.symlink_to(empty_folder / "elsewhere.key")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        embedded_settings(empty_folder / "data")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://127.0.0.1"),
        ("MINIO_ENDPOINT", "127.0.0.1:9000"),
        ("DATABASE_URL", "postgresql://127.0.0.1/sft"),
        ("DATABASE_URL", "nonsense"),
        ("SECRET_KEY", "your-secret-key-here-change-in-production"),
        ("ENCRYPTION_KEY", "short"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(name: str, value: str) -> None:
    """A wrong setting is one sentence and status 2, before anything listens."""
    result = RUNNER.invoke(sft, ["serve", "--data", "data"], env={name: value})
    assert result.exit_code == 2
    assert result.output.startswith(f"sft: {name}")
    assert "Traceback" not in result.output
    assert value not in result.output


def test_a_folder_that_cannot_be_made_is_told(empty_folder: Path) -> None:
    """Where the data folder cannot be, the command says so without a traceback."""
    (empty_folder / "file").write_text("in the way")
    result = RUNNER.invoke(sft, ["migrate", "--data", "file/data"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_settings_come_from_a_file_too(empty_folder: Path) -> None:
    """`--env-file` and a `.env` in the working folder are read."""
    (empty_folder / ".env").write_text("ALGORITHM=none\n")
    assert "ALGORITHM" in RUNNER.invoke(sft, ["migrate"]).output
    (empty_folder / "other.env").write_text("DEBUG=perhaps\n")
    assert "DEBUG" in RUNNER.invoke(sft, ["migrate", "--env-file", "other.env"]).output


def test_keys_by_environment_make_no_key_files(empty_folder: Path) -> None:
    """Who gives both keys finds none on the disk."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    settings = embedded_settings(empty_folder / "data", keys)
    assert settings.secret_key.reveal().decode() == keys["SECRET_KEY"]
    assert not list((empty_folder / "data").rglob("*.key"))


def test_an_old_schema_is_not_served(empty_folder: Path) -> None:
    """The application opens on an up-to-date schema only."""
    settings = embedded_settings(empty_folder / "data")
    with pytest.raises(ConfigurationError, match="sft migrate"), open_application(settings):
        pass


def test_sqlite_with_the_known_flaw_has_one_writer(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers are allowed only where the library is newer than the flaw."""
    settings = embedded_settings(empty_folder / "data")
    for safe, processes in ((False, 1), (True, 4)):
        monkeypatch.setattr("sft_adapters.container.sqlite_is_safe_for_many_writers", lambda safe=safe: safe)
        assert processes_that_may_write(settings, 4) == processes
