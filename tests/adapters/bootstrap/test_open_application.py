"""
Every combination of storage is built from settings alone, works, and closes cleanly.
"""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from sft_adapters.bootstrap.configuration import ephemeral_keys, settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.single_writer import allowed_workers
from sft_adapters.bootstrap.storage import check_schema, prepare
from sft_adapters.settings import Settings
from sft_core.application import Application
from sft_core.errors import BadToken, BlobStoreUnavailable, ConfigurationError, DatabaseUnavailable
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_core.values import ByteRange, EmailAddress, FileName, Page, Password, Username
from support.servers import backends
from support.servers.processes import connections_to, free_port

EMAIL, PASSWORD = EmailAddress.parse("maya@example.org"), Password.parse("a long one")
CONTENT = bytes(range(256)) * 700
S3_KEYS = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8"}

Configure = Callable[..., Settings]


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    def make(**environ: str) -> Settings:
        return settings_for(tmp_path / "data", {"ARGON2_MEMORY_KIB": "8192", "PART_SIZE": "65536"} | environ)

    return make


@pytest.fixture
def database(request: pytest.FixtureRequest) -> dict[str, str]:
    return {} if request.param == "sqlite" else {"DATABASE_URL": request.getfixturevalue("postgres_url")}


@pytest.fixture
def sessions(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param != "redis":
        return {"SESSION_STORE": request.param}
    return {"REDIS_URL": request.getfixturevalue("valkey").url}


@pytest.fixture
def blobs(request: pytest.FixtureRequest, bucket: str) -> dict[str, str]:
    return {} if request.param == "disk" else request.getfixturevalue("s3").environ(bucket)


def signed_in(sft: Application) -> str:
    return sft.users.sign_in(email=EMAIL, password=PASSWORD).access


def store_and_share(sft: Application) -> str:
    """
    Register, sign in, store a file and share it; returns the access token.
    """
    user = sft.users.register_user(email=EMAIL, username=Username.parse("maya"), password=PASSWORD)
    access = signed_in(sft)
    assert sft.users.authenticate(access_token=access).user == sft.users.authenticate(access_token=access).user
    file = sft.vault.store_file(owner=user.id, name=FileName.parse("notes.bin"), content=[CONTENT])
    link = sft.sharing.issue_share_link(owner=user.id, file_id=file.id, max_downloads=1)
    granted = sft.sharing.redeem_share_link(token=link.token)
    assert (
        b"".join(bytes(piece) for piece in sft.vault.read_file(granted, ByteRange(60_000, 70_000)))
        == CONTENT[60_000:70_000]
    )
    return access


@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
@pytest.mark.parametrize("sessions", ["memory", "database", "redis"], indirect=True)
@pytest.mark.parametrize("blobs", ["disk", "s3"], indirect=True)
def test_every_combination_works_and_persists(
    configure: Configure, database: dict[str, str], sessions: dict[str, str], blobs: dict[str, str]
) -> None:
    """A second opening finds what the first stored; sessions outlive it unless they are in memory."""
    settings = configure(**database, **sessions, **blobs)
    prepare(settings)
    check_schema(settings)
    with open_application(settings) as sft:
        access = store_and_share(sft)
    with open_application(settings) as sft:
        if settings.session_store == "memory":
            with pytest.raises(BadToken):
                sft.users.authenticate(access_token=access)
            access = signed_in(sft)
        user = sft.users.authenticate(access_token=access).user
        (file,) = sft.vault.list_files(owner=user.id, page=Page())
        assert b"".join(bytes(piece) for piece in sft.vault.read_file(file)) == CONTENT
        sft.vault.delete_file(owner=user.id, file_id=file.id)
    assert (settings.blob_store_kind == "disk") == settings.blob_folder.exists()


def test_configured_servers_are_used(
    configure: Configure, postgres_url: str, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """Rows are in PostgreSQL, sessions also in Valkey, parts in the bucket, and none of it in the data folder."""
    settings = configure(DATABASE_URL=postgres_url, REDIS_URL=valkey.url, **s3.environ(bucket))
    prepare(settings)
    with open_application(settings) as sft:
        store_and_share(sft)
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT count(*) FROM parts").fetchone() == (3,)
    with valkey.client() as client:
        assert any(client.scan_iter("sft:s:*"))
    objects = [found.object_name for found in s3.client().list_objects(bucket, recursive=True)]
    assert len(objects) == 4
    assert STORE_ID_NAME in objects
    assert {path.name for path in settings.data_dir.iterdir()} == {"keys"}


def test_closing_leaves_no_connection(
    configure: Configure, postgres_url: str, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> None:
    """After closing, the application holds no connection to the database, the cache or the bucket."""
    settings = configure(DATABASE_URL=postgres_url, REDIS_URL=valkey.url, **s3.environ(bucket))
    ports = [urlsplit(url).port or 0 for url in (postgres_url, valkey.url, f"//{s3.endpoint}")]
    gc.collect()
    before = [connections_to(port) for port in ports]
    prepare(settings)
    assert [connections_to(port) for port in ports] == before
    with open_application(settings) as sft:
        store_and_share(sft)
        during = [connections_to(port) for port in ports]
    assert all(more > none for more, none in zip(during, before, strict=True))
    assert [connections_to(port) for port in ports] == before
    assert sft.users.authenticate is not None


@pytest.mark.parametrize(
    ("environ", "sentence"),
    [
        ({"SESSION_STORE": "redis"}, "SESSION_STORE is redis, but REDIS_URL is not set"),
        ({"MINIO_ENDPOINT": "127.0.0.1:9000"}, "MINIO_ACCESS_KEY is not set"),
        ({"MINIO_ENDPOINT": "127.0.0.1:9000", "MINIO_ACCESS_KEY": "somebody"}, "MINIO_SECRET_KEY is not set"),
        ({"MINIO_ENDPOINT": "http://host:9000", **S3_KEYS}, "MINIO_ENDPOINT"),
        ({"REDIS_URL": "http://127.0.0.1"}, "REDIS_URL"),
        ({"DATABASE_URL": "oracle://127.0.0.1/x"}, "DATABASE_URL"),
    ],
)
def test_missing_or_malformed_setting_is_named(
    configure: Configure, tmp_path: Path, environ: dict[str, str], sentence: str
) -> None:
    """The configuration is refused before any connection or write."""
    with pytest.raises(ConfigurationError, match=sentence):
        configure(**environ)
    assert not (tmp_path / "data").exists()


def test_unreachable_server_is_reported_at_start(configure: Configure) -> None:
    """A missing database or blob store prevents the start; without Redis the database takes its place."""
    unreachable = f"127.0.0.1:{free_port()}"
    with pytest.raises(DatabaseUnavailable):
        prepare(configure(DATABASE_URL=f"postgresql://sft@{unreachable}/sft"))
    with pytest.raises(BlobStoreUnavailable):
        prepare(configure(MINIO_ENDPOINT=unreachable, MINIO_SECURE="false", **S3_KEYS))
    settings = configure(REDIS_URL=f"redis://{unreachable}")
    prepare(settings)
    with open_application(settings) as sft:
        store_and_share(sft)


def test_wrong_store_credentials_are_reported_at_start(configure: Configure, s3: backends.S3, bucket: str) -> None:
    """The error names the setting and does not contain its value."""
    with pytest.raises(ConfigurationError, match="MINIO_") as refused:
        prepare(configure(**s3.environ(bucket) | {"MINIO_SECRET_KEY": "not-the-one-41"}))
    assert "not-the-one-41" not in str(refused.value)


def test_sessions_in_memory_allow_one_worker(configure: Configure) -> None:
    """Sessions in memory are not shared, so only one worker is allowed."""
    keys = ephemeral_keys() | {"DATABASE_URL": "postgresql://db.example.org/sft"}
    assert allowed_workers(configure(SESSION_STORE="memory", **keys), 4) == 1
    assert allowed_workers(configure(**keys), 4) == 4


@pytest.fixture
def error_without_driver(tmp_path: Path) -> Callable[[str, dict[str, str]], str]:
    """
    The error of a start in a process where a driver is not installed.
    """

    def run(package: str, environ: dict[str, str]) -> str:
        program = (
            f"import sys; sys.modules[{package!r}] = None\n"
            "from pathlib import Path\n"
            "from sft_adapters.bootstrap.configuration import settings_for\n"
            "from sft_core.errors import ConfigurationError\n"
            "try:\n"
            f"    settings_for(Path({str(tmp_path / 'data')!r}), {environ!r})\n"
            "except ConfigurationError as error:\n"
            "    print(error)\n"
        )
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    return run


@pytest.mark.parametrize(
    ("package", "extra", "environ"),
    [
        ("redis", "redis", {"REDIS_URL": "redis://127.0.0.1"}),
        ("psycopg", "postgres", {"DATABASE_URL": "postgresql://127.0.0.1/sft"}),
        (
            "minio",
            "minio",
            {"MINIO_ENDPOINT": "127.0.0.1:9", **S3_KEYS},
        ),
    ],
)
def test_missing_driver_is_named_by_its_extra(
    error_without_driver: Callable[[str, dict[str, str]], str], package: str, extra: str, environ: dict[str, str]
) -> None:
    """The embedded default needs no driver; a setting that needs one is refused with its extra's name."""
    assert error_without_driver(package, {}) == ""
    assert extra in error_without_driver(package, environ)
