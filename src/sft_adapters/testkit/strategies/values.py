"""
Strategies for users' values, identifiers, secrets, ranges and bounds.
"""

from __future__ import annotations

import string
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.strategies import SearchStrategy

from sft_adapters.testkit.strategies.arguments import check_bounds, check_kind, valid_values
from sft_core.values import (
    MAX_PAGE_SIZE,
    MAX_PASSWORD_BYTES,
    MIN_PASSWORD_CHARACTERS,
    SHARE_TOKEN_BYTES,
    ByteRange,
    EmailAddress,
    Id,
    Page,
    Password,
    Rate,
    Secret,
    ShareToken,
    Username,
    WrappedSecret,
)

IdT = TypeVar("IdT", bound=Id)

_LETTERS: Final = string.ascii_lowercase + string.digits
_ATOM: Final = _LETTERS + string.ascii_uppercase + "!#$%&'*+/=?^_`{|}~-"
_EARLIEST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)


def emails(*, max_size: int = 254) -> SearchStrategy[EmailAddress]:
    """
    E-mail addresses of at most `max_size` (6 to 254) characters: plain, unusual, and longest ones.
    """
    check_bounds("max_size", 6, max_size, lowest=6, highest=254)
    atoms = st.lists(st.text(_ATOM, min_size=1, max_size=12), min_size=1, max_size=4).map(".".join)
    local = st.one_of(st.text(string.ascii_lowercase, min_size=1, max_size=8), atoms, st.just("l" * 64))
    label = st.builds(lambda text: f"{text}x", st.text(_LETTERS + "-", max_size=62)).map(lambda text: text.lstrip("-"))
    labels = st.lists(label, min_size=1, max_size=6).map(lambda names: ".".join([*names, "org"]))
    domain = st.one_of(st.just("example.org"), labels, st.just(".".join(["d" * 61] * 3)))
    texts = st.builds("{}@{}".format, local, domain)
    plain = st.text(string.ascii_lowercase, min_size=1, max_size=max(1, max_size - 5)).map(lambda name: f"{name}@x.org")
    return valid_values(EmailAddress.parse, st.one_of(plain, texts), lambda email: len(str(email)) <= max_size)


def usernames(*, min_size: int = 3, max_size: int = 50) -> SearchStrategy[Username]:
    """
    User names of `min_size` to `max_size` (3 to 50) characters: any script, marks, digits, `._-`.
    """
    check_bounds("the size", min_size, max_size, lowest=3, highest=50)
    plain = st.text(_LETTERS + "._-", min_size=min_size, max_size=max_size)
    script = st.characters(categories=["L", "N", "M"], include_characters="._-")
    any_script = st.text(script, min_size=min_size, max_size=max_size)
    longest = st.sampled_from(_LETTERS).map(lambda letter: letter * max_size)
    texts = st.one_of(plain, any_script, longest)
    return valid_values(Username.parse, texts, lambda name: min_size <= len(str(name)) <= max_size)


def passwords(
    *, min_characters: int = MIN_PASSWORD_CHARACTERS, max_bytes: int = MAX_PASSWORD_BYTES
) -> SearchStrategy[Password]:
    """
    Passwords of at least `min_characters` and at most `max_bytes`.

    `min_characters` is 8 or more; `max_bytes` is up to 1 024 and counts the UTF-8 form. Passwords contain any
    character: spaces at the ends, NUL, astral and combining ones.
    """
    check_bounds("the length", min_characters, max_bytes, lowest=MIN_PASSWORD_CHARACTERS, highest=MAX_PASSWORD_BYTES)
    plain = st.text(_LETTERS, min_size=min_characters, max_size=min(max_bytes, min_characters + 20))
    odd = st.text(st.characters(exclude_categories=["Cs"]), min_size=min_characters, max_size=min_characters + 60)
    longest = st.just("\N{GREEK SMALL LETTER ALPHA}" * (max_bytes // 2) + "b" * (max_bytes % 2))
    return valid_values(
        Password.parse,
        st.one_of(plain, odd, longest),
        lambda password: len(password) <= max_bytes and len(password.reveal().decode()) >= min_characters,
    )


def ids(*, of: type[IdT]) -> SearchStrategy[IdT]:
    """
    Identifiers of the type `of`, such as `FileId`, from UUIDs of any version.
    """
    check_kind("`of`", of, type)
    if not issubclass(of, Id):
        raise InvalidArgument(f"`of` must be a kind of Id, not {of!r}")
    return st.integers(0, 2**128 - 1).map(lambda number: of(UUID(int=number)))


def secrets(*, min_size: int = 16, max_size: int = 4096, multiple_of: int = 8) -> SearchStrategy[Secret]:
    """
    Secrets of `min_size` to `max_size` bytes, by default the sizes that a key ring wraps.
    """
    check_bounds("the size", min_size, max_size, lowest=0, highest=2**20)
    check_bounds("multiple_of", multiple_of, multiple_of, lowest=1, highest=2**20)
    low, high = -(-min_size // multiple_of), max_size // multiple_of
    if low > high:
        raise InvalidArgument(f"no multiple of {multiple_of} lies in {min_size} to {max_size}")
    few = st.integers(low, min(high, low + 8))
    counts = st.one_of(few, st.just(high))
    return counts.flatmap(lambda count: _secret_bytes(count * multiple_of)).map(Secret)


def _secret_bytes(size: int) -> SearchStrategy[bytes]:
    if size <= 256:
        return st.binary(min_size=size, max_size=size)
    return st.binary(min_size=16, max_size=16).map(lambda block: (block * (size // 16 + 1))[:size])


def share_tokens() -> SearchStrategy[ShareToken]:
    """
    Tokens of share links: 32 bytes.
    """
    return st.binary(min_size=SHARE_TOKEN_BYTES, max_size=SHARE_TOKEN_BYTES).map(ShareToken)


def wrapped_secrets(*, key_id: str | None = None) -> SearchStrategy[WrappedSecret]:
    """
    Wrapped secrets as stored in a row, under the key `key_id` or any key.

    Their ciphertext is random, so no key ring unwraps them.
    """
    check_kind("key_id", key_id, str, type(None))
    names = st.text(string.hexdigits[:16], min_size=16, max_size=16) if key_id is None else st.just(key_id)
    return st.builds(WrappedSecret, names, st.binary(min_size=24, max_size=48))


def moments(*, earliest: datetime = _EARLIEST, latest: datetime = _LATEST) -> SearchStrategy[datetime]:
    """
    Moments in UTC, to the microsecond, from `earliest` to `latest`.
    """
    for name, bound in (("earliest", earliest), ("latest", latest)):
        check_kind(name, bound, datetime)
        if bound.tzinfo is not UTC:
            raise InvalidArgument(f"{name} must be a moment in UTC, not {bound!r}")
    if earliest > latest:
        raise InvalidArgument(f"earliest must not be after latest: {earliest!r}, {latest!r}")
    return st.integers(0, (latest - earliest) // timedelta(microseconds=1)).map(
        lambda microseconds: earliest + timedelta(microseconds=microseconds)
    )


def byte_ranges(*, within: int = 2**40, allow_empty: bool = True) -> SearchStrategy[ByteRange]:
    """
    Ranges within the first `within` bytes (1 or more); empty ones only with `allow_empty`.
    """
    check_bounds("within", 1, within, lowest=1, highest=2**63)
    check_kind("allow_empty", allow_empty, bool)
    least = 0 if allow_empty else 1
    starts = st.integers(0, within - least)
    return starts.flatmap(lambda start: st.integers(start + least, within).map(lambda stop: ByteRange(start, stop)))


def pages(*, max_skip: int = 2**63 - 1, max_limit: int = MAX_PAGE_SIZE) -> SearchStrategy[Page]:
    """
    Pages of a listing, of 1 to `max_limit` entries (up to 1 000).

    They skip 0 to `max_skip` entries.
    """
    check_bounds("skip", 0, max_skip, lowest=0, highest=2**63 - 1)
    check_bounds("limit", 1, max_limit, lowest=1, highest=MAX_PAGE_SIZE)
    return st.builds(Page, skip=st.integers(0, max_skip), limit=st.integers(1, max_limit))


def rates(*, max_attempts: int = 1_000_000, max_seconds: int = 365 * 86_400) -> SearchStrategy[Rate]:
    """
    Rates of 1 to `max_attempts` attempts in a window of 1 to `max_seconds` seconds.

    The windows include fractions of a second, to the microsecond.
    """
    check_bounds("attempts", 1, max_attempts, lowest=1, highest=1_000_000)
    check_bounds("seconds", 1, max_seconds, lowest=1, highest=365 * 86_400)
    windows = st.one_of(
        st.integers(1, max_seconds).map(lambda seconds: timedelta(seconds=seconds)),
        st.timedeltas(timedelta(seconds=1), timedelta(seconds=max_seconds)),
    )
    return st.builds(Rate, st.integers(1, max_attempts), windows)
