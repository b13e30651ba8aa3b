"""
`sft keys` as an operator meets it, on both databases, beside people who work and after a crash.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Event
from typing import Any

import attrs
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import Engine, event, update

from sft_adapters.bootstrap.configuration import keys_for, settings_for
from sft_adapters.bootstrap.open_application import open_application
from sft_adapters.bootstrap.service import open_service
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.crypto.keyring import key_id
from sft_adapters.disk import key_files
from sft_adapters.settings.parsers import encryption_key
from sft_adapters.sql.engine import temporary_engine
from sft_adapters.sql.tables import links, users
from sft_adapters.sql.wrapped_secrets import SqlWrappedSecrets
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import ConfigurationError, KeyRetired, UnknownKey
from sft_core.users.model import User
from sft_core.values import FileName, Secret, ShareToken
from sft_core.vault.model import File
from sft_http.cli.main import sft
from support.app.library import LIGHT, PASSWORD, register, stored

RUNNER = CliRunner()


def fresh() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def id_of(text: str) -> str:
    return key_id(encryption_key(text))


@attrs.frozen
class Place:
    """
    A data folder and the database that goes with it.
    """

    data: Path
    environ: dict[str, str]

    def keys(self, *words: str, **environ: str) -> Result:
        """Run `sft keys`."""
        return RUNNER.invoke(sft, ["keys", words[0], "--data", str(self.data), *words[1:]], env=self.environ | environ)

    def listed(self, **environ: str) -> dict[str, dict[str, Any]]:
        """The keys by their ids."""
        result = self.keys("list", "--json", **environ)
        assert result.exit_code == 0, result.output
        return {key["id"]: key for key in json.loads(result.output)["keys"]}

    def active(self) -> str:
        return next(name for name, key in self.listed().items() if key["state"] == "active")

    def needed(self, name: str) -> int:
        found = self.listed().get(name)
        return sum(found["needed_by"].values()) if found else 0


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    # Several engines in one process are not the several processes that an old SQLite is not safe for.
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: True)
    environ = dict(LIGHT)
    if request.param == "postgres":
        environ["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return Place(tmp_path / "data", environ)


@attrs.frozen
class Person:
    """
    A user with a file, a link to it, and a second factor.
    """

    user: User
    file: File
    token: ShareToken
    seed: str

    def code(self, offset: int = 0) -> str:
        return code_of(self.seed, step_at(datetime.now(UTC)) + offset)


def settle(app: Application, name: str) -> Person:
    user = register(app, name)
    file = app.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[name.encode()])
    token = app.sharing.issue_share_link(owner=user.id, file_id=file.id).token
    return Person(user, file, token, app.users.set_up_totp(user=user).seed.reveal().decode())


def check(app: Application, person: Person) -> None:
    """
    The file opens for its owner and by its link, whose token the owner sees.
    """
    name = str(person.user.username).encode()
    own = app.vault.find_file(owner=person.user.id, file_id=person.file.id)
    shared = app.sharing.redeem_share_link(token=person.token)
    for found in (own, shared):
        assert b"".join(bytes(piece) for piece in app.vault.read_file(found, found.whole)) == name
    assert app.sharing.summarise_links([own])[own.id].token == person.token


@pytest.fixture
def people(place: Place) -> list[Person]:
    with open_service(place.data, place.environ) as app:
        return [settle(app, f"user{number}") for number in range(3)]


# --- the whole way -----------------------------------------------------------------------------


def test_a_key_is_replaced_and_everything_still_opens(place: Place, people: list[Person]) -> None:
    """Add, restart, rotate, retire, restart: files, links and second factors go on, and the old key is gone."""
    old = place.active()
    assert place.needed(old) == 9
    assert place.keys("add").exit_code == 0
    new = place.active()
    assert new != old
    assert {name: key["state"] for name, key in place.listed().items()} == {new: "active", old: "earlier"}
    refused = place.keys("retire", old)
    assert refused.exit_code == 2
    assert "needed by 3 file keys, 3 link tokens, 3 TOTP seeds" in refused.output
    with open_service(place.data, place.environ) as app:
        people.append(settle(app, "newcomer"))
        for person in people:
            check(app, person)
    assert (place.needed(old), place.needed(new)) == (9, 3)
    rotated = place.keys("rotate")
    assert rotated.exit_code == 0
    assert "Re-wrapped: 3 file keys, 3 link tokens, 3 TOTP seeds." in rotated.output
    assert f"sft keys retire {old}" in rotated.output
    retired = place.keys("retire", old)
    assert (retired.exit_code, sorted(path.name for path in (place.data / "keys").glob("*.key"))) == (
        0,
        ["encryption.key", "secret.key"],
    )
    assert {name: sum(key["needed_by"].values()) for name, key in place.listed().items()} == {new: 12}
    with open_service(place.data, place.environ) as app:
        for person in people:
            check(app, person)
            app.users.confirm_totp(user=stored(app, person.user), code=person.code())
            assert app.users.sign_in(email=person.user.email, password=PASSWORD, totp_code=person.code(1)).access


def test_keys_of_the_environment_are_replaced_by_hand(place: Place, people: list[Person], tmp_path: Path) -> None:
    """What to set is told, no key is shown, a new one is written where it was asked for, and all opens in the end."""
    present = (place.data / "keys/encryption.key").read_text().strip()
    (place.data / "keys/encryption.key").unlink()
    given = {"ENCRYPTION_KEY": present}
    told = place.keys("add", **given)
    assert told.exit_code == 2
    assert id_of(present) in told.output
    assert "ENCRYPTION_KEYS_RETIRING" in told.output
    written = place.keys("add", "--write", str(tmp_path / "new.key"), **given)
    assert written.exit_code == 0
    text = (tmp_path / "new.key").read_text().strip()
    assert stat.S_IMODE((tmp_path / "new.key").stat().st_mode) == 0o600
    assert id_of(text) in written.output
    assert text not in written.output
    assert place.keys("add", "--write", str(tmp_path / "new.key"), **given).exit_code == 2
    assert (tmp_path / "new.key").read_text().strip() == text
    both = {"ENCRYPTION_KEY": text, "ENCRYPTION_KEYS_RETIRING": present}
    assert {name: key["in_environment"] for name, key in place.listed(**both).items()} == {
        id_of(text): True,
        id_of(present): True,
    }
    assert place.keys("rotate", **both).exit_code == 0
    retired = place.keys("retire", id_of(present), **both)
    assert (retired.exit_code, "remove it from ENCRYPTION_KEYS_RETIRING" in retired.output) == (0, True)
    with open_service(place.data, place.environ | {"ENCRYPTION_KEY": text}) as app:
        for person in people:
            check(app, person)
    shown = told.output + written.output + retired.output + place.keys("list", **both).output
    assert present not in shown
    assert text not in shown


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_terminal_shows_a_bar_and_a_file_lines(place: Place, people: list[Person]) -> None:
    """Who watches sees how far it is; in a log there is a line for each tenth at most, and no control character."""
    place.keys("add")
    lines = place.keys("rotate", "--dry-run", "--batch", "1").output.splitlines()
    assert lines[:9] == [f"{done} of 9" for done in range(1, 10)]
    command = [sys.executable, "-m", "sft_http.cli.main", "keys", "rotate", "--data", str(place.data)]
    terminal, inside = pty.openpty()
    subprocess.run(command, stdout=inside, env={**os.environ, "TERM": "xterm"}, check=True)
    os.close(inside)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "Re-wrapping" in shown
    assert "100%" in shown
    assert f"Re-wrapped: {len(people)} file keys" in shown


# --- what is missing, altered or in the way ----------------------------------------------------


def test_a_dry_run_changes_nothing(place: Place, people: list[Person]) -> None:
    """It counts what would be done, and afterwards everything is as before."""
    place.keys("add")
    before = place.listed()
    dry = place.keys("rotate", "--dry-run")
    assert (dry.exit_code, place.listed()) == (0, before)
    assert "To be re-wrapped: 3 file keys, 3 link tokens, 3 TOTP seeds." in dry.output
    assert "Nothing was changed." in dry.output
    assert len(people) == 3


def test_a_missing_key_is_told_by_its_id_wherever_it_is_missed(place: Place, people: list[Person]) -> None:
    """By list, rotate and the start; what the ring opens is wrapped anew all the same."""
    old = place.active()
    place.keys("add")
    middle = place.active()
    with open_service(place.data, place.environ) as app:
        settle(app, "newcomer")
    place.keys("add")
    lost = place.data / "keys" / f"encryption-{old}.key"
    lost.rename(place.data.parent / "lost.key")
    assert (place.listed()[old]["state"], place.needed(old)) == ("missing", 9)
    with pytest.raises(ConfigurationError, match=f"needs {old}"), open_service(place.data, place.environ):
        pass
    for options in (["--dry-run"], []):
        result = place.keys("rotate", *options)
        assert result.exit_code == 1
        assert f"key {old} is missing" in result.output
    assert (place.needed(old), place.needed(middle)) == (9, 0)
    assert f"not contain key {old}" in place.keys("retire", old).output
    (place.data.parent / "lost.key").rename(lost)
    assert place.keys("rotate").exit_code == 0
    assert (place.needed(old), len(people)) == (0, 3)


def test_what_does_not_open_is_told_as_the_reason_that_a_key_is_still_needed(
    place: Place, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each run says so, dry or not, and sends nobody to run it again; what is left for another reason is told apart."""
    old = place.active()
    with (
        temporary_engine(settings_for(place.data, place.environ).database_url, busy_seconds=9) as engine,
        engine.begin() as rows,
    ):
        rows.execute(update(links).where(links.c.file_id == people[0].file.id.bytes).values(wrapped_token=bytes(40)))
        rows.execute(update(users).where(users.c.id == people[1].user.id.bytes).values(totp_seed=bytes(40)))
    place.keys("add")
    reason = f"1 link tokens, 1 TOTP seeds do not unwrap under key {old}, which they name: run `sft doctor`"
    for options in (["--dry-run"], [], []):
        result = place.keys("rotate", *options)
        assert result.exit_code == 1
        assert reason in result.output
        assert f"row {people[1].user.id} does not unwrap" in result.output
        assert "again" not in result.output
    assert place.needed(old) == 2
    middle = place.active()
    with open_service(place.data, place.environ) as app:
        settle(app, "newcomer")
    place.keys("add")
    # As if services wrapped one anew for each that is wrapped under the active key.
    monkeypatch.setattr(SqlWrappedSecrets, "replace", lambda _secrets, _rewrappings: 0)
    result = place.keys("rotate")
    assert reason in result.output
    others = f"4 file keys, 3 link tokens, 3 TOTP seeds still need key {middle}, because a service wraps under it"
    assert (result.exit_code, others in result.output) == (1, True)
    assert f"still need key {old}" not in result.output


def test_the_active_key_and_unknown_ones_are_not_retired(place: Place) -> None:
    """Each with its reason; the files stay."""
    prepare(settings_for(place.data, place.environ))
    active = place.active()
    assert "is the active one" in place.keys("retire", active).output
    for name in ("0" * 16, "../secret", "nonsense"):
        result = place.keys("retire", name)
        assert (result.exit_code, "does not contain key" in result.output) == (2, True)
    assert place.active() == active


def test_without_a_key_or_a_database_nothing_is_made(place: Place, tmp_path: Path) -> None:
    """Every command says what is missing; a lost key is never replaced by a new one."""
    for words in (["list"], ["add"], ["rotate"], ["rotate", "--dry-run"], ["retire", "0" * 16]):
        result = place.keys(*words)
        assert result.exit_code == 2
        assert "encryption.key is missing" in result.output
    assert list(tmp_path.iterdir()) == []
    settings = settings_for(place.data, place.environ)
    keys_for(settings)
    assert "sft migrate" in place.keys("list").output
    prepare(settings)
    (place.data / "keys/encryption.key").unlink()
    for words in (["list"], ["add"], ["rotate"], ["retire", "0" * 16]):
        assert "encryption.key is missing" in place.keys(*words).output
    assert not (place.data / "keys/encryption.key").exists()


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_a_spoilt_earlier_key_is_told_by_its_file(place: Place) -> None:
    """Loose permissions, another key's content, no key at all: the start names the file."""
    prepare(settings_for(place.data, place.environ))
    old = place.active()
    place.keys("add")
    file = place.data / "keys" / f"encryption-{old}.key"
    spoils = [
        (0o644, fresh(), "chmod 600"),
        (0o600, fresh(), "named after"),
        (0o600, "short", "holds no key of the ring"),
        (0o600, "", "is empty"),
    ]
    for mode, text, words in spoils:
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"{file.name}.*{words}"):
            keys_for(settings_for(place.data, place.environ))


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_where_only_one_process_may_write_a_rotation_waits_for_its_turn(
    place: Place, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a service on an old SQLite it says what it waits for; to look is always allowed."""
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    place.keys("add")
    with open_service(place.data, place.environ):
        refused = place.keys("rotate", DATABASE_TIMEOUT_SECONDS="0.1")
        assert (refused.exit_code, "sft.db.lock is locked" in refused.output) == (2, True)
        assert place.keys("rotate", "--dry-run").exit_code == 0
        assert place.keys("list").exit_code == 0
    assert place.keys("rotate").exit_code == 0
    assert len(people) == 3


# --- crashes -----------------------------------------------------------------------------------


class Crash(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("place", ["sqlite"], indirect=True)
def test_the_ring_survives_a_crash_at_any_point_of_add(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after every change of the folder the old key opens, and adding again succeeds."""
    prepare(settings_for(place.data, place.environ))
    old = keys_for(settings_for(place.data, place.environ)).encryption_key
    for at in itertools.count():
        seen, active = itertools.count(), key_id(keys_for(settings_for(place.data, place.environ)).encryption_key)

        def step(original: Callable[..., Any], at: int = at, seen: Iterator[int] = seen) -> Callable[..., Any]:
            def stepped(*args: Any, **options: Any) -> Any:
                if next(seen) == at:
                    raise Crash
                return original(*args, **options)

            return stepped

        with monkeypatch.context() as patched:
            patched.setattr(os, "link", step(os.link))
            patched.setattr(os, "fsync", step(os.fsync))
            patched.setattr(os, "open", step(os.open))
            patched.setattr(Path, "rename", step(Path.rename))
            patched.setattr(Path, "unlink", lambda *_, **__: None)  # a crash leaves what is half done
            try:
                key_files.rotate_active(place.data / "keys", active)
            except Crash:
                over = False
            else:
                over = True
        keys = keys_for(settings_for(place.data, place.environ))
        assert old in (keys.encryption_key, *keys.retiring_keys)
        if over:
            break
    assert at > 5
    assert place.keys("add").exit_code == 0
    assert key_id(old) in place.listed()


def killed_at(place: Place, step: int) -> bool:
    """
    Run a rotation in a process that is killed before its statement or commit of this number; whether it was.
    """
    child = os.fork()
    if child == 0:
        seen = itertools.count()

        def killed(*_: object) -> None:
            if next(seen) == step:
                os.kill(os.getpid(), signal.SIGKILL)

        event.listen(Engine, "before_cursor_execute", killed)
        event.listen(Engine, "commit", killed)
        status = 70
        try:
            result = place.keys("rotate", "--batch", "2")
            status = result.exit_code
            os.write(2, result.output.encode())
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFEXITED(ended):
        assert os.WEXITSTATUS(ended) == 0
        return False
    return os.WTERMSIG(ended) == signal.SIGKILL


def test_a_rotation_that_is_killed_anywhere_goes_on(place: Place, people: list[Person]) -> None:
    """Killed before each of its statements and commits: every secret still opens, and the next run ends it."""
    old = place.active()
    place.keys("add")
    step = 0
    while killed_at(place, step):
        assert sum(sum(key["needed_by"].values()) for key in place.listed().values()) == 9
        assert place.keys("rotate", "--dry-run").exit_code == 0
        step += 1
    assert step > 10
    assert place.needed(old) == 0
    assert place.keys("retire", old).exit_code == 0
    with open_service(place.data, place.environ) as app:
        for person in people:
            check(app, person)


# --- while a service runs -----------------------------------------------------------------------


def test_a_running_service_follows_the_ring(place: Place, people: list[Person]) -> None:
    """Without a restart: what has been wrapped anew opens, and what is new is wrapped under the new key."""
    old = place.active()
    with open_application(settings_for(place.data, place.environ)) as app:
        slow = app.vault.begin_upload(owner=people[0].user.id, name=FileName.parse("slow.txt"), announced_size=4)
        assert [place.keys(*words).exit_code for words in (["add"], ["rotate"])] == [0, 0]
        for person in people:
            check(app, person)
        people.append(settle(app, "newcomer"))
        app.vault.store_part(slow, b"slow")
        assert place.keys("retire", old).exit_code == 0, "a small upload that began before needs no key yet"
        sealed = app.sharing.seal_upload(slow).file
        assert b"".join(map(bytes, app.vault.read_file(sealed))) == b"slow"
        for person in people:
            check(app, person)
    assert {name: sum(key["needed_by"].values()) for name, key in place.listed().items()} == {place.active(): 13}


def test_a_service_that_is_not_told_of_the_new_key_stores_nothing_under_the_retired_one(
    place: Place, people: list[Person]
) -> None:
    """With keys from the environment it has to be started again: until then it says so, and nothing is lost."""
    present, after = (place.data / "keys/encryption.key").read_text().strip(), fresh()
    (place.data / "keys/encryption.key").unlink()
    both = {"ENCRYPTION_KEY": after, "ENCRYPTION_KEYS_RETIRING": present}
    with open_application(settings_for(place.data, place.environ | {"ENCRYPTION_KEY": present})) as app:
        assert place.keys("rotate", **both).exit_code == 0
        late = settle(app, "late")
        refused = place.keys("retire", id_of(present), **both)
        assert (refused.exit_code, "still needed by 1 file keys" in refused.output) == (2, True)
        assert settle(app, "later").seed, "a refusal changes nothing"
        assert place.keys("rotate", **both).exit_code == 0
        assert place.keys("retire", id_of(present), **both).exit_code == 0
        with pytest.raises(KeyRetired):
            app.vault.store_file(owner=late.user.id, name=FileName.parse("a.txt"), content=[b"x"])
        with pytest.raises(UnknownKey):
            check(app, people[0])
        with (
            pytest.raises(ConfigurationError, match="needs"),
            open_service(place.data, place.environ | {"ENCRYPTION_KEY": present}),
        ):
            pass
    with open_service(place.data, place.environ | {"ENCRYPTION_KEY": after}) as app:
        for person in (*people, late):
            check(app, person)


def test_a_key_that_is_made_the_active_one_again_wraps(place: Place, people: list[Person]) -> None:
    """Who brings a retired key back into use means it: the start lets it wrap again."""
    present, after = (place.data / "keys/encryption.key").read_text().strip(), fresh()
    (place.data / "keys/encryption.key").unlink()
    there = {"ENCRYPTION_KEY": after, "ENCRYPTION_KEYS_RETIRING": present}
    assert place.keys("rotate", **there).exit_code == 0
    assert place.keys("retire", id_of(present), **there).exit_code == 0
    back = {"ENCRYPTION_KEY": present, "ENCRYPTION_KEYS_RETIRING": after}
    with open_service(place.data, place.environ | back) as app:
        settle(app, "newcomer")
        for person in people:
            check(app, person)


# --- beside people who work --------------------------------------------------------------------


@attrs.frozen
class Work:
    """
    What one person does over and over while keys are rotated; any failure is the test's.
    """

    app: Application
    person: Person
    over: Event

    def __call__(self) -> int:
        """How many rounds were worked."""
        app, person = self.app, self.person
        rounds = 0
        upload = app.vault.begin_upload(owner=person.user.id, name=FileName.parse("slow.bin"))
        app.vault.store_part(upload, b"begun before ")
        while rounds < 3 or not self.over.is_set():
            check(app, person)
            file = app.vault.store_file(owner=person.user.id, name=FileName.parse("b.txt"), content=[b"more"])
            token = app.sharing.issue_share_link(owner=person.user.id, file_id=file.id).token
            app.sharing.redeem_share_link(token=token)
            app.vault.delete_file(owner=person.user.id, file_id=file.id)
            if not stored(app, person.user).two_factor_enabled:
                person = attrs.evolve(
                    person, seed=app.users.set_up_totp(user=stored(app, person.user)).seed.reveal().decode()
                )
                app.users.confirm_totp(user=stored(app, person.user), code=person.code())
            rounds += 1
        app.vault.store_part(upload, b"and ended after")
        sealed = app.sharing.seal_upload(upload, public=True).file
        found = app.vault.find_file(owner=person.user.id, file_id=sealed.id)
        assert (
            b"".join(bytes(piece) for piece in app.vault.read_file(found, found.whole))
            == b"begun before and ended after"
        )
        assert app.users.disable_totp(user=stored(app, person.user), code=person.code(1)).totp is None
        return rounds


def test_nobody_notices_a_rotation(place: Place, people: list[Person]) -> None:
    """
    People upload, download, share, delete and set up second factors while a key is added, rotated to and retired.

    Nothing of theirs fails, and nobody starts the service again.
    """
    with open_service(place.data, place.environ) as app:
        for person in people:
            for number in range(12):
                file = app.vault.store_file(owner=person.user.id, name=FileName.parse(f"{number}.txt"), content=[b"x"])
                app.sharing.issue_share_link(owner=person.user.id, file_id=file.id)
    old = place.active()
    over = Event()
    settings = settings_for(place.data, place.environ)
    with open_application(settings) as app, ThreadPoolExecutor() as pool:
        working = [pool.submit(Work(app, person, over)) for person in people]
        try:
            results = [place.keys("add"), place.keys("rotate", "--batch", "7"), place.keys("retire", old)]
        finally:
            over.set()
        assert all(work.result() >= 3 for work in working)
        assert [result.exit_code for result in results] == [0, 0, 0], [result.output for result in results]
        for person in people:
            check(app, person)
    assert place.needed(old) == 0
    with open_service(place.data, place.environ) as app:
        for person in people:
            check(app, person)


def test_secrets_do_not_show(place: Place) -> None:
    """Neither by its settings nor by its ring does a key come into a text."""
    other = fresh()
    settings = settings_for(place.data, place.environ | {"ENCRYPTION_KEYS_RETIRING": other})
    keys = keys_for(settings)
    assert other not in repr(settings) + repr(keys)
    assert keys.environment_retiring_keys == (Secret(base64.b64decode(other)),)
    result = place.keys("list", ENCRYPTION_KEYS_RETIRING=f"{other},nonsense")
    assert result.exit_code == 2
    assert result.output.startswith("sft: ENCRYPTION_KEYS_RETIRING holds a key that is not right")
    assert other not in result.output
