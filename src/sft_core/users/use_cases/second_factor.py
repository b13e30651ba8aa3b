"""
What people can do about their own account, one frozen callable each.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from sft_core.errors import BadCredentials, BadToken, BadTotpCode, Conflict, InactiveUser, SftError, TotpRequired
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, Ids, KeyRing
from sft_core.throttle import Throttle
from sft_core.users.model import TOTP_PURPOSE, Session, TokenClaims, TokenKind, TokenLifetimes, Totp, User
from sft_core.users.ports import PasswordHasher, QrEncoder, SessionStore, TokenSigner, TotpCodes, UsersUnit
from sft_core.values import EmailAddress, Password, Secret, SessionId, UserId, Username


@attrs.frozen(kw_only=True)
class Tokens:
    """
    What a sign-in hands out: a short-lived access token and a refresh token for one exchange.
    """

    access: str = attrs.field(repr=False)
    refresh: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Caller:
    """
    A user who has proved to be one, and the session by which they did.
    """

    user: User
    session_id: SessionId


@attrs.frozen(kw_only=True)
class TotpEnrolment:
    """
    What an authenticator app needs, shown once: the seed as base32, and its QR code as PNG.
    """

    seed: Secret
    qr_png: Secret


@attrs.frozen(kw_only=True)
class RegisterUser:
    """
    Create an account; `AlreadyRegistered` if the address or the name is taken.
    """

    begin: Begin[UsersUnit]
    ids: Ids
    clock: Clock
    hasher: PasswordHasher

    def __call__(self, *, email: EmailAddress, username: Username, password: Password) -> User:
        user = User(
            id=UserId(self.ids.new()),
            email=email,
            username=username,
            password_hash=self.hasher.hash(password),
            created_at=self.clock.now(),
        )
        with self.begin() as unit:
            unit.users.add(user)
            unit.commit()
        return user


@attrs.frozen(kw_only=True)
class SpendTotpCode:
    """
    Check a one-time code against a second factor and tell the step it spends.

    `BadTotpCode` if it is wrong or not later than the last one spent; the caller stores the step.
    A million codes are soon tried: `TooManyAttempts` counts by user, wherever the tries come from.
    Only who has the password or a token gets to try, so nobody else can lock a user out.
    """

    clock: Clock
    keyring: KeyRing
    codes: TotpCodes
    throttle: Throttle

    def __call__(self, *, user: User, totp: Totp, code: str) -> int:
        self.throttle.admit(str(user.id))
        seed = self.keyring.unwrap(totp.seed, purpose=TOTP_PURPOSE, context=user.id.bytes)
        step = self.codes.matching_step(seed, code, now=self.clock.now())
        if step <= totp.last_step:
            raise BadTotpCode
        self.throttle.succeeded(str(user.id))
        return step


@attrs.frozen(kw_only=True)
class SignIn:
    """
    Open a session for who knows the password and, where one is set up, has the second factor.

    Unknown addresses and wrong passwords cannot be told apart by the answer or by its time.
    `origin` names the network that asks: `TooManyAttempts` counts by account and origin, so
    that somebody who guesses from elsewhere does not lock the account's owner out.
    """

    begin: Begin[UsersUnit]
    ids: Ids
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
        self.throttle.admit(str(email), origin)
        try:
            user = self._proven(email, password, totp_code)
        except TotpRequired:
            # The password was right: to be asked for the code is no failed try.
            self.throttle.succeeded(str(email), origin)
            raise
        self.throttle.succeeded(str(email), origin)
        now = self.clock.now()
        session = Session(
            id=SessionId(self.ids.new()),
            user_id=user.id,
            created_at=now,
            expires_at=now + self.lifetimes.refresh,
        )
        self.sessions.open(session)
        return issue_tokens(self.signer, session, now, self.lifetimes)

    def _proven(self, email: EmailAddress, password: Password, totp_code: str | None) -> User:
        with self.begin(read_only=True) as unit:
            user = unit.users.find(email)
        if user is None:
            self.hasher.verify_absent(password)
            raise BadCredentials
        self.hasher.verify(password, user.password_hash)
        user.require_active()
        step = self._spent_step(user, totp_code)
        with self.begin() as unit:
            # Checked again where it is stored: of two sign-ins with one code one wins, and a second
            # factor that came into force while the password was being hashed is asked for.
            if not unit.users.record_sign_in(user.id, self.clock.now(), step):
                raise _overtaken(unit.users.get(user.id), step)
            unit.commit()
        return user

    def _spent_step(self, user: User, code: str | None) -> int | None:
        if not user.two_factor_enabled:
            return None
        if code is None:
            raise TotpRequired
        return self.spend_totp_code(user=user, totp=user.confirmed_totp(), code=code)


def _overtaken(user: User | None, step: int | None) -> SftError:
    """
    Why a sign-in is refused whose proofs were good a moment ago.
    """
    if user is None:
        return BadCredentials()
    if not user.is_active:
        return InactiveUser()
    if step is not None:
        return BadTotpCode()
    return TotpRequired() if user.two_factor_enabled else BadCredentials()


def issue_tokens(signer: TokenSigner, session: Session, now: datetime, lifetimes: TokenLifetimes) -> Tokens:
    """
    Sign an access and a refresh token for the session's present generation.
    """
    return Tokens(
        access=signer.sign(session.claims(TokenKind.ACCESS, now, lifetimes)),
        refresh=signer.sign(session.claims(TokenKind.REFRESH, now, lifetimes)),
    )


@attrs.frozen(kw_only=True)
class VerifyToken:
    """
    Tell which live session and which active user a token of one kind belongs to.

    `BadToken` or `InactiveUser` if to none. The session is looked up each time: a revoked one ends
    its tokens at once.
    """

    begin: Begin[UsersUnit]
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


@attrs.frozen(kw_only=True)
class RefreshSession:
    """
    Exchange a refresh token for new tokens, once; a second use revokes the whole family.
    """

    verify: VerifyToken
    clock: Clock
    sessions: SessionStore
    signer: TokenSigner
    lifetimes: TokenLifetimes

    def __call__(self, *, refresh_token: str) -> Tokens:
        claims, session, _ = self.verify(refresh_token, kind=TokenKind.REFRESH)
        now = self.clock.now()
        end = now + self.lifetimes.refresh
        if not self.sessions.rotate(session.id, generation=claims.generation, now=now, expires_at=end):
            # The token is ours and the session was live, so this generation has been exchanged
            # before: a copy is in somebody else's hands, and nobody can say in whose.
            self.sessions.revoke(session.id, now=now)
            raise BadToken("refresh token was exchanged before; its family is revoked")
        renewed = attrs.evolve(session, generation=claims.generation + 1, expires_at=end)
        return issue_tokens(self.signer, renewed, now, self.lifetimes)


@attrs.frozen(kw_only=True)
class Authenticate:
    """
    Tell who bears an access token; `BadToken` or `InactiveUser` if nobody may.
    """

    verify: VerifyToken

    def __call__(self, *, access_token: str) -> Caller:
        _, session, user = self.verify(access_token, kind=TokenKind.ACCESS)
        return Caller(user=user, session_id=session.id)


def rewrapped_meanwhile(begin: Begin[UsersUnit], user: User, conflict: Conflict) -> User:
    """
    The user as stored now, if nothing has changed but the key that wraps their seed.

    That is no change anybody made, so what was asked can be looked at again; else it is a `conflict`.
    """
    with begin(read_only=True) as unit:
        stored = unit.users.get(user.id)
    if stored is None or stored.totp is None or user.totp is None:
        raise conflict
    as_read = attrs.evolve(stored, revision=user.revision, totp=attrs.evolve(stored.totp, seed=user.totp.seed))
    if as_read != user or stored.totp.seed.key_id == user.totp.seed.key_id:
        raise conflict
    return stored


@attrs.frozen(kw_only=True)
class SetUpTotp:
    """
    Begin a two-factor set-up with a fresh seed; it takes force with its first code.

    Beginning again forgets the earlier seed; `TotpAlreadyEnabled` if one is in force.
    """

    begin: Begin[UsersUnit]
    keyring: KeyRing
    codes: TotpCodes
    qr: QrEncoder

    def __call__(self, *, user: User) -> TotpEnrolment:
        seed = self.codes.new_seed()
        try:
            wrapped_and_stored(lambda: self._begin(user, seed))
        except Conflict as conflict:
            anew = rewrapped_meanwhile(self.begin, user, conflict)
            wrapped_and_stored(lambda: self._begin(anew, seed))
        return TotpEnrolment(seed=seed, qr_png=self.qr.png(self.codes.enrolment_uri(seed, str(user.email))))

    def _begin(self, user: User, seed: Secret) -> None:
        pending = user.with_pending_totp(
            self.keyring.wrap(seed, purpose=TOTP_PURPOSE, context=user.id.bytes),
        )
        with self.begin() as unit:
            unit.users.save(pending)
            unit.commit()


@attrs.frozen(kw_only=True)
class ConfirmTotp:
    """
    Put a pending two-factor set-up into force with its first code, which is thereby spent.
    """

    begin: Begin[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        try:
            return self._confirmed(user, code)
        except Conflict as conflict:
            return self._confirmed(rewrapped_meanwhile(self.begin, user, conflict), code)

    def _confirmed(self, user: User, code: str) -> User:
        pending = user.pending_totp()
        step = self.spend_totp_code(user=user, totp=pending, code=code)
        confirmed = attrs.evolve(user, totp=attrs.evolve(pending, confirmed=True, last_step=step))
        with self.begin() as unit:
            saved = unit.users.save(confirmed)
            unit.commit()
        return saved


@attrs.frozen(kw_only=True)
class DisableTotp:
    """
    Switch two-factor sign-in off with a valid code and forget the seed.
    """

    begin: Begin[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        try:
            return self._disabled(user, code)
        except Conflict as conflict:
            return self._disabled(rewrapped_meanwhile(self.begin, user, conflict), code)

    def _disabled(self, user: User, code: str) -> User:
        self.spend_totp_code(user=user, totp=user.confirmed_totp(), code=code)
        with self.begin() as unit:
            saved = unit.users.save(attrs.evolve(user, totp=None))
            unit.commit()
        return saved
