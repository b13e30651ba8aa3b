"""
Base of the system machine's rules: a driver, the oracle, and their comparison.
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
    A driver and its oracle.

    Every run uses its own user names and addresses, so one system can serve many runs.
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
        Return an action's result, or the code of its refusal.
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
        Run an action and return its result; require the refusal with this code, or success.
        """
        value, code = self.outcome(action)
        self.require_equal(clause, seen=code, expected=refusal)
        return value

    def attempt(self, clause: Clause, action: Callable[[], T], refusal: str | None) -> tuple[T | None, str | None]:
        """
        Like `expect`, for an authentication, which a driver may refuse with `too-many-attempts`.

        Returns the result and the code.
        """
        value, code = self.outcome(action)
        if code == THROTTLED and self.driver.may_throttle:
            return None, code
        is_about_code = BAD_CODE in {code, refusal}
        self.require_equal(Clause.CODE_IS_SPENT if is_about_code else clause, seen=code, expected=refusal)
        return value, code

    def now(self) -> datetime:
        """
        Return the current time of the system's clock.
        """
        return self.driver.now()

    def valid_logins(self) -> list[int]:
        """
        Return the logins whose latest access token is valid.
        """
        return [login for login in self.oracle.logins if self.call_error(login) is None]

    def existing_files(self) -> list[int]:
        """
        Return the numbers of the files that exist.
        """
        return [number for number, file_id in enumerate(self.file_ids) if file_id in self.oracle.files]

    def live_links(self) -> list[int]:
        """
        Return the numbers of the links that grant a download.
        """
        now = self.now()
        return [number for number, token in enumerate(self.tokens) if self.oracle.redeem_error(token, now) is None]

    def person(self, login: int) -> Row:
        """
        Return the user of a login.
        """
        return self.oracle.people[self.oracle.logins[login]["email"]]

    def access(self, login: int) -> str:
        """
        Return the login's latest access token.
        """
        return str(self.oracle.logins[login]["access"][-1][0])

    def call_error(self, login: int, then: str | None = None) -> str | None:
        """
            Return the expected refusal of a call with the latest access token.

        An invalid token is refused first; otherwise the result is `then`.
        """
        return self.oracle.call_error(self.oracle.logins[login], -1, self.now()) or then


def from_machine(draw: Callable[[DriverMachine], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """
    Return a strategy that depends on the machine that draws from it.
    """
    return st.runner().flatmap(draw)


def _numbers(every: int, valid: list[int]) -> st.SearchStrategy[int]:
    """
    Draw numbers below `every`, about half of them from `valid`.
    """
    numbers = st.integers(0, every - 1)
    return st.one_of(st.sampled_from(valid), numbers) if valid else numbers


LOGINS: Final = from_machine(lambda machine: _numbers(len(machine.oracle.logins), machine.valid_logins()))
FILES: Final = from_machine(lambda machine: _numbers(len(machine.file_ids), machine.existing_files()))
LINKS: Final = from_machine(lambda machine: _numbers(len(machine.tokens), machine.live_links()))
