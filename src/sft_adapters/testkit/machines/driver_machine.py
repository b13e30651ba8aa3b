"""
What every rule of the system machine stands on: a driver, the oracle, and how the two are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Final, TypeVar
from uuid import uuid4

from hypothesis import strategies as st

from sft_adapters.testkit.drivers.protocol import Driver, Refused
from sft_adapters.testkit.machines.clause_machine import ClauseMachine
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.oracle import Oracle, Row

T = TypeVar("T")

THROTTLED: Final = "too-many-attempts"
BAD_CODE: Final = "bad-totp-code"
UNKNOWN_TOKEN: Final = "A" * 43
UNKNOWN_ID: Final = "00000000-0000-7000-8000-000000000000"


class DriverMachine(ClauseMachine):
    """
    A driver and the oracle beside it. One system may serve many runs: the names of each are its own.
    """

    make_driver: ClassVar[Callable[[], Driver]]
    part_size: ClassVar[int]
    max_file_bytes: ClassVar[int]
    quota: ClassVar[int | None]

    def __init__(self) -> None:
        super().__init__()
        self.driver = type(self).make_driver()
        self.run_id = uuid4().hex[:12]
        self.file_ids: list[str] = []
        self.tokens: list[str] = []
        self.oracle = Oracle(
            access_lifetime=self.driver.access_lifetime,
            refresh_lifetime=self.driver.refresh_lifetime,
            quota=type(self).quota,
        )

    def outcome(self, action: Callable[[], T]) -> tuple[T | None, str | None]:
        """
        What an action returned, or the code with which it was refused.
        """
        try:
            return action(), None
        except Refused as refusal:
            return None, refusal.code
        except BaseException:
            self.has_failed = True
            raise

    def close_resources(self) -> None:
        self.driver.close()

    def expect(self, clause: Clause, action: Callable[[], T], refusal: str | None) -> T | None:
        """
        Do something that must be refused with this code, or succeed; what it returned is returned.
        """
        value, code = self.outcome(action)
        self.require_equal(clause, seen=code, expected=refusal)
        return value

    def attempt(self, clause: Clause, action: Callable[[], T], refusal: str | None) -> tuple[T | None, str | None]:
        """
        The same for what proves something, which a driver may answer with a request to come later.
        """
        value, code = self.outcome(action)
        if code == THROTTLED and self.driver.may_throttle:
            return None, code
        is_about_code = BAD_CODE in {code, refusal}
        self.require_equal(Clause.CODE_IS_SPENT if is_about_code else clause, seen=code, expected=refusal)
        return value, code

    def now(self) -> datetime:
        """
        The moment by the system's clock.
        """
        return self.driver.now()

    def valid_logins(self) -> list[int]:
        """
        The logins whose latest access token is good.
        """
        return [login for login in self.oracle.logins if self.call_error(login) is None]

    def existing_files(self) -> list[int]:
        """
        The files that are there.
        """
        return [number for number, file_id in enumerate(self.file_ids) if file_id in self.oracle.files]

    def live_links(self) -> list[int]:
        """
        The links that grant a download.
        """
        now = self.now()
        return [number for number, token in enumerate(self.tokens) if self.oracle.redeem_error(token, now) is None]

    def person(self, login: int) -> Row:
        """
        Who signed in.
        """
        return self.oracle.people[self.oracle.logins[login]["who"]]

    def access(self, login: int) -> str:
        """
        The login's latest access token.
        """
        return str(self.oracle.logins[login]["access"][-1][0])

    def call_error(self, login: int, then: str | None = None) -> str | None:
        """
        What a call with that token must answer: a bad token comes first, then `then`.
        """
        return self.oracle.call_error(self.oracle.logins[login], -1, self.now()) or then


def from_machine(draw: Callable[[DriverMachine], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """
    A strategy that depends on the machine that draws.
    """
    return st.runner().flatmap(draw)


def _numbers(every: int, valid: list[int]) -> st.SearchStrategy[int]:
    """
    The numbers below `every`; half of the time one that is of use.
    """
    numbers = st.integers(0, every - 1)
    return st.one_of(st.sampled_from(valid), numbers) if valid else numbers


LOGINS: Final = from_machine(lambda machine: _numbers(len(machine.oracle.logins), machine.valid_logins()))
FILES: Final = from_machine(lambda machine: _numbers(len(machine.file_ids), machine.existing_files()))
LINKS: Final = from_machine(lambda machine: _numbers(len(machine.tokens), machine.live_links()))
