"""
Signed tokens: the service's own verify, and every imitation is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import string
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.crypto.tokens import JwtSigner
from sft_core.errors import BadToken
from sft_core.users.model import TokenClaims, TokenKind
from sft_core.values import Secret, SessionId, UserId

SECRET = Secret(hashlib.sha512(b"tests").digest())
NOW = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
USER = UserId(UUID("0198c0de-7000-7abc-8def-000000000001"))
SESSION = SessionId(UUID("0198c0de-7000-7abc-8def-000000000002"))
ALPHABET = string.ascii_letters + string.digits + "-_"
SIGNER = JwtSigner(SECRET)


def claims(kind: TokenKind = TokenKind.ACCESS, *, generation: int = 3) -> TokenClaims:
    return TokenClaims(
        kind=kind,
        user_id=USER,
        session_id=SESSION,
        generation=generation,
        issued_at=NOW,
        expires_at=NOW + timedelta(minutes=30),
    )


TOKEN = SIGNER.sign(claims())


def verified(token: str, *, kind: TokenKind = TokenKind.ACCESS, now: datetime = NOW) -> TokenClaims:
    return SIGNER.verify(token, kind=kind, now=now)


def assert_refused(token: str, *, kind: TokenKind = TokenKind.ACCESS, now: datetime = NOW) -> None:
    with pytest.raises(BadToken):
        verified(token, kind=kind, now=now)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forged(payload: Any = None, header: Any = None, *, secret: bytes = SECRET.reveal(), digest: str = "sha256") -> str:
    """
    A forged token; a payload or header that is not given is that of a valid token.
    """
    ours = TOKEN.split(".")
    first = b64(json.dumps(header).encode()) if header is not None else ours[0]
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    second = b64(raw) if payload is not None else ours[1]
    return f"{first}.{second}.{b64(hmac.digest(secret, f'{first}.{second}'.encode(), digest))}"


def payload_of(token: str) -> dict[str, Any]:
    segment = token.split(".")[1]
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    return payload


def with_claims(**changes: Any) -> str:
    """
    A validly signed token with some claims changed, or removed if the value is `...`.
    """
    payload = {**payload_of(TOKEN), **changes}
    return forged({name: value for name, value in payload.items() if value is not ...})


def test_token_has_the_contracts_claims() -> None:
    """
    The token is a JWT whose `sub` is the user and whose `type` is the kind.
    """
    payload = payload_of(TOKEN)
    assert (payload["sub"], payload["sid"], payload["gen"], payload["type"]) == (str(USER), str(SESSION), 3, "access")
    assert (payload["iat"], payload["exp"]) == (SECONDS, SECONDS + 1800)
    header = json.loads(base64.urlsafe_b64decode(TOKEN.split(".", maxsplit=1)[0] + "=="))
    assert header == {"alg": "HS256", "typ": "JWT"}


def test_forging_helper_reproduces_a_valid_token() -> None:
    """
    The forging helper is correct: without changes its tokens verify.
    """
    assert forged() == TOKEN
    assert verified(with_claims()) == verified(TOKEN)


def test_kind_is_not_accepted_as_another() -> None:
    """
    Access and refresh tokens are not accepted for each other, and no other type is accepted.
    """
    assert_refused(TOKEN, kind=TokenKind.REFRESH)
    assert_refused(SIGNER.sign(claims(TokenKind.REFRESH)), kind=TokenKind.ACCESS)
    for other in ("pre-auth", "share", "Access", "access ", "", None, True, ["access"], {"access": 1}, ...):
        assert_refused(with_claims(type=other))


@pytest.mark.parametrize(
    ("header", "digest"),
    [
        ({"alg": "none", "typ": "JWT"}, "sha256"),
        ({"alg": "None", "typ": "JWT"}, "sha256"),
        ({"alg": "HS512", "typ": "JWT"}, "sha512"),
        ({"alg": "HS384", "typ": "JWT"}, "sha384"),
        ({"alg": "hs256", "typ": "JWT"}, "sha256"),
        ({"alg": "RS256", "typ": "JWT"}, "sha256"),
        ({"alg": "ES256", "typ": "JWT"}, "sha256"),
        ({"alg": ["HS256"], "typ": "JWT"}, "sha256"),
        ({"typ": "JWT"}, "sha256"),
        ({}, "sha256"),
        ([], "sha256"),
        ("HS256", "sha256"),
        ({"alg": "HS256", "typ": "JWT", "crit": ["exp"]}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "crit": []}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "b64": False, "crit": ["b64"]}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "b64": True}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "kid": "../../dev/null"}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "kid": "' OR 1=1 --"}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "kid": 1}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "jku": "https://evil.example/keys"}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "x5u": "https://evil.example/cert"}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "jwk": {"kty": "oct", "k": "AA"}}, "sha256"),
        ({"alg": "HS256", "typ": "JWT", "zip": "DEF"}, "sha256"),
        ({"alg": "HS256", "typ": "at+jwt"}, "sha256"),
    ],
)
def test_other_header_is_refused(header: Any, digest: str) -> None:
    """
    A token cannot choose its algorithm or its key, nor bring extensions, even if validly signed.
    """
    assert_refused(forged(header=header, digest=digest))


def test_unsigned_tokens_are_refused() -> None:
    """
    A token without a signature is refused, with and without the dot before it.
    """
    header, payload, _ = TOKEN.split(".")
    none = b64(b'{"alg":"none","typ":"JWT"}')
    for first in (header, none):
        for token in (f"{first}.{payload}.", f"{first}.{payload}", f"{first}..", f"{first}.{payload}.AAAA"):
            assert_refused(token)


@pytest.mark.parametrize("secret", [b"", b"\x00" * 32, SECRET.reveal()[:32], SECRET.reveal() + b"\x00", b"secret"])
def test_another_secret_is_refused(secret: bytes) -> None:
    """
    A token signed under another secret is refused.
    """
    assert_refused(forged(secret=secret))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "sid", "gen", "type", "iat", "exp"])
def test_every_claim_is_required(name: str) -> None:
    """
    A token with a missing or null claim is refused.
    """
    assert_refused(with_claims(**{name: ...}))
    assert_refused(with_claims(**{name: None}))


INVALID_INTEGERS = [
    1.5,
    float(SECONDS),
    True,
    False,
    str(SECONDS),
    [3],
    {},
    "",
    -1,
    10**400,
    float("nan"),
    float("inf"),
]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf", "gen"])
@pytest.mark.parametrize("value", INVALID_INTEGERS, ids=lambda value: repr(value)[:12])
def test_numeric_claim_is_a_bounded_integer(name: str, value: Any) -> None:
    """
    Fractions, booleans, texts, infinities and unbounded numbers are neither times nor generations.
    """
    assert_refused(with_claims(**{name: value}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_time_beyond_the_calendar_is_refused(name: str) -> None:
    """
    A time beyond the calendar is refused before it is converted to a date.
    """
    assert_refused(with_claims(**{name: 10**18}))


def test_generation_has_63_bits() -> None:
    """
    A generation fits the 63 bits of the database's integer.
    """
    assert verified(with_claims(gen=0)).generation == 0
    assert verified(with_claims(gen=2**63 - 1)).generation == 2**63 - 1
    assert_refused(with_claims(gen=2**63))


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": 1},
        {"sub": str(USER).upper()},
        {"sub": USER.value.hex},
        {"sub": f"{{{USER}}}"},
        {"sub": [str(USER)]},
        {"sub": "../../etc/passwd"},
        {"sid": 1},
        {"sid": str(SESSION) + " "},
        {"iss": "someone else"},
        {"iss": "sft "},
        {"iss": ["sft"]},
        {"aud": "another-api"},
        {"aud": ["sft-api"]},
        {"aud": ["sft-api", "another-api"]},
        {"aud": {"sft-api": True}},
    ],
    ids=str,
)
def test_claim_with_another_value_is_refused(changes: dict[str, Any]) -> None:
    """
    Other spellings of identifiers, lists in place of a text, and other issuers or audiences are refused.
    """
    assert_refused(with_claims(**changes))


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_token_from_the_future_is_refused(name: str) -> None:
    """
    A token from up to a minute in the future is accepted, to allow for another machine's clock.
    """
    assert verified(with_claims(**{name: SECONDS + 60})).user_id == USER
    assert_refused(with_claims(**{name: SECONDS + 61}))


def test_lifetime_is_bounded() -> None:
    """
    A token with a longer lifetime than the service issues is refused, even if validly signed.
    """
    longest = int(SIGNER.max_lifetime.total_seconds())
    assert verified(with_claims(exp=SECONDS + longest)).user_id == USER
    assert_refused(with_claims(exp=SECONDS + longest + 1))


PAYLOADS = [
    b"",
    b"null",
    b"[]",
    b'"text"',
    b"1",
    b"{",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe",
    b"[" * 1200,
    b'{"exp":' + b"9" * 1200 + b"}",
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: repr(payload)[:16])
def test_payload_is_an_object(payload: bytes) -> None:
    """
    A validly signed token whose payload is no JSON object is refused.
    """
    assert_refused(forged(payload))


@pytest.mark.parametrize("segment", [0, 1, 2])
def test_only_one_last_character_is_accepted(segment: int) -> None:
    """
    Of the 64 characters that may end each segment of a token exactly one is accepted.
    """
    parts = TOKEN.split(".")
    accepted = []
    for letter in ALPHABET:
        changed = [*parts]
        changed[segment] = parts[segment][:-1] + letter
        try:
            verified(".".join(changed))
        except BadToken:
            continue
        accepted.append(letter)
    assert accepted == [parts[segment][-1]]


def test_length_is_bounded() -> None:
    """
    An unknown claim is ignored, but a token of more than 2 048 characters is refused, even if validly signed.
    """
    assert verified(with_claims(note="x" * 1000)).user_id == USER
    assert_refused(with_claims(note="x" * 2000))


ODD_SPELLINGS = [
    TOKEN + "=",
    TOKEN + "==",
    TOKEN.replace(".", "=.", 1),
    TOKEN + ".",
    "." + TOKEN,
    TOKEN + " ",
    " " + TOKEN,
    TOKEN + "\n",
    TOKEN + "\r\n",
    TOKEN + "\x00",
    TOKEN.replace(".", " .", 1),
    TOKEN.replace(".", "..", 1),
    TOKEN.replace(".", "\uff0e", 1),
    "Bearer " + TOKEN,
    TOKEN.upper(),
    TOKEN[:-1],
    TOKEN + "A",
    TOKEN[:-4] + "+/+/",
    TOKEN + "." + TOKEN.split(".")[2],
    TOKEN.split(".", maxsplit=1)[0],
    "",
    ".",
    "..",
    "...",
    "a.b.c",
    "\ud800." + TOKEN,
    "A" * 100_000,
    TOKEN + "A" * 4096,
    '{"payload":"","protected":"","signature":""}',
]


@pytest.mark.parametrize("token", ODD_SPELLINGS, ids=lambda token: repr(token[:4] + token[-6:]))
def test_other_spellings_are_refused(token: str) -> None:
    """
    Padding, white space, other segment counts and other alphabets are refused.
    """
    assert_refused(token)


@given(st.data())
def test_any_changed_letter_is_refused(data: st.DataObject) -> None:
    """
    A token with any one character changed to any other is refused.
    """
    position = data.draw(st.integers(0, len(TOKEN) - 1))
    letter = data.draw(st.sampled_from(ALPHABET + "=.+/ ").filter(lambda letter: letter != TOKEN[position]))
    assert_refused(TOKEN[:position] + letter + TOKEN[position + 1 :])


def test_refusals_have_the_same_public_message() -> None:
    """
    The public message does not reveal why a token was refused.
    """
    for token in ("", TOKEN[:-1] + ALPHABET[ALPHABET.index(TOKEN[-1]) - 4], with_claims(exp=1), forged(secret=b"x")):
        with pytest.raises(BadToken) as failure:
            verified(token)
        assert (failure.value.code, failure.value.public) == ("bad-token", "Could not validate credentials")
