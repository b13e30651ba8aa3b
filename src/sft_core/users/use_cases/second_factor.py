"""
Manage a second factor (TOTP): set up, confirm, verify a code, disable.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sft_core.errors import BadTotpCode, Conflict
from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.throttle import Throttle
from sft_core.users.model import TOTP_PURPOSE, Totp, User
from sft_core.users.ports import QrEncoder, TotpProvider, UsersUnit
from sft_core.values import Secret


@attrs.frozen(kw_only=True)
class TotpEnrolment:
    """
    The data for an authenticator app, shown once: base32 seed and PNG QR code.
    """

    seed: Secret
    qr_png: Secret


@attrs.frozen(kw_only=True)
class SpendTotpCode:
    """
    Verify a one-time code, and return its step for the caller to store as used.

    Six digits are soon guessed, so attempts are limited by user, from all networks together. Only a client with the
    password or a token can attempt a code, so no other client can lock out a user.

    Raises:
        BadTotpCode: The code is wrong, or its step is not later than the last one used.
        TooManyAttempts: The rate limit of this user is exceeded.
    """

    clock: Clock
    keyring: KeyRing
    codes: TotpProvider
    throttle: Throttle

    def __call__(self, *, user: User, totp: Totp, code: str) -> int:
        self.throttle.acquire(str(user.id))
        seed = self.keyring.unwrap(totp.seed, purpose=TOTP_PURPOSE, context=user.id.bytes)
        step = self.codes.matching_step(seed, code, now=self.clock.now())
        if step <= totp.last_step:
            raise BadTotpCode
        self.throttle.reset(str(user.id))
        return step


def _save_changed(begin: UnitOfWorkFactory[UsersUnit], user: User, change: Callable[[User], User]) -> User:
    """
    Save a changed user; retry once if meanwhile only the seed was re-wrapped.
    """
    try:
        return _saved(begin, change(user))
    except Conflict:
        with begin(read_only=True) as unit:
            stored = unit.users.get(user.id)
        if stored is None or stored.totp is None or user.totp is None:
            raise
        # A re-wrapped seed is the same seed, so the change can be made again.
        as_read = attrs.evolve(stored, revision=user.revision, totp=attrs.evolve(stored.totp, seed=user.totp.seed))
        if as_read != user or stored.totp.seed.key_id == user.totp.seed.key_id:
            raise
    return _saved(begin, change(stored))


def _saved(begin: UnitOfWorkFactory[UsersUnit], user: User) -> User:
    with begin() as unit:
        saved = unit.users.save(user)
        unit.commit()
    return saved


@attrs.frozen(kw_only=True)
class SetUpTotp:
    """
    Start a second factor with a new seed, replacing a pending one; `ConfirmTotp` enables it.

    Raises `TotpAlreadyEnabled` if a second factor is enabled.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    keyring: KeyRing
    codes: TotpProvider
    qr: QrEncoder

    def __call__(self, *, user: User) -> TotpEnrolment:
        seed = self.codes.new_seed()

        def pending(current: User) -> User:
            context = current.id.bytes
            return current.with_pending_totp(self.keyring.wrap(seed, purpose=TOTP_PURPOSE, context=context))

        retry_if_key_retired(lambda: _save_changed(self.begin, user, pending))
        return TotpEnrolment(seed=seed, qr_png=self.qr.png(self.codes.enrolment_uri(seed, str(user.email))))


@attrs.frozen(kw_only=True)
class ConfirmTotp:
    """
    Enable a pending second factor with its first code, and mark that code as used.

    Raises what `SpendTotpCode` raises, and `TotpNotStarted` if no second factor is pending.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        def confirmed(current: User) -> User:
            pending = current.pending_totp()
            step = self.spend_totp_code(user=current, totp=pending, code=code)
            return attrs.evolve(current, totp=attrs.evolve(pending, confirmed=True, last_step=step))

        return _save_changed(self.begin, user, confirmed)


@attrs.frozen(kw_only=True)
class DisableTotp:
    """
    Disable the second factor with a valid code, and delete the seed.

    Raises what `SpendTotpCode` raises, and `TotpNotEnabled` if no second factor is enabled.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        def disabled(current: User) -> User:
            self.spend_totp_code(user=current, totp=current.confirmed_totp(), code=code)
            return attrs.evolve(current, totp=None)

        return _save_changed(self.begin, user, disabled)
