"""
The token signer: lifetimes, issuer and audience, and the secrets and algorithms that it refuses.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import attrs
import pytest

from sft_adapters.crypto.tokens import JwtSigner
from sft_core.errors import BadToken, ConfigurationError
from sft_core.users.model import TokenClaims, TokenKind
from sft_core.values import Secret, SessionId, UserId

SECRET = Secret(hashlib.sha512(b"tests").digest())
NOW = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
USER = UserId(UUID("0198c0de-7000-7abc-8def-000000000001"))
SESSION = SessionId(UUID("0198c0de-7000-7abc-8def-000000000002"))
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


def test_tokens_that_would_be_refused_are_not_signed() -> None:
    """
    A lifetime beyond the bound is a configuration error, raised when the first token is signed.
    """
    signer = JwtSigner(SECRET, max_lifetime=timedelta(minutes=30))
    assert signer.verify(signer.sign(claims()), kind=TokenKind.ACCESS, now=NOW).user_id == USER
    with pytest.raises(ConfigurationError, match="live longer"):
        signer.sign(attrs.evolve(claims(), expires_at=NOW + timedelta(minutes=30, seconds=1)))


@pytest.mark.parametrize("year", [1971, 2001, 2100, 9000])
def test_time_is_that_of_the_caller(year: int) -> None:
    """
    Only the time argument counts, never the machine's clock.
    """
    now = datetime(year, 1, 1, tzinfo=UTC)
    ours = TokenClaims(
        kind=TokenKind.ACCESS,
        user_id=USER,
        session_id=SESSION,
        generation=0,
        issued_at=now,
        expires_at=now + timedelta(minutes=1),
    )
    assert SIGNER.verify(SIGNER.sign(ours), kind=TokenKind.ACCESS, now=now) == ours


def test_tokens_of_another_service_are_refused() -> None:
    """
    Services that share a secret but not issuer and audience refuse each other's tokens.
    """
    for other in (JwtSigner(SECRET, issuer="other"), JwtSigner(SECRET, audience="other")):
        assert other.verify(other.sign(claims()), kind=TokenKind.ACCESS, now=NOW).user_id == USER
        with pytest.raises(BadToken):
            SIGNER.verify(other.sign(claims()), kind=TokenKind.ACCESS, now=NOW)


@pytest.mark.parametrize(("algorithm", "shortest"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_short_secret_is_refused_at_start(algorithm: Any, shortest: int) -> None:
    """
    A secret shorter than the algorithm's digest is refused, and the error names the setting.
    """
    JwtSigner(Secret(bytes(range(shortest))), algorithm)
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        JwtSigner(Secret(bytes(range(shortest - 1))), algorithm)


@pytest.mark.parametrize("algorithm", ["none", "None", "", "hs256", "RS256", "ES256", "EdDSA"])
def test_other_algorithms_are_refused_at_start(algorithm: Any) -> None:
    """
    Only the three HMAC algorithms sign tokens, and the error names the setting.
    """
    with pytest.raises(ConfigurationError, match="ALGORITHM"):
        JwtSigner(SECRET, algorithm)


def test_public_key_as_secret_is_refused_at_start() -> None:
    """
    A public key configured as the secret is refused at start, because it is not secret.
    """
    pem = b"-----BEGIN PUBLIC KEY-----\n" + b"A" * 64 + b"\n-----END PUBLIC KEY-----\n"
    with pytest.raises(ConfigurationError, match="SECRET_KEY"):
        JwtSigner(Secret(pem))


def test_signer_does_not_show_its_secret() -> None:
    """
    The `repr` of a signer masks its secret.
    """
    shown = repr(SIGNER)
    assert "Secret(***)" in shown
    assert SECRET.reveal().hex() not in shown
    assert repr(SECRET.reveal())[2:-1] not in shown
