"""
A user, their second factor, and their sessions: entities and the rules that need nothing else.
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
    A time-based one-time password (RFC 6238): its wrapped seed, and the last step that was spent.

    A code proves something once: only a step later than `last_step` counts (section 5.2).
    """

    seed: WrappedSecret
    confirmed: bool = False
    last_step: int = -1


@attrs.frozen(kw_only=True)
class User:
    """
    A person with an account.

    `revision` grows with each change, sign-ins included, and guards against lost updates.
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
        """
        Whether signing in asks for a one-time code.
        """
        return self.totp is not None and self.totp.confirmed

    def require_active(self) -> None:
        """
        Raise `InactiveUser` if the account has been switched off.
        """
        if not self.is_active:
            raise InactiveUser

    def with_pending_totp(self, seed: WrappedSecret) -> User:
        """
        Begin a two-factor set-up; an earlier one that was not confirmed is forgotten.
        """
        if self.two_factor_enabled:
            raise TotpAlreadyEnabled
        return attrs.evolve(self, totp=Totp(seed))

    def pending_totp(self) -> Totp:
        """
        The set-up that waits for its first code.
        """
        if self.totp is None or self.totp.confirmed:
            raise TotpNotStarted
        return self.totp

    def confirmed_totp(self) -> Totp:
        """
        The second factor in force.
        """
        if self.totp is None or not self.totp.confirmed:
            raise TotpNotEnabled
        return self.totp


class TokenKind(enum.Enum):
    """
    What a signed token is good for; a token of one kind is never accepted as another.
    """

    ACCESS = "access"
    REFRESH = "refresh"


@attrs.frozen(kw_only=True)
class TokenClaims:
    """
    What a signed token says: whose it is, of which session and generation, and until when.
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
    How long tokens are good for.
    """

    access: timedelta = timedelta(minutes=30)
    refresh: timedelta = timedelta(days=7)


@attrs.frozen(kw_only=True)
class Session:
    """
    One sign-in and its family of refresh tokens: only the newest `generation` may be exchanged.

    A generation that comes back after it was exchanged has been stolen, from the user or by them;
    the whole family is then revoked (RFC 9700, section 4.14.2).
    """

    id: SessionId
    user_id: UserId
    created_at: datetime
    expires_at: datetime
    generation: int = 0
    revoked_at: datetime | None = None

    def require_live(self, now: datetime) -> None:
        """
        Raise `BadToken` once the session is revoked or over.
        """
        if self.revoked_at is not None or now >= self.expires_at:
            raise BadToken

    def claims(self, kind: TokenKind, now: datetime, lifetimes: TokenLifetimes) -> TokenClaims:
        """
        The claims of a token issued now; none outlives the session.
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
