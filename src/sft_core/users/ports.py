"""
Ports of the users' use cases. Each docstring is a contract.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sft_core.ports import UnitOfWork
from sft_core.users.model import Session, TokenClaims, TokenKind, User
from sft_core.values import EmailAddress, Password, Secret, SessionId, UserId


class UserRepository(Protocol):
    """
    The rows of users, within one unit of work.
    """

    def add(self, user: User) -> None:
        """
        Store a user; raise `AlreadyRegistered` if the e-mail address or user-name `key` is taken.
        """

    def get(self, user_id: UserId) -> User | None: ...

    def find(self, email: EmailAddress) -> User | None: ...

    def save(self, user: User) -> User:
        """
        Update the user if its `revision` is current; return it with the next one.

        Raises:
            Conflict: The stored revision differs, or the user was deleted; nothing changes.
            AlreadyRegistered: The new e-mail address or user name is taken.
            KeyRetired: A new seed was wrapped under a retired key.
        """

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        """
        Record a sign-in and, if given, consume a TOTP step, in one conditional update.

        False, changing nothing, if the user is deactivated or deleted, if the step is not later than the last one, or
        if no step is given and a second factor is enabled. It increases `revision`: a `save` of the user as read before
        would restore the consumed step, so it raises `Conflict`.
        """


class UsersUnit(UnitOfWork, Protocol):
    """
    A unit of work over users.
    """

    @property
    def users(self) -> UserRepository: ...


class SessionStore(Protocol):
    """
    All users' sessions; each call is atomic, durable on return, outside any unit of work.
    """

    def open(self, session: Session) -> None: ...

    def get(self, session_id: SessionId) -> Session | None:
        """
        Return the session, or None; revoked and expired sessions are returned until they are deleted.
        """

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        """
        Replace `generation` by the next one, and set the expiry to `expires_at`.

        Of any number of concurrent callers with one generation exactly one gets True. False, changing nothing, if the
        generation is not the current one, or the session is revoked, expired or deleted.
        """

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        """
        Revoke the session permanently; a revoked or deleted session is no error.
        """


class PasswordHasher(Protocol):
    """
    A salted, memory-hard password hash; every call raises `Busy` if too many are being computed.
    """

    def hash(self, password: Password) -> str:
        """
        Return a new hash in PHC string format; two calls return different ones.
        """

    def verify(self, password: Password, hashed: str) -> None:
        """
        Return if the password matches the hash; raise `BadCredentials` otherwise.
        """

    def verify_absent(self, password: Password) -> None:
        """
        Raise `BadCredentials` after the time that `verify` takes; for accounts that do not exist.
        """


class TokenSigner(Protocol):
    """
    Signed compact tokens (JWT, RFC 7519).
    """

    def sign(self, claims: TokenClaims) -> str:
        """
        Return a signed token, its issue and expiry times rounded down to whole seconds.
        """

    def verify(self, token: str, *, kind: TokenKind, now: datetime) -> TokenClaims:
        """
        Return the claims of a token.

        Raises `BadToken` if it is malformed, not signed by this service, expired or of another kind.
        """


class TotpProvider(Protocol):
    """
    Time-based one-time passwords (RFC 6238): six digits, steps of 30 seconds.
    """

    def new_seed(self) -> Secret:
        """
        Return a new seed of 160 random bits as 32 base32 characters in ASCII.
        """

    def matching_step(self, seed: Secret, code: str, *, now: datetime) -> int:
        """
        Return the step of `code`: the current one, the one before or the one after.

        Raises `BadTotpCode` if it matches none of these, or is not exactly six ASCII digits.
        """

    def enrolment_uri(self, seed: Secret, account: str) -> Secret:
        """
        Return the `otpauth://` URI for authenticator apps; it contains the seed, so it is secret.
        """


class QrEncoder(Protocol):
    """
    A QR code (ISO/IEC 18004) as a PNG image, as secret as its text.
    """

    def png(self, text: Secret) -> Secret: ...
