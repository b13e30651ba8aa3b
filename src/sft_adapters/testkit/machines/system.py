"""
The system machine: every operation of a file transfer, in any order, through a driver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.stateful import initialize, invariant, precondition, rule

from sft_adapters.testkit.drivers.protocol import Driver
from sft_adapters.testkit.machines.accounts import NAMES, PASSWORDS, AccountRules
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.driver_machine import LINKS
from sft_adapters.testkit.machines.transfers import BUDGETS, LinkRules
from sft_adapters.testkit.strategies.arguments import check_bounds

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
# Steps of codes, lifetimes of tokens, links and sessions, and the seconds just before or after them.
JUMPS: Final = (1, 29, 30, 31, 90, 30 * _MINUTE - 1, 30 * _MINUTE, _HOUR - 1, _HOUR, _DAY, 7 * _DAY - 1, 7 * _DAY)


class SystemMachine(AccountRules, LinkRules):
    """
    The rules of every system machine; `system_machine` adds the driver and the bounds.
    """

    max_crashes: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.crashes = 0

    @initialize(
        secrets=st.lists(PASSWORDS, min_size=2, max_size=2, unique=True), factor=st.booleans(), downloads=BUDGETS
    )
    def set_up_two_people(self, secrets: list[str], *, factor: bool, downloads: int | None) -> None:
        """
        Register and sign in two users; each stores and shares a file.

        The second one may set up a second factor.
        """
        for login, (name, password) in enumerate(zip(NAMES, secrets, strict=False)):
            self._register(self._email(name), self._username(name), password)
            self._sign_in(self._email(name), password, None)
            self.require(Clause.SIGN_IN_IS_PROVED, login in self.oracle.logins, "a registered user cannot sign in")
            self._store(login, "first.txt", "text/plain", f"the first file of {name}".encode())
            self._share(login, self.file_ids[-1], hours=None, downloads=downloads)
        if factor:
            self._set_up(login=1)
            self._confirm(login=1, offset=0)

    @precondition(lambda self: self.driver.can_advance_clock)
    @rule(seconds=st.sampled_from(JUMPS))
    def advance_the_clock(self, seconds: int) -> None:
        """
        Advance the clock.
        """
        self.driver.advance(seconds)

    @precondition(lambda self: self.driver.can_advance_clock)
    @rule(link=LINKS, short_of=st.sampled_from([0, 1]))
    def advance_to_link_expiry(self, link: int, short_of: int) -> None:
        """
        Advance the clock to a link's expiry, or to one second before it.
        """
        row = self.oracle.links.get(self.tokens[link])
        left = int((row["ends"] - self.now()).total_seconds()) - short_of if row is not None else 0
        if left > 0:
            self.driver.advance(left)

    @precondition(lambda self: self.driver.can_crash and self.crashes < type(self).max_crashes)
    @rule()
    def crash_and_restart(self) -> None:
        """
        Crash and restart the system, then check every acknowledged change.
        """
        if self.driver.can_advance_clock:
            # A restart takes time: files stored after it are newer than files stored before it.
            self.driver.advance(1)
        self.crashes += 1
        self.driver.crash()
        self._check_everything(Clause.CRASH_LOSES_NOTHING)

    @invariant()
    def listings_are_exact(self) -> None:
        """
        After each step, compare every user's listing with the model: names, sizes, counts, links, order.
        """
        for login in self._login_per_person():
            seen = list(self.listing(login, skip=0, limit=1000, refusal=None))
            expected = [
                self.expected_file(file_id) for file_id in self.oracle.listed_ids(self.oracle.logins[login]["email"])
            ]
            self.require_equal(
                Clause.LISTED_IS_OWNED, seen=[file.id for file in seen], expected=[file.id for file in expected]
            )
            counts = [file.downloads for file in expected]
            self.require_equal(Clause.DOWNLOADS_ARE_COUNTED, seen=[file.downloads for file in seen], expected=counts)
            self.require_equal(Clause.STORED_IS_KEPT, seen=seen, expected=expected)

    def _login_per_person(self) -> Iterator[int]:
        """
        Return one login per user whose latest access token is valid now.
        """
        seen: set[str] = set()
        for login, row in reversed(self.oracle.logins.items()):
            if row["email"] not in seen and self.call_error(login) is None:
                seen.add(row["email"])
                yield login

    def _check_everything(self, clause: Clause) -> None:
        for login in self._login_per_person():
            for file_id in self.oracle.listed_ids(self.oracle.logins[login]["email"]):
                seen = self.expect(clause, partial(self.driver.read, self.access(login), file_id), None)
                self.require_equal(clause, seen=seen, expected=self.oracle.files[file_id]["content"])
        for token in self.oracle.links:
            self.expect(clause, partial(self.driver.look, token), self.oracle.redeem_error(token, self.now()))

    def final_check(self) -> None:
        """
        Finally, read every file and request every link's metadata again.
        """
        self._check_everything(Clause.STORED_IS_KEPT)


def system_machine(
    driver: Callable[[], Driver],
    *,
    part_size: int = 1 << 16,
    max_file_bytes: int = 1 << 18,
    max_crashes: int = 5,
    quota: int | None = None,
) -> type[SystemMachine]:
    """
    Create a state machine that checks the system behind `driver()` against a model.

    It is a `RuleBasedStateMachine` whose `TestCase` pytest collects:

        TestMySystem = system_machine(make_driver).TestCase

    Args:
        driver: Called once per run; the driver is closed after the run. Several runs may use one system. Rules
            that need a missing capability of the driver are skipped.
        part_size: The system's part size in plaintext bytes. Many files end within a byte of a multiple of it,
            or of a chunk.
        max_file_bytes: The size of the largest file in bytes.
        max_crashes: The number of crashes in a run at most.
        quota: The system's limit in bytes on one user's files together, at least 1 024; None if there is none.

    Raises:
        InvalidArgument: An argument has the wrong type or is out of range.
    """
    if not callable(driver):
        raise InvalidArgument(f"driver must be callable, not {driver!r}")
    check_bounds("part_size", 1, part_size, lowest=1, highest=2**30)
    check_bounds("max_file_bytes", 0, max_file_bytes, lowest=0, highest=2**30)
    check_bounds("max_crashes", 0, max_crashes, lowest=0, highest=2**30)
    if quota is not None:
        check_bounds("quota", 1 << 10, quota, lowest=1 << 10, highest=2**60)
    bounds = {"part_size": part_size, "max_file_bytes": max_file_bytes, "max_crashes": max_crashes, "quota": quota}
    return type("SystemMachine", (SystemMachine,), {"make_driver": staticmethod(driver), **bounds})
