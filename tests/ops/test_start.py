"""
A start with real servers that refuse: one sentence, which names the setting and no driver.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from click.testing import CliRunner
from psycopg import sql

from sft_adapters.bootstrap import open_service
from sft_core.application import Application
from sft_core.values import EmailAddress, FileName, Password, Username
from sft_http.cli.main import sft
from support import servers
from support.peers import peer
from support.processes import free_port

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
def reader(postgres: servers.Postgres, postgres_url: str) -> Iterator[str]:
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


def test_a_database_that_cannot_be_reached_is_told(told: Told, postgres: servers.Postgres) -> None:
    """An unknown host, whatever its name, a closed port, no such database or role, no TLS, wrong parameters."""
    parsed = urlsplit(postgres.admin_url)
    at = parsed.netloc.rpartition("@")[2]
    for url, words in (
        ("postgresql://sft@no.such.invalid/sft", "name of the server's host is not known"),
        ("postgresql://sft@refused.certificate.invalid/timeout", "name of the server's host is not known"),
        (f"postgresql://sft@127.0.0.1:{free_port()}/invalid", "nobody listens"),
        (parsed._replace(path="/authentication_failed").geturl(), "does not have this database"),
        (f"postgresql://sft_nobody_invalid@{at}/postgres", "does not have this user|refused the user"),
        (parsed._replace(query="sslmode=require").geturl(), "speaks no TLS"),
        (parsed._replace(query="sslmode=certainly").geturl(), "a parameter has a value"),
        (parsed._replace(query="connect_timeout=abc").geturl(), "no whole number of seconds"),
        (parsed._replace(query="target_session_attrs=standby").geturl(), "target_session_attrs"),
    ):
        assert re.search(words, told(DATABASE_URL=url)), words


def test_a_wrong_password_is_told(told: Told) -> None:
    """On a server that asks for one; that none was given is told apart from it."""
    with servers.own_postgres() as postgres:
        assert postgres.server is not None
        rules = postgres.server.root / "data" / "pg_hba.conf"
        rules.write_text(f"host all {ROLE} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'another'").format(sql.Identifier(ROLE)))
        postgres.server.stop()
        postgres.server.start()
        at = f"127.0.0.1:{postgres.server.port}/postgres"
        assert "refused the user or the password" in told(DATABASE_URL=f"postgresql://{ROLE}:{OWN_WORDS}@{at}")
        assert "asks for a password" in told(DATABASE_URL=f"postgresql://{ROLE}@{at}")


def test_a_role_that_may_not_make_tables_is_told(told: Told, reader: str) -> None:
    """The missing privilege is named by its code, and so is a role or a server that may only read."""
    assert "may not do what was asked" in told(DATABASE_URL=reader)


def test_a_role_that_may_only_read_is_told(told: Told, postgres: servers.Postgres, postgres_url: str) -> None:
    """As a frozen database or a standby is."""
    name = sql.Identifier(urlsplit(postgres_url).path.removeprefix("/"))
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on").format(name))
    assert "may only read" in told(DATABASE_URL=postgres_url)


def test_what_is_no_redis_is_told(
    told: Told, postgres: servers.Postgres, s3: servers.S3, valkey: servers.Valkey
) -> None:
    """PostgreSQL cuts the connection, an HTTP server answers in its own words, and neither is a server that is down."""
    at = urlsplit(postgres.admin_url).netloc.rpartition("@")[2]
    for address in (at, s3.endpoint):
        assert "does not answer as a Redis server" in told(REDIS_URL=f"redis://{address}")
    assert "speaks no TLS" in told(REDIS_URL=f"rediss://{s3.endpoint}")
    assert "no such database" in told(REDIS_URL=f"{valkey.url}/99")


def test_a_redis_that_is_down_does_not_hinder_the_start(tmp_path: Path) -> None:
    """Nobody at the address, or a proxy that cuts every connection because its server is away."""
    with peer(lambda _: b"") as proxy:
        proxy.leave()
        for port in (free_port(), proxy.port):
            with open_service(tmp_path / str(port), {"REDIS_URL": f"redis://127.0.0.1:{port}"}) as application:
                stored(application)


def test_what_is_no_s3_server_is_told(
    told: Told, postgres: servers.Postgres, valkey: servers.Valkey, s3: servers.S3, bucket: str
) -> None:
    """Nobody there, an unknown host, a server of another kind, wrong keys, and a bucket that cannot be made."""
    database, cache = (urlsplit(url).netloc.rpartition("@")[2] for url in (postgres.admin_url, valkey.url))
    for endpoint, words in (
        (f"127.0.0.1:{free_port()}", "nobody listens"),
        ("no.such.invalid", "name of the server's host is not known"),
        (database, "is it an S3 server"),
        (cache, "is it an S3 server"),
    ):
        assert words in told(MINIO_ENDPOINT=endpoint, **S3_KEYS)
    assert "KEY" in told(**s3.environ(bucket) | {"MINIO_SECRET_KEY": "not-the-one-41"})
    assert "MINIO_BUCKET_NAME" in told(**s3.environ("Not_A_Bucket"))


# --- the whole in one call --------------------------------------------------------------------------


def stored(application: Application) -> None:
    user = application.register_user(
        email=EmailAddress.parse("maya@example.org"),
        username=Username.parse("maya"),
        password=Password.parse("a long one"),
    )
    application.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[b"content"])


def test_one_call_opens_the_embedded_default(tmp_path: Path) -> None:
    """From nothing to an application, and again on what is there, at a path in either spelling."""
    with open_service(tmp_path / "data") as application:
        stored(application)
    with open_service(str(tmp_path / "data")) as application:
        assert application.sign_in(
            email=EmailAddress.parse("maya@example.org"), password=Password.parse("a long one")
        ).access


def test_one_call_opens_it_on_servers(
    tmp_path: Path, postgres_url: str, valkey: servers.Valkey, s3: servers.S3, bucket: str
) -> None:
    """The environment names them; schema and bucket are made, and the data folder holds the keys alone."""
    environ = {"DATABASE_URL": postgres_url, "REDIS_URL": valkey.url, **s3.environ(bucket)}
    with open_service(tmp_path / "data", environ) as application:
        stored(application)
    assert len(list(s3.client().list_objects(bucket, recursive=True))) == 1
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"keys"}
