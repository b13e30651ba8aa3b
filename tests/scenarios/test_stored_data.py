"""
Data folder and database of an earlier commit are opened unchanged: every stored fact is found again.

`stored_data/README.md` says what is stored. All tests run at the moment at which it is to be opened.
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
"""A one-time code of so many steps before is none of those that are accepted."""


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
def reading(read_only: Copy) -> Iterator[Api]:
    """
    A service on the copy whose blobs no test changes.
    """
    with read_only.served() as api:
        yield api


@pytest.fixture(scope="module")
def written(kind: Kind, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """
    A copy on which tests go on; each fact is used by one test only.
    """
    with copy_of(kind, tmp_path_factory.mktemp("written"), request) as copy:
        yield copy


@pytest.fixture(scope="module")
def writing(written: Copy) -> Iterator[Api]:
    """
    A service on the copy on which tests go on.
    """
    with written.served() as api:
        yield api


@pytest.fixture
def fresh(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Copy]:
    """
    A copy that no service has opened.
    """
    with copy_of(kind, tmp_path, request) as copy:
        yield copy


def access_token(copy: Copy, who: str = "maya") -> str:
    """
    The stored access token of a user, good for 30 minutes from shortly before the data is opened.
    """
    return str(copy.facts["sessions"]["access_token" if who == "maya" else "access_token_with_totp"])


def code_at(copy: Copy, steps: int = 0) -> str:
    """
    The one-time code of the stored second factor, so many steps of 30 seconds from the moment of opening.
    """
    return code_of(copy.facts["totp_seed"], step_at(copy.opened_at + timedelta(seconds=30 * steps)))


def problem(response: Response) -> tuple[int, str]:
    return response.status, response.json()["code"]


# --- commands, before any service has opened the data -------------------------------------------


def test_the_schema_is_the_one_that_was_stored(fresh: Copy) -> None:
    """No migration is needed."""
    checked = fresh.command("migrate", "--check")
    assert checked.returncode == 0, checked.stderr


def test_the_doctor_finds_nothing(fresh: Copy) -> None:
    """Every row and every blob is whole and opens, to the last byte; the store is the database's own."""
    examined = fresh.command("doctor", "--verify-data", "--json")
    told = json.loads(examined.stdout)
    assert examined.returncode == 0, told
    assert told["findings"] == []
    assert told["failures"] == {}
    unfinished = len(fresh.facts["uploads"]) + len(fresh.facts["pieces"])
    assert told["files"] == len(fresh.facts["files"]) + unfinished
    assert fresh.files() == fresh.stored_files()


def test_the_sweep_removes_nothing(fresh: Copy) -> None:
    """Neither a dry run nor a sweep finds an orphan, an upload to give up or a row that is over; no file is touched."""
    for options in (("--dry-run",), ()):
        swept = fresh.command("sweep", "--json", *options)
        assert swept.returncode == 0, swept.stderr
        told = json.loads(swept.stdout)
        assert {name: number for name, number in told.items() if number} == {"is_complete": True}
    assert fresh.files() == fresh.stored_files()


def test_the_sweep_would_remove_a_part_of_no_file(fresh: Copy) -> None:
    """The blobs are old enough for the sweep to look at: one that no row names is counted."""
    file = next(iter(fresh.facts["files"]))
    stray = fresh.data / "blobs" / file.replace("-", "") / ("1-00000009-" + "0" * 16)
    stray.write_bytes(content("a part of no file", 500))
    os.utime(stray, 2 * (fresh.stored_at.timestamp(),))
    assert json.loads(fresh.command("sweep", "--dry-run", "--json").stdout)["orphans"] == 1


def test_the_ring_has_the_stored_keys(fresh: Copy) -> None:
    """The active and the earlier key are both needed, the retired one is not."""
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
def test_the_earlier_key_is_rotated_and_retired(fresh: Copy) -> None:
    """What it wrapped is wrapped under the active key, then nothing needs it, and everything still opens."""
    earlier = fresh.facts["keys"]["earlier"]
    for words in (("keys", "rotate"), ("keys", "retire", earlier), ("doctor", "--verify-data")):
        done = fresh.command(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    with fresh.served() as api:
        assert_contents(api, fresh)
        noor = fresh.facts["users"]["noor"]
        assert api.sign_in(noor["email"], noor["password"], totp_code=code_at(fresh)).status == 200


def test_a_retired_key_in_place_of_the_active_one_is_refused(fresh: Copy) -> None:
    """With the retired key in the place of the active one, the integrity check names the key that is needed."""
    retired = (fresh.data / "keys" / f"encryption-{fresh.facts['keys']['retired']}.key.retired").read_text()
    (fresh.data / "keys" / "encryption.key").write_text(retired)
    examined = fresh.command("doctor")
    assert examined.returncode != 0
    assert fresh.facts["keys"]["active"] in examined.stdout


# --- the HTTP API: what is read -----------------------------------------------------------------


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


def test_a_user_signs_in_by_the_stored_password(reading: Api, read_only: Copy) -> None:
    """The password opens an account with the stored id and names, another password does not."""
    maya = read_only.facts["users"]["maya"]
    tokens = reading.sign_in(maya["email"], maya["password"])
    assert tokens.status == 200
    user = reading.call("GET", "/auth/me", token=tokens.json()["access_token"]).json()
    changed = {"last_login"}
    assert {name: user[name] for name in maya["user"].keys() - changed} == {
        name: value for name, value in maya["user"].items() if name not in changed
    }
    assert problem(reading.sign_in(maya["email"], maya["password"] + "!")) == (401, "bad-credentials")


def test_a_user_signs_in_by_the_stored_second_factor(reading: Api, read_only: Copy) -> None:
    """A code of the stored seed is asked for and accepted; another code is not."""
    noor = read_only.facts["users"]["noor"]
    account = noor["email"], noor["password"]
    assert problem(reading.sign_in(*account)) == (400, "totp-required")
    wrong = reading.sign_in(*account, totp_code=code_at(read_only, -WRONG_CODE_STEPS))
    assert problem(wrong) == (401, "bad-totp-code")
    assert reading.sign_in(*account, totp_code=code_at(read_only)).status == 200


def test_stored_access_tokens_are_accepted(reading: Api, read_only: Copy) -> None:
    """Tokens that the earlier commit has signed tell which user bears them."""
    for who, fact in read_only.facts["users"].items():
        me = reading.call("GET", "/auth/me", token=access_token(read_only, who))
        assert me.status == 200
        assert me.json()["id"] == fact["user"]["id"]


def test_every_stored_file_is_listed(reading: Api, read_only: Copy) -> None:
    """Each owner sees the same files in the same order, with the same fields, links included."""
    for who, fact in read_only.facts["users"].items():
        token = access_token(read_only, who)
        listed = reading.call("GET", "/files/", token=token).json()
        assert [found | stored for found, stored in zip(listed, fact["files"], strict=True)] == listed
        for stored in fact["files"]:
            found = reading.call("GET", f"/files/{stored['id']}", token=token).json()
            assert found | stored == found


def test_every_stored_file_is_downloaded_and_no_file_changes(reading: Api, read_only: Copy) -> None:
    """All contents are those that were uploaded, and nothing in the data folder but SQLite's files has changed."""
    assert_contents(reading, read_only)
    assert read_only.files() == read_only.stored_files()


def test_a_range_over_two_parts_is_downloaded(reading: Api, read_only: Copy) -> None:
    """A range that begins in one stored part and ends in the next has exactly its bytes, also by the stored ETag."""
    file, fact = next((file, fact) for file, fact in read_only.facts["files"].items() if fact["size"] > 65_536)
    headers = {"Range": "bytes=65000-66000", "If-Range": fact["etag"]}
    response = reading.call("GET", f"/files/{file}/download", token=access_token(read_only), headers=headers)
    assert response.status == 206
    assert response.headers["content-range"] == f"bytes 65000-66000/{fact['size']}"
    assert response.body == content(fact["name"], fact["size"])[65_000:66_001]


def test_a_file_of_another_user_is_not_found(reading: Api, read_only: Copy) -> None:
    """Stored files are their owners' only."""
    for file, fact in read_only.facts["files"].items():
        other = "noor" if fact["owner"] == "maya" else "maya"
        response = reading.call("GET", f"/files/{file}/download", token=access_token(read_only, other))
        assert problem(response) == (404, "file-not-found")


def test_stored_uploads_report_their_offsets(reading: Api, read_only: Copy) -> None:
    """HEAD returns the offset, the length and the metadata of each upload that is not done."""
    for fact in read_only.facts["uploads"].values():
        head = reading.tus("HEAD", fact["path"], access_token(read_only))
        assert head.status == 200
        assert head.headers["upload-offset"] == str(fact["offset"])
        assert head.headers["upload-metadata"] == fact["metadata"]
    known, unknown = (
        reading.tus("HEAD", read_only.facts["uploads"][name]["path"], access_token(read_only)).headers
        for name in ("known length", "unknown length")
    )
    assert known["upload-length"] == str(read_only.facts["uploads"]["known length"]["length"])
    assert unknown["upload-defer-length"] == "1"


# --- the HTTP API: what goes on -----------------------------------------------------------------


def test_a_stored_refresh_token_is_exchanged(session: Api, written: Copy) -> None:
    """A refresh token that the earlier commit has signed is good for one exchange."""
    body = {"refresh_token": written.facts["sessions"]["refresh_token"]}
    tokens = session.call("POST", "/auth/refresh", json_body=body)
    assert tokens.status == 200
    assert session.call("GET", "/auth/me", token=tokens.json()["access_token"]).status == 200


def test_a_refresh_token_exchanged_before_revokes_its_family(session: Api, written: Copy) -> None:
    """A second use is refused, and so is the token that the first exchange has returned."""
    sessions = written.facts["sessions"]
    for name in ("exchanged_refresh_token", "refresh_token_after_it"):
        response = session.call("POST", "/auth/refresh", json_body={"refresh_token": sessions[name]})
        assert problem(response) == (401, "bad-token")


@pytest.mark.parametrize("name", ["exhausted", "revoked", "expired", "expired long ago"])
def test_a_stored_link_that_is_over_is_refused(session: Api, written: Copy, name: str) -> None:
    """Each is refused for its own reason."""
    link = written.facts["links"][name]
    response = session.call("GET", f"/files/shared/{link['token']}")
    assert problem(response) == (link["status"], link["code"])


def test_a_stored_link_keeps_the_rest_of_its_budget(session: Api, written: Copy) -> None:
    """Of three downloads one was spent before: two are left, and then the link is exhausted."""
    link = written.facts["links"]["live"]
    path, fact = f"/files/shared/{link['token']}", written.facts["files"][link["file"]]
    assert session.call("HEAD", path).status == link["status"]
    for _ in range(link["downloads_left"]):
        response = session.call("GET", path)
        assert response.status == link["status"]
        assert sha256(response.body) == fact["sha256"]
    assert problem(session.call("GET", path)) == (403, "download-limit-reached")


def test_a_stored_public_link_is_downloaded(session: Api, written: Copy) -> None:
    """The token in the owner's list opens the link that the upload has made."""
    public = next(
        file for file in written.facts["users"]["maya"]["files"] if file["original_filename"].startswith("Gr")
    )
    response = session.call("GET", f"/files/shared/{public['share_token']}")
    assert response.status == 200
    assert sha256(response.body) == written.facts["files"][public["id"]]["sha256"]


def test_a_stored_upload_of_known_length_is_resumed(session: Api, written: Copy) -> None:
    """It goes on at its offset, not elsewhere, and is sealed with the right bytes."""
    fact = written.facts["uploads"]["known length"]
    token, body = access_token(written), content(fact["name"], fact["length"])
    elsewhere = session.tus("PATCH", fact["path"], token, body[:10], Upload_Offset="3000")
    assert problem(elsewhere) == (409, "offset-mismatch")
    middle = 90_000
    some = session.tus("PATCH", fact["path"], token, body[fact["offset"] : middle], Upload_Offset=str(fact["offset"]))
    assert (some.status, some.headers["upload-offset"]) == (204, str(middle))
    rest = session.tus("PATCH", fact["path"], token, body[middle:], Upload_Offset=str(middle))
    assert_sealed(session, token, rest, fact)


def test_a_stored_upload_of_unknown_length_is_resumed(session: Api, written: Copy) -> None:
    """Its length is announced with the rest."""
    fact = written.facts["uploads"]["unknown length"]
    token, body = access_token(written), content(fact["name"], fact["length"])
    offset, length = str(fact["offset"]), str(fact["length"])
    rest = session.tus("PATCH", fact["path"], token, body[fact["offset"] :], Upload_Offset=offset, Upload_Length=length)
    assert_sealed(session, token, rest, fact)


def assert_sealed(api: Api, token: str, last: Response, fact: Mapping[str, Any]) -> None:
    """
    Assert that the answer to the last bytes of an upload names a file with the upload's name and bytes.
    """
    assert last.status == 204, last.body
    file = last.headers["x-file-id"]
    assert api.call("GET", f"/files/{file}", token=token).json()["original_filename"] == fact["name"]
    assert sha256(api.call("GET", f"/files/{file}/download", token=token).body) == fact["sha256"]


def test_stored_pieces_are_put_together(session: Api, written: Copy) -> None:
    """A final upload of two stored partial uploads is a file of the bytes of both."""
    token, pieces = access_token(written), written.facts["pieces"]
    final = "final;" + " ".join(piece["path"] for piece in pieces)
    made = session.tus("POST", "/tus", token, Upload_Concat=final, Upload_Metadata="filename am9pbmVkLmJpbg==")
    assert made.status == 201, made.body
    file = made.headers["location"].rpartition("/")[2]
    body = session.call("GET", f"/files/{file}/download", token=token).body
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
def test_a_stored_upload_is_repeated_with_the_same_answer(session: Api, written: Copy, name: str) -> None:
    """The same request gets the same status and JSON; another one under the same key is refused."""
    fact = written.facts["repeats"][name]
    again = repeat(session, written, name, content(fact["name"], fact["size"]))
    assert again.status == 201
    assert again.json() | fact["json"] == again.json()
    other = repeat(session, written, name, content("another", fact["size"]))
    assert problem(other) == (422, "idempotency-key-reused")


def test_a_stored_request_for_a_link_is_repeated_with_the_same_answer(session: Api, written: Copy) -> None:
    """The same link is returned, token included; other terms under the same key are refused."""
    fact, token = written.facts["repeats"]["link"], access_token(written)
    path, headers = f"/files/{fact['file']}/share", {"Idempotency-Key": fact["key"]}
    again = session.call("POST", path, token=token, json_body=fact["terms"], headers=headers)
    assert again.status == 200
    assert again.json() | fact["json"] == again.json()
    other = session.call("POST", path, token=token, json_body={"expires_hours": 1}, headers=headers)
    assert problem(other) == (422, "idempotency-key-reused")


def test_a_stored_upload_whose_file_was_deleted_is_not_made_again(session: Api, written: Copy) -> None:
    """A repeat is told that the result is gone."""
    fact = written.facts["repeats"]["deleted"]
    again = repeat(session, written, "deleted", content(fact["name"], fact["size"]))
    assert problem(again) == (410, "idempotent-result-gone")


def test_a_file_with_a_stored_end_ends(kind: Kind, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """A sweep two hours after that end destroys the file and its blob, and leaves whole what remains."""
    with copy_of(kind, tmp_path, request) as copy:
        listed = copy.facts["users"]["maya"]["files"]
        ending = next(file for file in listed if file["original_filename"] == "with-an-end.bin")
        after = datetime.fromisoformat(ending["expires_at"]) + timedelta(hours=2)
        later = attrs.evolve(copy, facts={**copy.facts, "opened_at": after.isoformat()})
        swept = later.command("sweep", "--json")
        assert json.loads(swept.stdout)["expired"] == 1
        folder = ending["id"].replace("-", "")
        assert [path for path in copy.stored_files() if folder in path]
        assert [path for path in copy.files() if folder in path] == []
        assert later.command("doctor", "--verify-data").returncode == 0


# --- the library --------------------------------------------------------------------------------


def test_the_library_opens_the_data(fresh: Copy) -> None:
    """`open_service` signs a stored user in, finds and reads their files, and spends a link's budget."""
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
