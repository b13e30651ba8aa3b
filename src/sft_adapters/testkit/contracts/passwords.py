"""
The contract of `sft_core.users.ports.PasswordHasher`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sft_core.errors import BadCredentials, Busy
from sft_core.users.ports import PasswordHasher
from sft_core.values import Password

# The PHC string format: an identifier, an optional version, parameters, salt, hash.
PHC = re.compile(r"\$[a-z0-9-]{1,32}(\$v=[0-9]+)?(\$[a-z0-9-]+=[^$,]+(,[a-z0-9-]+=[^$,]+)*)?\$[^$=]+\$[^$=]+")
CROWD = 32


def claimed(text: str) -> Password:
    """
    A password as somebody types it at sign-in.
    """
    return Password.for_sign_in(text)


class PasswordHasherContract:
    """
    Give the fixture `hasher`; one that works at a low cost makes these tests quick.
    """

    def test_the_password_verifies_and_no_other(self, hasher: PasswordHasher) -> None:
        """The password that was hashed is accepted, another one is `BadCredentials`."""
        hashed = hasher.hash(claimed("correct horse"))
        hasher.verify(claimed("correct horse"), hashed)
        with pytest.raises(BadCredentials):
            hasher.verify(claimed("correct horsf"), hashed)

    def test_a_hash_is_a_phc_string(self, hasher: PasswordHasher) -> None:
        """It names its algorithm, its parameters and its salt, so that it can be verified later."""
        assert PHC.fullmatch(hasher.hash(claimed("correct horse")))

    def test_equal_passwords_hash_differently(self, hasher: PasswordHasher) -> None:
        """Each call draws a salt of its own."""
        hashes = {hasher.hash(claimed("correct horse")) for _ in range(5)}
        assert len(hashes) == 5
        assert len({hashed.split("$")[-2] for hashed in hashes}) == 5

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("pass\0word", "pass"),
            ("pass\0word", "pass\0worf"),
            ("password ", "password"),
            (" password", "password"),
            ("Password", "password"),
            ("x" * 72, "x" * 73),
            ("x" * 1023 + "y", "x" * 1023 + "z"),
            ("ä" * 100, "ä" * 99 + "a"),
        ],
    )
    def test_every_byte_counts(self, hasher: PasswordHasher, one: str, other: str) -> None:
        """What stands after a NUL or after 72 bytes, spaces at the ends and case are part of the password."""
        hashed = hasher.hash(claimed(one))
        hasher.verify(claimed(one), hashed)
        with pytest.raises(BadCredentials):
            hasher.verify(claimed(other), hashed)

    @pytest.mark.parametrize("damage", ["", "x", "$", "plain text", "$2b$12$" + "a" * 53])
    def test_what_is_no_hash_matches_nothing(self, hasher: PasswordHasher, damage: str) -> None:
        """A row that holds something else lets nobody in, not even with that as the password."""
        for text in ("correct horse", damage):
            with pytest.raises(BadCredentials):
                hasher.verify(claimed(text), damage)

    def test_a_damaged_hash_matches_nothing(self, hasher: PasswordHasher) -> None:
        """A hash that was cut, lengthened or altered does not verify."""
        hashed = hasher.hash(claimed("correct horse"))
        altered = hashed[:-2] + ("AA" if hashed[-2:] != "AA" else "BB")
        for damaged in (hashed[:-1], hashed[:-8], hashed + "AAAA", hashed + "\n", altered):
            with pytest.raises(BadCredentials):
                hasher.verify(claimed("correct horse"), damaged)

    def test_nobody_signs_in_to_an_account_that_is_not_there(self, hasher: PasswordHasher) -> None:
        """Whatever the password, it is `BadCredentials`, as a wrong one is."""
        for text in ("", "correct horse", "x" * 1024):
            with pytest.raises(BadCredentials):
                hasher.verify_absent(claimed(text))

    def test_an_absent_account_costs_as_much(self, hasher: PasswordHasher) -> None:
        """Its answer takes at least a quarter of the time that a real one takes: a hash is computed."""
        hashed = hasher.hash(claimed("correct horse"))
        present = _quickest(lambda: hasher.verify(claimed("wrong horse"), hashed))
        assert _quickest(lambda: hasher.verify_absent(claimed("wrong horse"))) > present / 4

    def test_a_crowd_is_served_or_told_to_come_again(self, hasher: PasswordHasher) -> None:
        """Of many who verify at once each gets the right answer or `Busy`, and the next one is served."""
        hashed = hasher.hash(claimed("correct horse"))

        def attempt(number: int) -> bool:
            try:
                hasher.verify(claimed("correct horse" if number % 2 else "wrong horse"), hashed)
            except BadCredentials:
                return not number % 2
            except Busy:
                return True
            return bool(number % 2)

        with ThreadPoolExecutor(CROWD) as pool:
            assert all(pool.map(attempt, range(CROWD)))
        hasher.verify(claimed("correct horse"), hashed)


def _quickest(refused: Callable[[], None]) -> float:
    """
    The seconds that the quickest of seven refusals took.
    """
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        with pytest.raises(BadCredentials):
            refused()
        times.append(time.perf_counter() - begun)
    return min(times)
