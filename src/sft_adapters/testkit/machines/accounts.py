"""
Rules of the system machine about accounts, sign-ins, tokens and the second factor.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import rule

from sft_adapters.testkit.drivers.protocol import Tokens
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.concurrency import run_concurrently
from sft_adapters.testkit.machines.driver_machine import LOGINS, DriverMachine, from_machine
from sft_adapters.testkit.one_time import code_of, step_at
from sft_adapters.testkit.strategies import passwords

NAMES: Final = ("ann", "bob", "cyd")
_names: Final = st.sampled_from(NAMES)
PASSWORDS: Final = passwords(max_bytes=200).map(lambda password: password.reveal().decode())

# Offsets of a code's step from the present one. With a running clock a neighbouring code may leave the window
# before it is used, so only offsets whose result does not depend on timing are drawn there.
_ANY: Final = (0, 1, -1, 2, -2, 9)
_STABLE: Final = (0, 1, 9)
_offsets: Final = from_machine(lambda machine: st.sampled_from(_ANY if machine.driver.can_advance_clock else _STABLE))


class AccountRules(DriverMachine):
    """
    Rules about a user's own account.
    """

    def _email(self, name: str) -> str:
        return f"{name}.{self.run_id}@example.org"

    def _username(self, name: str) -> str:
        return f"{name}.{self.run_id}"

    @rule(mail=_names, name=_names, upper=st.booleans(), password=PASSWORDS)
    def register(self, mail: str, name: str, *, upper: bool, password: str) -> None:
        """
        Register, possibly with a taken address or user name, in either letter case.
        """
        email, username = self._email(mail), self._username(name)
        self._register(email.upper() if upper else email, username.upper() if upper else username, password)

    def _register(self, email: str, username: str, password: str) -> None:
        refusal = self.oracle.register_error(email, username)
        register = partial(self.driver.register, email=email, username=username, password=password)
        user_id, code = self.attempt(Clause.ACCOUNT_IS_ONE, register, refusal)
        if code is None and user_id is not None:
            self.oracle.note_person(email, username, password, user_id)

    def _code(self, seed: str, offset: int) -> str:
        return code_of(seed, step_at(self.now()) + offset)

    def _own_code(self, email: str, offset: int | None) -> str | None:
        """
        Return a code of the user's second factor, or of an unused seed.
        """
        person = self.oracle.people.get(email.lower())
        seed = person["factor"]["seed"] if person is not None and person["factor"] is not None else "A" * 32
        return None if offset is None else self._code(seed, offset)

    @rule(name=_names, upper=st.booleans(), offset=st.one_of(st.none(), _offsets))
    def sign_in(self, name: str, *, upper: bool, offset: int | None) -> None:
        """
        Sign in with the right password and a right, wrong, spent or missing code.
        """
        email = self._email(name)
        password = self.oracle.people.get(email, {"password": "a password of no user"})["password"]
        self._sign_in(email.upper() if upper else email, password, self._own_code(email, offset))

    def _sign_in(self, email: str, password: str, code: str | None) -> None:
        now = self.now()
        refusal = self.oracle.sign_in_error(email, password, code, now)
        sign_in = partial(self.driver.sign_in, email=email, password=password, code=code)
        tokens, _ = self.attempt(Clause.SIGN_IN_IS_PROVED, sign_in, refusal)
        if tokens is not None:
            self.oracle.note_login(email, code, tokens.access, tokens.refresh, now)

    @rule(name=_names, offset=st.one_of(st.none(), _offsets), wrong=PASSWORDS)
    def sign_in_with_another_password(self, name: str, offset: int | None, wrong: str) -> None:
        """
        Sign in with a wrong password; a right code must not help.
        """
        email = self._email(name)
        person = self.oracle.people.get(email)
        guess = wrong + "x" if person is not None and person["password"] == wrong else wrong
        self._sign_in(email, guess, self._own_code(email, offset))

    @rule(name=_names, threads=st.integers(2, 4), offset=st.sampled_from(_STABLE[:2]))
    def sign_in_concurrently(self, name: str, threads: int, offset: int) -> None:
        """
        Use one code in several concurrent sign-ins.
        """
        email, now = self._email(name), self.now()
        code, person = self._own_code(email, offset), self.oracle.people.get(email)
        if person is None or not self._has_factor(person):
            return
        refusal = self.oracle.sign_in_error(email, person["password"], code, now)

        def attempt() -> tuple[Tokens | None, str | None]:
            return self.outcome(lambda: self.driver.sign_in(email=email, password=person["password"], code=code))

        outcomes = run_concurrently([attempt] * threads)
        signed_in = [tokens for tokens, _ in outcomes if tokens is not None]
        if not signed_in and self.driver.may_throttle:
            return
        self.require_equal(Clause.CODE_IS_SPENT, seen=len(signed_in), expected=0 if refusal else 1)
        for tokens in signed_in:
            self.oracle.note_login(email, code, tokens.access, tokens.refresh, now)

    @staticmethod
    def _has_factor(person: dict[str, Any]) -> bool:
        return person["factor"] is not None and bool(person["factor"]["confirmed"])

    @rule(login=LOGINS, which=st.integers(0, 5))
    def call_with_any_token(self, login: int, which: int) -> None:
        """
        Use one of the login's access tokens, possibly one issued before a refresh.
        """
        row = self.oracle.logins[login]
        which %= len(row["access"])
        refusal = self.oracle.call_error(row, which, self.now())
        who = self.expect(Clause.TOKEN_IS_GOOD_FOR_A_TIME, lambda: self.driver.who(row["access"][which][0]), refusal)
        self.require_equal(
            Clause.TOKEN_IS_GOOD_FOR_A_TIME, seen=who, expected=None if refusal else self.person(login)["id"]
        )

    @rule(login=LOGINS)
    def swap_token_kinds(self, login: int) -> None:
        """
        Use a token of each kind as one of the other kind.
        """
        row = self.oracle.logins[login]
        kinds = Clause.TOKEN_IS_GOOD_FOR_A_TIME
        self.expect(kinds, lambda: self.driver.who(row["refresh"][-1][0]), "bad-token")
        self.expect(kinds, lambda: self.driver.refresh(row["access"][-1][0]), "bad-token")

    @rule(login=LOGINS, age=st.integers(0, 2))
    def refresh(self, login: int, age: int) -> None:
        """
        Exchange the login's latest refresh token, or one that was exchanged before.
        """
        row, now = self.oracle.logins[login], self.now()
        which = max(0, len(row["refresh"]) - 1 - age)
        refusal = self.oracle.refresh_error(row, which, now)
        token = row["refresh"][which][0]
        tokens = self.expect(Clause.REFRESH_IS_FOR_ONE_EXCHANGE, lambda: self.driver.refresh(token), refusal)
        if tokens is None:
            self.oracle.note_refusal(row, which, now)
        else:
            self.oracle.note_exchange(row, tokens.access, tokens.refresh, now)

    @rule(login=LOGINS, threads=st.integers(2, 5))
    def refresh_concurrently(self, login: int, threads: int) -> None:
        """
        Exchange one refresh token concurrently: one call gets tokens, and the family is revoked.
        """
        row, now = self.oracle.logins[login], self.now()
        refusal = self.oracle.refresh_error(row, -1, now)
        token = row["refresh"][-1][0]
        outcomes = run_concurrently([lambda: self.outcome(lambda: self.driver.refresh(token))] * threads)
        exchanged = [tokens for tokens, _ in outcomes if tokens is not None]
        self.require_equal(Clause.REFRESH_IS_FOR_ONE_EXCHANGE, seen=len(exchanged), expected=0 if refusal else 1)
        for tokens in exchanged:
            self.oracle.note_exchange(row, tokens.access, tokens.refresh, now)
            row["revoked"] = True

    @rule(login=LOGINS)
    def set_up_totp(self, login: int) -> None:
        """
        Start a two-factor set-up, or restart it.
        """
        self._set_up(login)

    def _set_up(self, login: int) -> None:
        person = self.person(login)
        refusal = self.call_error(login, self.oracle.totp_setup_error(person))
        seed = self.expect(
            Clause.SECOND_FACTOR_HAS_STAGES, lambda: self.driver.set_up_totp(self.access(login)), refusal
        )
        if seed is not None:
            person["factor"] = {"seed": seed, "confirmed": False, "last": -1}

    @rule(login=LOGINS, offset=_offsets)
    def confirm_totp(self, login: int, offset: int) -> None:
        """
        Confirm the set-up with a code that may be wrong.
        """
        self._confirm(login, offset)

    def _confirm(self, login: int, offset: int) -> None:
        person, now = self.person(login), self.now()
        code = self._own_code(self.oracle.logins[login]["email"], offset) or ""
        refusal = self.call_error(login, self.oracle.totp_confirm_error(person, code, now))
        confirm = partial(self.driver.confirm_totp, self.access(login), code)
        _, answer = self.attempt(Clause.SECOND_FACTOR_HAS_STAGES, confirm, refusal)
        if answer is None:
            person["factor"] |= {"confirmed": True, "last": self.oracle.spent_step(person, code, now)}

    @rule(login=LOGINS, offset=_offsets)
    def disable_totp(self, login: int, offset: int) -> None:
        """
        Disable the second factor with a code that may be wrong or spent.
        """
        person, now = self.person(login), self.now()
        code = self._own_code(self.oracle.logins[login]["email"], offset) or ""
        refusal = self.call_error(login, self.oracle.totp_disable_error(person, code, now))
        disable = partial(self.driver.disable_totp, self.access(login), code)
        _, answer = self.attempt(Clause.SECOND_FACTOR_HAS_STAGES, disable, refusal)
        if answer is None:
            person["factor"] = None
