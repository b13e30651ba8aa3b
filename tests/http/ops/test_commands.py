"""
The `sft` command as an operator meets it.
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
    """A check fails before, touching nothing, and holds after; migrating twice changes nothing."""
    before = RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"])
    assert before.exit_code == 2
    assert "sft migrate" in before.output
    assert list(empty_folder.iterdir()) == []
    for _ in range(2):
        assert RUNNER.invoke(sft, ["migrate", "--data", "data"]).output == "The schema is up to date.\n"
    assert RUNNER.invoke(sft, ["migrate", "--data", "data", "--check"]).exit_code == 0


def test_a_first_start_makes_private_folders_and_keys(empty_folder: Path) -> None:
    """Data folder and keys can be read by their owner only, and the keys are used from then on."""
    first = keys_for(settings_for(empty_folder / "data"))
    again = keys_for(settings_for(empty_folder / "data"))
    assert first.secret_key == again.secret_key
    assert first.encryption_key == again.encryption_key
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode)
        for path in (empty_folder / "data", *(empty_folder / "data").rglob("*"))
    }
    assert modes == {"data": 0o700, "keys": 0o700, "secret.key": 0o600, "encryption.key": 0o600}


def with_an_account(data: Path, **environ: str) -> Settings:
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
def test_a_lost_key_is_never_replaced(empty_folder: Path, name: str, *, elsewhere: bool) -> None:
    """Where there are accounts already, wherever the database is, a missing key is an error and not a new key."""
    environ = {"DATABASE_URL": f"sqlite:///{empty_folder / 'other.db'}"} if elsewhere else {}
    with_an_account(empty_folder / "data", **environ)
    shutil.rmtree(empty_folder / "data/blobs")
    (empty_folder / "data/keys" / name).unlink()
    with pytest.raises(ConfigurationError, match="restore the key file"):
        keys_for(settings_for(empty_folder / "data", environ))
    assert not (empty_folder / "data/keys" / name).exists()


def test_blobs_alone_are_data_too(empty_folder: Path) -> None:
    """Where the database has gone but the blobs have not, no new key is made."""
    with_an_account(empty_folder / "data")
    (empty_folder / "data/sft.db").unlink()
    (empty_folder / "data/keys/encryption.key").unlink()
    with pytest.raises(ConfigurationError, match="restore the key file"):
        keys_for(settings_for(empty_folder / "data"))


def test_another_key_than_the_datas_is_refused_at_start(empty_folder: Path) -> None:
    """A wrong key is found before anything is served, and the right one is named."""
    right = with_an_account(empty_folder / "data")
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
def test_the_keys_that_are_made_fit_every_algorithm(algorithm: str) -> None:
    """A first start succeeds with each of them."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"ALGORITHM": algorithm})
    assert (result.exit_code, result.output) == (0, "The schema is up to date.\n")


def test_faults_are_told_before_keys_are_missed(empty_folder: Path) -> None:
    """All that is wrong with the settings is told first, and a failing command leaves nothing behind."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"ALGORITHM": "none", "DEBUG": "maybe"})
    assert "DEBUG" in result.output
    assert "ALGORITHM" in result.output
    assert list(empty_folder.iterdir()) == []


def test_a_database_is_readable_by_its_owner_only(empty_folder: Path) -> None:
    """Also in a folder that was there before and is open to all."""
    (empty_folder / "data").mkdir(mode=0o755)
    with open_application(with_an_account(empty_folder / "data")):
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (empty_folder / "data").glob("sft.db*")}
    assert {"sft.db", "sft.db-wal", "sft.db-shm"} <= set(found)
    assert set(found.values()) == {0o600}


def test_a_second_service_on_one_sqlite_file_is_refused(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only one process may write, the next one is told so, and comes in when the first has gone."""
    settings = with_an_account(empty_folder / "data", DATABASE_TIMEOUT_SECONDS="0.2")
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


def test_a_port_that_is_taken_is_told_before_anything_is_made(empty_folder: Path) -> None:
    """The sentence names the port; no database is touched."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = RUNNER.invoke(sft, ["serve", "--data", "data", "--port", port])
    assert result.exit_code == 2
    assert f"port {port}" in result.output
    assert "listening http" not in result.output
    assert not (empty_folder / "data").exists()


def test_the_greeting_tells_what_is_used(empty_folder: Path) -> None:
    """Another database, keys from the environment: whatever it says is so, and no password is in it."""
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


def test_the_greeting_tells_of_each_key_where_it_is(empty_folder: Path) -> None:
    """One from the environment and one from a file are told apart."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    file = {"SECRET_KEY": "secret.key", "ENCRYPTION_KEY": "encryption.key"}
    for given, kept in (("SECRET_KEY", "ENCRYPTION_KEY"), ("ENCRYPTION_KEY", "SECRET_KEY")):
        settings = settings_for(empty_folder / given, {given: keys[given]})
        text = greeting(settings, host="127.0.0.1", port=8000, workers=1, wanted=1)
        assert f"{given} from the environment" in text
        assert f"{kept} in {empty_folder / given / 'keys' / file[kept]}" in text


@pytest.mark.parametrize("content", [b"this is no database at all" * 100, bytes(4096)])
def test_a_file_that_is_no_database_is_told_as_such(empty_folder: Path, content: bytes) -> None:
    """The sentence says that it is the database, and the file stays as it is."""
    (empty_folder / "data").mkdir()
    (empty_folder / "data/sft.db").write_bytes(content)
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"])
    assert result.exit_code == 2
    assert "the database cannot be used" in result.output
    assert (empty_folder / "data/sft.db").read_bytes() == content


def test_a_key_that_others_may_read_is_refused(empty_folder: Path) -> None:
    """A key file with loose permissions is named, with the way to mend it."""
    keys_for(settings_for(empty_folder / "data"))
    (empty_folder / "data/keys/secret.key").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        keys_for(settings_for(empty_folder / "data"))


@pytest.mark.parametrize(
    ("spoil", "words"),
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
def test_a_spoilt_key_file_is_told_by_name_or_not_looked_at(
    empty_folder: Path, name: str, spoil: Callable[[Path], object], words: str
) -> None:
    """One sentence that names the file; and where the environment gives that key, no word of it."""
    keys_for(settings_for(empty_folder / "data"))
    key = empty_folder / "data/keys" / name
    spoil(key)
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
def test_absurd_text_is_taken_or_told_in_a_sentence(empty_folder: Path, setting: Setting) -> None:
    """Whatever a setting is given, nothing else than a `ConfigurationError` comes of it, with its name."""
    keys = ephemeral_keys()
    for text in ABSURD:
        told = setting.name
        try:
            Settings.from_env(keys | {setting.name: text}, data_dir=empty_folder)
        except ConfigurationError as error:
            told = str(error)
        assert setting.name in told
        assert len(told) < 400


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
def test_what_no_reader_expects_is_told_by_its_setting(empty_folder: Path, name: str, text: str) -> None:
    """Deep nesting, half an address, bytes that are no text, a path that no file can have, words for numbers."""
    result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={name: text})
    assert (result.exit_code, result.output.count("\n")) == (2, 1)
    assert result.output.startswith(f"sft: {name}")
    assert list(empty_folder.iterdir()) == []


def test_who_waits_for_another_process_says_so_at_once(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a running service on an old SQLite, `sft migrate` tells what it waits for, and then what it was."""
    settings = with_an_account(empty_folder / "data")
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with open_application(settings):
        result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env={"DATABASE_TIMEOUT_SECONDS": "0.1"})
    waiting, refused = result.output.splitlines()
    assert result.exit_code == 2
    assert waiting.startswith("sft: waiting for up to 0.1 seconds, because ")
    assert refused.endswith(waiting.partition("because ")[2])
    told: list[str] = []
    prepare(settings, on_wait=told.append)
    assert told == []


def test_a_linked_key_is_refused(empty_folder: Path) -> None:
    """A key file is a regular file: a symbolic link in its place is not followed."""
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
def test_what_cannot_be_served_is_refused_by_name(empty_folder: Path, name: str, value: str) -> None:
    """A wrong setting is one sentence and status 2, before anything listens or is written."""
    for command in ("serve", "migrate"):
        result = RUNNER.invoke(sft, [command, "--data", "data"], env={name: value})
        assert result.exit_code == 2
        assert result.output.startswith(f"sft: {name}")
        assert "Traceback" not in result.output
        assert value not in result.output
    assert not (empty_folder / "data").exists()


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
    found = keys_for(settings_for(empty_folder / "data", keys))
    assert found.secret_key.reveal().decode() == keys["SECRET_KEY"]
    assert not list((empty_folder / "data").rglob("*.key"))


def test_an_old_schema_is_not_served(empty_folder: Path) -> None:
    """The application opens on an up-to-date schema only."""
    settings = settings_for(empty_folder / "data")
    keys = keys_for(settings)
    with pytest.raises(ConfigurationError, match="sft migrate"), open_application(settings, keys):
        pass


def test_sqlite_with_the_known_flaw_has_one_writer(empty_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several workers are allowed only where the library is newer than the flaw."""
    settings = settings_for(empty_folder / "data")
    for safe, processes in ((False, 1), (True, 4)):
        monkeypatch.setattr(
            "sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda safe=safe: safe
        )
        assert allowed_workers(settings, 4) == processes
