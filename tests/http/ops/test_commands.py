"""
The `sft` command from the operator's side.
"""

from __future__ import annotations

import base64
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from sft_adapters.bootstrap.configuration import ephemeral_keys, keys_for, settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.single_writer import allowed_workers
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.settings import Settings
from sft_adapters.settings.catalogue import SETTINGS
from sft_adapters.settings.field import Setting
from sft_core.errors import ConfigurationError
from sft_core.values import EmailAddress, FileName, Password, Username
from sft_core.version import __version__
from sft_http.cli.main import sft
from sft_http.ops.serve import greeting
from support.servers.processes import free_port

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_version_option_prints_the_version() -> None:
    """`sft --version` prints the version of the distribution."""
    result = RUNNER.invoke(sft, ["--version"])
    assert (result.exit_code, result.output) == (0, f"sft, version {__version__}\n")


def test_help_imports_no_server_package() -> None:
    """`sft --help` imports neither the server nor an adapter."""
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


def test_migrate_creates_and_checks_the_schema(empty_folder: Path) -> None:
    """A check fails without a schema and creates nothing, then passes; a second migration changes nothing."""
    before = RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"])
    assert before.exit_code == 2
    assert "sft migrate" in before.output
    assert list(empty_folder.iterdir()) == []
    for _ in range(2):
        assert RUNNER.invoke(sft, ["migrate", "--data", "data"]).output == "The schema is up to date.\n"
    assert RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"]).exit_code == 0


def test_first_start_creates_private_folders_and_keys(empty_folder: Path) -> None:
    """Only their owner may read the data folder and the keys, and later starts use the same keys."""
    first = keys_for(settings_for(empty_folder / "data"))
    again = keys_for(settings_for(empty_folder / "data"))
    assert first.secret_key == again.secret_key
    assert first.encryption_key == again.encryption_key
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (empty_folder / "data", *(empty_folder / "data").rglob("*"))
    }
    assert modes == {"data": 0o700, "keys": 0o700, "secret.key": 0o600, "encryption.key": 0o600}


def with_account(data: Path, **environ: str) -> Settings:
    settings = settings_for(data, environ)
    prepare(settings)
    with open_application(settings) as application:
        user = application.users.register_user(
            email=EmailAddress.parse("maya@example.org"),
            username=Username.parse("maya"),
            password=Password.parse("a long one"),
        )
        application.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[b"content"])
    return settings


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("name", ["encryption.key", "secret.key"])
def test_lost_key_is_never_replaced(empty_folder: Path, name: str, *, elsewhere: bool) -> None:
    """Where accounts exist, wherever the database is, a missing key file is an error."""
    environ = {"DATABASE_URL": f"sqlite:///{empty_folder / 'other.db'}"} if elsewhere else {}
    with_account(empty_folder / "data", **environ)
    shutil.rmtree(empty_folder / "data/blobs")
    (empty_folder / "data/keys" / name).unlink()
    with pytest.raises(ConfigurationError, match="restore the key file"):
        keys_for(settings_for(empty_folder / "data", environ))
    assert not (empty_folder / "data/keys" / name).exists()


def test_lost_key_beside_blobs_without_a_database_is_never_replaced(empty_folder: Path) -> None:
    """The database was deleted, but the blobs were not."""
    with_account(empty_folder / "data")
    (empty_folder / "data/sft.db").unlink()
    (empty_folder / "data/keys/encryption.key").unlink()
    with pytest.raises(ConfigurationError, match="restore the key file"):
        keys_for(settings_for(empty_folder / "data"))


def test_wrong_encryption_key_is_refused_at_start(empty_folder: Path) -> None:
    """The refusal precedes the first request and names the id of the needed key."""
    right = with_account(empty_folder / "data")
    other = {"ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    settings = settings_for(empty_folder / "data", other)
    needed = AesKeyRing(keys_for(right).encryption_key).active_id
    with pytest.raises(ConfigurationError, match=f"needs {needed}"), open_application(settings):
        pass
    result = RUNNER.invoke(sft, ["serve", "--data", "data", "--port", str(free_port())], env=other)
    assert (result.exit_code, result.output.partition(" ")[0]) == (2, "sft:")
    assert f"needs {needed}" in result.output
    with open_application(right):
        pass


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_generated_keys_fit_every_algorithm(algorithm: str) -> None:
    """A first start succeeds with each signing algorithm."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"ALGORITHM": algorithm})
    assert (result.exit_code, result.output) == (0, "The schema is up to date.\n")


def test_invalid_settings_are_all_reported_before_keys_are_created(empty_folder: Path) -> None:
    """The failed command leaves no file behind."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"ALGORITHM": "none", "DEBUG": "maybe"})
    assert "DEBUG" in result.output
    assert "ALGORITHM" in result.output
    assert list(empty_folder.iterdir()) == []


def test_database_files_are_readable_by_their_owner_only(empty_folder: Path) -> None:
    """The same holds in an existing folder that all users may read."""
    (empty_folder / "data").mkdir(mode=0o755)
    with open_application(with_account(empty_folder / "data")):
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (empty_folder / "data").glob("sft.db*")}
    assert {"sft.db", "sft.db-wal", "sft.db-shm"} <= set(found)
    assert set(found.values()) == {0o600}


def test_second_service_on_an_old_sqlite_is_refused(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one process may write, the second service may open the database once the first has closed it."""
    settings = with_account(empty_folder / "data", DATABASE_TIMEOUT_SECONDS="0.2")
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with open_application(settings):
        for attempt in (lambda: prepare(settings), lambda: open_application(settings).__enter__()):
            with pytest.raises(ConfigurationError, match=r"sft\.db\.lock is locked"):
                attempt()
    with open_application(settings):
        pass
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: True)
    with open_application(settings), open_application(settings):
        pass


def test_port_in_use_is_refused_before_anything_is_created(empty_folder: Path) -> None:
    """The sentence names the port, and no data folder is created."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = str(listener.getsockname()[1])
        result = RUNNER.invoke(sft, ["serve", "--data", "data", "--port", port])
    assert result.exit_code == 2
    assert f"port {port}" in result.output
    assert "listening http" not in result.output
    assert not (empty_folder / "data").exists()


def test_greeting_names_database_and_source_of_keys(empty_folder: Path) -> None:
    """It shows another database and keys from the environment, and never a password."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    own = settings_for(empty_folder / "data")
    text = greeting(own, host="127.0.0.1", port=8000, workers=1, wanted=2)
    assert str(empty_folder / "data/sft.db") in text
    assert f"in {empty_folder / 'data/keys'}" in text
    assert "(not 2: " in text
    url = "postgresql://sft:gOod-41-letters@db.example.org:5433/files"
    other = Settings.from_env(keys | {"DATABASE_URL": url}, data_dir=empty_folder / "data")
    text = greeting(other, host="::1", port=80, workers=2, wanted=2)
    assert "PostgreSQL files at db.example.org:5433" in text
    assert "from the environment" in text
    assert "http://[::1]:80" in text
    assert "gOod-41-letters" not in text
    assert "sft.db" not in text


def test_greeting_names_the_source_of_each_key(empty_folder: Path) -> None:
    """One key is from the environment and the other from a file."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    file = {"SECRET_KEY": "secret.key", "ENCRYPTION_KEY": "encryption.key"}
    for given, kept in (("SECRET_KEY", "ENCRYPTION_KEY"), ("ENCRYPTION_KEY", "SECRET_KEY")):
        settings = settings_for(empty_folder / given, {given: keys[given]})
        text = greeting(settings, host="127.0.0.1", port=8000, workers=1, wanted=1)
        assert f"{given} from the environment" in text
        assert f"{kept} in {empty_folder / given / 'keys' / file[kept]}" in text


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, bytes(4096)])
def test_file_that_is_not_a_database_is_reported_and_kept(empty_folder: Path, content: bytes) -> None:
    """The sentence says that the database cannot be used."""
    (empty_folder / "data").mkdir()
    (empty_folder / "data/sft.db").write_bytes(content)
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"])
    assert result.exit_code == 2
    assert "the database cannot be used" in result.output
    assert (empty_folder / "data/sft.db").read_bytes() == content


def test_key_file_readable_by_others_is_refused(empty_folder: Path) -> None:
    """The error recommends `chmod 600`."""
    keys_for(settings_for(empty_folder / "data"))
    (empty_folder / "data/keys/secret.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys_for(settings_for(empty_folder / "data"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda key: key.chmod(0o644), "chmod 600"),
        (lambda key: key.write_bytes(b""), "is empty"),
        (lambda key: key.write_bytes(b" \n"), "is empty"),
        (lambda key: key.write_bytes(b"\xff\xfe" * 40), "does not contain the text of a key"),
        (lambda key: key.write_text("short"), "it must"),
        (lambda key: key.write_text("x" * 64), "it "),
        (lambda key: (key.unlink(), key.mkdir()), "not a regular file"),
        (lambda key: (key.unlink(), subprocess.run(["mkfifo", "-m", "600", key], check=True)), "not a regular file"),
    ],
    ids=["mode", "empty", "blank", "bytes", "short", "example", "folder", "pipe"],
)
@pytest.mark.parametrize("name", ["secret.key", "encryption.key"])
def test_invalid_key_file_is_named_unless_the_environment_gives_the_key(
    empty_folder: Path, name: str, damage: Callable[[Path], object], words: str
) -> None:
    """One sentence names the file; a key of the environment replaces the file without a message."""
    keys_for(settings_for(empty_folder / "data"))
    key = empty_folder / "data/keys" / name
    damage(key)
    for command in ("serve", "migrate"):
        result = RUNNER.invoke(sft, [command, "--data", "data", "--port", "1"][: 5 if command == "serve" else 3])
        assert result.exit_code == 2
        assert result.output.startswith(f"sft: {key.relative_to(empty_folder)} ")
        assert words in result.output
        assert result.output.count("\n") == 1
    given = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    environ = {variable: value for variable, value in given.items() if variable.lower().startswith(name[:6])}
    settings = settings_for(empty_folder / "data", environ)
    assert keys_for(settings).keys_from_files == given.keys() - environ.keys()
    assert greeting(settings, host="127.0.0.1", port=8000, workers=1, wanted=1)


ABSURD = (
    *("[" * 100_000, "[null]", "\udcff\udc80", "x\0y", "9" * 10_000, "http://[::1", "\u202e", "%zz", "1e999"),
    *("rediss://cache?ssl_ca_certs=" + "a" * 3000, "sqlite:///x.db?timeout=abc", "postgresql://db/x?port=abc"),
)


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_absurd_setting_is_accepted_or_named_in_a_short_error(empty_folder: Path, setting: Setting) -> None:
    """The only error is a `ConfigurationError`, which names the setting."""
    keys = ephemeral_keys()
    for text in ABSURD:
        message = setting.name
        try:
            Settings.from_env(keys | {setting.name: text}, data_dir=empty_folder)
        except ConfigurationError as error:
            message = str(error)
        assert setting.name in message
        assert len(message) < 400


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ALLOWED_EXTENSIONS", "[" * 100_000),
        ("ALLOWED_ORIGINS", "http://[::1"),
        ("SECRET_KEY", "\udcff" * 40),
        ("REDIS_URL", "rediss://cache?ssl_ca_certs=" + "a" * 3000),
        ("DATABASE_URL", "sqlite:///x.db?timeout=abc"),
        ("DATABASE_URL", "postgresql://db/x?connect_timeout=abc"),
    ],
    ids=lambda text: ascii(text[:16]),
)
def test_malformed_setting_is_named(empty_folder: Path, name: str, text: str) -> None:
    """Deep nesting, an incomplete address, invalid UTF-8, an impossible path, and words in place of numbers."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={name: text})
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert result.output.startswith(f"sft: {name}")
    assert list(empty_folder.iterdir()) == []


def test_migrate_logs_what_it_waits_for(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Beside a service on an old SQLite, `sft migrate` first prints the wait and then the refusal, with the same reason.
    """
    settings = with_account(empty_folder / "data")
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with open_application(settings):
        result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"DATABASE_TIMEOUT_SECONDS": "0.1"})
    waiting, refused = result.output.splitlines()
    assert result.exit_code == 2
    assert waiting.startswith("sft: waiting for up to 0.1 seconds, because ")
    assert refused.endswith(waiting.partition("because ")[2])
    messages: list[str] = []
    prepare(settings, on_wait=messages.append)
    assert messages == []


def test_symbolic_link_to_a_key_file_is_refused(empty_folder: Path) -> None:
    """A key file has to be a regular file."""
    keys_for(settings_for(empty_folder / "data"))
    key = empty_folder / "data/keys/secret.key"
    key.rename(empty_folder / "elsewhere.key")
    key.symlink_to(empty_folder / "elsewhere.key")
    with pytest.raises(ConfigurationError, match="not a regular file"):
        keys_for(settings_for(empty_folder / "data"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "nonsense"),
        ("DATABASE_URL", "mysql://127.0.0.1/sft"),
        ("DATABASE_URL", "postgresql://sft:changeme@127.0.0.1/sft"),
        ("REDIS_URL", "redis://:redis@127.0.0.1"),
        ("MINIO_SECRET_KEY", "minioadmin"),
        ("SECRET_KEY", "your-secret-key-here-change-in-production"),
        ("SECRET_KEY", "thequickbrownfoxjumpsoverthelazydog"),
        ("ENCRYPTION_KEY", "short"),
        ("TWO_FACTOR_ISSUER", "Files: ours"),
        ("ARGON2_ITERATIONS", "20"),
        ("ARGON2_MEMORY_KIB", "300000"),
    ],
)
def test_invalid_setting_is_refused_by_name(empty_folder: Path, name: str, value: str) -> None:
    """The refusal is one sentence with status 2, before anything listens or is written, and does not show the value."""
    for command in ("serve", "migrate"):
        result = RUNNER.invoke(sft, [command, "--data", "data"], env={name: value})
        assert result.exit_code == 2
        assert result.output.startswith(f"sft: {name}")
        assert "Traceback" not in result.output
        assert value not in result.output
    assert not (empty_folder / "data").exists()


def test_data_folder_that_cannot_be_created_is_refused(empty_folder: Path) -> None:
    """The error has no traceback."""
    (empty_folder / "file").write_text("in the way")
    result = RUNNER.invoke(sft, ["migrate", "--data", "file/data"])
    assert result.exit_code == 2
    assert "Traceback" not in result.output


def test_settings_are_read_from_env_files(empty_folder: Path) -> None:
    """`--env-file` and a `.env` file in the working folder are read."""
    (empty_folder / ".env").write_text("ALGORITHM=none\n")
    assert "ALGORITHM" in RUNNER.invoke(sft, ["migrate"]).output
    (empty_folder / "other.env").write_text("DEBUG=perhaps\n")
    assert "DEBUG" in RUNNER.invoke(sft, ["migrate", "--env-file", "other.env"]).output


def test_keys_from_the_environment_create_no_key_files(empty_folder: Path) -> None:
    """Both keys are set in the environment."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    found = keys_for(settings_for(empty_folder / "data", keys))
    assert found.secret_key.reveal().decode() == keys["SECRET_KEY"]
    assert not list((empty_folder / "data").rglob("*.key"))


def test_missing_schema_is_refused(empty_folder: Path) -> None:
    """The application opens only on an up-to-date schema."""
    settings = settings_for(empty_folder / "data")
    keys = keys_for(settings)
    with pytest.raises(ConfigurationError, match="sft migrate"), open_application(settings, keys):
        pass


def test_allowed_workers_is_one_on_an_old_sqlite(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers are allowed only where SQLite is safe for several writing processes."""
    settings = settings_for(empty_folder / "data")
    for safe, processes in ((False, 1), (True, 4)):
        monkeypatch.setattr(
            "sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda safe=safe: safe
        )
        assert allowed_workers(settings, 4) == processes
