"""
TOTP: set-up, confirmation, disabling, and concurrent requests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import (
    BadTotpCode,
    Conflict,
    TooManyAttempts,
    TotpAlreadyEnabled,
    TotpNotEnabled,
    TotpNotStarted,
    UnwrapFailed,
)
from sft_core.users.model import Totp, User
from support.app.library import PASSWORD, HookedKeyRing, register, stored


@attrs.frozen
class Phone:
    """
    An authenticator app: the codes of a seed.
    """

    seed: str
    clock: SettableClock

    def code(self, offset: int = 0) -> str:
        return code_of(self.seed, step_at(self.clock.now()) + offset)


@pytest.fixture
def set_up(sft: Application, clock: SettableClock) -> Callable[[User], Phone]:
    def begin(user: User) -> Phone:
        return Phone(sft.users.set_up_totp(user=stored(sft, user)).seed.reveal().decode(), clock)

    return begin


SetUp = Callable[[User], Phone]


def while_checking(sft: Application, use_case: Any, meanwhile: Callable[[], object]) -> Any:
    """
    The use case, with a callback that runs while it verifies its code.
    """
    ring = HookedKeyRing(sft.users.sign_in.spend_totp_code.keyring, meanwhile)
    return attrs.evolve(use_case, spend_totp_code=attrs.evolve(use_case.spend_totp_code, keyring=ring))


def test_totp_follows_its_life_cycle(sft: Application, maya: User, set_up: SetUp) -> None:
    """TOTP must be set up to be confirmed, confirmed to be disabled, and disabled to be set up."""
    with pytest.raises(TotpNotStarted):
        sft.users.confirm_totp(user=maya, code="000000")
    phone = set_up(maya)
    with pytest.raises(TotpNotEnabled):
        sft.users.disable_totp(user=stored(sft, maya), code=phone.code())
    confirmed = sft.users.confirm_totp(user=stored(sft, maya), code=phone.code())
    assert confirmed.two_factor_enabled
    with pytest.raises(TotpAlreadyEnabled):
        set_up(maya)
    with pytest.raises(TotpNotStarted):
        sft.users.confirm_totp(user=stored(sft, maya), code=phone.code(1))
    off = sft.users.disable_totp(user=stored(sft, maya), code=phone.code(1))
    assert (off.totp, stored(sft, maya).totp) == (None, None)
    assert sft.users.sign_in(email=maya.email, password=PASSWORD).access


def test_wrong_code_changes_nothing(sft: Application, maya: User, set_up: SetUp) -> None:
    """A wrong code neither confirms a pending set-up nor disables confirmed TOTP."""
    phone = set_up(maya)
    for offset in (-2, 2):
        with pytest.raises(BadTotpCode):
            sft.users.confirm_totp(user=stored(sft, maya), code=phone.code(offset))
    assert not stored(sft, maya).two_factor_enabled
    confirmed = sft.users.confirm_totp(user=stored(sft, maya), code=phone.code())
    for offset in (-1, 0, 2):
        with pytest.raises(BadTotpCode):
            sft.users.disable_totp(user=confirmed, code=phone.code(offset))
    assert stored(sft, maya) == confirmed


def test_second_set_up_replaces_the_seed(sft: Application, maya: User, set_up: SetUp) -> None:
    """Codes of the first QR code are refused, codes of the second are accepted."""
    first, second = set_up(maya), set_up(maya)
    with pytest.raises(BadTotpCode):
        sft.users.confirm_totp(user=stored(sft, maya), code=first.code())
    assert sft.users.confirm_totp(user=stored(sft, maya), code=second.code()).two_factor_enabled


def test_set_up_replaced_during_a_confirmation_is_not_confirmed(sft: Application, maya: User, set_up: SetUp) -> None:
    """The code matches a seed that has been replaced: only the seed shown last counts."""
    first = set_up(maya)
    latest: list[Phone] = []
    confirm = while_checking(sft, sft.users.confirm_totp, lambda: latest.append(set_up(maya)))
    with pytest.raises(Conflict):
        confirm(user=stored(sft, maya), code=first.code())
    assert not stored(sft, maya).two_factor_enabled
    assert sft.users.confirm_totp(user=stored(sft, maya), code=latest[0].code()).two_factor_enabled


def test_concurrent_confirmations_spend_a_code_once(sft: Application, maya: User, set_up: SetUp) -> None:
    """One of two concurrent confirmations enables TOTP, the other changes nothing."""
    phone = set_up(maya)
    pending = stored(sft, maya)
    confirm = while_checking(
        sft, sft.users.confirm_totp, lambda: sft.users.confirm_totp(user=pending, code=phone.code())
    )
    with pytest.raises(Conflict):
        confirm(user=pending, code=phone.code())
    factor = stored(sft, maya).confirmed_totp()
    assert factor.last_step == step_at(phone.clock.now())


def test_concurrent_sign_in_keeps_totp_enabled(sft: Application, maya: User, set_up: SetUp) -> None:
    """A code that a sign-in has just spent does not disable TOTP, and its step stays spent."""
    phone = set_up(maya)
    confirmed = sft.users.confirm_totp(user=stored(sft, maya), code=phone.code(-1))
    disable = while_checking(
        sft,
        sft.users.disable_totp,
        lambda: sft.users.sign_in(email=maya.email, password=PASSWORD, totp_code=phone.code()),
    )
    with pytest.raises(Conflict):
        disable(user=confirmed, code=phone.code())
    assert stored(sft, maya).confirmed_totp().last_step == step_at(phone.clock.now())


def test_seed_copied_to_another_account_is_refused(sft: Application, maya: User, set_up: SetUp) -> None:
    """A seed is bound to its user: copying it to another account does not unwrap."""
    phone = set_up(maya)
    seed = sft.users.confirm_totp(user=stored(sft, maya), code=phone.code()).confirmed_totp().seed
    noor = register(sft, "noor")
    with sft.users.sign_in.begin() as unit:
        unit.users.save(attrs.evolve(noor, totp=Totp(seed, confirmed=True)))
        unit.commit()
    with pytest.raises(UnwrapFailed):
        sft.users.sign_in(email=noor.email, password=PASSWORD, totp_code=phone.code(1))


def test_seed_is_shown_once_and_stored_wrapped(sft: Application, maya: User) -> None:
    """Neither the stored row nor any `repr` contains the seed or its QR code."""
    enrolment = sft.users.set_up_totp(user=maya)
    seed = enrolment.seed.reveal()
    user = stored(sft, maya)
    assert user.totp is not None
    assert seed not in user.totp.seed.ciphertext
    for text in (repr(enrolment), repr(user)):
        assert seed.decode() not in text
        assert "PNG" not in text


def test_wrong_codes_are_counted_per_user(sft: Application, maya: User, set_up: SetUp) -> None:
    """Wrong codes lock one account's TOTP, and another account's codes are still accepted."""
    phone = set_up(maya)
    noor = register(sft, "noor")
    other = set_up(noor)
    attempts = sft.users.confirm_totp.spend_totp_code.throttle.rate.attempts
    for _ in range(attempts):
        with pytest.raises(BadTotpCode):
            sft.users.confirm_totp(user=stored(sft, maya), code=phone.code(3))
    with pytest.raises(TooManyAttempts):
        sft.users.confirm_totp(user=stored(sft, maya), code=phone.code())
    assert sft.users.confirm_totp(user=stored(sft, noor), code=other.code()).two_factor_enabled
