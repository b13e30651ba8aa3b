"""
What every rule of the system machine stands on: a driver, the oracle, and how the two are compared.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import ClassVar, Final, TypeVar
from uuid import uuid4

from hypothesis import strategies as st

from sft_adapters.testkit.drivers.verbs import Driver, Refused
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.judge import Judge
from sft_adapters.testkit.machines.oracle import Oracle, Row

T = TypeVar("T")

THROTTLED: Final = "too-many-attempts"
BAD_CODE: Final = "bad-totp-code"
UNKNOWN_TOKEN: Final = "A" * 43
UNKNOWN_ID: Final = "00000000-0000-7000-8000-000000000000"


class World(Judge):
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
        self.mark = uuid4().hex[:12]
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
            self.is_decided = True
            raise

    def give_up(self) -> None:
        self.driver.close()

    def expect(self, clause: Clause, action: Callable[[], T], refusal: str | None) -> T | None:
        """
        Do something that must be refused with this code, or succeed; what it returned is returned.
        """
        value, code = self.outcome(action)
        self.agree(clause, seen=code, expected=refusal)
        return value

    def attempt(self, clause: Clause, action: Callable[[], T], refusal: str | None) -> tuple[T | None, str | None]:
        """
        The same for what proves something, which a driver may answer with a request to come later.
        """
        value, code = self.outcome(action)
        if code == THROTTLED and self.driver.may_throttle:
            return None, code
        about_the_code = BAD_CODE in {code, refusal}
        self.agree(Clause.CODE_IS_SPENT if about_the_code else clause, seen=code, expected=refusal)
        return value, code

    def now(self) -> datetime:
        """
        The moment by the system's clock.
        """
        return self.driver.now()

    def good_logins(self) -> list[int]:
        """
        The logins whose latest access token is good.
        """
        return [login for login in self.oracle.logins if self.calling(login) is None]

    def good_files(self) -> list[int]:
        """
        The files that are there.
        """
        return [number for number, file_id in enumerate(self.file_ids) if file_id in self.oracle.files]

    def good_links(self) -> list[int]:
        """
        The links that grant a download.
        """
        now = self.now()
        return [number for number, token in enumerate(self.tokens) if self.oracle.redeeming(token, now) is None]

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

    def calling(self, login: int, then: str | None = None) -> str | None:
        """
        What a call with that token must answer: a bad token comes first, then `then`.
        """
        return self.oracle.calling(self.oracle.logins[login], -1, self.now()) or then


def of_machine(draw: Callable[[World], st.SearchStrategy[T]]) -> st.SearchStrategy[T]:
    """
    A strategy that depends on the machine that draws.
    """
    return st.runner().flatmap(draw)


def _numbers(every: int, good: list[int]) -> st.SearchStrategy[int]:
    """
    The numbers below `every`; half of the time one that is of use.
    """
    numbers = st.integers(0, every - 1)
    return st.one_of(st.sampled_from(good), numbers) if good else numbers


LOGINS: Final = of_machine(lambda world: _numbers(len(world.oracle.logins), world.good_logins()))
FILES: Final = of_machine(lambda world: _numbers(len(world.file_ids), world.good_files()))
LINKS: Final = of_machine(lambda world: _numbers(len(world.tokens), world.good_links()))
