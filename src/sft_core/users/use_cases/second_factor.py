"""
The second factor (TOTP): set it up, confirm it, check a code, disable it.
"""

from __future__ import annotations

import attrs

from sft_core.errors import BadTotpCode, Conflict
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, KeyRing
from sft_core.throttle import Throttle
from sft_core.users.model import TOTP_PURPOSE, Totp, User
from sft_core.users.ports import QrEncoder, TotpCodes, UsersUnit
from sft_core.values import Secret


@attrs.frozen(kw_only=True)
class TotpEnrolment:
    """
    What an authenticator app needs, shown once: the seed as base32, and its QR code as PNG.
    """

    seed: Secret
    qr_png: Secret


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
