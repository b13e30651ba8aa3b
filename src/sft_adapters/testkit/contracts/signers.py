"""
The contract of `sft_core.users.ports.TokenSigner`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_adapters.testkit import strategies
from sft_adapters.testkit.contracts.drawn import DRAWN
from sft_core.errors import BadToken
from sft_core.users.model import TokenClaims, TokenKind
from sft_core.users.ports import TokenSigner
from sft_core.values import SessionId, UserId

NOW = datetime(2026, 6, 1, 12, 0, 0, 999_999, tzinfo=UTC)
SECOND = NOW.replace(microsecond=0)
CLAIMS = TokenClaims(
    kind=TokenKind.ACCESS,
    user_id=UserId(UUID("0198c0de-7000-7abc-8def-000000000001")),
    session_id=SessionId(UUID("0198c0de-7000-7abc-8def-000000000002")),
    generation=3,
    issued_at=NOW,
    expires_at=NOW + timedelta(minutes=30),
)


def refused(signer: TokenSigner, token: str, *, kind: TokenKind = TokenKind.ACCESS, now: datetime = NOW) -> None:
    """
    Assert that verifying a token raises `BadToken`.
    """
    with pytest.raises(BadToken):
        signer.verify(token, kind=kind, now=now)


class TokenSignerContract:
    """
    Contract suite of `TokenSigner`: signed claims, two kinds of token, one encoding, exact expiry.

    An adapter passes if a token verifies with its own secret and kind until its expiry, and every other text
    raises `BadToken`.

    Fixtures:
        signer: The signer.
        other_signer: A signer with another secret.
    """

    @DRAWN
    @given(claims=strategies.token_claims())
    def test_sign_then_verify_returns_the_claims(self, signer: TokenSigner, claims: TokenClaims) -> None:
        """Every claim is returned, for tokens of both kinds."""
        assert signer.verify(signer.sign(claims), kind=claims.kind, now=claims.issued_at) == claims

    def test_times_are_rounded_down_to_seconds(self, signer: TokenSigner) -> None:
        """Issue time and expiry lose their fraction, so no token outlives its session."""
        back = signer.verify(signer.sign(CLAIMS), kind=TokenKind.ACCESS, now=NOW)
        assert back == attrs.evolve(CLAIMS, issued_at=SECOND, expires_at=SECOND + timedelta(minutes=30))

    def test_token_of_another_kind_is_refused(self, signer: TokenSigner) -> None:
        """An access token is not accepted as a refresh token, nor a refresh token as an access token."""
        refused(signer, signer.sign(CLAIMS), kind=TokenKind.REFRESH)
        refused(signer, signer.sign(attrs.evolve(CLAIMS, kind=TokenKind.REFRESH)), kind=TokenKind.ACCESS)

    def test_token_expires_at_its_second(self, signer: TokenSigner) -> None:
        """A token is valid until its expiry, compared with the given time, and refused from then on."""
        token, end = signer.sign(CLAIMS), SECOND + timedelta(minutes=30)
        assert signer.verify(token, kind=TokenKind.ACCESS, now=end - timedelta(microseconds=1)).generation == 3
        for now in (end, end + timedelta(seconds=1), end + timedelta(days=3650)):
            refused(signer, token, now=now)

    def test_token_of_another_signer_is_refused(self, signer: TokenSigner, other_signer: TokenSigner) -> None:
        """A token signed with another secret is refused."""
        refused(signer, other_signer.sign(CLAIMS))
        refused(other_signer, signer.sign(CLAIMS))

    def test_token_with_a_changed_letter_is_refused(self, signer: TokenSigner) -> None:
        """A token with any one character changed, the last one included, is refused."""
        token = signer.sign(CLAIMS)
        for at, letter in enumerate(token):
            for other in {"A", "B", "_", "="} - {letter}:
                refused(signer, token[:at] + other + token[at + 1 :])

    def test_token_in_another_spelling_is_refused(self, signer: TokenSigner) -> None:
        """A token that is cut, lengthened, padded or in another letter case is refused."""
        token = signer.sign(CLAIMS)
        cut = [token[:size] for size in range(0, len(token), 7)] + [token[:-1]]
        for spelling in (*cut, token + "A", token + "=", token + ".", " " + token, token + "\n", token.upper()):
            refused(signer, spelling)

    @DRAWN
    @given(text=st.text(max_size=300))
    def test_arbitrary_text_is_refused(self, signer: TokenSigner, text: str) -> None:
        """Every text other than a token raises the same error, `BadToken`."""
        refused(signer, text)
        refused(signer, f"{text}.{text}.{text}")
