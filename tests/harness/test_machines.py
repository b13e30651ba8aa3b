"""
One model checks the library and the service, in memory, on disk, and after crashes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis.stateful import run_state_machine_as_test

from harness.systems import (
    QUOTA,
    CrashableService,
    crashable_service,
    embedded_library,
    libraries_on_postgres,
    memory_library,
)
from sft_adapters.disk.blobs import DiskBlobs
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.testkit import blob_machine, budget, system_machine
from support.servers import backends


def test_memory_blobs_satisfy_every_clause() -> None:
    """The in-memory store returns the results of the model after any history."""
    run_state_machine_as_test(blob_machine(MemoryBlobs), settings=budget(examples=60, steps=30))


def test_disk_blobs_satisfy_every_clause(tmp_path: Path) -> None:
    """The store in a folder returns the results of the model, also after being reopened."""

    def fresh() -> DiskBlobs:
        return DiskBlobs(Path(mkdtemp(dir=tmp_path)))

    machine = blob_machine(fresh, crash=lambda store: DiskBlobs(store.root) if isinstance(store, DiskBlobs) else store)
    run_state_machine_as_test(machine, settings=budget(examples=40, steps=30))


def test_library_in_memory_satisfies_every_clause() -> None:
    """Users, files and links behave like the model, while the clock advances."""
    run_state_machine_as_test(system_machine(memory_library, quota=QUOTA), settings=budget(examples=40, steps=30))


def test_library_on_sqlite_and_disk_satisfies_every_clause(tmp_path: Path) -> None:
    """On SQLite and a folder they behave like the model, also after the library was reopened."""
    machine = system_machine(lambda: embedded_library(tmp_path), quota=QUOTA)
    run_state_machine_as_test(machine, settings=budget(examples=12, steps=20))


def test_library_on_postgres_and_disk_satisfies_every_clause(tmp_path: Path, postgres_url: str) -> None:
    """On PostgreSQL they behave like the model, in one database for all runs."""
    machine = system_machine(libraries_on_postgres(postgres_url, tmp_path / "data"), quota=QUOTA)
    run_state_machine_as_test(machine, settings=budget(examples=8, steps=20))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[CrashableService]:
    with crashable_service(tmp_path / "service") as running:
        yield running


@pytest.mark.slow
def test_service_after_crashes_satisfies_every_clause(service: CrashableService) -> None:
    """Over HTTP they behave like the model, and kill -9 loses no acknowledged change."""
    machine = system_machine(service.driver, max_crashes=1, quota=QUOTA)
    run_state_machine_as_test(machine, settings=budget(examples=5, steps=25))
    assert set(service.hook_calls) == {"crash", "advance", "revoke"}


@pytest.fixture
def service_on_servers(
    tmp_path: Path, postgres_url: str, valkey: backends.Valkey, s3: backends.S3, bucket: str
) -> Iterator[CrashableService]:
    environ = {"DATABASE_URL": postgres_url, "REDIS_URL": valkey.url, **s3.environ(bucket)}
    # If two concurrent objects are the first in a folder, rclone refuses one with status 500, a few times in 1 000.
    retried_error = "blob-store-unavailable" if s3.server is not None else ""
    with crashable_service(tmp_path / "service", environ, workers=2, retried_error=retried_error) as running:
        yield running


@pytest.mark.slow
def test_two_workers_on_real_servers_satisfy_every_clause(service_on_servers: CrashableService) -> None:
    """On PostgreSQL, Valkey and S3 either worker returns the results of the model, also after crashes."""
    machine = system_machine(service_on_servers.driver, max_crashes=1, quota=QUOTA)
    run_state_machine_as_test(machine, settings=budget(examples=5, steps=25))
    assert set(service_on_servers.hook_calls) == {"crash", "advance", "revoke"}
