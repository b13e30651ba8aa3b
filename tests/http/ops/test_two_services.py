"""
Two services with separate databases on one blob store: neither deletes the other's blobs as orphans.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from sft_adapters.bootstrap.configuration import keys_for, settings_for
from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.storage import is_in_use, prepare
from sft_adapters.disk.blobs import has_blobs
from sft_core.errors import ConfigurationError
from sft_core.maintenance.findings import Damage
from sft_core.maintenance.integrity_check import Sample
from sft_core.maintenance.store_identity import STORE_ID_NAME
from sft_http.cli.main import sft
from support.faults.damaged_vault import (
    Bucket,
    Folder,
    SampleVault,
    Store,
    orphan_part,
    sample_vault,
    stuck_upload,
    unfinished_removal,
)

RUNNER = CliRunner()


@attrs.frozen
class Two:
    """
    Two services started one after the other on one blob store, all of whose blobs are older than the grace period.
    """

    first: SampleVault
    second: SampleVault
    store: Store

    def delete_store_id(self) -> None:
        self.store.delete(STORE_ID_NAME)


def two_on(tmp_path: Path, store: Store, environ: Mapping[str, str]) -> Two:
    made = [attrs.evolve(sample_vault(tmp_path / name, environ), store=store) for name in ("first", "second")]
    made[0].age_all()
    return Two(first=made[0], second=made[1], store=store)


@pytest.fixture(params=["folder", "bucket"])
def two(request: pytest.FixtureRequest, tmp_path: Path, bucket: str) -> Two:
    if request.param == "bucket":
        server = request.getfixturevalue("own_s3")
        return two_on(tmp_path, Bucket(server, bucket), server.environ(bucket))
    (tmp_path / "shared").mkdir()
    for name in ("first", "second"):
        # Create the key files first: none are created where the store already contains blobs.
        keys_for(settings_for(tmp_path / name))
        (tmp_path / name / "blobs").symlink_to(tmp_path / "shared")
    return two_on(tmp_path, Folder(tmp_path / "shared"), {})


def run(vault: SampleVault, *command: str) -> tuple[int, dict[str, Any]]:
    """
    Return the exit status of a command and its JSON output.
    """
    result = RUNNER.invoke(sft, [*command, "--data", str(vault.settings.data_dir), "--json"], env=vault.environ)
    return result.exit_code, json.loads(result.stdout)


def is_intact(vault: SampleVault) -> bool:
    """
    Return whether a check reports nothing but orphans, which the other service's parts are to the owner of the store.
    """
    with vault.opened() as sft:
        return {finding.damage for finding in sft.maintenance.check_integrity(verify=Sample())} <= {Damage.ORPHAN_PART}


def test_sweep_and_repair_leave_the_other_services_blobs(two: Two) -> None:
    """Both commands of the second service report `store-of-another`."""
    blobs = sorted(two.store.listed())
    status, swept = run(two.second, "sweep")
    assert (status, swept["orphans"], swept["failures"]) == (1, 0, {"store-of-another": 1})
    status, output = run(two.second, "doctor", "--repair", "--verify-data")
    assert (status, output["findings"], output["failures"]) == (2, [], {"store-of-another": 1})
    failed = [check for check in output["checks"] if not check["is_well"]]
    assert [check["name"] for check in failed] == ["store"]
    assert "belongs to another database" in failed[0]["detail"]
    assert (output["files"], output["parts_read"]) == (4, 8)
    assert sorted(two.store.listed()) == blobs
    assert is_intact(two.first)


def test_store_of_another_service_does_not_stop_the_other_checks(two: Two) -> None:
    """A sweep still deletes expired rows, and the doctor still checks quotas."""
    two.second.rows("UPDATE links SET expires_at = 1")
    two.second.rows("UPDATE usages SET bytes = bytes + 1")
    assert run(two.second, "sweep")[1]["forgotten"] == 1
    assert [finding["code"] for finding in run(two.second, "doctor")[1]["findings"]] == ["quota-drift"]


def test_store_without_identity_belongs_to_the_next_service_started(two: Two) -> None:
    """Until then no service sweeps orphans; an operator deletes the identity on purpose."""
    two.delete_store_id()
    orphan_part(two.first)
    for service in (two.first, two.second):
        assert run(service, "sweep")[1]["failures"] == {"store-of-another": 1}
    prepare(two.first.settings)
    prepare(two.second.settings)
    status, swept = run(two.second, "sweep")
    assert (status, swept["failures"]) == (1, {"store-of-another": 1})
    assert run(two.first, "sweep", "--dry-run")[1]["failures"] == {}
    assert is_intact(two.second)


def test_database_without_identity_deletes_nothing(two: Two) -> None:
    """
    It may be an old copy, whose upload is a stored file by now.

    No sweep or repair changes anything, and no service starts on it.
    """
    stuck_upload(two.first)
    unfinished_removal(two.first)
    orphan_part(two.first)
    two.first.rows("DELETE FROM marks")
    before = two.first.snapshot()
    for _ in range(2):
        status, swept = run(two.first, "sweep")
        assert (status, swept["failures"], swept["is_complete"]) == (1, {"store-of-another": 1}, False)
        status, output = run(two.first, "doctor", "--repair")
        assert (status, {finding["is_repaired"] for finding in output["findings"]}) == (2, {False})
        with pytest.raises(ConfigurationError, match="may be an old copy"):
            prepare(two.first.settings)
        assert two.first.snapshot() == before
    two.delete_store_id()
    prepare(two.first.settings)
    swept = run(two.first, "sweep")[1]
    assert (swept["given_up"], swept["removed"], swept["failures"]) == (1, 2, {})


def test_start_on_a_store_of_unknown_parts_writes_no_identity(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    """A store without an identity gets one only from a service whose database lists some of its parts."""
    two.delete_store_id()
    two.second.rows("DELETE FROM marks")
    for table in ("links", "files", "parts"):
        two.second.rows(f"DELETE FROM {table}")
    caplog.clear()
    prepare(two.second.settings)
    (output,) = [record.getMessage() for record in caplog.records if record.name == "sft.store"]
    assert "contains parts, of which this database has none" in output
    assert STORE_ID_NAME not in two.store.listed()
    assert run(two.second, "sweep")[1]["failures"] == {"store-of-another": 1}
    prepare(two.first.settings)
    assert STORE_ID_NAME in two.store.listed()
    assert run(two.first, "sweep", "--dry-run")[1]["failures"] == {}


def test_start_on_the_store_of_another_service_logs_one_warning(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    """The service starts and warns that it deletes no orphans; the store's owner starts without a warning."""
    for service, lines in ((two.first, 0), (two.second, 1)):
        caplog.clear()
        prepare(service.settings)
        output = [record for record in caplog.records if record.name == "sft.store"]
        assert len(output) == lines
        assert all(record.levelno == logging.WARNING for record in output)
        assert all("parts of no file will not be removed" in record.getMessage() for record in output)
        assert all("belongs to another database" in record.getMessage() for record in output)


def test_store_identity_is_not_counted_as_a_blob(tmp_path: Path) -> None:
    """A blob folder that contains nothing else is not in use."""
    settings = settings_for(tmp_path / "data")
    prepare(settings)
    assert (settings.blob_folder / STORE_ID_NAME).is_file()
    assert not has_blobs(settings.blob_folder)
    settings.data_dir.joinpath("sft.db").unlink()
    with open_container(settings) as container:
        assert not is_in_use(container)


def test_unwritable_store_identity_does_not_prevent_a_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder has the identity's name: the start logs a warning, and a sweep deletes no orphans."""
    own = sample_vault(tmp_path / "data")
    own.store.delete(STORE_ID_NAME)
    (own.settings.blob_folder / STORE_ID_NAME).mkdir()
    caplog.clear()
    prepare(own.settings)
    assert [record.name for record in caplog.records] == ["sft.store"]
    assert run(own, "sweep")[1]["failures"] == {"store-of-another": 1}
