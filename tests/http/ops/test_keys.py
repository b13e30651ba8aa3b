"""
`sft keys` on both databases, beside active users and after a crash.
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


def random_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


def id_of(text: str) -> str:
    return key_id(encryption_key(text))


@attrs.frozen
class Deployment:
    """
    A data folder and the database of one service.
    """

    data: Path
    environ: dict[str, str]

    def keys(self, *arguments: str, **environ: str) -> Result:
        """Run `sft keys`."""
        return RUNNER.invoke(
            sft, ["keys", arguments[0], "--data", str(self.data), *arguments[1:]], env=self.environ | environ
        )

    def listed(self, **environ: str) -> dict[str, dict[str, Any]]:
        """The keys of the ring, by id."""
        result = self.keys("list", "--json", **environ)
        assert result.exit_code == 0, result.output
        return {key["id"]: key for key in json.loads(result.output)["keys"]}

    def active(self) -> str:
        return next(name for name, key in self.listed().items() if key["state"] == "active")

    def needed(self, name: str) -> int:
        found = self.listed().get(name)
        return sum(found["needed_by"].values()) if found else 0


@pytest.fixture(params=["sqlite", "postgres"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.chdir(tmp_path)
    # Several engines in one process are not the several processes that an old SQLite is not safe for.
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: True)
    environ = dict(LIGHT)
    if request.param == "postgres":
        environ["DATABASE_URL"] = request.getfixturevalue("postgres_url")
    return Deployment(tmp_path / "data", environ)


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


def register_with_file(app: Application, name: str) -> Person:
    user = register(app, name)
    file = app.vault.store_file(owner=user.id, name=FileName.parse("a.txt"), content=[name.encode()])
    token = app.sharing.issue_share_link(owner=user.id, file_id=file.id).token
    return Person(user, file, token, app.users.set_up_totp(user=user).seed.reveal().decode())


def check_readable(app: Application, person: Person) -> None:
    """
    The file is readable by its owner and through its link, and the owner is shown the link's token.
    """
    name = str(person.user.username).encode()
    own = app.vault.find_file(owner=person.user.id, file_id=person.file.id)
    shared = app.sharing.redeem_share_link(token=person.token)
    for found in (own, shared):
        assert b"".join(bytes(piece) for piece in app.vault.read_file(found, found.whole)) == name
    assert app.sharing.summarise_links([own])[own.id].token == person.token


@pytest.fixture
def people(deployment: Deployment) -> list[Person]:
    with open_service(deployment.data, deployment.environ) as app:
        return [register_with_file(app, f"user{number}") for number in range(3)]


# --- a complete rotation -----------------------------------------------------------------------


def test_rotation_replaces_the_key_and_everything_stays_readable(deployment: Deployment, people: list[Person]) -> None:
    """Add, restart, rotate, retire, restart: files, links and second factors still work, and the old key is deleted."""
    old = deployment.active()
    assert deployment.needed(old) == 9
    assert deployment.keys("add").exit_code == 0
    new = deployment.active()
    assert new != old
    assert {name: key["state"] for name, key in deployment.listed().items()} == {new: "active", old: "earlier"}
    refused = deployment.keys("retire", old)
    assert refused.exit_code == 2
    assert "needed by 3 file keys, 3 link tokens, 3 TOTP seeds" in refused.output
    with open_service(deployment.data, deployment.environ) as app:
        people.append(register_with_file(app, "newcomer"))
        for person in people:
            check_readable(app, person)
    assert (deployment.needed(old), deployment.needed(new)) == (9, 3)
    rotated = deployment.keys("rotate")
    assert rotated.exit_code == 0
    assert "Re-wrapped: 3 file keys, 3 link tokens, 3 TOTP seeds." in rotated.output
    assert f"sft keys retire {old}" in rotated.output
    retired = deployment.keys("retire", old)
    assert (retired.exit_code, sorted(path.name for path in (deployment.data / "keys").glob("*.key"))) == (
        0,
        ["encryption.key", "secret.key"],
    )
    assert {name: sum(key["needed_by"].values()) for name, key in deployment.listed().items()} == {new: 12}
    with open_service(deployment.data, deployment.environ) as app:
        for person in people:
            check_readable(app, person)
            app.users.confirm_totp(user=stored(app, person.user), code=person.code())
            assert app.users.sign_in(email=person.user.email, password=PASSWORD, totp_code=person.code(1)).access


def test_keys_from_the_environment_are_rotated_by_the_operator(
    deployment: Deployment, people: list[Person], tmp_path: Path
) -> None:
    """The commands name the variables to set, show no key, and write a new key to the requested file only."""
    current = (deployment.data / "keys/encryption.key").read_text().strip()
    (deployment.data / "keys/encryption.key").unlink()
    given = {"ENCRYPTION_KEY": current}
    added = deployment.keys("add", **given)
    assert added.exit_code == 2
    assert id_of(current) in added.output
    assert "ENCRYPTION_KEYS_RETIRING" in added.output
    written = deployment.keys("add", "--write", str(tmp_path / "new.key"), **given)
    assert written.exit_code == 0
    text = (tmp_path / "new.key").read_text().strip()
    assert stat.S_IMODE((tmp_path / "new.key").stat().st_mode) == 0o600
    assert id_of(text) in written.output
    assert text not in written.output
    assert deployment.keys("add", "--write", str(tmp_path / "new.key"), **given).exit_code == 2
    assert (tmp_path / "new.key").read_text().strip() == text
    both = {"ENCRYPTION_KEY": text, "ENCRYPTION_KEYS_RETIRING": current}
    assert {name: key["in_environment"] for name, key in deployment.listed(**both).items()} == {
        id_of(text): True,
        id_of(current): True,
    }
    assert deployment.keys("rotate", **both).exit_code == 0
    retired = deployment.keys("retire", id_of(current), **both)
    assert (retired.exit_code, "remove it from ENCRYPTION_KEYS_RETIRING" in retired.output) == (0, True)
    with open_service(deployment.data, deployment.environ | {"ENCRYPTION_KEY": text}) as app:
        for person in people:
            check_readable(app, person)
    shown = added.output + written.output + retired.output + deployment.keys("list", **both).output
    assert current not in shown
    assert text not in shown


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_rotation_shows_a_progress_bar_only_on_a_terminal(deployment: Deployment, people: list[Person]) -> None:
    """In a log the progress is one line for each batch, at most one for each tenth, without control characters."""
    deployment.keys("add")
    lines = deployment.keys("rotate", "--dry-run", "--batch", "1").output.splitlines()
    assert lines[:9] == [f"{done} of 9" for done in range(1, 10)]
    command = [sys.executable, "-m", "sft_http.cli.main", "keys", "rotate", "--data", str(deployment.data)]
    terminal, inside = pty.openpty()
    subprocess.run(command, stdout=inside, env={**os.environ, "TERM": "xterm"}, check=True)
    os.close(inside)
    shown = os.read(terminal, 1 << 16).decode()
    os.close(terminal)
    assert "Re-wrapping" in shown
    assert "100%" in shown
    assert f"Re-wrapped: {len(people)} file keys" in shown


# --- missing, altered and locked ---------------------------------------------------------------


def test_dry_run_changes_nothing(deployment: Deployment, people: list[Person]) -> None:
    """It reports the number of secrets to re-wrap."""
    deployment.keys("add")
    before = deployment.listed()
    dry = deployment.keys("rotate", "--dry-run")
    assert (dry.exit_code, deployment.listed()) == (0, before)
    assert "To be re-wrapped: 3 file keys, 3 link tokens, 3 TOTP seeds." in dry.output
    assert "Nothing was changed." in dry.output
    assert len(people) == 3


def test_missing_key_is_named_by_its_id(deployment: Deployment, people: list[Person]) -> None:
    """List, rotate and the start name it; secrets under the other keys are re-wrapped."""
    old = deployment.active()
    deployment.keys("add")
    middle = deployment.active()
    with open_service(deployment.data, deployment.environ) as app:
        register_with_file(app, "newcomer")
    deployment.keys("add")
    lost = deployment.data / "keys" / f"encryption-{old}.key"
    lost.rename(deployment.data.parent / "lost.key")
    assert (deployment.listed()[old]["state"], deployment.needed(old)) == ("missing", 9)
    with pytest.raises(ConfigurationError, match=f"needs {old}"), open_service(deployment.data, deployment.environ):
        pass
    for options in (["--dry-run"], []):
        result = deployment.keys("rotate", *options)
        assert result.exit_code == 1
        assert f"key {old} is missing" in result.output
    assert (deployment.needed(old), deployment.needed(middle)) == (9, 0)
    assert f"not contain key {old}" in deployment.keys("retire", old).output
    (deployment.data.parent / "lost.key").rename(lost)
    assert deployment.keys("rotate").exit_code == 0
    assert (deployment.needed(old), len(people)) == (0, 3)


def test_secret_that_does_not_unwrap_is_the_reason_why_its_key_is_needed(
    deployment: Deployment, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    Every run says so and recommends no other run; secrets left for another reason are counted separately.
    """
    old = deployment.active()
    with (
        temporary_engine(settings_for(deployment.data, deployment.environ).database_url, busy_seconds=9) as engine,
        engine.begin() as rows,
    ):
        rows.execute(update(links).where(links.c.file_id == people[0].file.id.bytes).values(wrapped_token=bytes(40)))
        rows.execute(update(users).where(users.c.id == people[1].user.id.bytes).values(totp_seed=bytes(40)))
    deployment.keys("add")
    reason = f"1 link tokens, 1 TOTP seeds do not unwrap under key {old}, which they name: run `sft doctor`"
    for options in (["--dry-run"], [], []):
        result = deployment.keys("rotate", *options)
        assert result.exit_code == 1
        assert reason in result.output
        assert f"row {people[1].user.id} does not unwrap" in result.output
        assert "again" not in result.output
    assert deployment.needed(old) == 2
    middle = deployment.active()
    with open_service(deployment.data, deployment.environ) as app:
        register_with_file(app, "newcomer")
    deployment.keys("add")
    # As if a running service wrapped a new secret under the old key for each one that is re-wrapped.
    monkeypatch.setattr(SqlWrappedSecrets, "replace", lambda _secrets, _rewrappings: 0)
    result = deployment.keys("rotate")
    assert reason in result.output
    others = f"4 file keys, 3 link tokens, 3 TOTP seeds still need key {middle}, because a service wraps under it"
    assert (result.exit_code, others in result.output) == (1, True)
    assert f"still need key {old}" not in result.output


def test_active_and_unknown_keys_are_not_retired(deployment: Deployment) -> None:
    """Each refusal states its reason, and the key files stay."""
    prepare(settings_for(deployment.data, deployment.environ))
    active = deployment.active()
    assert "is the active one" in deployment.keys("retire", active).output
    for name in ("0" * 16, "../secret", "nonsense"):
        result = deployment.keys("retire", name)
        assert (result.exit_code, "does not contain key" in result.output) == (2, True)
    assert deployment.active() == active


def test_missing_key_or_database_is_not_created(deployment: Deployment, tmp_path: Path) -> None:
    """Every command names what is missing; a lost key is never replaced by a new one."""
    for arguments in (["list"], ["add"], ["rotate"], ["rotate", "--dry-run"], ["retire", "0" * 16]):
        result = deployment.keys(*arguments)
        assert result.exit_code == 2
        assert "encryption.key is missing" in result.output
    assert list(tmp_path.iterdir()) == []
    settings = settings_for(deployment.data, deployment.environ)
    keys_for(settings)
    assert "sft migrate" in deployment.keys("list").output
    prepare(settings)
    (deployment.data / "keys/encryption.key").unlink()
    for arguments in (["list"], ["add"], ["rotate"], ["retire", "0" * 16]):
        assert "encryption.key is missing" in deployment.keys(*arguments).output
    assert not (deployment.data / "keys/encryption.key").exists()


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_invalid_earlier_key_is_named_by_its_file(deployment: Deployment) -> None:
    """The start names the file for loose permissions, another key's content, a malformed key and an empty file."""
    prepare(settings_for(deployment.data, deployment.environ))
    old = deployment.active()
    deployment.keys("add")
    file = deployment.data / "keys" / f"encryption-{old}.key"
    invalid = [
        (0o644, random_key(), "chmod 600"),
        (0o600, random_key(), "named after"),
        (0o600, "short", "holds no key of the ring"),
        (0o600, "", "is empty"),
    ]
    for mode, text, message in invalid:
        file.write_text(text)
        file.chmod(mode)
        with pytest.raises(ConfigurationError, match=f"{file.name}.*{message}"):
            keys_for(settings_for(deployment.data, deployment.environ))


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_rotation_on_an_old_sqlite_is_refused_beside_a_service(
    deployment: Deployment, people: list[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only one process may write, the refusal names the lock; `--dry-run` and `list` are allowed."""
    monkeypatch.setattr("sft_adapters.bootstrap.single_writer.sqlite_is_safe_for_many_writers", lambda: False)
    deployment.keys("add")
    with open_service(deployment.data, deployment.environ):
        refused = deployment.keys("rotate", DATABASE_TIMEOUT_SECONDS="0.1")
        assert (refused.exit_code, "sft.db.lock is locked" in refused.output) == (2, True)
        assert deployment.keys("rotate", "--dry-run").exit_code == 0
        assert deployment.keys("list").exit_code == 0
    assert deployment.keys("rotate").exit_code == 0
    assert len(people) == 3


# --- crashes -----------------------------------------------------------------------------------


class Crash(BaseException):
    """Ends the process at this point."""


@pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)
def test_key_ring_survives_a_crash_at_any_point_of_add(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    Before and after every change of the folder the old key is still in the ring, and `add` succeeds when repeated.
    """
    prepare(settings_for(deployment.data, deployment.environ))
    old = keys_for(settings_for(deployment.data, deployment.environ)).encryption_key
    for at in itertools.count():
        seen, active = (
            itertools.count(),
            key_id(keys_for(settings_for(deployment.data, deployment.environ)).encryption_key),
        )

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
            patched.setattr(Path, "unlink", lambda *_, **__: None)  # a crash leaves temporary files behind
            try:
                key_files.rotate_active(deployment.data / "keys", active)
            except Crash:
                is_complete = False
            else:
                is_complete = True
        keys = keys_for(settings_for(deployment.data, deployment.environ))
        assert old in (keys.encryption_key, *keys.retiring_keys)
        if is_complete:
            break
    assert at > 5
    assert deployment.keys("add").exit_code == 0
    assert key_id(old) in deployment.listed()


def killed_at(deployment: Deployment, step: int) -> bool:
    """
    Run a rotation in a process that is killed before this statement or commit; return whether it was killed.
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
            result = deployment.keys("rotate", "--batch", "2")
            status = result.exit_code
            os.write(2, result.output.encode())
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    if os.WIFEXITED(ended):
        assert os.WEXITSTATUS(ended) == 0
        return False
    return os.WTERMSIG(ended) == signal.SIGKILL


def test_rotation_killed_at_any_statement_is_resumed_by_the_next(deployment: Deployment, people: list[Person]) -> None:
    """Killed before each of its statements and commits, every secret is still readable, and the next run completes."""
    old = deployment.active()
    deployment.keys("add")
    step = 0
    while killed_at(deployment, step):
        assert sum(sum(key["needed_by"].values()) for key in deployment.listed().values()) == 9
        assert deployment.keys("rotate", "--dry-run").exit_code == 0
        step += 1
    assert step > 10
    assert deployment.needed(old) == 0
    assert deployment.keys("retire", old).exit_code == 0
    with open_service(deployment.data, deployment.environ) as app:
        for person in people:
            check_readable(app, person)


# --- while a service runs -----------------------------------------------------------------------


def test_running_service_follows_the_key_ring(deployment: Deployment, people: list[Person]) -> None:
    """Without a restart it reads re-wrapped secrets and wraps new ones under the new key."""
    old = deployment.active()
    with open_application(settings_for(deployment.data, deployment.environ)) as app:
        slow = app.vault.begin_upload(owner=people[0].user.id, name=FileName.parse("slow.txt"), announced_size=4)
        assert [deployment.keys(*arguments).exit_code for arguments in (["add"], ["rotate"])] == [0, 0]
        for person in people:
            check_readable(app, person)
        people.append(register_with_file(app, "newcomer"))
        app.vault.store_part(slow, b"slow")
        assert deployment.keys("retire", old).exit_code == 0, (
            "a small upload begun before the rotation needs no key yet"
        )
        sealed = app.sharing.seal_upload(slow).file
        assert b"".join(map(bytes, app.vault.read_file(sealed))) == b"slow"
        for person in people:
            check_readable(app, person)
    assert {name: sum(key["needed_by"].values()) for name, key in deployment.listed().items()} == {
        deployment.active(): 13
    }


def test_service_without_the_new_key_stores_nothing_under_the_retired_one(
    deployment: Deployment, people: list[Person]
) -> None:
    """Keys from the environment need a restart: until then the service refuses uploads, and nothing is lost."""
    current, replacement = (deployment.data / "keys/encryption.key").read_text().strip(), random_key()
    (deployment.data / "keys/encryption.key").unlink()
    both = {"ENCRYPTION_KEY": replacement, "ENCRYPTION_KEYS_RETIRING": current}
    with open_application(settings_for(deployment.data, deployment.environ | {"ENCRYPTION_KEY": current})) as app:
        assert deployment.keys("rotate", **both).exit_code == 0
        late = register_with_file(app, "late")
        refused = deployment.keys("retire", id_of(current), **both)
        assert (refused.exit_code, "still needed by 1 file keys" in refused.output) == (2, True)
        assert register_with_file(app, "later").seed, "a refused retirement must change nothing"
        assert deployment.keys("rotate", **both).exit_code == 0
        assert deployment.keys("retire", id_of(current), **both).exit_code == 0
        with pytest.raises(KeyRetired):
            app.vault.store_file(owner=late.user.id, name=FileName.parse("a.txt"), content=[b"x"])
        with pytest.raises(UnknownKey):
            check_readable(app, people[0])
        with (
            pytest.raises(ConfigurationError, match="needs"),
            open_service(deployment.data, deployment.environ | {"ENCRYPTION_KEY": current}),
        ):
            pass
    with open_service(deployment.data, deployment.environ | {"ENCRYPTION_KEY": replacement}) as app:
        for person in (*people, late):
            check_readable(app, person)


def test_retired_key_made_active_again_wraps(deployment: Deployment, people: list[Person]) -> None:
    """The start cancels the retirement of the key that the operator has made the active one."""
    current, replacement = (deployment.data / "keys/encryption.key").read_text().strip(), random_key()
    (deployment.data / "keys/encryption.key").unlink()
    rotating = {"ENCRYPTION_KEY": replacement, "ENCRYPTION_KEYS_RETIRING": current}
    assert deployment.keys("rotate", **rotating).exit_code == 0
    assert deployment.keys("retire", id_of(current), **rotating).exit_code == 0
    reverted = {"ENCRYPTION_KEY": current, "ENCRYPTION_KEYS_RETIRING": replacement}
    with open_service(deployment.data, deployment.environ | reverted) as app:
        register_with_file(app, "newcomer")
        for person in people:
            check_readable(app, person)


# --- beside active users -----------------------------------------------------------------------


@attrs.frozen
class UserLoop:
    """
    What one user does repeatedly while keys are rotated; any error fails the test.
    """

    app: Application
    person: Person
    is_complete: Event

    def __call__(self) -> int:
        """Return the number of rounds."""
        app, person = self.app, self.person
        rounds = 0
        upload = app.vault.begin_upload(owner=person.user.id, name=FileName.parse("slow.bin"))
        app.vault.store_part(upload, b"begun before ")
        while rounds < 3 or not self.is_complete.is_set():
            check_readable(app, person)
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


def test_rotation_beside_active_users_fails_no_request(deployment: Deployment, people: list[Person]) -> None:
    """
    Users upload, download, share, delete and set up second factors while a key is added, rotated to and retired.

    None of their requests fails, and the service is not restarted.
    """
    with open_service(deployment.data, deployment.environ) as app:
        for person in people:
            for number in range(12):
                file = app.vault.store_file(owner=person.user.id, name=FileName.parse(f"{number}.txt"), content=[b"x"])
                app.sharing.issue_share_link(owner=person.user.id, file_id=file.id)
    old = deployment.active()
    is_complete = Event()
    settings = settings_for(deployment.data, deployment.environ)
    with open_application(settings) as app, ThreadPoolExecutor() as pool:
        loops = [pool.submit(UserLoop(app, person, is_complete)) for person in people]
        try:
            results = [
                deployment.keys("add"),
                deployment.keys("rotate", "--batch", "7"),
                deployment.keys("retire", old),
            ]
        finally:
            is_complete.set()
        assert all(work.result() >= 3 for work in loops)
        assert [result.exit_code for result in results] == [0, 0, 0], [result.output for result in results]
        for person in people:
            check_readable(app, person)
    assert deployment.needed(old) == 0
    with open_service(deployment.data, deployment.environ) as app:
        for person in people:
            check_readable(app, person)


def test_key_rings_do_not_show_secrets(deployment: Deployment) -> None:
    """Neither the representation of settings and keys nor an error message contains a key."""
    other = random_key()
    settings = settings_for(deployment.data, deployment.environ | {"ENCRYPTION_KEYS_RETIRING": other})
    keys = keys_for(settings)
    assert other not in repr(settings) + repr(keys)
    assert keys.environment_retiring_keys == (Secret(base64.b64decode(other)),)
    result = deployment.keys("list", ENCRYPTION_KEYS_RETIRING=f"{other},nonsense")
    assert result.exit_code == 2
    assert result.output.startswith("sft: ENCRYPTION_KEYS_RETIRING holds a key that is not right")
    assert other not in result.output
