"""
Values validate themselves: a valid spelling round-trips, an invalid one is refused.
"""

from __future__ import annotations

import base64
import unicodedata
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.testkit import strategies
from sft_core.errors import InvalidFileName, InvalidValue
from sft_core.values import (
    ByteRange,
    EmailAddress,
    FileId,
    FileName,
    LinkId,
    MediaType,
    Page,
    Password,
    Rate,
    Secret,
    SessionId,
    ShareToken,
    UserId,
    Username,
)

NO_TEXTS = [None, 1, True, b"bytes", ["text"], {"text": 1}]
PARSERS = [EmailAddress, Username, FileName, MediaType, Password, ShareToken, FileId]


@pytest.mark.parametrize("kind", PARSERS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("value", NO_TEXTS, ids=repr)
def test_only_texts_are_parsed(kind: Any, value: object) -> None:
    """Numbers, bytes, lists and None are refused and never converted to text."""
    with pytest.raises(InvalidValue):
        kind.parse(value)


# --- identifiers and secrets -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [UserId, SessionId, FileId, LinkId])
@given(data=st.data())
def test_identifier_round_trips(kind: Any, data: st.DataObject) -> None:
    """Only the canonical spelling is parsed, no other spelling of the same number."""
    identifier = data.draw(strategies.ids(of=kind))
    text = str(identifier)
    assert kind.parse(text) == identifier
    assert len(identifier.bytes) == 16
    others = {
        text.replace("-", ""),
        f"{{{text}}}",
        f"urn:uuid:{text}",
        f" {text}",
        f"{text}\n",
        text[:-1],
        "z" + text[1:],
    }
    for other in others | ({text.upper()} - {text}):
        with pytest.raises(InvalidValue):
            kind.parse(other)


@given(st.text(max_size=40))
def test_other_text_is_no_identifier(text: str) -> None:
    """Texts other than the 36 characters of the canonical spelling are refused."""
    with pytest.raises(InvalidValue):
        FileId.parse(text)


@given(strategies.share_tokens())
def test_token_has_one_spelling(token: ShareToken) -> None:
    """43 characters of base64url round-trip; padding, other alphabets and other last characters are refused."""
    text = token.encode()
    assert len(text) == 43
    assert ShareToken.parse(text) == token
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 256 bits leave two of the last letter's six unused: only the letter that has them 0 is a spelling.
    siblings = {text[:-1] + letter for number, letter in enumerate(alphabet) if number % 4}
    for other in (*siblings, text + "=", text[:-1], text + "A", f"+{text[1:]}", f"\u00e9{text[1:]}", f" {text[1:]}"):
        with pytest.raises(InvalidValue):
            ShareToken.parse(other)


@given(strategies.secrets(min_size=1, max_size=64, multiple_of=1), st.binary(max_size=64))
def test_secret_is_masked_and_compares_by_its_bytes(secret: Secret, other: bytes) -> None:
    """Its `repr` is masked, it equals only a secret of the same bytes, and it is not hashable."""
    assert repr(secret) == str(secret) == "Secret(***)"
    assert (secret == Secret(other)) == (secret.reveal() == other)
    assert secret != secret.reveal()
    with pytest.raises(TypeError):
        hash(secret)


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), None, 7])
def test_secret_requires_bytes(value: Any) -> None:
    """Mutable buffers and texts are refused."""
    with pytest.raises(TypeError):
        Secret(value)


# --- users -------------------------------------------------------------------------------------


@given(strategies.emails())
def test_email_address_is_lower_case(email: EmailAddress) -> None:
    """One mailbox is one account, whatever the case of its letters."""
    assert EmailAddress.parse(str(email)) == EmailAddress.parse(str(email).upper()) == email
    assert str(email) == str(email).lower()


NO_EMAILS = [
    *("", "@", "a", "a@", "@b.org", "a@b", "a@@b.org", "a b@c.org", "a@b..org", ".a@b.org", "a.@b.org", "a..b@c.org"),
    *("a@-b.org", "a@b-.org", "a@b.org\n", " a@b.org", "a@b.org ", "a\x00@b.org", "ä@b.org", "a@bü.org", '"a"@b.org'),
    *("a@[127.0.0.1]", "a@b.org,c@d.org", "<a@b.org>", "a@b.org>", "l" * 65 + "@b.org", "a@" + "d" * 64 + ".org"),
    "a@" + ".".join(["d" * 60] * 5) + ".org",
]


@pytest.mark.parametrize("text", NO_EMAILS)
def test_invalid_email_address_is_refused(text: str) -> None:
    """Quoted forms, literals, several addresses, other scripts and lengths beyond the bounds are refused."""
    with pytest.raises(InvalidValue):
        EmailAddress.parse(text)


@given(strategies.usernames())
def test_username_round_trips_in_nfc(name: Username) -> None:
    """The name is stored in NFC."""
    assert Username.parse(str(name)) == name
    assert str(name) == unicodedata.normalize("NFC", str(name))


@pytest.mark.parametrize("other", ["MAYA", "Maya", "\uff4d\uff41\uff59\uff41", "\uff2d\uff21\uff39\uff21"])
def test_similar_usernames_have_one_key(other: str) -> None:
    """Case and width do not make a different name; a letter does."""
    assert Username.parse(other).key == Username.parse("maya").key != Username.parse("maja").key


def test_decomposed_username_is_composed() -> None:
    """The composed and the decomposed spelling of a letter are one name."""
    assert Username.parse("rene\u0301") == Username.parse("ren\u00e9")


@pytest.mark.parametrize(
    "text", ["", "ab", "a" * 51, "a b", "a@b", "abc\n", "a\u200bbc", "\U0001f600" * 3, "a/bc", "\u0958" * 26]
)
def test_invalid_username_is_refused(text: str) -> None:
    """Too short, too long as typed or as stored, spaces, symbols and invisible characters are refused."""
    with pytest.raises(InvalidValue):
        Username.parse(text)


@given(strategies.passwords())
def test_password_round_trips(password: Password) -> None:
    """Composed or not, it is the same password, and its `repr` is masked."""
    text = password.reveal().decode()
    assert Password.parse(text) == Password.for_sign_in(text) == password
    assert repr(password) == "Password(***)"


@pytest.mark.parametrize("text", ["", "seven77", "x" * 1025, "\u20ac" * 342, "lone \ud800 surrogate"])
def test_invalid_password_is_refused(text: str) -> None:
    """Fewer than 8 characters, more than 1 024 bytes and invalid Unicode are refused without quoting the input."""
    with pytest.raises(InvalidValue) as refused:
        Password.parse(text)
    assert text[:7] not in str(refused.value) or not text


def test_password_at_sign_in_may_be_short() -> None:
    """Sign-in refuses only what can never be hashed, so that it does not reveal the password rules."""
    assert len(Password.for_sign_in("")) == 0
    for text in ("x" * 1025, "\u20ac" * 342, "\ud800"):
        with pytest.raises(InvalidValue):
            Password.for_sign_in(text)


# --- files -------------------------------------------------------------------------------------


@given(strategies.file_names())
def test_file_name_round_trips_in_nfc(name: FileName) -> None:
    """Names of any script and length round-trip, and none can be mistaken for a path."""
    text = str(name)
    assert FileName.parse(text) == name
    assert text == unicodedata.normalize("NFC", text)
    assert 1 <= len(text) <= 255
    assert not set(text) & set("/\\\x00\r\n")
    assert text not in {".", ".."}


@given(strategies.bad_file_names())
def test_invalid_file_name_is_refused(text: str) -> None:
    """Separators, control and bidi characters, reserved names, bad first or last characters and lengths are refused."""
    with pytest.raises(InvalidFileName):
        FileName.parse(text)


@pytest.mark.parametrize("text", ["\u3164", "\uffa0", "\u115f\u1160", "\u2800", "\u3164\u200b\u3164", "\u00ad"])
def test_invisible_file_name_is_refused(text: str) -> None:
    """Characters without a glyph are no name, alone or together; beside other characters they are allowed."""
    with pytest.raises(InvalidFileName):
        FileName.parse(text)
    assert str(FileName.parse(f"a{text}b")).startswith("a")


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        ("a.TXT", ".txt"),
        ("a.tar.gz", ".gz"),
        ("a", ""),
        (".profile", ""),
        ("a.b ", None),
        ("a..b", ".b"),
        ("é.ÄÖ", ".äö"),
    ],
)
def test_extension_is_the_last_suffix(text: str, extension: str | None) -> None:
    """The extension is in lower case with its dot; a leading dot begins a name, not an extension."""
    if extension is None:
        with pytest.raises(InvalidFileName):
            FileName.parse(text)
    else:
        assert FileName.parse(text).extension == extension


@given(strategies.media_types(), st.sampled_from(["", ";", "; charset=utf-8", " ;a=b;c=d"]))
def test_media_type_is_parsed_without_parameters(media_type: MediaType, rest: str) -> None:
    """The type is in lower case and without its parameters."""
    assert MediaType.parse(f" {media_type}{rest}") == MediaType.parse(str(media_type).upper() + rest) == media_type


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "text/plain/x", "te xt/plain", "text/plä", "t" * 64 + "/x", ";"]
)
def test_invalid_media_type_is_refused(text: str) -> None:
    """Incomplete types, other characters and lengths beyond the bounds are refused."""
    with pytest.raises(InvalidValue):
        MediaType.parse(text)


# --- ranges, rates, pages ----------------------------------------------------------------------


@given(strategies.byte_ranges(within=50), strategies.byte_ranges(within=50), st.integers(0, 9))
def test_range_is_a_set_of_bytes(one: ByteRange, other: ByteRange, by: int) -> None:
    """Length, intersection and shift equal those of the set of bytes."""
    both = one.intersection(other)
    assert len(one) == len(range(one.start, one.stop))
    assert set(range(both.start, both.stop)) == set(range(one.start, one.stop)) & set(range(other.start, other.stop))
    assert one.start <= both.start <= both.stop <= one.stop
    assert one.shifted(by).shifted(-by) == one


@pytest.mark.parametrize(("start", "stop"), [(1, 0), (-1, 0), (-2, -1)])
def test_range_is_not_reversed_or_negative(start: int, stop: int) -> None:
    """A range starts at 0 or later, and does not stop before it starts."""
    with pytest.raises(ValueError if start < 0 else InvalidValue):
        ByteRange(start, stop)


@given(strategies.rates(), strategies.moments(), st.integers(0, 10**6))
def test_rate_retry_after_is_long_enough(rate: Rate, now: Any, microseconds: int) -> None:
    """The wait is whole seconds, at least one, and long enough for one more attempt."""
    available_at = now + rate.tolerance + timedelta(microseconds=microseconds)
    wait = rate.retry_after(available_at, now)
    assert wait >= 1
    assert available_at - rate.tolerance <= now + timedelta(seconds=wait)
    assert abs(rate.interval * rate.attempts - rate.window) <= timedelta(microseconds=rate.attempts)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 60), (-1, 60), (1_000_001, 60), (1, 0.5), (1, 365 * 86_400 + 1)])
def test_rate_beyond_its_bounds_is_refused(attempts: int, seconds: float) -> None:
    """A rate allows one to a million attempts, in one second to 365 days."""
    with pytest.raises(InvalidValue):
        Rate(attempts, timedelta(seconds=seconds))


@given(strategies.pages())
def test_page_within_its_bounds_is_accepted(page: Page) -> None:
    """A page skips any number of rows and contains up to a thousand."""
    assert Page(skip=page.skip, limit=page.limit) == page


@pytest.mark.parametrize(("skip", "limit"), [(-1, 1), (2**63, 1), (0, 0), (0, -1), (0, 1001)])
def test_page_beyond_its_bounds_is_refused(skip: int, limit: int) -> None:
    """Negative, empty and too large pages are refused."""
    with pytest.raises(InvalidValue):
        Page(skip=skip, limit=limit)


def test_token_of_another_length_is_refused() -> None:
    """A shorter or longer secret in the same encoding is refused."""
    for size in (31, 33):
        text = base64.urlsafe_b64encode(bytes(size)).rstrip(b"=").decode()
        with pytest.raises(InvalidValue):
            ShareToken.parse(text)
