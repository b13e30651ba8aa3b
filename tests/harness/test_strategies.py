"""
The strategies draw valid values, reach the bounds, shrink, and refuse invalid arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from sft_adapters.testkit import strategies as s
from sft_adapters.testkit.contracts.examples import a_file, a_user
from sft_core.sharing.model import ShareLink
from sft_core.users.model import Session, TokenClaims, User
from sft_core.values import FileId, FileName, Username
from sft_core.vault.model import File, FileState, Part

QUICK = settings(max_examples=50, deadline=None, derandomize=True, database=None)
FILE = a_file(a_user())
SEEK = settings(max_examples=2000, deadline=None, derandomize=True, database=None)


@QUICK
@given(s.users(), s.users(two_factor=True, active=True), s.users(two_factor=False, active=False))
def test_users_have_the_requested_second_factor(any_user: User, with_: User, without: User) -> None:
    """Users are active or not, with and without a confirmed second factor, as requested."""
    assert with_.two_factor_enabled
    assert with_.is_active
    assert not without.two_factor_enabled
    assert not without.is_active
    assert any_user.revision >= 0


@QUICK
@given(s.sessions(), s.sessions(live=True), s.token_claims())
def test_sessions_and_tokens_expire_after_they_begin(any_session: Session, live: Session, claims: TokenClaims) -> None:
    """Each expires after its creation, and a live session is not revoked."""
    assert any_session.created_at < any_session.expires_at
    live.require_live(live.created_at)
    assert claims.issued_at < claims.expires_at


@QUICK
@given(s.files())
def test_files_match_their_state(file: File) -> None:
    """A file has a key until it is in deletion, and a size once it is complete."""
    assert (file.key is None) == (file.state in {FileState.ABORTING, FileState.DELETING})
    assert file.size == 0 or file.state is not FileState.RECEIVING


@QUICK
@given(s.manifests())
def test_manifests_are_consecutive_and_complete(drawn: tuple[File, tuple[Part, ...]]) -> None:
    """Parts follow one another from 0 on, and their sizes add up to the file's size."""
    file, parts = drawn
    assert [part.number for part in parts] == list(range(len(parts)))
    assert [part.start for part in parts] == [sum(part.size for part in parts[:number]) for number in range(len(parts))]
    assert sum(part.size for part in parts) == file.size
    assert len({part.blob_key for part in parts}) == len(parts)


@QUICK
@given(s.links(live=True), s.links(live=False))
def test_live_links_grant_a_download(live: ShareLink, dead: ShareLink) -> None:
    """A live link has time and budget left; a dead one is revoked."""
    live.require_live(live.created_at)
    live.require_budget()
    assert not dead.is_live(dead.created_at)


@QUICK
@given(s.usernames(min_size=5, max_size=6), s.file_names(min_size=4, max_size=9, extension=".txt"))
def test_drawn_values_respect_the_bounds(name: Username, file_name: FileName) -> None:
    """Drawn names have a length within the requested bounds."""
    assert 5 <= len(str(name)) <= 6
    assert 4 <= len(str(file_name)) <= 9
    assert file_name.extension == ".txt"


REACHED: list[tuple[str, SearchStrategy[Any], Callable[[Any], bool]]] = [
    ("longest name", s.file_names(), lambda name: len(str(name)) == 255),
    ("astral name", s.file_names(), lambda name: any(ord(letter) > 0xFFFF for letter in str(name))),
    ("combining name", s.file_names(), lambda name: "\u0301" in str(name) or "\u0308" in str(name)),
    ("lone surrogate", s.bad_file_names(), lambda text: any("\ud800" <= letter <= "\udfff" for letter in text)),
    ("bidi override", s.bad_file_names(), lambda text: "\u202e" in text),
    ("longest password", s.passwords(), lambda password: len(password) == 1024),
    ("password with NUL", s.passwords(), lambda password: b"\0" in password.reveal()),
    ("longest address", s.emails(), lambda email: len(str(email).partition("@")[0]) == 64),
    ("longest user name", s.usernames(), lambda name: len(str(name)) == 50),
    ("largest secret", s.secrets(), lambda secret: len(secret) == 4096),
    ("a chunk", s.contents(), lambda content: len(content) == 16_384),
    ("a chunk and a byte", s.contents(), lambda content: len(content) == 16_385),
    ("nothing", s.contents(), lambda content: not content),
    ("an empty part", s.parts(of=FILE), lambda parts: any(part.size == 0 for part in parts)),
    ("an empty range", s.byte_ranges(), lambda span: len(span) == 0),
]


@pytest.mark.parametrize(("strategy", "wanted"), [row[1:] for row in REACHED], ids=[row[0] for row in REACHED])
def test_extreme_values_are_drawn(strategy: SearchStrategy[Any], wanted: Callable[[Any], bool]) -> None:
    """Values that often break programs are drawn by default."""
    assert wanted(find(strategy, wanted, settings=SEEK))


def test_failures_shrink_to_the_plainest_value() -> None:
    """The smallest failing example of each strategy is short and ordinary."""
    assert str(find(s.usernames(), lambda _: True, settings=SEEK)) == "000"
    assert len(str(find(s.file_names(), lambda name: len(str(name)) > 3, settings=SEEK))) == 4
    assert repr(find(s.contents(), lambda content: len(content) > 5, settings=SEEK)) == "content(size=6, seed=0)"
    assert find(s.pages(), lambda page: page.limit > 7, settings=SEEK).limit == 8
    assert [part.size for part in find(s.parts(of=FILE), lambda parts: parts[-1].span.stop > 9, settings=SEEK)] == [10]


WRONG: list[Callable[[], object]] = [
    lambda: s.emails(max_size=5),
    lambda: s.usernames(min_size=2),
    lambda: s.usernames(max_size=51),
    lambda: s.usernames(min_size=9, max_size=8),
    lambda: s.usernames(min_size="3"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.passwords(min_characters=7),
    lambda: s.passwords(max_bytes=1025),
    lambda: s.ids(of=str),  # type: ignore[type-var]  # wrong on purpose
    lambda: s.ids(of="FileId"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.secrets(min_size=9, max_size=15),
    lambda: s.secrets(multiple_of=0),
    lambda: s.wrapped_secrets(key_id=7),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.moments(earliest=datetime(2026, 1, 1)),  # noqa: DTZ001 (the missing time zone is the invalid argument)
    lambda: s.moments(earliest=datetime(2030, 1, 1, tzinfo=UTC), latest=datetime(2029, 1, 1, tzinfo=UTC)),
    lambda: s.byte_ranges(within=0),
    lambda: s.byte_ranges(allow_empty=1),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.pages(max_limit=1001),
    lambda: s.pages(max_skip=-1),
    lambda: s.rates(max_attempts=0),
    lambda: s.rates(max_seconds=0),
    lambda: s.file_names(max_size=256),
    lambda: s.file_names(min_size=0),
    lambda: s.file_names(extension=".a/b"),
    lambda: s.file_names(max_size=4, extension=".txt"),
    lambda: s.contents(max_size=-1),
    lambda: s.content(size=-1),
    lambda: s.content(size=1, seed=256),
    lambda: s.contents(around=[-1]),
    lambda: s.users(two_factor="yes"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.totps(confirmed=1),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.sessions(user="maya"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.token_claims(kind="access"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.files(states=[]),
    lambda: s.files(states=["sealed"]),  # type: ignore[list-item]  # wrong on purpose
    lambda: s.files(max_size=-1),
    lambda: s.parts(of="file"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.manifests(max_parts=0),
    lambda: s.links(file="file"),  # type: ignore[arg-type]  # wrong on purpose
    lambda: s.links(live="yes"),  # type: ignore[arg-type]  # wrong on purpose
]


@pytest.mark.parametrize("call", WRONG)
def test_invalid_arguments_are_refused_at_the_call(call: Callable[[], object]) -> None:
    """Invalid arguments raise `InvalidArgument` before anything is drawn."""
    with pytest.raises(InvalidArgument):
        call()


@QUICK
@given(s.ids(of=FileId))
def test_identifiers_have_the_requested_type(identifier: FileId) -> None:
    """A file's identifier is a `FileId`."""
    assert type(identifier) is FileId
