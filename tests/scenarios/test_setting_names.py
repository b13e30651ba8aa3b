"""
Every setting name documented at commit 3e9837b is accepted and has an effect, renamed or not.

`stored_data/setting_names.txt` lists the names. A renamed setting still accepts the old name, with a warning.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest

from sft_adapters.settings import Settings
from support.servers.service import SFT

NAMES = (Path(__file__).parent / "stored_data" / "setting_names.txt").read_text().split()


def key(name: str) -> str:
    """
    Return 32 bytes in base64 that are no weak key and depend only on the name.
    """
    return base64.b64encode(hashlib.shake_256(name.encode()).digest(32)).decode()


SERVERS = {
    "DATABASE_URL": "postgresql://sft@database.test/sft",
    "REDIS_URL": "redis://cache.test:6379",
    "MINIO_ENDPOINT": "store.test:9000",
    "MINIO_ACCESS_KEY": "sft-access",
    "MINIO_SECRET_KEY": key("minio")[:20],
}
COMMON = {"SECRET_KEY": key("signs")[:40] + key("tokens"), "ENCRYPTION_KEY": key("wraps"), **SERVERS}
"""Settings in every environment: keys, and the servers without which their other settings have no effect."""

OTHER_VALUES = {
    "APP_NAME": "Another Name",
    "APP_VERSION": "9.9.9",
    "DEBUG": "true",
    "API_V1_PREFIX": "/another/v1",
    "SECRET_KEY": key("signs more")[:40] + key("tokens"),
    "ALGORITHM": "HS384",
    "ACCESS_TOKEN_EXPIRE_MINUTES": "31",
    "REFRESH_TOKEN_EXPIRE_DAYS": "8",
    "ENCRYPTION_KEY": key("wraps more"),
    "ENCRYPTION_KEYS_RETIRING": f"{key('wrapped once')},{key('wrapped twice')}",
    "DATABASE_URL": "postgresql://sft@other.test/sft",
    "DB_ECHO": "true",
    "DATABASE_TIMEOUT_SECONDS": "11.5",
    "DATABASE_CONNECTIONS": "17",
    "DATABASE_CONNECT_SECONDS": "4",
    "DATABASE_STATEMENT_SECONDS": "16.5",
    "DATABASE_IDLE_SECONDS": "16.5",
    "DATABASE_SILENCE_SECONDS": "4.5",
    "DATABASE_PEER_SECONDS": "11",
    "DATABASE_RECYCLE_SECONDS": "1801",
    "DATABASE_MIGRATION_SECONDS": "601",
    "SESSION_STORE": "memory",
    "SESSION_CACHE_SECONDS": "31.5",
    "SESSION_LEASE_SECONDS": "2.5",
    "REDIS_URL": "redis://other.test:6379",
    "REDIS_SESSION_DB": "1",
    "REDIS_TIMEOUT_SECONDS": "0.5",
    "REDIS_REST_SECONDS": "1.5",
    "REDIS_WAIT_SECONDS": "0.1",
    "REDIS_OWED_KEYS": "10001",
    "REDIS_CONNECTIONS": "17",
    "MINIO_ENDPOINT": "other.test:9000",
    "MINIO_ACCESS_KEY": "another-access",
    "MINIO_SECRET_KEY": key("another minio")[:20],
    "MINIO_BUCKET_NAME": "another-bucket",
    "MINIO_SECURE": "false",
    "MINIO_CA_FILE": "/etc/authorities.pem",
    "MINIO_REGION": "eu-west-1",
    "MINIO_CONDITIONAL_WRITES": "true",
    "MINIO_CONNECT_SECONDS": "2.5",
    "MINIO_READ_SECONDS": "11.5",
    "MINIO_CALL_SECONDS": "61.5",
    "MINIO_CONNECTIONS": "17",
    "MAX_FILE_SIZE": "1000000",
    "USER_QUOTA": "2000000",
    "DISK_RESERVE": "0",
    "ALLOWED_EXTENSIONS": ".pdf,.txt",
    "ALLOWED_ORIGINS": "https://files.example.org",
    "TWO_FACTOR_ISSUER": "Another Issuer",
    "SIGN_IN_ATTEMPTS": "11",
    "TOTP_ATTEMPTS": "6",
    "ATTEMPTS_WINDOW_MINUTES": "16",
    "PART_SIZE": "65536",
    "UPLOAD_IDLE_HOURS": "25",
    "IDEMPOTENCY_HOURS": "25",
    "FORM_IDLE_MINUTES": "16",
    "JSON_BODY_LIMIT": "65537",
    "MAX_CONNECTIONS": "4097",
    "MAX_UPLOADS": "511",
    "MAX_UPLOADS_PER_USER": "127",
    "TRANSFER_MEMORY_MIB": "513",
    "READ_AHEAD_MIB": "65",
    "UNSENT_KIB": "1025",
    "CONTROL_THREADS": "9",
    "TRANSFER_THREADS": "5",
    "HASH_CONCURRENCY": "3",
    "HASH_WAIT_SECONDS": "5.5",
    "QUEUE_LIMIT": "257",
    "QUEUE_WAIT_SECONDS": "5.5",
    "ARGON2_MEMORY_KIB": "47105",
    "ARGON2_ITERATIONS": "2",
    "ARGON2_LANES": "2",
    "SWEEP_INTERVAL_SECONDS": "301.5",
    "SWEEP_BATCH": "101",
    "EXPIRY_GRACE_MINUTES": "61",
    "ORPHAN_GRACE_HOURS": "25.5",
    "GRACEFUL_STOP_SECONDS": "31",
    "CLEANUP_SECONDS": "16",
    "HEADER_TIMEOUT_SECONDS": "21.5",
    "STALL_SECONDS": "61",
    "MIN_BYTES_PER_SECOND": "1025",
    "LINGER_SECONDS": "2.5",
    "KEEPALIVE_SECONDS": "16",
    "WORKER_TIMEOUT_SECONDS": "31",
}
"""A valid value of each setting that is neither its default nor the one in `COMMON`."""


def settings(environ: Mapping[str, str]) -> Settings:
    """
    Return the settings of an environment, without the warnings about old names.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Settings.from_env(environ, data_dir=Path("/nonexistent"))


def test_other_values_cover_every_documented_name() -> None:
    """Each of the 84 names appears exactly once."""
    assert len(NAMES) == len(set(NAMES)) == 84
    assert set(OTHER_VALUES) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_documented_name_changes_the_settings(name: str) -> None:
    """Another value under the documented name is accepted and changes the settings."""
    assert settings({**COMMON, name: OTHER_VALUES[name]}) != settings(COMMON)
    assert settings(COMMON) == settings(COMMON)


def test_documented_names_are_accepted_together(tmp_path: Path) -> None:
    """`sft migrate` accepts a `.env` file of all names except those of servers, and creates the schema."""
    excluded = {name for name in NAMES if name in SERVERS or name.startswith("MINIO_") or name == "SESSION_STORE"}
    lines = [f"{name}={value}\n" for name, value in OTHER_VALUES.items() if name not in excluded]
    (tmp_path / "settings").write_text("".join(lines))
    environ = {name: value for name, value in os.environ.items() if name not in NAMES}
    arguments = ["migrate", "--data", str(tmp_path / "data"), "--env-file", str(tmp_path / "settings")]
    done = subprocess.run([sys.executable, *SFT, *arguments], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "sft.db").is_file()


def test_unknown_name_changes_nothing() -> None:
    """This shows that the comparison of settings detects a name without effect."""
    assert settings({**COMMON, "FORM_IDLE_SECONDS": "16"}) == settings(COMMON)
