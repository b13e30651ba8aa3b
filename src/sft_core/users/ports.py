"""
What the users' use cases need from outside. The docstring is the contract.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from sft_core.ports import UnitOfWork
from sft_core.users.model import Session, TokenClaims, TokenKind, User
from sft_core.values import EmailAddress, Password, Secret, SessionId, UserId


class UserRepository(Protocol):
    """
    The users, seen from inside one unit of work.
    """

    def add(self, user: User) -> None:
        """
        Store a new user; `AlreadyRegistered` if the address or the name's `key` is taken.
        """
        ...

    def get(self, user_id: UserId) -> User | None:
        """
        The user of this id, or None.
        """
        ...

    def find(self, email: EmailAddress) -> User | None:
        """
        The user of this address, or None.
        """
        ...

    def save(self, user: User) -> User:
        """
        Store the user if `revision` is still the stored one, and return it with the next one.

        `Conflict`, changing nothing, if it is another or the user is gone.
        """
        ...

    def record_sign_in(self, user_id: UserId, at: datetime, totp_step: int | None) -> bool:
        """
        Note a sign-in and, if given, spend a one-time step, in one conditional update.

        False, changing nothing, if the user is not active or gone, if the step is not later than
        the last one spent, or if none is given and a second factor is in force. It moves
        `revision` on: a `save` from an earlier read would bring the spent step back, and is a
        `Conflict` instead.
        """
        ...


class UsersUnit(UnitOfWork, Protocol):
    """
    A unit of work over users.
    """

    @property
    def users(self) -> UserRepository:
        """
        The users as this unit sees them.
        """
        ...


class SessionStore(Protocol):
    """
    The sessions. Each call is one atomic step, durable when it returns, in no unit of work.
    """

    def open(self, session: Session) -> None:
        """
        Store a new session.
        """
        ...

    def get(self, session_id: SessionId) -> Session | None:
        """
        The session, revoked and expired ones included while they are kept; None when unknown.
        """
        ...

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        """
        Exchange `generation` for the next one and move the end to `expires_at`.

        Of any number of callers with one generation exactly one gets True. False, changing
        nothing, if the generation is not the current one or the session is revoked, over or gone.
        """
        ...

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        """
        End the session for good; ending one twice, or one that is gone, is no error.
        """
        ...


class PasswordHasher(Protocol):
    """
    Turns passwords into salted, memory-hard hashes. `Busy` when too many are under way.
    """

    def hash(self, password: Password) -> str:
        """
        A fresh hash in PHC string format, another one at each call.
        """
        ...

    def verify(self, password: Password, hashed: str) -> None:
        """
        Return if the password is the hashed one, raise `BadCredentials` if not.
        """
        ...

    def verify_absent(self, password: Password) -> None:
        """
        Take as long as `verify` does and raise `BadCredentials`: for accounts that do not exist.
        """
        ...


class TokenSigner(Protocol):
    """
    Signs claims into compact tokens (JWT, RFC 7519) and checks them.
    """

    def sign(self, claims: TokenClaims) -> str:
        """
        The token, in whole seconds: the issue time rounded down, the end rounded down.
        """
        ...

    def verify(self, token: str, *, kind: TokenKind, now: datetime) -> TokenClaims:
        """
        The claims of a token that we signed, of exactly this kind and not over; else `BadToken`.
        """
        ...


class TotpCodes(Protocol):
    """
    Time-based one-time passwords (RFC 6238): six digits, steps of 30 seconds.
    """

    def new_seed(self) -> Secret:
        """
        A fresh seed of 160 random bits, as its 32 base32 characters in ASCII.
        """
        ...

    def matching_step(self, seed: Secret, code: str, *, now: datetime) -> int:
        """
        The step that `code` belongs to: the present one or a direct neighbour; else `BadTotpCode`.

        A code is exactly six ASCII digits; no other digits, spaces or lengths are accepted.
        """
        ...

    def enrolment_uri(self, seed: Secret, account: str) -> Secret:
        """
        The `otpauth://` URI that authenticator apps scan; secret, because it holds the seed.
        """
        ...


class QrEncoder(Protocol):
    """
    Draws QR codes (ISO/IEC 18004).
    """

    def png(self, text: Secret) -> Secret:
        """
        A PNG image of the text's QR code; as secret as the text.
        """
        ...
