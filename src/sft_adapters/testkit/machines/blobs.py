"""
The blob machine: puts, reads, deletes, listings and crashes of a blob store in any order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar, Final

from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument
from hypothesis.stateful import initialize, invariant, precondition, rule

from sft_adapters.testkit.machines.clause_machine import ClauseMachine
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.concurrency import run_concurrently
from sft_adapters.testkit.strategies import contents
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch
from sft_core.vault.ports import BlobStore

_FOLDERS: Final = ("a", "ab", "a-1")
_NAMES: Final = ("0", "00", "0-1", "1")
KEYS: Final = tuple(f"{folder}/{name}" for folder in _FOLDERS for name in _NAMES)
"""Few keys, so that operations repeat them, and keys that are prefixes of others."""

_keys: Final = st.sampled_from(KEYS)

PREFIXES: Final = ("", "a", "ab", "ab/", "a/0", "a/00", "a-", "f", "f/0")


class _SourceError(Exception):
    """
    An exception raised by the caller's own pieces.
    """


class BlobMachine(ClauseMachine):
    """
    The rules of every blob machine; `blob_machine` adds the store.
    """

    factory: ClassVar[Callable[[], BlobStore]]
    crash: ClassVar[Callable[[BlobStore], BlobStore] | None] = None
    close: ClassVar[Callable[[BlobStore], object] | None] = None

    @initialize()
    def begin(self) -> None:
        """
        Create a store without blobs.
        """
        self.store = type(self).factory()
        self.blobs: dict[str, bytes] = {}

    @rule(key=_keys, content=contents(), cuts=st.lists(st.integers(0, 1 << 18), max_size=3))
    def put(self, key: str, content: bytes, cuts: list[int]) -> None:
        """
        Put a blob in arbitrary pieces; it must not be listed before it is complete.
        """
        seen: list[str] = []

        def pieces() -> Iterator[bytes]:
            for piece in _pieces(content, cuts):
                yield piece
                seen.extend(blob.key for blob in self.store.list(key) if blob.key == key)

        raised = _exception_of(lambda: self._send(key, pieces(), len(content)))
        if key in self.blobs:
            self.require_equal(Clause.BLOB_IS_PUT_ONCE, seen=raised, expected=BlobExists)
            self._read_whole(key, Clause.BLOB_IS_PUT_ONCE)
            return
        self.require_equal(Clause.BLOB_IS_WHOLE, seen=raised, expected=None)
        self.require(Clause.LISTING_IS_EXACT, not seen, f"{key} was listed before its put returned")
        self.blobs[key] = content

    def _send(self, key: str, pieces: Iterator[bytes], size: int) -> None:
        self.store.put(key, pieces, size=size)

    @rule(key=_keys, content=contents(max_size=1 << 15), by=st.sampled_from([-1, 1, 16]))
    def put_with_wrong_sum(self, key: str, content: bytes, by: int) -> None:
        """
        Put pieces whose sum differs from the announced size.
        """
        size = len(content) + by if len(content) + by >= 0 else 1
        raised = _exception_of(lambda: self._send(key, _pieces(content, [1]), size))
        allowed = {BlobSizeMismatch} | ({BlobExists} if key in self.blobs else set())
        self.require(Clause.BLOB_HAS_ITS_SIZE, raised in allowed, f"a put of another size raised {raised}")

    @rule(key=_keys, content=contents(max_size=1 << 15))
    def put_that_raises(self, key: str, content: bytes) -> None:
        """
        Put pieces that raise before the end.
        """

        def pieces() -> Iterator[bytes]:
            yield content
            raise _SourceError

        raised = _exception_of(lambda: self._send(key, pieces(), len(content) + 1))
        allowed = {_SourceError} | ({BlobExists} if key in self.blobs else set())
        self.require(
            Clause.FAILED_PUT_LEAVES_NOTHING,
            raised in allowed,
            f"the put raised {raised} instead of the caller's own error",
        )

    @rule(key=_keys, seeds=st.lists(st.binary(min_size=1, max_size=1), min_size=2, max_size=4))
    def put_concurrently(self, key: str, seeds: list[bytes]) -> None:
        """
        Put one key several times concurrently.
        """

        def attempt(content: bytes) -> type[Exception] | None:
            return _exception_of(lambda: self._send(key, iter([content]), len(content)))

        candidates = [seed * 5000 for seed in seeds]
        raised = run_concurrently([partial(attempt, content) for content in candidates])
        won = [content for content, error in zip(candidates, raised, strict=True) if error is None]
        clause = Clause.BLOB_IS_PUT_ONCE if key in self.blobs else Clause.ONE_PUT_WINS
        self.require_equal(clause, seen=len(won), expected=0 if key in self.blobs else 1)
        self.require(clause, all(error in {None, BlobExists} for error in raised), f"the puts raised {raised}")
        if won:
            self.blobs[key] = won[0]

    @rule(key=_keys, start=st.integers(0, 1 << 18), length=st.integers(0, 1 << 18))
    def read(self, key: str, start: int, length: int) -> None:
        """
        Read a range of a blob, or require that the blob is missing.
        """
        content = self.blobs.get(key)
        if content is None:
            raised = _exception_of(lambda: self._fetch(key, 0, 1, 1))
            self.require_equal(Clause.BLOB_IS_MISSING, seen=raised, expected=BlobMissing)
            return
        start %= len(content) + 1
        length = min(length, len(content) - start)
        self._read_as(content, key, start, length, Clause.BLOB_IS_WHOLE)

    def _read_as(self, content: bytes, key: str, start: int, length: int, clause: Clause) -> None:
        buffer = bytearray(length)
        view = memoryview(buffer)
        raised = _exception_of(lambda: self.store.read_into(key, start, view, size=len(content)))
        self.require_equal(clause, seen=raised, expected=None)
        self.require_equal(clause, seen=bytes(buffer), expected=content[start : start + length])

    def _read_whole(self, key: str, clause: Clause) -> None:
        self._read_as(self.blobs[key], key, 0, len(self.blobs[key]), clause)

    def _fetch(self, key: str, start: int, length: int, size: int) -> None:
        self.store.read_into(key, start, memoryview(bytearray(length)), size=size)

    @rule(key=_keys, by=st.sampled_from([-1, 1]))
    def read_with_wrong_size(self, key: str, by: int) -> None:
        """
        Read with another expected size than the blob has.
        """
        if (content := self.blobs.get(key)) and len(content) + by >= 0:
            raised = _exception_of(lambda: self._fetch(key, 0, 0, len(content) + by))
            self.require(
                Clause.BLOB_HAS_ITS_SIZE, raised is BlobSizeMismatch, f"a read of another size raised {raised}"
            )

    @rule(key=_keys, more=st.integers(1, 5))
    def read_beyond_the_end(self, key: str, more: int) -> None:
        """
        Read more bytes than the blob has.
        """
        if (content := self.blobs.get(key)) is not None:
            start = max(0, len(content) - 2)
            raised = _exception_of(lambda: self._fetch(key, start, len(content) - start + more, len(content)))
            self.require(Clause.BLOB_HAS_ITS_SIZE, raised is BlobSizeMismatch, f"a read beyond the end raised {raised}")

    @rule(key=_keys)
    def delete(self, key: str) -> None:
        """
        Delete a blob, whether it exists or not.
        """
        self.store.delete(key)
        self.blobs.pop(key, None)

    @rule(prefix=st.sampled_from(PREFIXES))
    def list_some(self, prefix: str) -> None:
        """
        List the blobs of a prefix.
        """
        expected = sorted((key, len(blob)) for key, blob in self.blobs.items() if key.startswith(prefix))
        self.require_equal(Clause.LISTING_IS_EXACT, seen=self._listed(prefix), expected=expected)

    def _listed(self, prefix: str = "") -> list[tuple[str, int]]:
        return sorted((blob.key, blob.size) for blob in self.store.list(prefix))

    @precondition(lambda self: type(self).crash is not None)
    @rule()
    def crash_and_reopen(self) -> None:
        """
        Drop the store and everything that is not durable, then check every blob.
        """
        crash = type(self).crash
        if crash is not None:
            self.store = crash(self.store)
            self._check_everything(Clause.CRASH_LOSES_NOTHING)

    @invariant()
    def listing_is_exact(self) -> None:
        """
        After each step, compare the listing with the model.
        """
        expected = sorted((key, len(blob)) for key, blob in self.blobs.items())
        self.require_equal(Clause.LISTING_IS_EXACT, seen=self._listed(), expected=expected)

    def _check_everything(self, clause: Clause) -> None:
        for key in self.blobs:
            self._read_whole(key, clause)

    def final_check(self) -> None:
        """
        Finally, read every blob completely.
        """
        if hasattr(self, "store"):
            self._check_everything(Clause.BLOB_IS_WHOLE)

    def close_resources(self) -> None:
        close = type(self).close
        if close is not None and hasattr(self, "store"):
            close(self.store)


def _pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """
    Cut the content at these offsets; some pieces may be empty.
    """
    offsets = sorted(cut % (len(content) + 1) for cut in cuts)
    for start, stop in zip([0, *offsets], [*offsets, len(content)], strict=True):
        yield content[start:stop]


def _exception_of(action: Callable[[], object]) -> type[Exception] | None:
    """
    Return the type of the exception that an action raises; None if it succeeds.
    """
    try:
        action()
    except Exception as error:  # noqa: BLE001 (any exception is the result to check)
        return type(error)
    return None


def blob_machine(
    factory: Callable[[], BlobStore],
    *,
    crash: Callable[[BlobStore], BlobStore] | None = None,
    close: Callable[[BlobStore], object] | None = None,
) -> type[BlobMachine]:
    """
    Create a state machine that checks blob stores against a model.

    It is a `RuleBasedStateMachine` whose `TestCase` pytest collects:

        TestMyBlobs = blob_machine(make_store).TestCase

    Args:
        factory: Called once per run; returns a store without blobs.
        crash: Drops a store and returns another one on the same data; without it no run crashes.
        close: Called with the last store of each run.

    Blobs have at most 256 KiB.

    Raises:
        InvalidArgument: An argument is not callable.
    """
    given: dict[str, object] = {"factory": factory, "crash": crash, "close": close}
    for name, value in given.items():
        if not callable(value) and (value is not None or name == "factory"):
            raise InvalidArgument(f"{name} must be callable, not {value!r}")
    hooks = {name: staticmethod(value) for name, value in given.items() if callable(value)}
    return type("BlobMachine", (BlobMachine,), hooks)
