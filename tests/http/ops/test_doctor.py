"""
`sft doctor`: each kind of damage has its own code, and a repair changes only what it reports as repaired.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import attrs
import psycopg
import pytest
from click.testing import CliRunner

from sft_adapters.bootstrap.storage import prepare
from sft_core.application import Application
from sft_core.errors import ConfigurationError
from sft_core.maintenance.integrity_check import CheckCounts, Sample
from sft_core.values import FileName
from sft_http.cli.main import sft
from support.app.library import register
from support.faults import damaged_vault as plant
from support.faults.damaged_vault import Bucket, SampleVault, copy_of, sample_vault
from support.servers.backends import S3
from support.servers.processes import free_port

RUNNER = CliRunner()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> SampleVault:
    return sample_vault(tmp_path_factory.mktemp("template") / "data")


@pytest.fixture
def on_disk(template: SampleVault, tmp_path: Path) -> SampleVault:
    return copy_of(template, tmp_path / "data")


@pytest.fixture
def on_s3(template: SampleVault, tmp_path: Path, own_s3: S3, bucket: str) -> SampleVault:
    return copy_of(template, tmp_path / "data", Bucket(own_s3, bucket))


@attrs.frozen
class Report:
    """
    The exit status and the JSON report of the command.
    """

    status: int
    data: dict[str, Any]

    @property
    def codes(self) -> list[str]:
        return [finding["code"] for finding in self.data["findings"]]


def doctor(vault: SampleVault, *options: str, **environ: str) -> Report:
    command = ["doctor", "--data", str(vault.settings.data_dir), "--json", *options]
    result = RUNNER.invoke(sft, command, env={**vault.environ, **environ})
    return Report(result.exit_code, json.loads(result.stdout) if result.stdout.startswith("{") else {})


Damage = Callable[[SampleVault], None]

IN_THE_STORE: list[tuple[Damage, str]] = [
    (plant.missing_part, "missing-part"),
    (plant.short_part, "short-part"),
    (plant.emptied_part, "short-part"),
    (plant.long_part, "long-part"),
    *((plant.flipped(at), "altered-part") for at in (0, 30, 56, -1)),
    (plant.flipped_in_an_empty_file, "altered-part"),
    (plant.foreign_part, "foreign-part"),
    (plant.foreign_longer_part, "foreign-part"),
    (plant.swapped_parts, "foreign-part"),
    (plant.random_part, "foreign-part"),
    (plant.older_part, "older-part"),
    (plant.orphan_part, "orphan-part"),
    (plant.orphan_in_file_folder, "orphan-part"),
]
IN_THE_ROWS: list[tuple[Damage, str]] = [
    (plant.row_without_a_file, "dangling-row"),
    (plant.file_without_parts, "dangling-row"),
    (plant.manifest_with_a_gap, "incomplete-manifest"),
    *((plant.unreadable_row(*bad), "damaged-row") for bad in (("max_downloads", 0), ("created_at", "x"))),
    (plant.altered_manifest, "altered-manifest"),
    (plant.key_of_another_file, "wrong-file-key"),
    (plant.wrong_file_key, "wrong-file-key"),
    (plant.no_file_key, "wrong-file-key"),
    (plant.unknown_key_id, "unknown-key-id"),
    (plant.unknown_key_of_a_link, "unknown-key-id"),
    (plant.unknown_key_of_a_second_factor, "unknown-key-id"),
    (plant.file_without_owner, "dangling-row"),
    (plant.link_without_file, "dangling-row"),
    (plant.link_without_owner, "dangling-row"),
    (plant.upload_without_file, "dangling-row"),
    (plant.usage_without_owner, "dangling-row"),
    (plant.undecryptable_token, "wrong-wrapped-secret"),
    (plant.seed_of_another_user, "wrong-wrapped-secret"),
    (plant.truncated_seed, "wrong-wrapped-secret"),
    (plant.quota_drift, "quota-drift"),
    (plant.held_drift, "quota-drift"),
    (plant.stuck_upload, "stuck-upload"),
    (plant.unfinished_removal, "unfinished-removal"),
]
REPAIRED = {"orphan-part", "quota-drift", "stuck-upload", "unfinished-removal"}
NEEDS_READING = {"altered-part", "foreign-part", "older-part"}
"""
Codes found only by reading the parts, not by listing the store.

A listing reports a foreign part that is longer as `long-part`.
"""
NAMES = [plant.__name__ for plant, _ in IN_THE_STORE + IN_THE_ROWS]


IN_BOTH: list[tuple[Damage, list[str]]] = [
    (plant.unfinished_removal_of_a_miscounted_owner, ["unfinished-removal", "quota-drift"]),
    (plant.part_in_another_folder, ["missing-part", "misplaced-part"]),
    (plant.part_under_another_name, ["short-part", "misplaced-part"]),
    (plant.file_in_another_folder, ["missing-part"] * 3 + ["misplaced-part"] * 3),
    (plant.misnamed_part, ["missing-part", "misplaced-part"]),
]
"""Damage with several findings: a part that is missing under its key may be stored under a key that no row names."""


def check_damage(vault: SampleVault, damage: Damage, *codes: str) -> None:
    """
    The damage is reported under exactly these codes; a check changes nothing, and a repair changes nothing else.

    Every blob is first made older than the grace period, so that a repair would delete it if it were an orphan.
    """
    healthy = vault.snapshot()
    damage(vault)
    vault.age_all()
    damaged = vault.snapshot()
    assert damaged != healthy
    seen = [code for code in codes if code not in NEEDS_READING]
    from_listing = ["long-part"] if damage is plant.foreign_longer_part else seen
    assert doctor(vault).codes == from_listing
    found = doctor(vault, "--verify-data")
    assert (found.codes, found.status) == ([*codes], 1)
    assert vault.snapshot() == damaged
    repaired = doctor(vault, "--verify-data", "--repair")
    assert repaired.codes == [*codes]
    assert [finding["is_repaired"] for finding in repaired.data["findings"]] == [code in REPAIRED for code in codes]
    is_repaired = REPAIRED.issuperset(codes)
    assert repaired.status == (0 if is_repaired else 1)
    assert vault.snapshot() == (healthy if is_repaired else damaged)
    assert doctor(vault, "--verify-data").codes == ([] if is_repaired else [*codes])


@pytest.mark.parametrize(("damage", "code"), IN_THE_STORE + IN_THE_ROWS, ids=NAMES)
def test_planted_damage_in_a_folder_is_reported_under_its_code(on_disk: SampleVault, damage: Damage, code: str) -> None:
    """The database is SQLite and the blob store is a folder."""
    check_damage(on_disk, damage, code)


@pytest.mark.parametrize(("damage", "codes"), IN_BOTH, ids=[damage.__name__ for damage, _ in IN_BOTH])
def test_damage_with_several_findings_is_reported_under_every_code(
    on_disk: SampleVault, damage: Damage, codes: list[str]
) -> None:
    """Neither a repair nor a sweep moves or deletes a blob that may be the only copy."""
    check_damage(on_disk, damage, *codes)
    before = on_disk.snapshot()
    result = RUNNER.invoke(sft, ["sweep", "--data", str(on_disk.settings.data_dir)], env=on_disk.environ)
    assert (result.exit_code, on_disk.snapshot()) == (0, before)


@pytest.mark.parametrize(("code", "damage"), {code: damage for damage, code in IN_THE_STORE}.items())
def test_planted_damage_in_a_bucket_is_reported_under_its_code(on_s3: SampleVault, code: str, damage: Damage) -> None:
    """The database is SQLite and the blob store is S3; one damage of each kind."""
    check_damage(on_s3, damage, code)


def test_healthy_vault_has_no_findings(on_disk: SampleVault) -> None:
    """With every combination of options the report has no findings, nothing changes, and the status is 0."""
    before = on_disk.snapshot()
    for options, parts in (([], 0), (["--repair"], 0), (["--verify-data"], 8), (["--verify-data", "--repair"], 8)):
        report = doctor(on_disk, *options)
        assert (report.codes, report.status) == ([], 0)
        assert (report.data["files"], report.data["parts_read"], report.data["failures"]) == (4, parts, {})
        assert [(check["name"], check["is_well"]) for check in report.data["checks"]] == [
            ("keys", True),
            ("database", True),
            ("store", True),
        ]
    assert on_disk.snapshot() == before


def test_postgresql_vault_is_checked_and_repaired(tmp_path: Path, postgres_url: str) -> None:
    """A healthy vault has no findings, and a quota drift is reported once and repaired."""
    environ = {"DATABASE_URL": postgres_url}
    own = sample_vault(tmp_path / "data", environ)
    assert (doctor(own, "--verify-data").codes, doctor(own).data["files"]) == ([], 4)
    with psycopg.connect(postgres_url) as connection:
        connection.execute("UPDATE usages SET bytes = bytes + 1")
    for codes in (["quota-drift"], []):
        assert doctor(own, "--repair").codes == codes


def test_postgresql_rows_with_missing_references_are_each_reported(tmp_path: Path, postgres_url: str) -> None:
    """Each row has one finding for each missing reference or unreadable secret, and a repair changes none of them."""
    own = sample_vault(tmp_path / "data", {"DATABASE_URL": postgres_url})
    with psycopg.connect(postgres_url) as connection:
        connection.execute("ALTER TABLE files DROP CONSTRAINT fk_files_owner_id")
        connection.execute("ALTER TABLE links DROP CONSTRAINT fk_links_owner_id, DROP CONSTRAINT fk_links_file_id")
        connection.execute("ALTER TABLE uploads DROP CONSTRAINT fk_uploads_file_id")
        connection.execute("ALTER TABLE usages DROP CONSTRAINT fk_usages_owner_id")
        connection.execute("UPDATE files SET owner_id = %s WHERE size = 0", [bytes(16)])
        connection.execute("UPDATE links SET owner_id = %s, file_id = %s", [bytes(16), bytes(16)])
        connection.execute("UPDATE links SET wrapped_token = sha256(wrapped_token)")
        connection.execute("UPDATE users SET totp_seed = sha256(totp_seed)")
        connection.execute("INSERT INTO usages VALUES (%s, 0)", [bytes(16)])
        columns = "(file_id, kind, is_public, metadata, sources, writer)"
        connection.execute(f"INSERT INTO uploads {columns} VALUES (%s, 'whole', false, '', '', 0)", [bytes(16)])
    for options in ([], ["--repair"], []):
        report = doctor(own, *options)
        assert report.status == 1
        assert not any(finding["is_repaired"] for finding in report.data["findings"])
        data = Counter((finding["code"], finding["subject"].split()[0]) for finding in report.data["findings"])
        assert data == {
            ("dangling-row", "file"): 1,
            ("dangling-row", "link"): 2,
            ("dangling-row", "upload"): 1,
            ("dangling-row", "usage"): 1,
            ("wrong-wrapped-secret", "link"): 1,
            ("wrong-wrapped-secret", "user"): 1,
        }


def test_deleted_user_row_leaves_findings_for_each_dependent_row(on_disk: SampleVault) -> None:
    """Each of the user's files, their link and their usage row is reported as a dangling row."""
    on_disk.rows("DELETE FROM users")
    report = doctor(on_disk)
    subjects = Counter(finding["subject"].split()[0] for finding in report.data["findings"])
    assert (report.status, set(report.codes), subjects) == (1, {"dangling-row"}, {"file": 4, "link": 1, "usage": 1})


def test_several_damages_are_all_reported(on_disk: SampleVault) -> None:
    """No damage hides another."""
    damages: list[Damage] = [
        plant.missing_part,
        plant.flipped_in_an_empty_file,
        plant.orphan_part,
        plant.unfinished_removal_of_a_miscounted_owner,
    ]
    for damage in damages:
        damage(on_disk)
    on_disk.rows("UPDATE files SET created_at = 'x' WHERE id = ?", on_disk.small.id.bytes)
    # The unreadable row counts towards the quota with an unknown size: the quota is not recomputed.
    unrepaired = ["altered-part", "damaged-row", "missing-part", "quota-drift"]
    report = doctor(on_disk, "--verify-data", "--repair")
    assert sorted(report.codes) == sorted([*unrepaired, "orphan-part", "unfinished-removal"])
    assert report.status == 1
    assert sorted(doctor(on_disk, "--verify-data").codes) == unrepaired


def test_unfinished_upload_and_young_orphan_are_not_reported(on_disk: SampleVault) -> None:
    """The upload is between two parts that no manifest lists yet, and the orphan is within its grace period."""
    with on_disk.opened() as application:
        upload = application.vault.begin_upload(owner=on_disk.small.owner, name=FileName.parse("new.bin"))
        application.vault.store_part(upload, b"half")
        on_disk.store.write(f"{7:032x}/1-00000000-{7:016x}", b"young")
        before = on_disk.snapshot()
        assert doctor(on_disk, "--verify-data").codes == []
        assert on_disk.snapshot() == before
    assert doctor(on_disk, "--verify-data", "--repair").codes == []
    assert on_disk.snapshot() == before


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_concurrent_changes_are_not_reported(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """Users register, upload, share, set up a second factor and delete files while the rows are checked."""
    # An old SQLite is unsafe for several writing processes; this test has several threads of one process.
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: True)
    more = {"DATABASE_URL": request.getfixturevalue("postgres_url")} if database == "postgresql" else {}
    own, is_stopped = sample_vault(tmp_path / "data", more), Event()

    def work(application: Application, name: str) -> int:
        rounds = 0
        while rounds < 3 or not is_stopped.is_set():
            user = register(application, f"{name}{rounds}")
            upload = application.vault.begin_upload(owner=user.id, name=FileName.parse("a.txt"))
            application.vault.store_part(upload, b"some")
            file = application.sharing.seal_upload(upload).file
            application.sharing.issue_share_link(owner=user.id, file_id=file.id)
            application.users.set_up_totp(user=user)
            application.vault.delete_file(owner=user.id, file_id=file.id)
            rounds += 1
        return rounds

    with own.opened() as application, ThreadPoolExecutor() as pool:
        users = [pool.submit(work, application, name) for name in ("ann", "bob")]
        try:
            found = [list(application.maintenance.check_integrity.check_records()) for _ in range(20)]
        finally:
            is_stopped.set()
        assert all(rounds.result() >= 3 for rounds in users)
    assert found == [[]] * 20


def test_sample_reads_a_random_fraction_of_the_parts(on_disk: SampleVault) -> None:
    """Each run reads other parts; a malformed fraction or a sample without `--verify-data` is refused with status 2."""
    read = [CheckCounts() for _ in range(40)]
    with on_disk.opened() as application:
        for seen in read:
            assert list(application.maintenance.check_integrity(verify=Sample(1, 2), counts=seen)) == []
    assert len({seen.parts_read for seen in read}) > 1
    assert doctor(on_disk, "--verify-data", "--sample", "3/3").data["parts_read"] == 8
    for wrong in ("0/1", "2/1", "1/0", "0.5", "1", "-1/2", "", "1/9999999999"):
        assert doctor(on_disk, "--verify-data", "--sample", wrong).status == 2
    assert doctor(on_disk, "--sample", "1/2").status == 2


def test_text_output_has_a_line_for_each_check_and_finding(on_disk: SampleVault) -> None:
    """The last line is the summary, and no file name of a user is shown."""
    plant.quota_drift(on_disk)
    command = ["doctor", "--data", str(on_disk.settings.data_dir), "--repair"]
    result = RUNNER.invoke(sft, command, env=on_disk.environ)
    assert result.exit_code == 0
    words = [line.split()[0] for line in result.output.splitlines()]
    assert words == ["ok", "ok", "ok", "quota-drift", "4"]
    assert result.output.splitlines()[3].endswith("(repaired)")
    assert result.output.splitlines()[4] == "4 files checked, 0 parts read, 1 findings, 1 of them repaired"
    assert "notes.bin" not in result.output


def test_text_output_names_code_subject_and_repair_of_each_finding(on_disk: SampleVault) -> None:
    """Each line has the finding's code and its subject, and ends in "(repaired)" if it was repaired."""
    for damage in (plant.missing_part, plant.flipped_in_an_empty_file, plant.orphan_part, plant.quota_drift):
        damage(on_disk)
    command = ["doctor", "--data", str(on_disk.settings.data_dir), "--verify-data", "--repair"]
    result = RUNNER.invoke(sft, command, env=on_disk.environ)
    assert result.exit_code == 1
    lines = {line.split()[0]: line for line in result.output.splitlines() if "-" in line.split()[0]}
    about = {
        "missing-part": f"file {on_disk.large.id} part 1",
        "altered-part": f"file {on_disk.empty.id} part 0",
        "orphan-part": f"blob {7:032x}/1-00000000-{7:016x}",
        "quota-drift": f"user {on_disk.small.owner}",
    }
    assert lines.keys() == about.keys()
    assert all(subject in lines[code] for code, subject in about.items())
    assert {code for code, line in lines.items() if line.endswith("(repaired)")} == {"orphan-part", "quota-drift"}


# --- storage that cannot be checked ------------------------------------------------------------------------


def test_missing_encryption_key_is_named(on_disk: SampleVault) -> None:
    """The status is 2: without the key every part would look damaged."""
    (on_disk.settings.data_dir / "keys" / "encryption.key").unlink()
    result = RUNNER.invoke(sft, ["doctor", "--data", str(on_disk.settings.data_dir)], env=on_disk.environ)
    assert result.exit_code == 2
    assert "ENCRYPTION_KEY" in result.output
    assert "Traceback" not in result.output


def test_missing_database_is_not_created(tmp_path: Path) -> None:
    """The status is 2, and the data folder is not created either."""
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    result = RUNNER.invoke(sft, ["doctor", "--data", str(tmp_path / "data")], env=keys)
    assert result.exit_code == 2
    assert "there is no database" in result.output
    assert not (tmp_path / "data").exists()


def test_unreachable_blob_store_has_status_2(on_disk: SampleVault) -> None:
    """Without the store no part can be checked."""
    away = {"MINIO_ENDPOINT": f"127.0.0.1:{free_port()}", "MINIO_SECURE": "false"}
    keys = {"MINIO_ACCESS_KEY": "somebody", "MINIO_SECRET_KEY": "s9dK2jfa8"}
    assert doctor(on_disk, **away, **keys).status == 2


def test_unreachable_redis_has_status_1(on_disk: SampleVault) -> None:
    """The service runs without Redis, but the operator is informed."""
    report = doctor(on_disk, REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    assert report.status == 1
    assert [check["is_well"] for check in report.data["checks"] if check["name"] == "redis"] == [False]


def test_repair_beside_a_running_server_is_refused_on_an_old_sqlite(
    on_disk: SampleVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only one process may write, a check is still possible beside the server."""
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    with on_disk.opened():
        assert doctor(on_disk).status == 0
        assert doctor(on_disk, "--repair").status == 2


def data_of(vault: SampleVault) -> Path:
    return vault.settings.data_dir


def missing_folder(vault: SampleVault) -> None:
    (data_of(vault) / "blobs").rename(data_of(vault) / "elsewhere")


def file_in_place_of_folder(vault: SampleVault) -> None:
    missing_folder(vault)
    (data_of(vault) / "blobs").touch()


def symlink_loop(vault: SampleVault) -> None:
    missing_folder(vault)
    (data_of(vault) / "blobs").symlink_to("blobs")


def missing_key(vault: SampleVault) -> None:
    (data_of(vault) / "keys/encryption.key").unlink()


def malformed_key(vault: SampleVault) -> None:
    (data_of(vault) / "keys/encryption.key").write_text("nonsense")


def missing_database(vault: SampleVault) -> None:
    (data_of(vault) / "sft.db").unlink()


def noise_in_place_of_database(vault: SampleVault) -> None:
    (data_of(vault) / "sft.db").write_bytes(b"noise" * 1000)


def at_revision(revision: str) -> Damage:
    def damage(vault: SampleVault) -> None:
        with closing(sqlite3.connect(data_of(vault) / "sft.db")) as database, database:
            database.execute("UPDATE alembic_version SET version_num = ?", [revision])

    damage.__name__ = f"at revision {revision}"
    return damage


@pytest.mark.parametrize(
    ("damage", "name", "code", "words"),
    [
        (missing_folder, "store", "blob-store-unavailable", "blobs, the folder of blobs: No such file"),
        (file_in_place_of_folder, "store", "blob-store-unavailable", "Not a directory"),
        (symlink_loop, "store", "blob-store-unavailable", "Too many levels"),
        (missing_key, "keys", "configuration", "ENCRYPTION_KEY is neither set nor in"),
        (malformed_key, "settings", "configuration", "holds no ENCRYPTION_KEY"),
        (missing_database, "database", "configuration", "there is no database"),
        (noise_in_place_of_database, "database", "database-unavailable", "not a database"),
        (at_revision("0001"), "database", "configuration", "older than this version: run `sft migrate`"),
        (at_revision("9999"), "database", "configuration", "made by a newer version"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_failed_check_is_a_finding_with_status_2(
    on_disk: SampleVault, damage: Damage, name: str, code: str, words: str
) -> None:
    """Keys, settings, database or store: both output formats name the failed check and its reason."""
    damage(on_disk)
    report = doctor(on_disk)
    assert (report.status, report.codes, report.data["failures"]) == (2, [code], {code: 1})
    (finding,) = report.data["findings"]
    assert finding["subject"] == name
    assert words in finding["detail"]
    assert [check["name"] for check in report.data["checks"] if not check["is_well"]] == [name]
    result = RUNNER.invoke(sft, ["doctor", "--data", str(data_of(on_disk))], env=on_disk.environ)
    assert result.exit_code == 2
    assert f"FAILED               {name}" in result.output
    assert words in result.output


def idempotency_record_under_another_key(vault: SampleVault) -> None:
    vault.rows("UPDATE claims SET key_id = '0123456789abcdef'")


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (idempotency_record_under_another_key, []),
        (plant.unknown_key_of_a_link, ["unknown-key-id"]),
        (plant.unknown_key_of_a_second_factor, ["unknown-key-id"]),
    ],
)
def test_keys_that_prevent_a_start_fail_the_keys_check(on_disk: SampleVault, damage: Damage, codes: list[str]) -> None:
    """The status is 1 and the detail is the start's own error; all other checks run, and nothing is changed."""
    damage(on_disk)
    plant.quota_drift(on_disk)
    before = on_disk.snapshot()
    with pytest.raises(ConfigurationError) as refused:
        prepare(on_disk.settings)
    report = doctor(on_disk, "--verify-data")
    assert on_disk.snapshot() == before
    checks = {check["name"]: check for check in report.data["checks"]}
    assert [name for name, check in checks.items() if not check["is_well"]] == ["keys"]
    assert checks["keys"]["detail"] == refused.value.detail
    assert (report.status, report.codes, report.data["failures"]) == (1, [*codes, "quota-drift"], {})
    assert (report.data["files"], report.data["parts_read"]) == (4, 8)
    result = RUNNER.invoke(sft, ["doctor", "--data", str(data_of(on_disk))], env=on_disk.environ)
    assert result.exit_code == 1
    assert result.output.splitlines()[0] == f"FAILED               keys      {refused.value.detail}"


def test_keys_of_another_service_repair_nothing(on_disk: SampleVault) -> None:
    """Every secret is reported under `unknown-key-id`; with its own key as a retiring key the vault is repaired."""
    plant.orphan_part(on_disk)
    before = on_disk.snapshot()
    own = (data_of(on_disk) / "keys/encryption.key").read_text().strip()
    other = base64.b64encode(os.urandom(32)).decode()
    report = doctor(on_disk, "--repair", ENCRYPTION_KEY=other)
    assert [check["is_well"] for check in report.data["checks"]] == [False, True, True]
    assert (report.status, set(report.codes)) == (1, {"unknown-key-id", "orphan-part"})
    assert on_disk.snapshot() == before
    assert doctor(on_disk, "--repair", ENCRYPTION_KEY=other, ENCRYPTION_KEYS_RETIRING=own).status == 0


def test_key_missing_for_few_rows_is_a_finding_and_no_failed_check(on_disk: SampleVault) -> None:
    """The service starts, so the keys check passes, and the rows are reported."""
    plant.unknown_key_id(on_disk)
    prepare(on_disk.settings)
    report = doctor(on_disk)
    assert (report.status, report.codes) == (1, ["unknown-key-id"])
    assert all(check["is_well"] for check in report.data["checks"])


def rows(statement: str) -> Damage:
    def damage(vault: SampleVault) -> None:
        with closing(sqlite3.connect(data_of(vault) / "sft.db")) as database, database:
            database.execute(statement)

    damage.__name__ = statement
    return damage


@pytest.mark.parametrize("change", [f"created_at = {2**63 - 1}", "owner_id = x'00'", "expires_hours = 'x'"])
def test_unreadable_file_rows_are_each_reported(on_disk: SampleVault, change: str) -> None:
    """Each of the four files has one `damaged-row` finding, beside the findings that follow from it."""
    on_disk.rows(f"UPDATE files SET {change}")
    report = doctor(on_disk, "--repair")
    assert report.status == 1
    assert report.codes.count("damaged-row") == 4


@pytest.mark.parametrize("size", ["7", "'x'"])
def test_quota_drift_from_a_wrong_file_size_is_not_repaired(on_disk: SampleVault, size: str) -> None:
    """The file's parts have another size: the drift is reported, and an operator has to decide."""
    on_disk.rows(f"UPDATE files SET size = {size} WHERE id = ?", on_disk.large.id.bytes)
    before = on_disk.snapshot()
    report = doctor(on_disk, "--repair")
    assert (report.codes, report.status) == (["incomplete-manifest", "quota-drift"], 1)
    assert on_disk.snapshot() == before


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (rows("DROP TABLE usages"), "a statement or the connection failed"),
        (rows("UPDATE parts SET size = 'much'"), "TypeError"),
        (rows("INSERT INTO alembic_version VALUES ('0001')"), "CommandError"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_unusable_tables_end_the_check_with_a_finding(on_disk: SampleVault, damage: Damage, words: str) -> None:
    """The status is 2, and the JSON output is still one object."""
    damage(on_disk)
    report = doctor(on_disk)
    assert (report.status, report.codes) == (2, ["database-unavailable"])
    assert report.data["failures"] == {"database-unavailable": 1}
    assert [check["name"] for check in report.data["checks"] if not check["is_well"]] == ["storage"]
    assert words in report.data["findings"][0]["detail"]


def test_unreachable_server_is_a_finding(on_disk: SampleVault) -> None:
    """Once the database server, once the blob store's."""
    report = doctor(on_disk, DATABASE_URL=f"postgresql://sft@127.0.0.1:{free_port()}/sft")
    assert (report.status, report.codes) == (2, ["database-unavailable"])
    away = {"MINIO_ENDPOINT": f"127.0.0.1:{free_port()}", "MINIO_SECURE": "false"}
    report = doctor(on_disk, **away, MINIO_ACCESS_KEY="somebody", MINIO_SECRET_KEY="s9dK2jfa8")
    assert (report.status, report.codes) == (2, ["blob-store-unavailable"])


def test_missing_bucket_is_a_finding(on_s3: SampleVault) -> None:
    """The S3 server itself responds."""
    report = doctor(on_s3, MINIO_BUCKET_NAME="nobodys-bucket")
    assert (report.status, len(report.codes)) == (2, 1)
    assert report.data["findings"][0]["subject"] == "store"
