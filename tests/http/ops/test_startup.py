"""
A start on real servers that refuse: one sentence that names the setting and no driver.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from sft_adapters.bootstrap.configuration import ephemeral_keys, keys_for, settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.service import open_service
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.crypto.keyring import AesKeyRing
from sft_adapters.settings import parsers
from sft_adapters.sql import migrate
from sft_adapters.sql.engine import temporary_engine
from sft_adapters.sql.key_ownership import read_owner_key_id
from sft_adapters.sql.transactions import transaction
from sft_core.application import Application
from sft_core.errors import ConfigurationError
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_core.values import EmailAddress, FileName, Password, Secret, Username
from sft_http.cli.main import sft
from support.faults.peers import peer
from support.servers import backends
from support.servers.processes import free_port, kill_tree
from support.waiting import eventually

RUNNER = CliRunner()
S3_KEYS = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8", "MINIO_SECURE": "false"}
ROLE, ROLE_PASSWORD = "sft_start_reader", "tR4-vq8-Lm2x"

FailedStart = Callable[..., str]


@pytest.fixture
def failed_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FailedStart:
    """
    Run `sft migrate` and return its one error sentence.

    The exit status is 2, and the sentence begins with the setting and contains no class name and no password.
    """
    monkeypatch.chdir(tmp_path)

    def run(**environ: str) -> str:
        result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env=environ)
        assert result.exit_code == 2, result.output
        assert result.output.count("\n") == 1, result.output
        assert not re.search(r"[a-z](Error|Exception|Privilege|Transaction)\b", result.output), result.output
        assert ROLE_PASSWORD not in result.output
        name = next(name for name in environ if not name.startswith("MINIO_") or name == "MINIO_ENDPOINT")
        assert result.output.startswith((f"sft: {name}", "sft: MINIO_")), result.output
        return result.output

    return run


@pytest.fixture
def reader(postgres: backends.Postgres, postgres_url: str) -> Iterator[str]:
    """
    The URL of an empty database for a role that has only the right to connect.
    """
    parsed = urlsplit(postgres_url)
    role = sql.Identifier(ROLE)
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(ROLE_PASSWORD)))
        yield parsed._replace(netloc=f"{ROLE}:{ROLE_PASSWORD}@{parsed.netloc.rpartition('@')[2]}").geturl()
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def test_unusable_database_url_is_explained(failed_start: FailedStart, postgres: backends.Postgres) -> None:
    """The host is unknown, the port closed, the database or role missing, TLS unsupported, or a parameter wrong."""
    parsed = urlsplit(postgres.admin_url)
    at = parsed.netloc.rpartition("@")[2]
    for url, words in (
        ("postgresql://sft@no.such.invalid/sft", "host name of the server cannot be resolved"),
        ("postgresql://sft@refused.certificate.invalid/timeout", "host name of the server cannot be resolved"),
        (f"postgresql://sft@127.0.0.1:{free_port()}/invalid", "no server listens"),
        (parsed._replace(path="/authentication_failed").geturl(), "does not have this database"),
        (f"postgresql://sft_nobody_invalid@{at}/postgres", "does not have this user|rejected the user"),
        (parsed._replace(query="sslmode=require").geturl(), "does not support TLS"),
        (parsed._replace(query="sslmode=certainly").geturl(), "a parameter has a value"),
        (parsed._replace(query="connect_timeout=abc").geturl(), "not an integer number of seconds"),
        (parsed._replace(query="target_session_attrs=standby").geturl(), "target_session_attrs"),
    ):
        assert re.search(words, failed_start(DATABASE_URL=url)), words


def test_wrong_password_is_explained(failed_start: FailedStart) -> None:
    """A server that requires a password reports a missing one differently from a wrong one."""
    with backends.own_postgres() as postgres:
        assert postgres.server is not None
        rules = postgres.server.root / "data" / "pg_hba.conf"
        rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'another'").format(sql.Identifier(ROLE)))
        postgres.server.stop()
        postgres.server.start()
        at = f"127.0.0.1:{postgres.server.port}/postgres"
        assert "rejected the user or the password" in failed_start(
            DATABASE_URL=f"postgresql://{ROLE}:{ROLE_PASSWORD}@{at}"
        )
        assert "requires a password" in failed_start(DATABASE_URL=f"postgresql://{ROLE}@{at}")


def test_role_without_the_right_to_create_tables_is_explained(failed_start: FailedStart, reader: str) -> None:
    """The sentence says that the role lacks a privilege."""
    assert "lacks a privilege" in failed_start(DATABASE_URL=reader)


def test_read_only_database_is_explained(
    failed_start: FailedStart, postgres: backends.Postgres, postgres_url: str
) -> None:
    """A frozen database and a standby are read-only in the same way."""
    name = sql.Identifier(urlsplit(postgres_url).path.removeprefix("/"))
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    assert "is read-only" in failed_start(DATABASE_URL=postgres_url)


def test_server_that_is_not_redis_is_explained(
    failed_start: FailedStart, postgres: backends.Postgres, s3: backends.S3, valkey: backends.Valkey
) -> None:
    """PostgreSQL closes the connection and an HTTP server sends an HTTP error; neither is reported as unreachable."""
    at = urlsplit(postgres.admin_url).netloc.rpartition("@")[2]
    for address in (at, s3.endpoint):
        assert "does not respond as a Redis server" in failed_start(REDIS_URL=f"redis://{address}")
    assert "does not speak TLS" in failed_start(REDIS_URL=f"rediss://{s3.endpoint}")
    assert "no such database" in failed_start(REDIS_URL=f"{valkey.url}/99")


def test_unreachable_redis_does_not_prevent_a_start(tmp_path: Path) -> None:
    """No server listens at the address, or a proxy closes every connection because its server is unavailable."""
    with peer(lambda _: b"") as proxy:
        proxy.disconnect_all()
        for port in (free_port(), proxy.port):
            with open_service(tmp_path / str(port), {"REDIS_URL": f"redis://127.0.0.1:{port}"}) as application:
                store_a_file(application)


def test_unusable_s3_endpoint_is_explained(
    failed_start: FailedStart, postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """The port is closed, the host unknown, the server of another kind, the key wrong, or the bucket name invalid."""
    database, cache = (urlsplit(url).netloc.rpartition("@")[2] for url in (postgres.admin_url, valkey.url))
    for endpoint, words in (
        (f"127.0.0.1:{free_port()}", "no server listens"),
        ("no.such.invalid", "host name of the server cannot be resolved"),
        (database, "is it an S3 server"),
        (cache, "is it an S3 server"),
    ):
        assert words in failed_start(MINIO_ENDPOINT=endpoint, **S3_KEYS)
    assert "KEY" in failed_start(**s3.environ(bucket) | {"MINIO_SECRET_KEY": "not-the-one-41"})
    assert "MINIO_BUCKET_NAME" in failed_start(**s3.environ("Not_A_Bucket"))


# --- one call opens the service ---------------------------------------------------------------------


def store_a_file(application: Application) -> None:
    user = application.users.register_user(
        email=EmailAddress.parse("maya@example.org"),
        username=Username.parse("maya"),
        password=Password.parse("a long one"),
    )
    application.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[b"content"])


def test_open_service_creates_and_reopens_a_data_folder(tmp_path: Path) -> None:
    """The data folder is a `Path` or a string."""
    with open_service(tmp_path / "data") as application:
        store_a_file(application)
    with open_service(str(tmp_path / "data")) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


def test_open_service_uses_the_servers_of_the_environment(
    tmp_path: Path, postgres_url: str, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """Schema and bucket are created, and the data folder contains only the keys."""
    environ = {"DATABASE_URL": postgres_url, "REDIS_URL": valkey.url, **s3.environ(bucket)}
    with open_service(tmp_path / "data", environ) as application:
        store_a_file(application)
    objects = [found.object_name for found in s3.client().list_objects(bucket, recursive=True)]
    assert len(objects) == 2
    assert STORE_ID_NAME in objects
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"keys"}


# --- one set of keys for one storage ----------------------------------------------------------------


def test_blob_folder_on_a_fresh_file_system_is_a_first_start(tmp_path: Path) -> None:
    """`lost+found` is not counted as a blob; with real blobs and lost keys the start is refused."""
    (tmp_path / "data/blobs/lost+found").mkdir(parents=True)
    with open_service(tmp_path / "data") as application:
        store_a_file(application)
    for name in ("keys", "sft.db"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    with pytest.raises(ConfigurationError, match=r"in use already, but .*encryption\.key is missing"):
        keys_for(settings_for(tmp_path / "data"))


def key_file_names(data: Path) -> set[str]:
    return {path.name.partition(".unused")[0] + ".unused" * (".unused" in path.name) for path in data.glob("keys/*")}


def test_second_of_two_first_starts_on_one_storage_is_refused(
    tmp_path: Path, postgres_url: str, s3: backends.S3, bucket: str
) -> None:
    """
    Both find the storage empty and create keys; the later start is refused, and its key files are renamed to unused.
    """
    environ = {"DATABASE_URL": postgres_url, **s3.environ(bucket)}
    first, second = (settings_for(tmp_path / name, environ) for name in ("first", "second"))
    keys, other_keys = keys_for(first), keys_for(second)
    prepare(first, keys)
    with pytest.raises(ConfigurationError) as refused:
        prepare(second, other_keys)
    (needed,) = re.findall(r"needs ([0-9a-f]{16}):", str(refused.value))
    assert AesKeyRing(keys.encryption_key).ids == {needed}
    assert key_file_names(tmp_path / "second") == {"encryption.key.unused", "secret.key.unused"}
    assert all(str(path) in str(refused.value) for path in tmp_path.glob("second/keys/*"))
    with open_application(first) as application:
        store_a_file(application)
    with pytest.raises(ConfigurationError, match=r"in use already, but .*encryption\.key is missing"):
        keys_for(settings_for(tmp_path / "second", environ))
    shutil.copytree(tmp_path / "first/keys", tmp_path / "second/keys", dirs_exist_ok=True)
    with open_service(tmp_path / "second", environ) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


@pytest.mark.parametrize("elsewhere", [False, True])
def test_storage_in_use_gets_no_new_keys_before_the_first_account(
    tmp_path: Path, request: pytest.FixtureRequest, *, elsewhere: bool
) -> None:
    """
    The next start creates no keys; key files of another service stay, and the error names the needed key.
    """
    environ = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if elsewhere else {}
    prepare(settings_for(tmp_path / "data", environ))
    kept = (tmp_path / "data/keys").rename(tmp_path / "kept")
    with pytest.raises(ConfigurationError, match="in use already"):
        keys_for(settings_for(tmp_path / "data", environ))
    assert not (tmp_path / "data/keys").exists()
    keys_for(settings_for(tmp_path / "other"))
    shutil.copytree(tmp_path / "other/keys", tmp_path / "data/keys")
    settings = settings_for(tmp_path / "data", environ)
    for refuse in (lambda: prepare(settings), lambda: open_application(settings).__enter__()):
        with pytest.raises(ConfigurationError, match=f"needs {AesKeyRing(encryption_key_in(kept)).active_id}"):
            refuse()
    assert key_file_names(tmp_path / "data") == {"encryption.key", "secret.key"}


def encryption_key_in(folder: Path) -> Secret:
    return parsers.encryption_key((folder / "encryption.key").read_text().strip())


def test_another_signing_key_is_accepted(tmp_path: Path) -> None:
    """It invalidates all access tokens and changes nothing else."""
    with open_service(tmp_path / "data") as application:
        store_a_file(application)
    with open_service(tmp_path / "data", {"SECRET_KEY": ephemeral_keys()["SECRET_KEY"]}) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


def test_storage_of_an_earlier_version_is_bound_to_the_matching_key(tmp_path: Path) -> None:
    """The next start records the key; a start with another key does not even change the schema."""
    with open_service(tmp_path / "data") as application:
        store_a_file(application)
    settings = settings_for(tmp_path / "data")
    with temporary_engine(settings.database_url, busy_seconds=10) as engine:
        migrate.downgrade(engine, "0004")
        other = {"ENCRYPTION_KEY": ephemeral_keys()["ENCRYPTION_KEY"]}
        with pytest.raises(ConfigurationError, match="needs"):
            prepare(settings_for(tmp_path / "data", other))
        assert migrate.current(engine) == "0004"
        # Blob stores of that version had no identity.
        (settings.blob_folder / STORE_ID_NAME).unlink()
        prepare(settings)
        with transaction(engine, read_only=True) as (connection, _):
            assert read_owner_key_id(connection) == AesKeyRing(keys_for(settings).encryption_key).active_id


def test_concurrent_first_starts_use_one_key(tmp_path: Path, postgres_url: str) -> None:
    """Two processes start on one empty database: one serves, the other exits with status 2 and one sentence."""
    environ = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
    command = [sys.executable, "-m", "sft_http.cli.main", "serve", "--data"]
    services = [
        subprocess.Popen(
            [*command, str(tmp_path / name), "--port", str(free_port())],
            env=environ | {"DATABASE_URL": postgres_url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for name in ("one", "two")
    ]
    try:
        eventually(lambda: any(service.poll() is not None for service in services), seconds=60)
        (refused,) = [service for service in services if service.poll() is not None]
        (serving,) = [service for service in services if service is not refused]
        message = refused.communicate()[0]
        assert (refused.returncode, message.count("\n")) == (2, 1), message
        serving.terminate()
        output = serving.communicate(timeout=60)[0]
        assert serving.returncode == 0, output
    finally:
        for service in services:
            if service.poll() is None:
                kill_tree(service.pid)
    assert sorted(key_file_names(tmp_path / name) >= {"encryption.key"} for name in ("one", "two")) == [False, True]
