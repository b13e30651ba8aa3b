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
CALLERS = 32


def sign_in_password(text: str) -> Password:
    """
    A password as a client types it at sign-in.
    """
    return Password.for_sign_in(text)


class PasswordHasherContract:
    """
    Contract suite of `PasswordHasher`: PHC strings, every byte significant, constant-cost refusals.

    An adapter passes if only the hashed password verifies, anything else raises `BadCredentials`, and an absent
    account costs about as much time as an existing one.

    Fixtures:
        hasher: The hasher; choose a low cost, which makes these tests fast.
    """

    def test_verify_accepts_only_the_hashed_password(self, hasher: PasswordHasher) -> None:
        """The hashed password is accepted; another one raises `BadCredentials`."""
        hashed = hasher.hash(sign_in_password("correct horse"))
        hasher.verify(sign_in_password("correct horse"), hashed)
        with pytest.raises(BadCredentials):
            hasher.verify(sign_in_password("correct horsf"), hashed)

    def test_hash_is_a_phc_string(self, hasher: PasswordHasher) -> None:
        """The hash names its algorithm, parameters and salt, so it can be verified later."""
        assert PHC.fullmatch(hasher.hash(sign_in_password("correct horse")))

    def test_equal_passwords_have_different_hashes(self, hasher: PasswordHasher) -> None:
        """Each call draws its own salt."""
        hashes = {hasher.hash(sign_in_password("correct horse")) for _ in range(5)}
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
    def test_verify_compares_every_byte(self, hasher: PasswordHasher, one: str, other: str) -> None:
        """Bytes after a NUL or after the 72nd, spaces at the ends, and letter case are significant."""
        hashed = hasher.hash(sign_in_password(one))
        hasher.verify(sign_in_password(one), hashed)
        with pytest.raises(BadCredentials):
            hasher.verify(sign_in_password(other), hashed)

    @pytest.mark.parametrize("damage", ["", "x", "$", "plain text", "$2b$12$" + "a" * 53])
    def test_verify_against_a_non_hash_is_refused(self, hasher: PasswordHasher, damage: str) -> None:
        """A stored value that is not a hash matches no password, not even the value itself."""
        for text in ("correct horse", damage):
            with pytest.raises(BadCredentials):
                hasher.verify(sign_in_password(text), damage)

    def test_verify_against_a_damaged_hash_is_refused(self, hasher: PasswordHasher) -> None:
        """A hash that was cut, lengthened or altered does not verify."""
        hashed = hasher.hash(sign_in_password("correct horse"))
        altered = hashed[:-2] + ("AA" if hashed[-2:] != "AA" else "BB")
        for damaged in (hashed[:-1], hashed[:-8], hashed + "AAAA", hashed + "\n", altered):
            with pytest.raises(BadCredentials):
                hasher.verify(sign_in_password("correct horse"), damaged)

    def test_verify_absent_always_is_refused(self, hasher: PasswordHasher) -> None:
        """Every password for an absent account raises `BadCredentials`, as a wrong one does."""
        for text in ("", "correct horse", "x" * 1024):
            with pytest.raises(BadCredentials):
                hasher.verify_absent(sign_in_password(text))

    def test_verify_absent_computes_a_hash(self, hasher: PasswordHasher) -> None:
        """A refusal takes at least a quarter of the time of one for an existing account: a hash is computed."""
        hashed = hasher.hash(sign_in_password("correct horse"))
        present = _shortest_duration(lambda: hasher.verify(sign_in_password("wrong horse"), hashed))
        assert _shortest_duration(lambda: hasher.verify_absent(sign_in_password("wrong horse"))) > present / 4

    def test_concurrent_verifications_are_correct_or_busy(self, hasher: PasswordHasher) -> None:
        """Of 32 concurrent calls each gets the correct result or `Busy`; the next call is served."""
        hashed = hasher.hash(sign_in_password("correct horse"))

        def attempt(number: int) -> bool:
            try:
                hasher.verify(sign_in_password("correct horse" if number % 2 else "wrong horse"), hashed)
            except BadCredentials:
                return not number % 2
            except Busy:
                return True
            return bool(number % 2)

        with ThreadPoolExecutor(CALLERS) as pool:
            assert all(pool.map(attempt, range(CALLERS)))
        hasher.verify(sign_in_password("correct horse"), hashed)


def _shortest_duration(refused: Callable[[], None]) -> float:
    """
    Return the duration of the fastest of seven refusals, in seconds.
    """
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        with pytest.raises(BadCredentials):
            refused()
        times.append(time.perf_counter() - begun)
    return min(times)
