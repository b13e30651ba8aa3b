"""
Values validate themselves: what spells one comes back, what breaks a rule is refused.
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
    """A number, bytes, a list or nothing at all is refused and never turned into a text."""
    with pytest.raises(InvalidValue):
        kind.parse(value)


# --- identifiers and secrets -------------------------------------------------------------------


@pytest.mark.parametrize("kind", [UserId, SessionId, FileId, LinkId])
@given(data=st.data())
def test_an_identifier_comes_back_from_its_spelling(kind: Any, data: st.DataObject) -> None:
    """The canonical spelling is the one that is read, and no other of the same number is."""
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
def test_no_other_text_is_an_identifier(text: str) -> None:
    """Texts that are not 36 letters of the canonical spelling are refused."""
    with pytest.raises(InvalidValue):
        FileId.parse(text)


@given(strategies.share_tokens())
def test_a_token_has_one_spelling(token: ShareToken) -> None:
    """43 letters of base64url come back; padding, another alphabet and other last letters do not."""
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
def test_a_secret_masks_itself_and_compares_by_its_bytes(secret: Secret, other: bytes) -> None:
    """It shows nothing, equals a secret of the same bytes only, and is no dictionary key."""
    assert repr(secret) == str(secret) == "Secret(***)"
    assert (secret == Secret(other)) == (secret.reveal() == other)
    assert secret != secret.reveal()
    with pytest.raises(TypeError):
        hash(secret)


@pytest.mark.parametrize("value", ["text", bytearray(b"x"), None, 7])
def test_a_secret_is_made_of_bytes(value: Any) -> None:
    """What could change later, or would have to be encoded, is refused."""
    with pytest.raises(TypeError):
        Secret(value)


# --- people ------------------------------------------------------------------------------------


@given(strategies.emails())
def test_an_address_comes_back_in_lower_case(email: EmailAddress) -> None:
    """One mailbox is one account, however its letters are typed."""
    assert EmailAddress.parse(str(email)) == EmailAddress.parse(str(email).upper()) == email
    assert str(email) == str(email).lower()


NO_EMAILS = [
    *("", "@", "a", "a@", "@b.org", "a@b", "a@@b.org", "a b@c.org", "a@b..org", ".a@b.org", "a.@b.org", "a..b@c.org"),
    *("a@-b.org", "a@b-.org", "a@b.org\n", " a@b.org", "a@b.org ", "a\x00@b.org", "ä@b.org", "a@bü.org", '"a"@b.org'),
    *("a@[127.0.0.1]", "a@b.org,c@d.org", "<a@b.org>", "a@b.org>", "l" * 65 + "@b.org", "a@" + "d" * 64 + ".org"),
    "a@" + ".".join(["d" * 60] * 5) + ".org",
]


@pytest.mark.parametrize("text", NO_EMAILS)
def test_what_is_no_address_is_refused(text: str) -> None:
    """Quoted forms, literals, several addresses, other scripts and lengths beyond the bounds are refused."""
    with pytest.raises(InvalidValue):
        EmailAddress.parse(text)


@given(strategies.usernames())
def test_a_user_name_comes_back_as_typed_after_nfc(name: Username) -> None:
    """It is kept composed."""
    assert Username.parse(str(name)) == name
    assert str(name) == unicodedata.normalize("NFC", str(name))


@pytest.mark.parametrize("other", ["MAYA", "Maya", "\uff4d\uff41\uff59\uff41", "\uff2d\uff21\uff39\uff21"])
def test_names_that_look_alike_have_one_key(other: str) -> None:
    """Case and width make no other name; a letter does."""
    assert Username.parse(other).key == Username.parse("maya").key != Username.parse("maja").key


def test_a_name_may_be_typed_decomposed() -> None:
    """The two spellings of a letter with a mark are one name."""
    assert Username.parse("rene\u0301") == Username.parse("ren\u00e9")


@pytest.mark.parametrize(
    "text", ["", "ab", "a" * 51, "a b", "a@b", "abc\n", "a\u200bbc", "\U0001f600" * 3, "a/bc", "\u0958" * 26]
)
def test_what_is_no_user_name_is_refused(text: str) -> None:
    """Too short, too long as typed or as kept, spaces, signs and invisible characters are refused."""
    with pytest.raises(InvalidValue):
        Username.parse(text)


@given(strategies.passwords())
def test_a_password_comes_back_from_its_characters(password: Password) -> None:
    """Composed or not, it is the same password; it never shows."""
    text = password.reveal().decode()
    assert Password.parse(text) == Password.for_sign_in(text) == password
    assert repr(password) == "Password(***)"


@pytest.mark.parametrize("text", ["", "seven77", "x" * 1025, "\u20ac" * 342, "lone \ud800 surrogate"])
def test_what_is_no_password_is_refused(text: str) -> None:
    """Less than 8 characters, more than 1 024 bytes, and what is no Unicode are refused, without a word of it."""
    with pytest.raises(InvalidValue) as refused:
        Password.parse(text)
    assert text[:7] not in str(refused.value) or not text


def test_a_claimed_password_may_be_short() -> None:
    """At sign-in only what could never be hashed is refused, so that no rule is told."""
    assert len(Password.for_sign_in("")) == 0
    for text in ("x" * 1025, "\u20ac" * 342, "\ud800"):
        with pytest.raises(InvalidValue):
            Password.for_sign_in(text)


# --- files -------------------------------------------------------------------------------------


@given(strategies.file_names())
def test_a_file_name_comes_back_after_nfc(name: FileName) -> None:
    """Names of any script and length survive; none could be taken for a path."""
    text = str(name)
    assert FileName.parse(text) == name
    assert text == unicodedata.normalize("NFC", text)
    assert 1 <= len(text) <= 255
    assert not set(text) & set("/\\\x00\r\n")
    assert text not in {".", ".."}


@given(strategies.bad_file_names())
def test_a_bad_file_name_is_refused(text: str) -> None:
    """Separators, control and bidi characters, reserved names, odd ends, wrong lengths: refused."""
    with pytest.raises(InvalidFileName):
        FileName.parse(text)


@pytest.mark.parametrize("text", ["\u3164", "\uffa0", "\u115f\u1160", "\u2800", "\u3164\u200b\u3164", "\u00ad"])
def test_a_name_that_shows_nothing_is_refused(text: str) -> None:
    """Letters and symbols without a shape do not make a name, alone or together; beside others they may stand."""
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
def test_an_extension_is_the_last_suffix(text: str, extension: str | None) -> None:
    """In lower case with its dot; a leading dot begins a name and no extension."""
    if extension is None:
        with pytest.raises(InvalidFileName):
            FileName.parse(text)
    else:
        assert FileName.parse(text).extension == extension


@given(strategies.media_types(), st.sampled_from(["", ";", "; charset=utf-8", " ;a=b;c=d"]))
def test_a_media_type_comes_back_without_parameters(media_type: MediaType, rest: str) -> None:
    """In lower case, whatever follows it."""
    assert MediaType.parse(f" {media_type}{rest}") == MediaType.parse(str(media_type).upper() + rest) == media_type


@pytest.mark.parametrize(
    "text", ["", "text", "text/", "/plain", "text/plain/x", "te xt/plain", "text/plä", "t" * 64 + "/x", ";"]
)
def test_what_is_no_media_type_is_refused(text: str) -> None:
    """Half a type, other characters and lengths beyond the bounds are refused."""
    with pytest.raises(InvalidValue):
        MediaType.parse(text)


# --- ranges, rates, pages ----------------------------------------------------------------------


@given(strategies.byte_ranges(within=50), strategies.byte_ranges(within=50), st.integers(0, 9))
def test_ranges_are_sets_of_bytes(one: ByteRange, other: ByteRange, by: int) -> None:
    """Length, intersection and shifting are what they are for the bytes in them."""
    both = one.intersection(other)
    assert len(one) == len(range(one.start, one.stop))
    assert set(range(both.start, both.stop)) == set(range(one.start, one.stop)) & set(range(other.start, other.stop))
    assert one.start <= both.start <= both.stop <= one.stop
    assert one.shifted(by).shifted(-by) == one


@pytest.mark.parametrize(("start", "stop"), [(1, 0), (-1, 0), (-2, -1)])
def test_a_range_is_never_backwards_or_negative(start: int, stop: int) -> None:
    """It begins at 0 or later, and ends where it begins or later."""
    with pytest.raises(ValueError if start < 0 else InvalidValue):
        ByteRange(start, stop)


@given(strategies.rates(), strategies.moments(), st.integers(0, 10**6))
def test_a_rate_gives_attempts_back_in_its_time(rate: Rate, now: Any, microseconds: int) -> None:
    """The wait is whole seconds, at least one, and long enough for one more attempt."""
    comes_back = now + rate.tolerance + timedelta(microseconds=microseconds)
    wait = rate.retry_after(comes_back, now)
    assert wait >= 1
    assert comes_back - rate.tolerance <= now + timedelta(seconds=wait)
    assert abs(rate.interval * rate.attempts - rate.window) <= timedelta(microseconds=rate.attempts)


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 60), (-1, 60), (1_000_001, 60), (1, 0.5), (1, 365 * 86_400 + 1)])
def test_a_rate_beyond_its_bounds_is_refused(attempts: int, seconds: float) -> None:
    """One to a million attempts, in a second to a year."""
    with pytest.raises(InvalidValue):
        Rate(attempts, timedelta(seconds=seconds))


@given(strategies.pages())
def test_a_page_is_within_its_bounds(page: Page) -> None:
    """It leaves out any number of rows and takes up to a thousand."""
    assert Page(skip=page.skip, limit=page.limit) == page


@pytest.mark.parametrize(("skip", "limit"), [(-1, 1), (2**63, 1), (0, 0), (0, -1), (0, 1001)])
def test_a_page_beyond_its_bounds_is_refused(skip: int, limit: int) -> None:
    """A negative window, an empty one and one that is too large are refused."""
    with pytest.raises(InvalidValue):
        Page(skip=skip, limit=limit)


def test_a_token_of_another_length_has_no_spelling_that_is_read() -> None:
    """A shorter or longer secret spelt the same way is no token."""
    for size in (31, 33):
        text = base64.urlsafe_b64encode(bytes(size)).rstrip(b"=").decode()
        with pytest.raises(InvalidValue):
            ShareToken.parse(text)
