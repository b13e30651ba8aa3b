"""
Password hashing: exact bytes, bounded costs, bounded concurrency.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_adapters.crypto.passwords import MAX_MEMORY_KIB, Argon2Cost, Argon2idHasher
from sft_core.errors import BadCredentials, Busy, ConfigurationError
from sft_core.ports import Entropy
from sft_core.values import Password

CHEAP = Argon2Cost(memory_kib=64)
PASSWORD = Password.parse("correct horse")


@pytest.fixture(scope="session")
def hasher(entropy: Entropy) -> Argon2idHasher:
    return Argon2idHasher(entropy=entropy, cost=CHEAP)


def test_hash_is_phc_with_the_default_cost(entropy: Entropy) -> None:
    """
    By default a hash is Argon2id with 46 MiB, one pass and one lane, as its PHC string says.
    """
    hashed = Argon2idHasher(entropy=entropy).hash(PASSWORD)
    assert hashed.startswith("$argon2id$v=19$m=47104,t=1,p=1$")


def test_unicode_spellings_are_equivalent(hasher: Argon2idHasher) -> None:
    """
    The composed and the decomposed spelling of a character are the same password.
    """
    hasher.verify(Password.parse("pa\u0308ssword"), hasher.hash(Password.parse("p\u00e4ssword")))


@given(st.binary(max_size=1024), st.binary(max_size=1024))
@settings(max_examples=50, deadline=None)
def test_only_the_same_bytes_verify(hasher: Argon2idHasher, one: bytes, other: bytes) -> None:
    """
    A password of any bytes verifies, and other bytes do not.
    """
    hashed = hasher.hash(Password(one))
    hasher.verify(Password(one), hashed)
    if one != other:
        with pytest.raises(BadCredentials):
            hasher.verify(Password(other), hashed)


@pytest.mark.parametrize(
    "cost", [Argon2Cost(memory_kib=128), Argon2Cost(memory_kib=64, iterations=3), Argon2Cost(memory_kib=64, lanes=2)]
)
def test_hash_of_another_cost_verifies(cost: Argon2Cost, entropy: Entropy, hasher: Argon2idHasher) -> None:
    """
    A hash of another cost verifies at its own cost, so the cost can be changed at any time.
    """
    hashed = Argon2idHasher(entropy=entropy, cost=cost).hash(PASSWORD)
    hasher.verify(PASSWORD, hashed)
    with pytest.raises(BadCredentials):
        hasher.verify(Password.parse("another one"), hashed)


def planted(good: str) -> list[str]:
    """
    Hashes that may have been planted in a row: malformed, foreign, or too expensive to compute.
    """
    return [
        "",
        "x",
        "plaintext",
        good[:-1],
        good[:-20],
        good + "=",
        good + "\n",
        " " + good,
        good.replace("argon2id", "argon2i"),
        good.replace("argon2id", "argon2d"),
        good.replace("v=19", "v=16"),
        good.replace("$v=19", ""),
        good.replace("m=64", "m=7"),
        good.replace("m=64", "m=0"),
        good.replace("m=64", f"m={MAX_MEMORY_KIB + 1}"),
        good.replace("m=64", "m=4294967295"),
        good.replace("m=64", "m=99999999999999999999"),
        good.replace("m=64", "m=-64"),
        good.replace("m=64", "m=\u0666\u0664"),
        good.replace("t=1", "t=0"),
        good.replace("t=1", "t=17"),
        good.replace("t=1", "t=4294967295"),
        good.replace("p=1", "p=0"),
        good.replace("p=1", "p=17"),
        good.replace("m=64,t=1", "t=1,m=64"),
        good.replace("p=1", "p=1,keyid=AAAA"),
        "$2b$12$" + "a" * 53,
        "\ud800" + good,
        good.replace("$", "\0"),
        good + "A" * 100_000,
    ]


def test_planted_hashes_match_nothing(hasher: Argon2idHasher) -> None:
    """
    A hash that is malformed or beyond the bounds matches no password and costs no more than a normal one.
    """
    for hashed in planted(hasher.hash(PASSWORD)):
        with pytest.raises(BadCredentials):
            hasher.verify(PASSWORD, hashed)


def test_unknown_account_costs_the_same(hasher: Argon2idHasher) -> None:
    """
    For an unknown account a hash of the current cost is computed and never matches.
    """
    with pytest.raises(BadCredentials):
        hasher.verify_absent(PASSWORD)
    nothing, real = hasher._unmatchable_hash(), hasher.hash(PASSWORD)
    assert Argon2Cost.from_phc(nothing) == CHEAP
    assert [len(field) for field in nothing.split("$")] == [len(field) for field in real.split("$")]
    assert nothing != hasher._unmatchable_hash()


@attrs.define
class Gate:
    """
    Entropy that blocks its first `kept` callers until the gate is opened.
    """

    blocked: int
    waiting: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))
    opened: threading.Event = attrs.field(factory=threading.Event)

    def random_bytes(self, size: int) -> bytes:
        if self.blocked > 0:
            self.blocked -= 1
            self.waiting.release()
            assert self.opened.wait(30)
        return bytes(size)


def verify_malformed(hasher: Argon2idHasher) -> None:
    with pytest.raises(BadCredentials):
        hasher.verify(PASSWORD, "malformed, so a stand-in is drawn while the place is held")


def test_concurrent_hashes_are_limited() -> None:
    """
    When every slot is taken the next hash raises Busy after its wait; a released slot is free again.
    """
    gate = Gate(blocked=3)
    hasher = Argon2idHasher(entropy=gate, cost=CHEAP, max_concurrent=3, wait_seconds=0.02)
    threads = [threading.Thread(target=verify_malformed, args=(hasher,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert gate.waiting.acquire(timeout=30)
    hashed = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$QUFBQUFBQUFBQUFBQUFBQUFBQUE"
    with pytest.raises(Busy):
        hasher.verify(PASSWORD, hashed)
    with pytest.raises(Busy):
        hasher.verify_absent(PASSWORD)
    with pytest.raises(Busy):
        hasher.hash(PASSWORD)
    gate.opened.set()
    for thread in threads:
        thread.join(30)
    with pytest.raises(BadCredentials):
        hasher.verify(PASSWORD, hashed)
    hasher.hash(PASSWORD)


def test_waiting_hash_gets_the_next_slot() -> None:
    """
    A hash without a free slot waits for one and continues when it is released.
    """
    gate = Gate(blocked=1)
    hasher = Argon2idHasher(entropy=gate, cost=CHEAP, max_concurrent=1, wait_seconds=30)
    holder = threading.Thread(target=verify_malformed, args=(hasher,))
    holder.start()
    assert gate.waiting.acquire(timeout=30)
    threading.Timer(0.05, gate.opened.set).start()
    hasher.hash(PASSWORD)
    holder.join(30)


def test_refused_password_releases_its_slot(entropy: Entropy) -> None:
    """
    The slot is released whether the hash succeeds or fails.
    """
    hasher = Argon2idHasher(entropy=entropy, cost=CHEAP, max_concurrent=1, wait_seconds=0)
    hashed = hasher.hash(PASSWORD)
    for _ in range(3):
        with pytest.raises(BadCredentials):
            hasher.verify(Password.parse("another one"), hashed)
    hasher.verify(PASSWORD, hashed)


def test_many_threads_hash_correctly(hasher: Argon2idHasher) -> None:
    """
    Threads that hash at the same time do not disturb one another.
    """
    failures: list[BaseException] = []

    def register_and_sign_in(number: int) -> None:
        try:
            password = Password.parse(f"password {number}")
            hasher.verify(password, hasher.hash(password))
        except BaseException as error:  # noqa: BLE001 (collected, and asserted below)
            failures.append(error)

    threads = [threading.Thread(target=register_and_sign_in, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_lack_of_memory_is_busy() -> None:
    """
    If the system has no memory for a hash, Busy is raised and the process continues.
    """
    program = """
        import resource
        from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
        from sft_core.errors import Busy
        from sft_core.values import Password

        class Zeros:
            def random_bytes(self, size):
                return bytes(size)

        hasher = Argon2idHasher(entropy=Zeros(), cost=Argon2Cost(memory_kib=262_144))
        taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + 64 * 2**20,) * 2)
        try:
            hasher.hash(Password.parse("correct horse"))
        except Busy:
            print("busy")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, check=True, text=True, env={"PYTHONPATH": ":".join(sys.path)})
    assert done.stdout == "busy\n"


@pytest.mark.parametrize(
    "cost",
    [
        Argon2Cost(memory_kib=7),
        Argon2Cost(memory_kib=15, lanes=2),
        Argon2Cost(memory_kib=MAX_MEMORY_KIB + 1),
        Argon2Cost(iterations=0),
        Argon2Cost(iterations=17),
        Argon2Cost(lanes=0),
        Argon2Cost(lanes=17),
    ],
)
def test_cost_beyond_the_bounds_is_refused_at_start(cost: Argon2Cost, entropy: Entropy) -> None:
    """
    A cost that could not be verified later is refused for hashing as well.
    """
    with pytest.raises(ConfigurationError):
        Argon2idHasher(entropy=entropy, cost=cost)


def test_invalid_concurrency_is_refused_at_start(entropy: Entropy) -> None:
    """
    At least one slot is required, and the wait must not be negative.
    """
    with pytest.raises(ConfigurationError):
        Argon2idHasher(entropy=entropy, max_concurrent=0)
    with pytest.raises(ConfigurationError):
        Argon2idHasher(entropy=entropy, wait_seconds=-1)
