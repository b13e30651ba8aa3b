"""
Manage a second factor (TOTP): set up, confirm, verify a code, disable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import attrs

from sft_core.errors import BadTotpCode, Conflict
from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.throttle import Throttle
from sft_core.users.model import TOTP_PURPOSE, Totp, User
from sft_core.users.ports import QrEncoder, TotpProvider, UsersUnit
from sft_core.values import Secret

T = TypeVar("T")


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


def _retry_if_only_rewrapped(begin: UnitOfWorkFactory[UsersUnit], user: User, change: Callable[[User], T]) -> T:
    """
    Change a user; retry once if meanwhile only the seed was re-wrapped.
    """
    try:
        return change(user)
    except Conflict:
        with begin(read_only=True) as unit:
            stored = unit.users.get(user.id)
        if stored is None or stored.totp is None or user.totp is None:
            raise
        as_read = attrs.evolve(stored, revision=user.revision, totp=attrs.evolve(stored.totp, seed=user.totp.seed))
        if as_read != user or stored.totp.seed.key_id == user.totp.seed.key_id:
            raise
    return change(stored)


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
        _retry_if_only_rewrapped(
            self.begin, user, lambda current: retry_if_key_retired(lambda: self._begin(current, seed))
        )
        return TotpEnrolment(seed=seed, qr_png=self.qr.png(self.codes.enrolment_uri(seed, str(user.email))))

    def _begin(self, user: User, seed: Secret) -> None:
        pending = user.with_pending_totp(self.keyring.wrap(seed, purpose=TOTP_PURPOSE, context=user.id.bytes))
        with self.begin() as unit:
            unit.users.save(pending)
            unit.commit()


@attrs.frozen(kw_only=True)
class ConfirmTotp:
    """
    Enable a pending second factor with its first code, and mark that code as used.

    Raises what `SpendTotpCode` raises, and `TotpNotStarted` if no second factor is pending.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        return _retry_if_only_rewrapped(self.begin, user, lambda current: self._confirmed(current, code))

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
    Disable the second factor with a valid code, and delete the seed.

    Raises what `SpendTotpCode` raises, and `TotpNotEnabled` if no second factor is enabled.
    """

    begin: UnitOfWorkFactory[UsersUnit]
    spend_totp_code: SpendTotpCode

    def __call__(self, *, user: User, code: str) -> User:
        return _retry_if_only_rewrapped(self.begin, user, lambda current: self._disabled(current, code))

    def _disabled(self, user: User, code: str) -> User:
        self.spend_totp_code(user=user, totp=user.confirmed_totp(), code=code)
        with self.begin() as unit:
            saved = unit.users.save(attrs.evolve(user, totp=None))
            unit.commit()
        return saved
