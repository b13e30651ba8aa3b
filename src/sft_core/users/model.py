"""
Users, second factors and sessions: entities, and the rules that need no port.
"""

from __future__ import annotations

import enum
from datetime import datetime, timedelta
from typing import Final

import attrs

from sft_core.errors import BadToken, InactiveUser, TotpAlreadyEnabled, TotpNotEnabled, TotpNotStarted
from sft_core.values import EmailAddress, SessionId, UserId, Username, WrappedSecret

TOTP_PURPOSE: Final = "totp"


@attrs.frozen
class Totp:
    """
    A second factor (TOTP, RFC 6238); a code's step must exceed `last_step` (section 5.2).
    """

    seed: WrappedSecret
    confirmed: bool = False
    last_step: int = -1


@attrs.frozen(kw_only=True)
class User:
    """
    A user account; `revision` increases with every change, sign-ins included, and guards against lost updates.
    """

    id: UserId
    email: EmailAddress
    username: Username
    password_hash: str = attrs.field(repr=False)
    created_at: datetime
    last_login: datetime | None = None
    is_active: bool = True
    is_verified: bool = False
    totp: Totp | None = None
    revision: int = 0

    @property
    def two_factor_enabled(self) -> bool:
        return self.totp is not None and self.totp.confirmed

    def require_active(self) -> None:
        if not self.is_active:
            raise InactiveUser

    def with_pending_totp(self, seed: WrappedSecret) -> User:
        """
        Return the user with a new pending second factor; raise `TotpAlreadyEnabled` if one is enabled.
        """
        if self.two_factor_enabled:
            raise TotpAlreadyEnabled
        return attrs.evolve(self, totp=Totp(seed))

    def pending_totp(self) -> Totp:
        if self.totp is None or self.totp.confirmed:
            raise TotpNotStarted
        return self.totp

    def confirmed_totp(self) -> Totp:
        if self.totp is None or not self.totp.confirmed:
            raise TotpNotEnabled
        return self.totp


class TokenKind(enum.Enum):
    """
    The use of a signed token; no token is accepted as the other kind.
    """

    ACCESS = "access"
    REFRESH = "refresh"


@attrs.frozen(kw_only=True)
class TokenClaims:
    """
    The claims of a signed token: user, session, generation and validity period.
    """

    kind: TokenKind
    user_id: UserId
    session_id: SessionId
    generation: int
    issued_at: datetime
    expires_at: datetime


@attrs.frozen
class TokenLifetimes:
    """
    The lifetimes of access and refresh tokens.
    """

    access: timedelta = timedelta(minutes=30)
    refresh: timedelta = timedelta(days=7)


@attrs.frozen(kw_only=True)
class Session:
    """
    A sign-in with its refresh-token family: only the current `generation` can be exchanged.

    A generation that is presented again after its exchange means that a token was copied; the whole family is then
    revoked (RFC 9700, section 4.14.2).
    """

    id: SessionId
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    generation: int = 0
    revoked_at: datetime | None = None

    def require_live(self, now: datetime) -> None:
        if self.revoked_at is not None or now >= self.expires_at:
            raise BadToken

    def claims(self, kind: TokenKind, now: datetime, lifetimes: TokenLifetimes) -> TokenClaims:
        """
        Return the claims of a token issued now; it never outlives the session.
        """
        lifetime = lifetimes.access if kind is TokenKind.ACCESS else lifetimes.refresh
        return TokenClaims(
            kind=kind,
            user_id=self.user_id,
            session_id=self.id,
            generation=self.generation,
            issued_at=now,
            expires_at=min(now + lifetime, self.expires_at),
        )
