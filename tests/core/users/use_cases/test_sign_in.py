"""
Sign-in: the order in which credentials are checked, and concurrent changes during it.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from sft_adapters.memory.clock import SettableClock
from sft_adapters.testkit.one_time import code_of, step_at
from sft_core.application import Application
from sft_core.errors import BadCredentials, BadTotpCode, InactiveUser, SftError, TotpRequired
from sft_core.users.model import User
from sft_core.users.use_cases import SignIn
from sft_core.values import Password
from support.app.library import PASSWORD, HookedHasher, HookedSessions, address, register, stored

WRONG = Password.parse("not the password")


def changed(sft: Application, user: User, **changes: Any) -> User:
    with sft.users.sign_in.begin() as unit:
        saved = unit.users.save(attrs.evolve(stored(sft, user), **changes))
        unit.commit()
    return saved


def with_second_factor(sft: Application, user: User, clock: SettableClock) -> str:
    """
    Enable TOTP for the user, and return the next valid code.
    """
    seed = sft.users.set_up_totp(user=stored(sft, user)).seed.reveal().decode()
    sft.users.confirm_totp(user=stored(sft, user), code=code_of(seed, step_at(clock.now())))
    clock.advance(seconds=30)
    return code_of(seed, step_at(clock.now()))


def sign_in_with_hooks(sft: Application) -> tuple[SignIn, HookedHasher, HookedSessions]:
    hasher, sessions = HookedHasher(sft.users.sign_in.hasher), HookedSessions(sft.users.sign_in.sessions)
    return attrs.evolve(sft.users.sign_in, hasher=hasher, sessions=sessions), hasher, sessions


@pytest.mark.parametrize(
    ("active", "factor", "password", "code", "refusal"),
    [
        (True, False, WRONG, None, BadCredentials),
        (True, True, WRONG, "good", BadCredentials),
        (True, True, PASSWORD, None, TotpRequired),
        (True, True, PASSWORD, "000000x", BadTotpCode),
        (False, False, WRONG, None, BadCredentials),
        (False, False, PASSWORD, None, InactiveUser),
        (False, True, WRONG, "good", BadCredentials),
        (False, True, PASSWORD, None, InactiveUser),
        (False, True, PASSWORD, "good", InactiveUser),
    ],
)
def test_first_failed_check_is_reported(
    sft: Application,
    maya: User,
    clock: SettableClock,
    *,
    active: bool,
    factor: bool,
    password: Password,
    code: str | None,
    refusal: type[SftError],
) -> None:
    """Password, account state and code are checked in this order; no session is opened, no sign-in recorded."""
    good = with_second_factor(sft, maya, clock) if factor else None
    before = changed(sft, maya, is_active=active)
    sign_in, _, sessions = sign_in_with_hooks(sft)
    with pytest.raises(refusal):
        sign_in(email=maya.email, password=password, totp_code=good if code == "good" else code)
    assert sessions.opened == []
    assert stored(sft, maya) == before


def test_unknown_address_costs_as_much_as_a_known_one(sft: Application, maya: User) -> None:
    """An unknown address gets the same refusal, after one password hash as well."""
    sign_in, hasher, _ = sign_in_with_hooks(sft)
    for name in ("nobody", "maya"):
        with pytest.raises(BadCredentials):
            sign_in(email=address(name), password=WRONG)
    assert hasher.calls == ["verify_absent", "verify"]
    assert stored(sft, maya).last_login is None


def test_sign_in_is_recorded_on_the_account(sft: Application, maya: User, clock: SettableClock) -> None:
    """The sign-in sets `last_login` and increases the revision."""
    clock.advance(hours=3)
    sft.users.sign_in(email=maya.email, password=PASSWORD)
    after = stored(sft, maya)
    assert after == attrs.evolve(maya, last_login=clock.now(), revision=after.revision)
    assert after.revision > maya.revision


def test_totp_enabled_during_a_sign_in_is_required(sft: Application, maya: User, clock: SettableClock) -> None:
    """A sign-in that began before TOTP was confirmed still requires a code."""
    sessions = HookedSessions(sft.users.sign_in.sessions)
    hasher = HookedHasher(sft.users.sign_in.hasher, lambda: with_second_factor(sft, maya, clock))
    sign_in = attrs.evolve(sft.users.sign_in, hasher=hasher, sessions=sessions)
    with pytest.raises(TotpRequired):
        sign_in(email=maya.email, password=PASSWORD)
    assert sessions.opened == []
    assert stored(sft, maya).last_login is None


def test_missing_code_is_no_failed_attempt(sft: Application, maya: User, clock: SettableClock) -> None:
    """A correct password without a code, as apps send to learn whether one is needed, does not count as a failure."""
    code = with_second_factor(sft, maya, clock)
    for _ in range(3 * sft.users.sign_in.throttle.rate.attempts):
        with pytest.raises(TotpRequired):
            sft.users.sign_in(email=maya.email, password=PASSWORD)
    assert sft.users.sign_in(email=maya.email, password=PASSWORD, totp_code=code).access


def test_unconfirmed_totp_is_not_required(sft: Application, maya: User) -> None:
    """Until its first code is confirmed, TOTP is not required, and a code in the request is ignored."""
    sft.users.set_up_totp(user=maya)
    for code in (None, "000000"):
        assert sft.users.sign_in(email=maya.email, password=PASSWORD, totp_code=code).access


def test_code_is_spent_only_by_its_own_account(sft: Application, maya: User, clock: SettableClock) -> None:
    """One account's valid code is wrong for another account and stays valid for its own."""
    noor = register(sft, "noor")
    with_second_factor(sft, noor, clock)
    code = with_second_factor(sft, maya, clock)
    with pytest.raises(BadTotpCode):
        sft.users.sign_in(email=noor.email, password=PASSWORD, totp_code=code)
    assert sft.users.sign_in(email=maya.email, password=PASSWORD, totp_code=code).access
