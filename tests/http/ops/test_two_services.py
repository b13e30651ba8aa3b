"""
Two services on one store of blobs, each with a database of its own: neither takes the other's for nobody's.
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
    Two services, begun one after the other on one store, on which nothing is young any more.
    """

    first: SampleVault
    second: SampleVault
    store: Store

    def take_the_mark_away(self) -> None:
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
        # With keys already: beside blobs none are made.
        keys_for(settings_for(tmp_path / name))
        (tmp_path / name / "blobs").symlink_to(tmp_path / "shared")
    return two_on(tmp_path, Folder(tmp_path / "shared"), {})


def run(vault: SampleVault, *command: str) -> tuple[int, dict[str, Any]]:
    """
    The status of a command and the object that it told.
    """
    result = RUNNER.invoke(sft, [*command, "--data", str(vault.settings.data_dir), "--json"], env=vault.environ)
    return result.exit_code, json.loads(result.stdout)


def is_whole(vault: SampleVault) -> bool:
    """
    Whether nothing of its own is wrong; the other one's parts are nobody's to whom the store belongs.
    """
    with vault.opened() as sft:
        return {finding.damage for finding in sft.maintenance.check_integrity(verify=Sample())} <= {Damage.ORPHAN_PART}


def test_neither_removes_what_the_other_stored(two: Two) -> None:
    """The second one's sweep and repair leave the first one's files alone, and say so."""
    there = sorted(two.store.listed())
    status, swept = run(two.second, "sweep")
    assert (status, swept["orphans"], swept["failures"]) == (1, 0, {"store-of-another": 1})
    status, told = run(two.second, "doctor", "--repair", "--verify-data")
    assert (status, told["findings"], told["failures"]) == (2, [], {"store-of-another": 1})
    unwell = [check for check in told["checks"] if not check["is_well"]]
    assert [check["name"] for check in unwell] == ["store"]
    assert "belongs to another database" in unwell[0]["detail"]
    assert (told["files"], told["parts_read"]) == (4, 8)
    assert sorted(two.store.listed()) == there
    assert is_whole(two.first)


def test_what_is_no_orphans_business_goes_on(two: Two) -> None:
    """The steps of a sweep that need no store of one's own are done, and the doctor's last look is taken."""
    two.second.rows("UPDATE links SET expires_at = 1")
    two.second.rows("UPDATE usages SET bytes = bytes + 1")
    assert run(two.second, "sweep")[1]["forgotten"] == 1
    assert [finding["code"] for finding in run(two.second, "doctor")[1]["findings"]] == ["quota-drift"]


def test_a_store_without_its_mark_is_nobodys_until_a_start(two: Two) -> None:
    """Whoever starts next has it; an operator who takes the mark away means that."""
    two.take_the_mark_away()
    orphan_part(two.first)
    for service in (two.first, two.second):
        assert run(service, "sweep")[1]["failures"] == {"store-of-another": 1}
    prepare(two.first.settings)
    prepare(two.second.settings)
    status, swept = run(two.second, "sweep")
    assert (status, swept["failures"]) == (1, {"store-of-another": 1})
    assert run(two.first, "sweep", "--dry-run")[1]["failures"] == {}
    assert is_whole(two.second)


def test_a_database_that_may_be_an_old_copy_removes_nothing(two: Two) -> None:
    """What it takes for an upload may be a file by now: no sweep and no repair touches it, and no service starts."""
    stuck_upload(two.first)
    unfinished_removal(two.first)
    orphan_part(two.first)
    two.first.rows("DELETE FROM marks")
    before = two.first.snapshot()
    for _ in range(2):
        status, swept = run(two.first, "sweep")
        assert (status, swept["failures"], swept["is_complete"]) == (1, {"store-of-another": 1}, False)
        status, told = run(two.first, "doctor", "--repair")
        assert (status, {finding["is_repaired"] for finding in told["findings"]}) == (2, {False})
        with pytest.raises(ConfigurationError, match="may be an old copy"):
            prepare(two.first.settings)
        assert two.first.snapshot() == before
    two.take_the_mark_away()
    prepare(two.first.settings)
    swept = run(two.first, "sweep")[1]
    assert (swept["given_up"], swept["removed"], swept["failures"]) == (1, 2, {})


def test_a_store_full_of_strangers_parts_is_nobodys(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    """A service that is begun on a store without a mark leaves it without, unless some of the parts are its own."""
    two.take_the_mark_away()
    two.second.rows("DELETE FROM marks")
    for table in ("links", "files", "parts"):
        two.second.rows(f"DELETE FROM {table}")
    caplog.clear()
    prepare(two.second.settings)
    (told,) = [record.getMessage() for record in caplog.records if record.name == "sft.store"]
    assert "contains parts, of which this database has none" in told
    assert STORE_ID_NAME not in two.store.listed()
    assert run(two.second, "sweep")[1]["failures"] == {"store-of-another": 1}
    prepare(two.first.settings)
    assert STORE_ID_NAME in two.store.listed()
    assert run(two.first, "sweep", "--dry-run")[1]["failures"] == {}


def test_it_starts_all_the_same_and_says_what_that_means(two: Two, caplog: pytest.LogCaptureFixture) -> None:
    """One warning; whose the store is gets none."""
    for service, lines in ((two.first, 0), (two.second, 1)):
        caplog.clear()
        prepare(service.settings)
        told = [record for record in caplog.records if record.name == "sft.store"]
        assert len(told) == lines
        assert all(record.levelno == logging.WARNING for record in told)
        assert all("parts of no file will not be removed" in record.getMessage() for record in told)
        assert all("belongs to another database" in record.getMessage() for record in told)


def test_a_mark_is_no_blob_of_a_service(tmp_path: Path) -> None:
    """A folder that holds nothing else is not in use."""
    settings = settings_for(tmp_path / "data")
    prepare(settings)
    assert (settings.blob_folder / STORE_ID_NAME).is_file()
    assert not has_blobs(settings.blob_folder)
    settings.data_dir.joinpath("sft.db").unlink()
    assert not is_in_use(settings)


def test_a_store_that_takes_no_mark_holds_no_start_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder in the mark's place: nothing of no file is removed, and that is all."""
    own = sample_vault(tmp_path / "data")
    own.store.delete(STORE_ID_NAME)
    (own.settings.blob_folder / STORE_ID_NAME).mkdir()
    caplog.clear()
    prepare(own.settings)
    assert [record.name for record in caplog.records] == ["sft.store"]
    assert run(own, "sweep")[1]["failures"] == {"store-of-another": 1}
