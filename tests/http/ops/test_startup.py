"""
A start with real servers that refuse: one sentence, which names the setting and no driver.
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
ROLE, OWN_WORDS = "sft_start_reader", "tR4-vq8-Lm2x"

Told = Callable[..., str]


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Told:
    """
    The one sentence with which `sft migrate` ends; it has status 2, names the setting first and no class.
    """
    monkeypatch.chdir(tmp_path)

    def run(**environ: str) -> str:
        result = RUNNER.invoke(sft, ["migrate", "--data", "data"], env=environ)
        assert result.exit_code == 2, result.output
        assert result.output.count("\n") == 1, result.output
        assert not re.search(r"[a-z](Error|Exception|Privilege|Transaction)\b", result.output), result.output
        assert OWN_WORDS not in result.output
        name = next(name for name in environ if not name.startswith("MINIO_") or name == "MINIO_ENDPOINT")
        assert result.output.startswith((f"sft: {name}", "sft: MINIO_")), result.output
        return result.output

    return run


@pytest.fixture
def reader(postgres: backends.Postgres, postgres_url: str) -> Iterator[str]:
    """
    The URL of an empty database for a role that may connect and nothing else.
    """
    parsed = urlsplit(postgres_url)
    role = sql.Identifier(ROLE)
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(role))
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(OWN_WORDS)))
        yield parsed._replace(netloc=f"{ROLE}:{OWN_WORDS}@{parsed.netloc.rpartition('@')[2]}").geturl()
        admin.execute(sql.SQL("DROP ROLE {}").format(role))


def test_a_database_that_cannot_be_reached_is_told(told: Told, postgres: backends.Postgres) -> None:
    """An unknown host, whatever its name, a closed port, no such database or role, no TLS, wrong parameters."""
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
        assert re.search(words, told(DATABASE_URL=url)), words


def test_a_wrong_password_is_told(told: Told) -> None:
    """On a server that asks for one; that none was given is told apart from it."""
    with backends.own_postgres() as postgres:
        assert postgres.server is not None
        rules = postgres.server.root / "data" / "pg_hba.conf"
        rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'another'").format(sql.Identifier(ROLE)))
        postgres.server.stop()
        postgres.server.start()
        at = f"127.0.0.1:{postgres.server.port}/postgres"
        assert "rejected the user or the password" in told(DATABASE_URL=f"postgresql://{ROLE}:{OWN_WORDS}@{at}")
        assert "requires a password" in told(DATABASE_URL=f"postgresql://{ROLE}@{at}")


def test_a_role_that_may_not_make_tables_is_told(told: Told, reader: str) -> None:
    """The missing privilege is named by its code, and so is a role or a server that may only read."""
    assert "lacks a privilege" in told(DATABASE_URL=reader)


def test_a_role_that_may_only_read_is_told(told: Told, postgres: backends.Postgres, postgres_url: str) -> None:
    """As a frozen database or a standby is."""
    name = sql.Identifier(urlsplit(postgres_url).path.removeprefix("/"))
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    assert "is read-only" in told(DATABASE_URL=postgres_url)


def test_what_is_no_redis_is_told(
    told: Told, postgres: backends.Postgres, s3: backends.S3, valkey: backends.Valkey
) -> None:
    """PostgreSQL cuts the connection, an HTTP server answers in its own words, and neither is a server that is down."""
    at = urlsplit(postgres.admin_url).netloc.rpartition("@")[2]
    for address in (at, s3.endpoint):
        assert "does not respond as a Redis server" in told(REDIS_URL=f"redis://{address}")
    assert "does not speak TLS" in told(REDIS_URL=f"rediss://{s3.endpoint}")
    assert "no such database" in told(REDIS_URL=f"{valkey.url}/99")


def test_a_redis_that_is_down_does_not_hinder_the_start(tmp_path: Path) -> None:
    """Nobody at the address, or a proxy that cuts every connection because its server is away."""
    with peer(lambda _: b"") as proxy:
        proxy.disconnect_all()
        for port in (free_port(), proxy.port):
            with open_service(tmp_path / str(port), {"REDIS_URL": f"redis://127.0.0.1:{port}"}) as application:
                stored(application)


def test_what_is_no_s3_server_is_told(
    told: Told, postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """Nobody there, an unknown host, a server of another kind, wrong keys, and a bucket that cannot be made."""
    database, cache = (urlsplit(url).netloc.rpartition("@")[2] for url in (postgres.admin_url, valkey.url))
    for endpoint, words in (
        (f"127.0.0.1:{free_port()}", "no server listens"),
        ("no.such.invalid", "host name of the server cannot be resolved"),
        (database, "is it an S3 server"),
        (cache, "is it an S3 server"),
    ):
        assert words in told(MINIO_ENDPOINT=endpoint, **S3_KEYS)
    assert "KEY" in told(**s3.environ(bucket) | {"MINIO_SECRET_KEY": "not-the-one-41"})
    assert "MINIO_BUCKET_NAME" in told(**s3.environ("Not_A_Bucket"))


# --- the whole in one call --------------------------------------------------------------------------


def stored(application: Application) -> None:
    user = application.users.register_user(
        email=EmailAddress.parse("maya@example.org"),
        username=Username.parse("maya"),
        password=Password.parse("a long one"),
    )
    application.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[b"content"])


def test_one_call_opens_the_embedded_default(tmp_path: Path) -> None:
    """From nothing to an application, and again on what is there, at a path in either spelling."""
    with open_service(tmp_path / "data") as application:
        stored(application)
    with open_service(str(tmp_path / "data")) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


def test_one_call_opens_it_on_servers(
    tmp_path: Path, postgres_url: str, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """The environment names them; schema and bucket are made, and the data folder holds the keys alone."""
    environ = {"DATABASE_URL": postgres_url, "REDIS_URL": valkey.url, **s3.environ(bucket)}
    with open_service(tmp_path / "data", environ) as application:
        stored(application)
    objects = [found.object_name for found in s3.client().list_objects(bucket, recursive=True)]
    assert len(objects) == 2
    assert STORE_ID_NAME in objects
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"keys"}


# --- one storage, one set of keys -------------------------------------------------------------------


def test_a_disk_of_its_own_for_the_blobs_is_a_first_start(tmp_path: Path) -> None:
    """What a fresh file system has at its top is no blob; blobs whose keys are lost still are what they are."""
    (tmp_path / "data/blobs/lost+found").mkdir(parents=True)
    with open_service(tmp_path / "data") as application:
        stored(application)
    for name in ("keys", "sft.db"):
        (tmp_path / "data" / name).rename(tmp_path / name)
    with pytest.raises(ConfigurationError, match=r"in use already, but .*encryption\.key is missing"):
        keys_for(settings_for(tmp_path / "data"))


def key_files(data: Path) -> set[str]:
    return {path.name.partition(".unused")[0] + ".unused" * (".unused" in path.name) for path in data.glob("keys/*")}


def test_of_two_first_starts_on_one_storage_one_is_refused(
    tmp_path: Path, postgres_url: str, s3: backends.S3, bucket: str
) -> None:
    """Both find it empty and make keys of their own; the later one is told, and its keys are set aside by name."""
    environ = {"DATABASE_URL": postgres_url, **s3.environ(bucket)}
    first, second = (settings_for(tmp_path / name, environ) for name in ("first", "second"))
    keys, other_keys = keys_for(first), keys_for(second)
    prepare(first, keys)
    with pytest.raises(ConfigurationError) as refused:
        prepare(second, other_keys)
    (needed,) = re.findall(r"needs ([0-9a-f]{16}):", str(refused.value))
    assert AesKeyRing(keys.encryption_key).ids == {needed}
    assert key_files(tmp_path / "second") == {"encryption.key.unused", "secret.key.unused"}
    assert all(str(path) in str(refused.value) for path in tmp_path.glob("second/keys/*"))
    with open_application(first) as application:
        stored(application)
    with pytest.raises(ConfigurationError, match=r"in use already, but .*encryption\.key is missing"):
        keys_for(settings_for(tmp_path / "second", environ))
    shutil.copytree(tmp_path / "first/keys", tmp_path / "second/keys", dirs_exist_ok=True)
    with open_service(tmp_path / "second", environ) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_storage_on_which_a_service_has_started_gets_no_other_keys(
    tmp_path: Path, request: pytest.FixtureRequest, *, elsewhere: bool
) -> None:
    """Nobody has registered yet, but the next start makes none; keys that were there before stay, and are named."""
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
    assert key_files(tmp_path / "data") == {"encryption.key", "secret.key"}


def encryption_key_in(folder: Path) -> Secret:
    return parsers.encryption_key((folder / "encryption.key").read_text().strip())


def test_another_signing_key_is_an_operators_choice(tmp_path: Path) -> None:
    """It signs everybody out and changes nothing else."""
    with open_service(tmp_path / "data") as application:
        stored(application)
    with open_service(tmp_path / "data", {"SECRET_KEY": ephemeral_keys()["SECRET_KEY"]}) as application:
        assert application.users.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


def test_a_storage_of_an_earlier_version_is_claimed_by_the_key_that_fits(tmp_path: Path) -> None:
    """At the next start; another key changes not even the schema."""
    with open_service(tmp_path / "data") as application:
        stored(application)
    settings = settings_for(tmp_path / "data")
    with temporary_engine(settings.database_url, busy_seconds=10) as engine:
        migrate.downgrade(engine, "0004")
        other = {"ENCRYPTION_KEY": ephemeral_keys()["ENCRYPTION_KEY"]}
        with pytest.raises(ConfigurationError, match="needs"):
            prepare(settings_for(tmp_path / "data", other))
        assert migrate.current(engine) == "0004"
        # Of that version no store had a mark.
        (settings.blob_folder / STORE_ID_NAME).unlink()
        prepare(settings)
        with transaction(engine, read_only=True) as (connection, _):
            assert read_owner_key_id(connection) == AesKeyRing(keys_for(settings).encryption_key).active_id


def test_two_services_started_at_once_never_store_under_two_keys(tmp_path: Path, postgres_url: str) -> None:
    """As processes on one empty database: one serves, the other ends with status 2 and one sentence."""
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
        eventually(lambda: any(service.poll() is not None for service in services))
        (refused,) = [service for service in services if service.poll() is not None]
        (serving,) = [service for service in services if service is not refused]
        told = refused.communicate()[0]
        assert (refused.returncode, told.count("\n")) == (2, 1), told
        serving.terminate()
        output = serving.communicate(timeout=60)[0]
        assert serving.returncode == 0, output
    finally:
        for service in services:
            if service.poll() is None:
                kill_tree(service.pid)
    assert sorted(key_files(tmp_path / name) >= {"encryption.key"} for name in ("one", "two")) == [False, True]
