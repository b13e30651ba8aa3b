"""
The blob machine: puts, reads, deletes, listings and crashes in any order, on any store.
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
"""Few keys, so that they meet again, and ones that begin like others."""

_keys: Final = st.sampled_from(KEYS)

PREFIXES: Final = ("", "a", "ab", "ab/", "a/0", "a/00", "a-", "f", "f/0")


class _SourceError(Exception):
    """
    What a caller's own pieces may raise.
    """


class BlobMachine(ClauseMachine):
    """
    What every blob machine does; `blob_machine` says on which store.
    """

    factory: ClassVar[Callable[[], BlobStore]]
    crash: ClassVar[Callable[[BlobStore], BlobStore] | None] = None
    close: ClassVar[Callable[[BlobStore], object] | None] = None

    @initialize()
    def begin(self) -> None:
        """
        A store without a blob.
        """
        self.store = type(self).factory()
        self.blobs: dict[str, bytes] = {}

    @rule(key=_keys, content=contents(), cuts=st.lists(st.integers(0, 1 << 18), max_size=3))
    def put(self, key: str, content: bytes, cuts: list[int]) -> None:
        """
        Put a blob in any pieces; nothing is seen of it before it is whole.
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
        self.require(Clause.LISTING_IS_EXACT, not seen, f"{key} was listed before it was whole")
        self.blobs[key] = content

    def _send(self, key: str, pieces: Iterator[bytes], size: int) -> None:
        self.store.put(key, pieces, size=size)

    @rule(key=_keys, content=contents(max_size=1 << 15), by=st.sampled_from([-1, 1, 16]))
    def put_with_wrong_sum(self, key: str, content: bytes, by: int) -> None:
        """
        Announce another size than the pieces have.
        """
        size = len(content) + by if len(content) + by >= 0 else 1
        raised = _exception_of(lambda: self._send(key, _pieces(content, [1]), size))
        allowed = {BlobSizeMismatch} | ({BlobExists} if key in self.blobs else set())
        self.require(Clause.BLOB_HAS_ITS_SIZE, raised in allowed, f"a put of another size was answered with {raised}")

    @rule(key=_keys, content=contents(max_size=1 << 15))
    def put_that_raises(self, key: str, content: bytes) -> None:
        """
        Fail while the pieces come.
        """

        def pieces() -> Iterator[bytes]:
            yield content
            raise _SourceError

        raised = _exception_of(lambda: self._send(key, pieces(), len(content) + 1))
        allowed = {_SourceError} | ({BlobExists} if key in self.blobs else set())
        self.require(
            Clause.FAILED_PUT_LEAVES_NOTHING, raised in allowed, f"the caller's own error came out as {raised}"
        )

    @rule(key=_keys, seeds=st.lists(st.binary(min_size=1, max_size=1), min_size=2, max_size=4))
    def put_concurrently(self, key: str, seeds: list[bytes]) -> None:
        """
        Put one key several times at the same moment.
        """

        def attempt(content: bytes) -> type[Exception] | None:
            return _exception_of(lambda: self._send(key, iter([content]), len(content)))

        candidates = [seed * 5000 for seed in seeds]
        raised = run_concurrently([partial(attempt, content) for content in candidates])
        won = [content for content, error in zip(candidates, raised, strict=True) if error is None]
        clause = Clause.BLOB_IS_PUT_ONCE if key in self.blobs else Clause.ONE_PUT_WINS
        self.require_equal(clause, seen=len(won), expected=0 if key in self.blobs else 1)
        self.require(clause, all(error in {None, BlobExists} for error in raised), f"{raised} came out")
        if won:
            self.blobs[key] = won[0]

    @rule(key=_keys, start=st.integers(0, 1 << 18), length=st.integers(0, 1 << 18))
    def read(self, key: str, start: int, length: int) -> None:
        """
        Read some bytes of a blob that is there, or miss one that is not.
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
        Expect another size than the blob has.
        """
        if (content := self.blobs.get(key)) and len(content) + by >= 0:
            raised = _exception_of(lambda: self._fetch(key, 0, 0, len(content) + by))
            self.require(Clause.BLOB_HAS_ITS_SIZE, raised is BlobSizeMismatch, f"a read of another size gave {raised}")

    @rule(key=_keys, more=st.integers(1, 5))
    def read_beyond_the_end(self, key: str, more: int) -> None:
        """
        Ask for more bytes than there are.
        """
        if (content := self.blobs.get(key)) is not None:
            start = max(0, len(content) - 2)
            raised = _exception_of(lambda: self._fetch(key, start, len(content) - start + more, len(content)))
            self.require(Clause.BLOB_HAS_ITS_SIZE, raised is BlobSizeMismatch, f"a read beyond the end gave {raised}")

    @rule(key=_keys)
    def delete(self, key: str) -> None:
        """
        Delete a blob, also one that is not there.
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
        Lose the store's object and whatever it had not made durable.
        """
        crash = type(self).crash
        if crash is not None:
            self.store = crash(self.store)
            self._check_everything(Clause.CRASH_LOSES_NOTHING)

    @invariant()
    def listing_is_exact(self) -> None:
        """
        After each step the listing is the model's.
        """
        expected = sorted((key, len(blob)) for key, blob in self.blobs.items())
        self.require_equal(Clause.LISTING_IS_EXACT, seen=self._listed(), expected=expected)

    def _check_everything(self, clause: Clause) -> None:
        for key in self.blobs:
            self._read_whole(key, clause)

    def final_check(self) -> None:
        """
        At the end every blob is read once more, whole.
        """
        if hasattr(self, "store"):
            self._check_everything(Clause.BLOB_IS_WHOLE)

    def close_resources(self) -> None:
        close = type(self).close
        if close is not None and hasattr(self, "store"):
            close(self.store)


def _pieces(content: bytes, cuts: list[int]) -> Iterator[bytes]:
    """
    The content cut at these places; some pieces may be empty.
    """
    offsets = sorted(cut % (len(content) + 1) for cut in cuts)
    for start, stop in zip([0, *offsets], [*offsets, len(content)], strict=True):
        yield content[start:stop]


def _exception_of(action: Callable[[], object]) -> type[Exception] | None:
    """
    The kind of exception that an action ends in, None if it succeeds.
    """
    try:
        action()
    except Exception as error:  # noqa: BLE001 (whatever comes out is what is judged)
        return type(error)
    return None


def blob_machine(
    factory: Callable[[], BlobStore],
    *,
    crash: Callable[[BlobStore], BlobStore] | None = None,
    close: Callable[[BlobStore], object] | None = None,
) -> type[BlobMachine]:
    """
    A state machine that judges the stores which `factory` makes, each without a blob.

    `crash` drops a store and returns another one on the same data: without it nothing crashes.
    `close` is called with the last store of each run. Blobs have at most 256 KiB.

        TestMyBlobs = blob_machine(make_store).TestCase
    """
    given: dict[str, object] = {"factory": factory, "crash": crash, "close": close}
    for name, value in given.items():
        if not callable(value) and (value is not None or name == "factory"):
            raise InvalidArgument(f"{name} must be callable, not {value!r}")
    hooks = {name: staticmethod(value) for name, value in given.items() if callable(value)}
    return type("BlobMachine", (BlobMachine,), hooks)
