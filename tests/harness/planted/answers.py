"""
Broken repositories of kept answers, planted in those in memory.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.database import MemoryDatabase, MemoryUnit
from sft_adapters.memory.tables import Files, KeptAnswers, Tables
from sft_core.sharing.idempotency import KeptAnswer
from sft_core.values import FileId


class KeepsTheLatest(KeptAnswers):
    """
    A second answer under a key replaces the first: what the client was told is forgotten.
    """

    def keep(self, answer: KeptAnswer, *, now: datetime) -> bool:
        kept = super().keep(answer, now=now)
        self.write().answers[answer.key_digest] = answer
        return kept


class AlwaysKept(KeptAnswers):
    """
    An insert that ignores the conflict and is taken for done: the thing is made twice.
    """

    def keep(self, answer: KeptAnswer, *, now: datetime) -> bool:
        super().keep(answer, now=now)
        return True


class NeverOver(KeptAnswers):
    """
    A key stands for its answer until a sweep comes by.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> KeptAnswer | None:
        return self.read().answers.get(key_digest)


class BlocksWhenOver(KeptAnswers):
    """
    One that is over cannot be found, and cannot be replaced either.
    """

    def keep(self, answer: KeptAnswer, *, now: datetime) -> bool:
        return answer.key_digest not in self.read().answers and super().keep(answer, now=now)


class EndsASecondEarly(KeptAnswers):
    """
    Whole seconds are compared, so the last moments do not count.
    """

    def find(self, key_digest: bytes, *, now: datetime) -> KeptAnswer | None:
        return super().find(key_digest, now=now.replace(microsecond=0) + timedelta(seconds=1))


class ForgetsTheLink(KeptAnswers):
    """
    The file is remembered, and the link that came with it is not.
    """

    def keep(self, answer: KeptAnswer, *, now: datetime) -> bool:
        return super().keep(attrs.evolve(answer, token_digest=None), now=now)


class GoesWithTheFile(Files):
    """
    An answer that is removed together with its file: a late repeat brings the file back.
    """

    def remove(self, file_id: FileId) -> None:
        super().remove(file_id)
        tables = self.write()
        tables.answers = {key: answer for key, answer in tables.answers.items() if answer.file_id != file_id}


class LooksThenKeeps(MemoryDatabase):
    """
    Two statements where one has to decide: who looks at the same moment finds nothing, and all of them are kept.
    """

    @contextmanager
    def __call__(self, *, read_only: bool = False) -> Iterator[MemoryUnit]:
        if read_only:
            yield from self._opened(MemoryUnit(self._committed, None))
            return
        yield from self._opened(MemoryUnit(self._committed.copy(), self._merged))

    _merging = threading.Lock()

    def _merged(self, tables: Tables) -> None:
        time.sleep(0.01)
        with self._merging:
            kept = {**self._committed.answers, **tables.answers}
            users = {**self._committed.users, **tables.users}
            self._publish(attrs.evolve(tables, answers=kept, users=users))
