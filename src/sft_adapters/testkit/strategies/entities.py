"""
Strategies for entities: users, sessions, files, manifests and links.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from datetime import timedelta

import attrs
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from sft_adapters.testkit.strategies.arguments import check_bounds, check_kind
from sft_adapters.testkit.strategies.contents import file_names, media_types
from sft_adapters.testkit.strategies.values import emails, ids, moments, usernames, wrapped_secrets
from sft_core.sharing.model import ShareLink
from sft_core.users.model import Session, TokenClaims, TokenKind, Totp, User
from sft_core.values import FileId, LinkId, SessionId, UserId
from sft_core.vault.model import (
    MAX_DOWNLOADS_BOUND,
    MAX_EXPIRES_HOURS,
    Encryption,
    File,
    FileState,
    Part,
    ShareTerms,
)

_STATES_WITH_KEY = frozenset({FileState.RECEIVING, FileState.SEALED})


def totps(*, confirmed: bool | None = None) -> SearchStrategy[Totp]:
    """
    Second factors, pending and confirmed, or one of the two.

    Pending ones have spent no step.
    """
    check_kind("confirmed", confirmed, bool, type(None))
    pending = st.builds(Totp, wrapped_secrets())
    in_force = st.builds(Totp, wrapped_secrets(), st.just(True), st.integers(-1, 2**40))
    return {None: st.one_of(pending, in_force), False: pending, True: in_force}[confirmed]


def users(*, two_factor: bool | None = None, active: bool | None = None) -> SearchStrategy[User]:
    """
    Users with or without a confirmed second factor, active or inactive.

    `two_factor` and `active` select one of the two.
    """
    check_kind("two_factor", two_factor, bool, type(None))
    check_kind("active", active, bool, type(None))
    without = st.one_of(st.none(), totps(confirmed=False))
    second = {None: st.one_of(without, totps(confirmed=True)), False: without, True: totps(confirmed=True)}[two_factor]
    return st.builds(
        User,
        id=ids(of=UserId),
        email=emails(),
        username=usernames(),
        password_hash=st.just("$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g"),
        created_at=moments(),
        last_login=st.one_of(st.none(), moments()),
        is_active=st.booleans() if active is None else st.just(active),
        is_verified=st.booleans(),
        totp=second,
        revision=st.integers(0, 2**31 - 1),
    )


def sessions(*, user: User | None = None, live: bool | None = None) -> SearchStrategy[Session]:
    """
    Sessions of `user` or of any user.

    None is revoked if `live` is true, all are if it is false. They expire up to 400 days after their creation.
    """
    check_kind("user", user, User, type(None))
    check_kind("live", live, bool, type(None))
    revoked = {None: st.one_of(st.none(), moments()), False: moments(), True: st.none()}[live]
    return st.builds(
        _with_lifetime,
        st.builds(
            Session,
            id=ids(of=SessionId),
            user_id=ids(of=UserId) if user is None else st.just(user.id),
            created_at=moments(),
            expires_at=moments(),
            generation=st.integers(0, 2**31 - 1),
            revoked_at=revoked,
        ),
        st.integers(1, 400 * 86_400),
    )


def _with_lifetime(session: Session, seconds: int) -> Session:
    return attrs.evolve(session, expires_at=session.created_at + timedelta(seconds=seconds))


def token_claims(*, kind: TokenKind | None = None) -> SearchStrategy[TokenClaims]:
    """
    Claims of access tokens, refresh tokens or both, in whole seconds.

    They are valid for one second to one week.
    """
    check_kind("kind", kind, TokenKind, type(None))
    issued = moments().map(lambda moment: moment.replace(microsecond=0))
    return st.builds(
        lambda claims, seconds: attrs.evolve(claims, expires_at=claims.issued_at + timedelta(seconds=seconds)),
        st.builds(
            TokenClaims,
            kind=st.sampled_from(TokenKind) if kind is None else st.just(kind),
            user_id=ids(of=UserId),
            session_id=ids(of=SessionId),
            generation=st.integers(0, 2**31 - 1),
            issued_at=issued,
            expires_at=issued,
        ),
        st.integers(1, 7 * 86_400),
    )


def share_terms() -> SearchStrategy[ShareTerms]:
    """
    Terms of links: none, small ones, and the largest ones.
    """
    downloads = st.one_of(st.none(), st.integers(1, 3), st.integers(1, MAX_DOWNLOADS_BOUND))
    hours = st.one_of(st.none(), st.integers(1, MAX_EXPIRES_HOURS))
    return st.builds(ShareTerms, max_downloads=downloads, expires_hours=hours)


def files(
    *, owner: User | None = None, states: Collection[FileState] = tuple(FileState), max_size: int = 2**50
) -> SearchStrategy[File]:
    """
    Files of `owner` or of any user, in any of `states`.

    They have at most `max_size` bytes. A file being received has no size yet; an aborting or deleting file has no key.
    """
    check_kind("owner", owner, User, type(None))
    check_bounds("max_size", 0, max_size, lowest=0, highest=2**63 - 1)
    if not states or not all(isinstance(state, FileState) for state in states):
        raise InvalidArgument(f"states must name at least one state of a file, not {states!r}")
    names = file_names()
    whole = st.builds(
        File,
        id=ids(of=FileId),
        owner=ids(of=UserId) if owner is None else st.just(owner.id),
        name=names,
        original_name=names,
        media_type=media_types(),
        created_at=moments(),
        state=st.sampled_from(sorted(states, key=lambda state: state.value)),
        size=st.integers(0, max_size),
        version=st.integers(1, 2**31 - 1),
        encryption=st.sampled_from(Encryption),
        key=wrapped_secrets(),
        terms=share_terms(),
    )
    return whole.map(_in_state)


def _in_state(file: File) -> File:
    return attrs.evolve(
        file,
        key=file.key if file.state in _STATES_WITH_KEY else None,
        size=0 if file.state is FileState.RECEIVING else file.size,
    )


def parts(*, of: File, max_parts: int = 8, max_part_size: int = 1 << 22) -> SearchStrategy[tuple[Part, ...]]:
    """
    The parts of a file as `StorePart` numbers and places them, 1 to `max_parts`.

    Some of them may be empty.
    """
    check_kind("of", of, File)
    check_bounds("max_parts", 1, max_parts, lowest=1, highest=1000)
    check_bounds("max_part_size", 1, max_part_size, lowest=1, highest=2**40)
    sizes = st.lists(st.integers(0, max_part_size), min_size=1, max_size=max_parts)
    return sizes.map(lambda drawn: tuple(_consecutive_parts(of, drawn)))


def _consecutive_parts(file: File, sizes: list[int]) -> Iterator[Part]:
    start = 0
    for number, size in enumerate(sizes):
        noise = hashlib.shake_128(file.part_context(number)).digest(64)
        yield Part(
            number=number,
            start=start,
            size=size,
            stored_size=size + 72,
            blob_key=file.blob_key(number, noise[:8]),
            header=noise[8:],
        )
        start += size


def manifests(*, max_parts: int = 8, max_part_size: int = 1 << 22) -> SearchStrategy[tuple[File, tuple[Part, ...]]]:
    """
    Sealed files with all their parts, whose sizes add up to the file's size.
    """
    check_bounds("max_parts", 1, max_parts, lowest=1, highest=1000)
    check_bounds("max_part_size", 1, max_part_size, lowest=1, highest=2**40)
    return files(states=[FileState.SEALED]).flatmap(
        lambda file: parts(of=file, max_parts=max_parts, max_part_size=max_part_size).map(
            lambda placed: (attrs.evolve(file, size=sum(part.size for part in placed)), placed)
        )
    )


def links(*, file: File | None = None, live: bool | None = None) -> SearchStrategy[ShareLink]:
    """
    Links to `file` or to any file, spent ones included.

    They last 1 to 720 hours. None is revoked or spent if `live` is true, all are revoked if it is false.
    """
    check_kind("file", file, File, type(None))
    check_kind("live", live, bool, type(None))
    revoked = {None: st.one_of(st.none(), moments()), False: moments(), True: st.none()}[live]
    budgets = st.one_of(st.none(), st.integers(1, 3), st.integers(1, MAX_DOWNLOADS_BOUND))
    link = st.builds(
        ShareLink,
        id=ids(of=LinkId),
        file_id=ids(of=FileId) if file is None else st.just(file.id),
        owner=ids(of=UserId) if file is None else st.just(file.owner),
        token_digest=st.binary(min_size=32, max_size=32),
        token=wrapped_secrets(),
        created_at=moments(),
        expires_at=moments(),
        max_downloads=budgets,
        downloads=st.integers(0, 3),
        revoked_at=revoked,
    )
    min_remaining = 1 if live else 0
    return st.builds(
        lambda link, hours: _with_expiry(link, hours=hours, min_remaining=min_remaining),
        link,
        st.integers(1, MAX_EXPIRES_HOURS),
    )


def _with_expiry(link: ShareLink, *, hours: int, min_remaining: int) -> ShareLink:
    budget = link.max_downloads
    most = link.downloads if budget is None else min(link.downloads, budget - min_remaining)
    return attrs.evolve(link, expires_at=link.created_at + timedelta(hours=hours), downloads=most)
