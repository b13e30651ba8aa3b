"""
Sign in with a password and, if enabled, a second factor.
"""

from __future__ import annotations

import attrs

from sft_core.errors import BadCredentials, BadTotpCode, InactiveUser, SftError, TotpRequired
from sft_core.ports import Clock, IdGenerator, UnitOfWorkFactory
from sft_core.throttle import Throttle
from sft_core.users.model import Session, TokenLifetimes, User
from sft_core.users.ports import PasswordHasher, SessionStore, TokenSigner, UsersUnit
from sft_core.users.use_cases.second_factor import SpendTotpCode
from sft_core.users.use_cases.tokens import Tokens, issue_tokens
from sft_core.values import EmailAddress, Password, SessionId


@attrs.frozen(kw_only=True)
class SignIn:
    """
    Open a session for valid credentials: the password and, if enabled, a one-time code.

    An unknown address and a wrong password cannot be distinguished by the response or its timing. `origin` identifies
    the network of the client: attempts are limited by account and origin, so that guesses from another network do not
    lock out the owner of the account.

    Raises:
        BadCredentials: The address is unknown or the password is wrong.
        TotpRequired: The account requires a one-time code and none was given.
        BadTotpCode: The code is wrong or was used before.
        InactiveUser: The account was deactivated.
        TooManyAttempts: The rate limit of this account and origin, or of its codes, is exceeded.
        Busy: Too many password hashes are being computed.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    ids: IdGenerator
    clock: Clock
    hasher: PasswordHasher
    sessions: SessionStore
    signer: TokenSigner
    lifetimes: TokenLifetimes
    spend_totp_code: SpendTotpCode
    throttle: Throttle

    def __call__(
        self, *, email: EmailAddress, password: Password, totp_code: str | None = None, origin: str = ""
    ) -> Tokens:
        self.throttle.acquire(str(email), origin)
        try:
            user = self._verify_credentials(email, password, totp_code)
        except TotpRequired:
            # The password is correct: a request for the code is not a failed attempt.
            self.throttle.reset(str(email), origin)
            raise
        self.throttle.reset(str(email), origin)
        now = self.clock.now()
        end = now + self.lifetimes.refresh
        session = Session(id=SessionId(self.ids.new()), user_id=user.id, created_at=now, expires_at=end)
        self.sessions.open(session)
        return issue_tokens(self.signer, session, now, self.lifetimes)

    def _verify_credentials(self, email: EmailAddress, password: Password, totp_code: str | None) -> User:
        with self.begin(read_only=True) as unit:
            user = unit.users.find(email)
        if user is None:
            self.hasher.verify_absent(password)
            raise BadCredentials
        self.hasher.verify(password, user.password_hash)
        user.require_active()
        step = None
        if user.two_factor_enabled:
            if totp_code is None:
                raise TotpRequired
            step = self.spend_totp_code(user=user, totp=user.confirmed_totp(), code=totp_code)
        with self.begin() as unit:
            # Checked again in the update: of two concurrent sign-ins with one code one succeeds, and a second
            # factor enabled while the password was being hashed is required.
            if not unit.users.record_sign_in(user.id, self.clock.now(), step):
                raise _sign_in_error(unit.users.get(user.id), step)
            unit.commit()
        return user


def _sign_in_error(user: User | None, step: int | None) -> SftError:
    if user is None:
        return BadCredentials()
    if not user.is_active:
        return InactiveUser()
    if step is not None:
        return BadTotpCode()
    return TotpRequired() if user.two_factor_enabled else BadCredentials()
