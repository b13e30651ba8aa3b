"""
The system machine: everything people can do, in any order, on whatever a driver drives.
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
# Steps of codes, ends of tokens, links and sessions, and the second on either side of them.
JUMPS: Final = (1, 29, 30, 31, 90, 30 * _MINUTE - 1, 30 * _MINUTE, _HOUR - 1, _HOUR, _DAY, 7 * _DAY - 1, 7 * _DAY)


class SystemMachine(AccountRules, LinkRules):
    """
    What every system machine does; `system_machine` says on which driver.
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
        Two people register, sign in, store a file each and share it; the second may set up a second factor.
        """
        for login, (name, password) in enumerate(zip(NAMES, secrets, strict=False)):
            self._register(self._email(name), self._username(name), password)
            self._sign_in(self._email(name), password, None)
            self.require(Clause.SIGN_IN_IS_PROVED, login in self.oracle.logins, "nobody can sign in")
            self._store(login, "first.txt", "text/plain", f"the first file of {name}".encode())
            self._share(login, self.file_ids[-1], hours=None, downloads=downloads)
        if factor:
            self._set_up(login=1)
            self._confirm(login=1, offset=0)

    @precondition(lambda self: self.driver.can_advance_clock)
    @rule(seconds=st.sampled_from(JUMPS))
    def advance_the_clock(self, seconds: int) -> None:
        """
        Let time pass.
        """
        self.driver.advance(seconds)

    @precondition(lambda self: self.driver.can_advance_clock)
    @rule(link=LINKS, short_of=st.sampled_from([0, 1]))
    def advance_to_link_expiry(self, link: int, short_of: int) -> None:
        """
        Let a link's time run out, or all of it but a second.
        """
        row = self.oracle.links.get(self.tokens[link])
        left = int((row["ends"] - self.now()).total_seconds()) - short_of if row is not None else 0
        if left > 0:
            self.driver.advance(left)

    @precondition(lambda self: self.driver.can_crash and self.crashes < type(self).max_crashes)
    @rule()
    def crash_and_restart(self) -> None:
        """
        Stop the system in its tracks and start it again: what was acknowledged is there.
        """
        if self.driver.can_advance_clock:
            # A restart takes time: what is stored after it is newer than what was stored before.
            self.driver.advance(1)
        self.crashes += 1
        self.driver.crash()
        self._check_everything(Clause.CRASH_LOSES_NOTHING)

    @invariant()
    def listings_are_exact(self) -> None:
        """
        After each step everybody's listing is the model's: names, sizes, counts, links, order.
        """
        for login in self._login_per_person():
            seen = list(self.listing(login, skip=0, limit=1000, refusal=None))
            expected = [
                self.expected_file(file_id) for file_id in self.oracle.listed_ids(self.oracle.logins[login]["who"])
            ]
            self.require_equal(
                Clause.LISTED_IS_OWNED, seen=[file.id for file in seen], expected=[file.id for file in expected]
            )
            counts = [file.downloads for file in expected]
            self.require_equal(Clause.DOWNLOADS_ARE_COUNTED, seen=[file.downloads for file in seen], expected=counts)
            self.require_equal(Clause.STORED_IS_KEPT, seen=seen, expected=expected)

    def _login_per_person(self) -> Iterator[int]:
        """
        For each person a login whose latest access token is good now, if there is one.
        """
        seen: set[str] = set()
        for login, row in reversed(self.oracle.logins.items()):
            if row["who"] not in seen and self.call_error(login) is None:
                seen.add(row["who"])
                yield login

    def _check_everything(self, clause: Clause) -> None:
        for login in self._login_per_person():
            for file_id in self.oracle.listed_ids(self.oracle.logins[login]["who"]):
                seen = self.expect(clause, partial(self.driver.read, self.access(login), file_id), None)
                self.require_equal(clause, seen=seen, expected=self.oracle.files[file_id]["content"])
        for token in self.oracle.links:
            self.expect(clause, partial(self.driver.look, token), self.oracle.redeem_error(token, self.now()))

    def final_check(self) -> None:
        """
        At the end every file is read once more, and every link looked at.
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
    A state machine that judges what `driver()` drives: a new driver for each run, closed after it.

    One system may stand behind many runs. Files have at most `max_file_bytes`, and many of them end
    within a byte of a chunk's bound or of a part's, which has `part_size` bytes of plaintext. A run
    has at most `max_crashes` crashes; what the driver cannot do is left out. A person's files may hold
    `quota` bytes together; without one the machine expects no refusal on their account.

        TestMySystem = system_machine(make_driver).TestCase
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
