"""
Commits in doubt for every call that commits: the message to PostgreSQL or its response is lost.

The client gets 503 with Retry-After, and no data is deleted on an assumption. The rows show what happened:
to the repeated request, and to a sweep.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import attrs
import pytest
from falcon.testing import Result
from sqlalchemy import Engine

from sft_adapters.bootstrap.configuration import ephemeral_keys
from sft_adapters.bootstrap.open_application import open_unverified
from sft_adapters.memory.clock import SettableClock
from sft_adapters.settings import Settings
from sft_adapters.sql.database import SqlDatabase
from sft_core.maintenance.sweep import SweepPolicy
from sft_core.values import FileId
from sft_core.vault.model import FileState
from support.app.edge import API, Edge, edge_of
from support.faults.proxy import Loss, Proxy, relay

PART = 64 << 10
SMALL = os.urandom(1000)
LARGE = os.urandom(2 * PART + 7)
COMMIT = b"COMMIT\0"
"""The message on the wire; a BEGIN contains "READ COMMITTED" instead."""

KEY = {"Idempotency-Key": "2f6b5c1e-6f3f-4bd9-b0d6-0d4bb0f6c9aa"}


@attrs.frozen
class Doubt:
    """
    A service on PostgreSQL behind a proxy, and one user.
    """

    edge: Edge
    proxy: Proxy
    token: str

    def call(
        self, method: str, path: str, headers: Mapping[str, str] = {}, *, raw: bytes = b"", query: str = ""
    ) -> Result:
        return self.edge.call(method, path, token=self.token, raw=raw, headers=headers, query=query)

    def lose_commit(self, loss: Loss, call: Callable[[], Result], *, commit: int = 0) -> None:
        """
        Make a call whose COMMIT of this number, counted from 0, is lost, and assert that it gets 503 with Retry-After.
        """
        self.proxy.lose(COMMIT, loss, after=commit)
        response = call()
        assert self.proxy.has_triggered
        assert (response.status_code, response.json["code"]) == (503, "database-unavailable")
        assert int(response.headers["retry-after"]) > 0

    def blobs(self) -> set[str]:
        return {blob.key for blob in self.edge.application.vault.store_part.blobs.list()}

    def files(self) -> list[str]:
        return [file["id"] for file in self.call("GET", "/files/").json]

    def content(self, file: str) -> bytes:
        return bytes(self.call("GET", f"/files/{file}/download").content)

    def sweep_and_verify(self) -> None:
        """
        Sweep without grace periods, and assert that blobs match rows and that the recorded sums are exact.
        """
        policy = SweepPolicy(idle=timedelta(0), non_resumable_idle=timedelta(0), orphan_grace=timedelta(0))
        sweep_and_verify = attrs.evolve(self.edge.application.maintenance.sweep, policy=policy)()
        assert sweep_and_verify.is_complete
        assert not sweep_and_verify.failures
        begin = self.edge.application.maintenance.check_integrity.begin
        with begin(read_only=True) as unit:
            found = map(unit.files.get, unit.inventory.files(after=None, limit=100))
            files = [file for file in found if file is not None]
            parts = [part for file in files for part in unit.inventory.parts(file.id, after=-1, limit=100)]
            assert {file.state for file in files} <= {FileState.SEALED}
            assert list(unit.quota_audit.drifts()) == []
            assert sum(unit.quotas.used(owner) for owner in {file.owner for file in files}) == sum(
                file.size for file in files
            )
        assert self.blobs() == {part.blob_key for part in parts}


@pytest.fixture
def doubt(postgres_engine: Engine, tmp_path: Path) -> Iterator[Doubt]:
    parsed = urlsplit(postgres_engine.url.render_as_string(hide_password=False))
    credentials, at, _ = parsed.netloc.rpartition("@")
    assert parsed.hostname is not None
    (tmp_path / "blobs").mkdir()
    with relay(parsed.hostname, parsed.port or 5432) as proxy:
        through = parsed._replace(netloc=f"{credentials}{at}127.0.0.1:{proxy.port}").geturl()
        environ = ephemeral_keys() | {
            "DATABASE_URL": through,
            "ARGON2_MEMORY_KIB": "8192",
            "PART_SIZE": str(PART),
            "USER_QUOTA": "1000000",
        }
        settings = Settings.from_env(environ, data_dir=tmp_path)
        with open_unverified(settings) as opened:
            assert isinstance(opened.application.vault.find_file.begin, SqlDatabase)
            with opened.application.maintenance.sweep.begin() as unit:
                opened.application.maintenance.sweep.blobs.set_store_id(unit.store_identity.set_store_id("0" * 32))
                unit.commit()
            edge = edge_of(opened.application, settings, SettableClock())
            yield Doubt(edge, proxy, edge.sign_up())
            edge.pools.close()


@pytest.fixture(params=Loss, ids=lambda loss: f"lost {loss.name.lower()}")
def loss(request: pytest.FixtureRequest) -> Loss:
    loss: Loss = request.param
    return loss


@pytest.mark.parametrize("query", ["", "is_public=true&max_downloads=1"], ids=["private", "public"])
@pytest.mark.parametrize(
    ("content", "commit"), [(SMALL, 0), (LARGE, 0), (LARGE, 1)], ids=["small", "intent of a large one", "its seal"]
)
def test_upload_in_doubt_is_stored_once(doubt: Doubt, loss: Loss, content: bytes, commit: int, query: str) -> None:
    """A repeat with the same key leads to one file, whether the first request stored it or not."""

    def upload() -> Result:
        return doubt.call("PUT", "/files/once.bin", KEY, raw=content, query=query)

    doubt.lose_commit(loss, upload, commit=commit)
    is_sealed = loss is Loss.ANSWER and (content is SMALL or commit == 1)
    listed, stored = doubt.files(), doubt.blobs()
    assert len(listed) == is_sealed
    # Nothing is deleted: neither parts that may belong to a file nor parts that will not.
    assert len(stored) == (0 if content is LARGE and commit == 0 else -(-len(content) // PART))
    first = upload()
    assert first.status_code == 201
    assert stored <= doubt.blobs()
    assert doubt.files() == [first.json["id"]]
    assert not is_sealed or listed == doubt.files()
    doubt.sweep_and_verify()
    assert doubt.content(first.json["id"]) == content
    assert upload().json == first.json
    if query:
        path = f"/files/shared/{first.json['share_token']}"
        assert [doubt.call("GET", path).status_code for _ in range(2)] == [200, 403]


def test_upload_in_doubt_without_a_key_is_complete_or_deleted(doubt: Doubt, loss: Loss) -> None:
    """A committed upload stays and is complete; an uncommitted one is deleted by the sweep."""
    doubt.lose_commit(loss, lambda: doubt.call("PUT", "/files/perhaps.bin", raw=SMALL))
    assert len(doubt.blobs()) == 1
    doubt.sweep_and_verify()
    assert [doubt.content(file) for file in doubt.files()] == ([SMALL] if loss is Loss.ANSWER else [])


def test_link_in_doubt_is_issued_once(doubt: Doubt, loss: Loss) -> None:
    """A repeat with the same key returns the one link, with its one download."""
    file = doubt.call("PUT", "/files/shared.bin", raw=SMALL).json["id"]

    def share() -> Result:
        body = b'{"max_downloads": 1}'
        return doubt.call("POST", f"/files/{file}/share", KEY | {"Content-Type": "application/json"}, raw=body)

    doubt.lose_commit(loss, share)
    first = share()
    assert (first.status_code, share().json) == (200, first.json)
    with doubt.edge.application.sharing.redeem_share_link.begin(read_only=True) as unit:
        assert len(unit.links.of_files([FileId.parse(file)])) == 1
    assert doubt.call("GET", f"/files/shared/{first.json['share_token']}").content == SMALL
    doubt.sweep_and_verify()


def tus(**headers: str) -> dict[str, str]:
    named = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", **headers}
    return {name.replace("_", "-"): value for name, value in named.items()}


CREATION = tus(Upload_Length=str(len(SMALL)), Upload_Metadata="filename YQ==")


@pytest.mark.parametrize("commit", [0, 1, 2], ids=["taking over", "append", "seal"])
def test_append_in_doubt_loses_no_acknowledged_byte(doubt: Doubt, loss: Loss, commit: int) -> None:
    """HEAD returns the offset, an append from there completes the file, and no acknowledged byte is lost."""
    path = doubt.call("POST", "/tus", CREATION).headers["location"].removeprefix(API)
    acknowledged = doubt.call("PATCH", path, tus(Upload_Offset="0"), raw=SMALL[:400])
    assert acknowledged.headers["upload-offset"] == "400"

    def rest() -> Result:
        return doubt.call("PATCH", path, tus(Upload_Offset="400"), raw=SMALL[400:])

    doubt.lose_commit(loss, rest, commit=commit)
    progress = doubt.call("HEAD", path, tus())
    happened = commit + (loss is Loss.ANSWER) > 1
    assert progress.headers["upload-offset"] == (str(len(SMALL)) if happened else "400")
    if not happened:
        last = rest()
        assert (last.status_code, last.headers["upload-offset"]) == (204, str(len(SMALL)))
    (file,) = doubt.files()
    assert doubt.call("HEAD", path, tus()).headers["x-file-id"] == file
    doubt.sweep_and_verify()
    assert doubt.content(file) == SMALL


@pytest.mark.parametrize("commit", [0, 1, 2, 3], ids=["creation", "taking over", "append", "seal"])
def test_creation_with_upload_in_doubt_is_sealed_or_deleted(doubt: Doubt, loss: Loss, commit: int) -> None:
    """No client knows its URL: it is sealed, or the sweep deletes it and releases its quota."""
    doubt.lose_commit(loss, lambda: doubt.call("POST", "/tus", CREATION, raw=SMALL), commit=commit)
    doubt.sweep_and_verify()
    is_sealed = commit == 3 and loss is Loss.ANSWER
    assert [doubt.content(file) for file in doubt.files()] == ([SMALL] if is_sealed else [])


def test_download_in_doubt_is_delivered_at_most_once(doubt: Doubt, loss: Loss) -> None:
    """The download may be counted without being delivered, but is never delivered twice."""
    file = doubt.call("PUT", "/files/shared.bin", raw=SMALL, query="is_public=true&max_downloads=1").json
    path = f"/files/shared/{file['share_token']}"
    doubt.lose_commit(loss, lambda: doubt.call("GET", path))
    assert doubt.call("GET", path).status_code == (403 if loss is Loss.ANSWER else 200)
    assert doubt.call("GET", path).status_code == 403
    assert doubt.call("GET", f"/files/{file['id']}").json["download_count"] == 1
    doubt.sweep_and_verify()
    assert doubt.content(file["id"]) == SMALL


def test_deletion_in_doubt_is_completed(doubt: Doubt, loss: Loss) -> None:
    """The file is complete or in deletion; the repeat or the sweep deletes the rest and releases the quota."""
    file = doubt.call("PUT", "/files/old.bin", raw=SMALL).json["id"]
    doubt.lose_commit(loss, lambda: doubt.call("DELETE", f"/files/{file}"))
    assert len(doubt.blobs()) == 1
    if loss is Loss.REQUEST:
        assert doubt.content(file) == SMALL
    assert doubt.call("DELETE", f"/files/{file}").status_code == (404 if loss is Loss.ANSWER else 204)
    doubt.sweep_and_verify()
    assert doubt.files() == []
    assert doubt.blobs() == set()


def test_last_commit_of_a_deletion_in_doubt_is_completed(doubt: Doubt, loss: Loss) -> None:
    """The key is destroyed, so the response reports success, and the sweep deletes a remaining row."""
    file = doubt.call("PUT", "/files/old.bin", raw=SMALL).json["id"]
    doubt.proxy.lose(COMMIT, loss, after=1)
    assert doubt.call("DELETE", f"/files/{file}").status_code == 204
    assert doubt.proxy.has_triggered
    doubt.sweep_and_verify()
    assert doubt.files() == []
