"""
Issue and verify access and refresh tokens.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from sft_core.errors import BadToken
from sft_core.ports import Clock, UnitOfWorkFactory
from sft_core.users.model import Session, TokenClaims, TokenKind, TokenLifetimes, User
from sft_core.users.ports import SessionStore, TokenSigner, UsersUnit


@attrs.frozen(kw_only=True)
class Tokens:
    """
    The result of a sign-in: a short-lived access token and a single-use refresh token.
    """

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


def issue_tokens(signer: TokenSigner, session: Session, now: datetime, lifetimes: TokenLifetimes) -> Tokens:
    """
    Sign an access and a refresh token for the current generation of a session.
    """
    return Tokens(
        access=signer.sign(session.claims(TokenKind.ACCESS, now, lifetimes)),
        refresh=signer.sign(session.claims(TokenKind.REFRESH, now, lifetimes)),
    )


@attrs.frozen(kw_only=True)
class VerifyToken:
    """
    Verify a token of one kind; return its claims, live session and active user.

    The session is read on every call, so revoking it invalidates its tokens at once.

    Raises:
        BadToken: The token is invalid, or its session or user is revoked, expired or missing.
        InactiveUser: The account was deactivated.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    clock: Clock
    sessions: SessionStore
    signer: TokenSigner

    def __call__(self, token: str, *, kind: TokenKind) -> tuple[TokenClaims, Session, User]:
        now = self.clock.now()
        claims = self.signer.verify(token, kind=kind, now=now)
        session = self.sessions.get(claims.session_id)
        if session is None or session.user_id != claims.user_id:
            raise BadToken
        session.require_live(now)
        with self.begin(read_only=True) as unit:
            user = unit.users.get(session.user_id)
        if user is None:
            raise BadToken
        user.require_active()
        return claims, session, user
