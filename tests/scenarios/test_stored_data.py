"""
Data folder and database of an earlier commit are opened unchanged, and every stored fact is confirmed.

`stored_data/README.md` describes the data. The clock of all tests is set to the time recorded for opening it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import attrs
import pytest

from sft_adapters.bootstrap import open_service
from sft_adapters.memory.clock import SettableClock
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.errors import DownloadLimitReached
from sft_core.values import EmailAddress, FileId, Password, ShareToken
from support.clients.wire import Response
from support.servers.stored_data import Api, Copy, Kind, content, copied, sha256

WRONG_CODE_STEPS = 10
"""Age of a one-time code in steps at which it is no longer accepted."""


@contextmanager
def copy_of(kind: Kind, root: Path, request: pytest.FixtureRequest) -> Iterator[Copy]:
    server = request.getfixturevalue("postgres") if kind == "postgres" else None
    with copied(kind, root, server) as copy:
        yield copy


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture(scope="module")
def read_only(kind: Kind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """
    A copy whose blobs no test changes.
    """
    with copy_of(kind, tmp_path_factory.mktemp("read"), request) as copy:
        yield copy


@pytest.fixture(scope="module")
def read_api(read_only: Copy) -> Iterator[Api]:
    """
    A service on the copy whose blobs no test changes.
    """
    with read_only.served() as api:
        yield api


@pytest.fixture(scope="module")
def writable(kind: Kind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """
    A copy that tests change; each fact is used by one test only.
    """
    with copy_of(kind, tmp_path_factory.mktemp("written"), request) as copy:
        yield copy


@pytest.fixture(scope="module")
def write_api(writable: Copy) -> Iterator[Api]:
    """
    A service on the copy that tests change.
    """
    with writable.served() as api:
        yield api


@pytest.fixture
def fresh(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """
    A copy that no service has opened.
    """
    with copy_of(kind, tmp_path, request) as copy:
        yield copy


def access_token(copy: Copy, username: str = "maya") -> str:
    """
    Return the stored access token of a user, valid for 30 minutes from shortly before the data is opened.
    """
    return str(copy.facts["sessions"]["access_token" if username == "maya" else "access_token_with_totp"])


def code_at(copy: Copy, steps: int = 0) -> str:
    """
    Return the one-time code of the stored second factor, this many 30-second steps after the time of opening.
    """
    return code_of(copy.facts["totp_seed"], step_at(copy.opened_at + timedelta(seconds=30 * steps)))


def problem(response: Response) -> tuple[int, str]:
    return response.status, response.json()["code"]


# --- commands on data that no service has opened ------------------------------------------------


def test_stored_schema_is_current(fresh: Copy) -> None:
    """No migration is needed."""
    checked = fresh.command("migrate", "--check")
    assert checked.returncode == 0, checked.stderr


def test_doctor_has_no_findings(fresh: Copy) -> None:
    """Every row and blob is intact and decrypts, and the store belongs to the database."""
    examined = fresh.command("doctor", "--verify-data", "--json")
    output = json.loads(examined.stdout)
    assert examined.returncode == 0, output
    assert output["findings"] == []
    assert output["failures"] == {}
    unfinished = len(fresh.facts["uploads"]) + len(fresh.facts["pieces"])
    assert output["files"] == len(fresh.facts["files"]) + unfinished
    assert fresh.files() == fresh.stored_files()


def test_sweep_deletes_nothing(fresh: Copy) -> None:
    """Neither a dry run nor a sweep finds an orphan, an idle upload or an expired row, and no file changes."""
    for options in (("--dry-run",), ()):
        swept = fresh.command("sweep", "--json", *options)
        assert swept.returncode == 0, swept.stderr
        output = json.loads(swept.stdout)
        assert {name: number for name, number in output.items() if number} == {"is_complete": True}
    assert fresh.files() == fresh.stored_files()


def test_sweep_counts_an_orphaned_part(fresh: Copy) -> None:
    """The stored blobs are older than the grace period, so an orphan among them is counted."""
    file = next(iter(fresh.facts["files"]))
    stray = fresh.data / "blobs" / file.replace("-", "") / ("1-00000009-" + "0" * 16)
    stray.write_bytes(content("a part of no file", 500))
    os.utime(stray, 2 * (fresh.stored_at.timestamp(),))
    assert json.loads(fresh.command("sweep", "--dry-run", "--json").stdout)["orphans"] == 1


def test_key_ring_has_the_stored_keys(fresh: Copy) -> None:
    """The active and the earlier key are both needed, and the retired one is not listed."""
    listed = fresh.command("keys", "list", "--json")
    keys = {key["id"]: key for key in json.loads(listed.stdout)["keys"]}
    facts = fresh.facts["keys"]
    assert {name: key["state"] for name, key in keys.items()} == {
        facts["active"]: "active",
        facts["earlier"]: "earlier",
    }
    assert all(key["needed_by"]["file-key"] and key["needed_by"]["share-token"] for key in keys.values())
    assert keys[facts["earlier"]]["needed_by"]["totp"] == 1


@pytest.mark.slow
def test_earlier_key_is_rotated_and_retired(fresh: Copy) -> None:
    """Its secrets are re-wrapped under the active key, and everything stays readable."""
    earlier = fresh.facts["keys"]["earlier"]
    for words in (("keys", "rotate"), ("keys", "retire", earlier), ("doctor", "--verify-data")):
        done = fresh.command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    with fresh.served() as api:
        assert_contents(api, fresh)
        noor = fresh.facts["users"]["noor"]
        assert api.sign_in(noor["email"], noor["password"], totp_code=code_at(fresh)).status == 200


def test_retired_key_in_place_of_the_active_one_is_refused(fresh: Copy) -> None:
    """The integrity check names the key that is needed."""
    retired = (fresh.data / "keys" / f"encryption-{fresh.facts['keys']['retired']}.key.retired").read_text()
    (fresh.data / "keys" / "encryption.key").write_text(retired)
    examined = fresh.command("doctor")
    assert examined.returncode != 0
    assert fresh.facts["keys"]["active"] in examined.stdout


# --- the HTTP API: reading the data -------------------------------------------------------------


def assert_contents(api: Api, copy: Copy) -> None:
    """
    Assert that every stored file is downloaded by its owner, byte for byte, with its headers.
    """
    for file, fact in copy.facts["files"].items():
        path, token = f"/files/{file}/download", access_token(copy, fact["owner"])
        response = api.call("GET", path, token=token)
        assert response.status == 200
        assert response.body == content(fact["name"], fact["size"])
        assert sha256(response.body) == fact["sha256"]
        assert response.headers["etag"] == fact["etag"]
        assert response.headers["content-type"] == fact["media_type"]
        assert response.headers["content-disposition"].startswith("attachment")


def test_stored_password_signs_in(read_api: Api, read_only: Copy) -> None:
    """The account has the stored id and fields; another password is refused."""
    maya = read_only.facts["users"]["maya"]
    tokens = read_api.sign_in(maya["email"], maya["password"])
    assert tokens.status == 200
    user = read_api.call("GET", "/auth/me", token=tokens.json()["access_token"]).json()
    changed = {"last_login"}
    assert {name: user[name] for name in maya["user"].keys() - changed} == {
        name: value for name, value in maya["user"].items() if name not in changed
    }
    assert problem(read_api.sign_in(maya["email"], maya["password"] + "!")) == (401, "bad-credentials")


def test_stored_second_factor_is_required_and_accepted(read_api: Api, read_only: Copy) -> None:
    """A code of the stored seed signs in; a code that is too old is refused."""
    noor = read_only.facts["users"]["noor"]
    account = noor["email"], noor["password"]
    assert problem(read_api.sign_in(*account)) == (400, "totp-required")
    wrong = read_api.sign_in(*account, totp_code=code_at(read_only, -WRONG_CODE_STEPS))
    assert problem(wrong) == (401, "bad-totp-code")
    assert read_api.sign_in(*account, totp_code=code_at(read_only)).status == 200


def test_stored_access_token_is_accepted(read_api: Api, read_only: Copy) -> None:
    """A token signed by the earlier commit identifies its user."""
    for username, fact in read_only.facts["users"].items():
        me = read_api.call("GET", "/auth/me", token=access_token(read_only, username))
        assert me.status == 200
        assert me.json()["id"] == fact["user"]["id"]


def test_stored_files_are_listed(read_api: Api, read_only: Copy) -> None:
    """Each owner's listing has the same files in the same order with the same fields, links included."""
    for username, fact in read_only.facts["users"].items():
        token = access_token(read_only, username)
        listed = read_api.call("GET", "/files/", token=token).json()
        assert [found | stored for found, stored in zip(listed, fact["files"], strict=True)] == listed
        for stored in fact["files"]:
            found = read_api.call("GET", f"/files/{stored['id']}", token=token).json()
            assert found | stored == found


def test_stored_files_are_downloaded_without_changes_on_the_disk(read_api: Api, read_only: Copy) -> None:
    """All contents are those that were uploaded, and only SQLite's own files may have changed."""
    assert_contents(read_api, read_only)
    assert read_only.files() == read_only.stored_files()


def test_range_over_two_stored_parts_is_downloaded(read_api: Api, read_only: Copy) -> None:
    """The stored ETag is accepted in `If-Range`, and the range has exactly its bytes."""
    file, fact = next((file, fact) for file, fact in read_only.facts["files"].items() if fact["size"] > 65_536)
    headers = {"Range": "bytes=65000-66000", "If-Range": fact["etag"]}
    response = read_api.call("GET", f"/files/{file}/download", token=access_token(read_only), headers=headers)
    assert response.status == 206
    assert response.headers["content-range"] == f"bytes 65000-66000/{fact['size']}"
    assert response.body == content(fact["name"], fact["size"])[65_000:66_001]


def test_stored_file_of_another_user_is_404(read_api: Api, read_only: Copy) -> None:
    """A stored file is readable by its owner only."""
    for file, fact in read_only.facts["files"].items():
        other = "noor" if fact["owner"] == "maya" else "maya"
        response = read_api.call("GET", f"/files/{file}/download", token=access_token(read_only, other))
        assert problem(response) == (404, "file-not-found")


def test_stored_uploads_report_their_offsets(read_api: Api, read_only: Copy) -> None:
    """HEAD returns offset, length and metadata of each unfinished upload."""
    for fact in read_only.facts["uploads"].values():
        head = read_api.tus("HEAD", fact["path"], access_token(read_only))
        assert head.status == 200
        assert head.headers["upload-offset"] == str(fact["offset"])
        assert head.headers["upload-metadata"] == fact["metadata"]
    known, unknown = (
        read_api.tus("HEAD", read_only.facts["uploads"][name]["path"], access_token(read_only)).headers
        for name in ("known length", "unknown length")
    )
    assert known["upload-length"] == str(read_only.facts["uploads"]["known length"]["length"])
    assert unknown["upload-defer-length"] == "1"


# --- the HTTP API: continuing with the data -----------------------------------------------------


def test_stored_refresh_token_is_exchanged(write_api: Api, writable: Copy) -> None:
    """A refresh token signed by the earlier commit is valid once."""
    body = {"refresh_token": writable.facts["sessions"]["refresh_token"]}
    tokens = write_api.call("POST", "/auth/refresh", json_body=body)
    assert tokens.status == 200
    assert write_api.call("GET", "/auth/me", token=tokens.json()["access_token"]).status == 200


def test_reuse_of_an_exchanged_refresh_token_revokes_its_family(write_api: Api, writable: Copy) -> None:
    """The reused token is refused, and so is the token that its exchange returned."""
    sessions = writable.facts["sessions"]
    for name in ("exchanged_refresh_token", "refresh_token_after_it"):
        response = write_api.call("POST", "/auth/refresh", json_body={"refresh_token": sessions[name]})
        assert problem(response) == (401, "bad-token")


@pytest.mark.parametrize("name", ["exhausted", "revoked", "expired", "expired long ago"])
def test_exhausted_revoked_or_expired_stored_link_is_refused(write_api: Api, writable: Copy, name: str) -> None:
    """Each is refused with its own error code."""
    link = writable.facts["links"][name]
    response = write_api.call("GET", f"/files/shared/{link['token']}")
    assert problem(response) == (link["status"], link["code"])


def test_stored_link_keeps_its_remaining_budget(write_api: Api, writable: Copy) -> None:
    """One of three downloads was consumed before: two more are granted, then the link is exhausted."""
    link = writable.facts["links"]["live"]
    path, fact = f"/files/shared/{link['token']}", writable.facts["files"][link["file"]]
    assert write_api.call("HEAD", path).status == link["status"]
    for _ in range(link["downloads_left"]):
        response = write_api.call("GET", path)
        assert response.status == link["status"]
        assert sha256(response.body) == fact["sha256"]
    assert problem(write_api.call("GET", path)) == (403, "download-limit-reached")


def test_stored_public_link_is_downloaded(write_api: Api, writable: Copy) -> None:
    """The link token in the owner's listing opens the link of the public upload."""
    public = next(
        file for file in writable.facts["users"]["maya"]["files"] if file["original_filename"].startswith("Gr")
    )
    response = write_api.call("GET", f"/files/shared/{public['share_token']}")
    assert response.status == 200
    assert sha256(response.body) == writable.facts["files"][public["id"]]["sha256"]


def test_stored_upload_of_known_length_is_resumed(write_api: Api, writable: Copy) -> None:
    """It continues at its offset only, and the sealed file has the right bytes."""
    fact = writable.facts["uploads"]["known length"]
    token, body = access_token(writable), content(fact["name"], fact["length"])
    elsewhere = write_api.tus("PATCH", fact["path"], token, body[:10], Upload_Offset="3000")
    assert problem(elsewhere) == (409, "offset-mismatch")
    middle = 90_000
    some = write_api.tus("PATCH", fact["path"], token, body[fact["offset"] : middle], Upload_Offset=str(fact["offset"]))
    assert (some.status, some.headers["upload-offset"]) == (204, str(middle))
    rest = write_api.tus("PATCH", fact["path"], token, body[middle:], Upload_Offset=str(middle))
    assert_sealed(write_api, token, rest, fact)


def test_stored_upload_of_unknown_length_is_resumed(write_api: Api, writable: Copy) -> None:
    """Its length is announced with the remaining bytes."""
    fact = writable.facts["uploads"]["unknown length"]
    token, body = access_token(writable), content(fact["name"], fact["length"])
    offset, length = str(fact["offset"]), str(fact["length"])
    rest = write_api.tus(
        "PATCH", fact["path"], token, body[fact["offset"] :], Upload_Offset=offset, Upload_Length=length
    )
    assert_sealed(write_api, token, rest, fact)


def assert_sealed(api: Api, token: str, last: Response, fact: Mapping[str, Any]) -> None:
    """
    Assert that the response to an upload's last bytes names a file with the upload's name and bytes.
    """
    assert last.status == 204, last.body
    file = last.headers["x-file-id"]
    assert api.call("GET", f"/files/{file}", token=token).json()["original_filename"] == fact["name"]
    assert sha256(api.call("GET", f"/files/{file}/download", token=token).body) == fact["sha256"]


def test_stored_partial_uploads_are_concatenated(write_api: Api, writable: Copy) -> None:
    """The final upload is a file with the bytes of both partial uploads."""
    token, pieces = access_token(writable), writable.facts["pieces"]
    final = "final;" + " ".join(piece["path"] for piece in pieces)
    made = write_api.tus("POST", "/tus", token, Upload_Concat=final, Upload_Metadata="filename am9pbmVkLmJpbg==")
    assert made.status == 201, made.body
    file = made.headers["location"].rpartition("/")[2]
    body = write_api.call("GET", f"/files/{file}/download", token=token).body
    assert body == b"".join(content(piece["name"], piece["size"]) for piece in pieces)


def repeat(api: Api, copy: Copy, name: str, body: bytes) -> Response:
    """
    Send a stored request again with its `Idempotency-Key` and this body.
    """
    fact, token = copy.facts["repeats"][name], access_token(copy)
    headers = {"Idempotency-Key": fact["key"]}
    if name != "body":
        return api.upload(token, fact["name"], body, headers=headers)
    headers["Content-Type"] = "image/png"
    return api.call("PUT", f"/files/{quote(fact['name'])}?is_public=true", token=token, body=body, headers=headers)


@pytest.mark.parametrize("name", ["form", "body"])
def test_repeated_stored_upload_returns_the_stored_response(write_api: Api, writable: Copy, name: str) -> None:
    """Status and JSON are the same; another body under the same key is refused."""
    fact = writable.facts["repeats"][name]
    again = repeat(write_api, writable, name, content(fact["name"], fact["size"]))
    assert again.status == 201
    assert again.json() | fact["json"] == again.json()
    other = repeat(write_api, writable, name, content("another", fact["size"]))
    assert problem(other) == (422, "idempotency-key-reused")


def test_repeated_stored_share_returns_the_stored_link(write_api: Api, writable: Copy) -> None:
    """The response includes the link token; other terms under the same key are refused."""
    fact, token = writable.facts["repeats"]["link"], access_token(writable)
    path, headers = f"/files/{fact['file']}/share", {"Idempotency-Key": fact["key"]}
    again = write_api.call("POST", path, token=token, json_body=fact["terms"], headers=headers)
    assert again.status == 200
    assert again.json() | fact["json"] == again.json()
    other = write_api.call("POST", path, token=token, json_body={"expires_hours": 1}, headers=headers)
    assert problem(other) == (422, "idempotency-key-reused")


def test_repeated_stored_upload_of_a_deleted_file_is_410(write_api: Api, writable: Copy) -> None:
    """The file is not stored again."""
    fact = writable.facts["repeats"]["deleted"]
    again = repeat(write_api, writable, "deleted", content(fact["name"], fact["size"]))
    assert problem(again) == (410, "idempotent-result-gone")


def test_stored_file_expires_at_its_stored_time(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A sweep two hours later deletes the file and its blobs, and everything else stays intact."""
    with copy_of(kind, tmp_path, request) as copy:
        listed = copy.facts["users"]["maya"]["files"]
        expiring = next(file for file in listed if file["original_filename"] == "with-an-end.bin")
        after = datetime.fromisoformat(expiring["expires_at"]) + timedelta(hours=2)
        later = attrs.evolve(copy, facts={**copy.facts, "opened_at": after.isoformat()})
        swept = later.command("sweep", "--json")
        assert json.loads(swept.stdout)["expired"] == 1
        folder = expiring["id"].replace("-", "")
        assert [path for path in copy.stored_files() if folder in path]
        assert [path for path in copy.files() if folder in path] == []
        assert later.command("doctor", "--verify-data").returncode == 0


# --- the library --------------------------------------------------------------------------------


def test_open_service_reads_the_stored_data(fresh: Copy) -> None:
    """A stored user signs in and reads their files, and a link grants its remaining budget."""
    with open_service(fresh.data, fresh.settings, clock=SettableClock(fresh.opened_at)) as sft:
        maya = fresh.facts["users"]["maya"]
        email, password = EmailAddress.parse(maya["email"]), Password.parse(maya["password"])
        tokens = sft.users.sign_in(email=email, password=password)
        owner = sft.users.authenticate(access_token=tokens.access).user
        assert str(owner.id) == maya["user"]["id"]
        for stored in maya["files"]:
            file = sft.vault.find_file(owner=owner.id, file_id=FileId.parse(stored["id"]))
            assert str(file.name) == stored["filename"]
            assert sha256(b"".join(sft.vault.read_file(file))) == fresh.facts["files"][stored["id"]]["sha256"]
        link = fresh.facts["links"]["live"]
        token = ShareToken.parse(link["token"])
        for _ in range(link["downloads_left"]):
            assert str(sft.sharing.redeem_share_link(token=token).id) == link["file"]
        with pytest.raises(DownloadLimitReached):
            sft.sharing.redeem_share_link(token=token)
    assert fresh.files() == fresh.stored_files()
