"""
The contract of `sft_core.sharing.ports.KeptAnswers`.
"""

from __future__ import annotations

import os
from datetime import timedelta

import attrs
import pytest

from sft_adapters.testkit.contracts.examples import (
    NOW,
    Database,
    a_kept_answer,
    race,
    stored_file,
    stored_user,
)
from sft_core.sharing.idempotency import KeptAnswer
from sft_core.vault.model import FileState

MOMENT = timedelta(microseconds=1)


def _keep(database: Database, answer: KeptAnswer) -> bool:
    with database() as unit:
        kept = unit.answers.keep(answer, now=NOW)
        unit.commit()
    return kept


def _found(database: Database, answer: KeptAnswer) -> KeptAnswer | None:
    with database(read_only=True) as unit:
        return unit.answers.find(answer.key_digest, now=NOW)


class KeptAnswersContract:
    """
    Give the fixture `database`.
    """

    @pytest.mark.parametrize("token_digest", [None, bytes(range(32))])
    def test_an_answer_comes_back_as_kept(self, database: Database, token_digest: bytes | None) -> None:
        """Every field survives; nothing is kept under another key."""
        answer = a_kept_answer(stored_user(database), token_digest=token_digest)
        assert _keep(database, answer)
        assert _found(database, answer) == answer
        assert _found(database, attrs.evolve(answer, key_digest=os.urandom(32))) is None

    def test_a_key_stands_for_one_answer(self, database: Database) -> None:
        """What is kept first stays: a second one under its key is refused, and changes nothing."""
        first = a_kept_answer(stored_user(database))
        second = a_kept_answer(stored_user(database), key_digest=first.key_digest)
        assert _keep(database, first)
        assert not _keep(database, second)
        assert _found(database, first) == first
        assert not _keep(database, first)

    def test_one_that_is_not_committed_is_none(self, database: Database) -> None:
        """Whoever did not come to the commit has left the key to others; the unit itself sees it."""
        answer = a_kept_answer(stored_user(database))
        with database() as unit:
            assert unit.answers.keep(answer, now=NOW)
            assert unit.answers.find(answer.key_digest, now=NOW) == answer
            assert not unit.answers.keep(answer, now=NOW)
        assert _found(database, answer) is None
        assert _keep(database, answer)

    def test_of_many_at_once_one_is_kept(self, database: Database) -> None:
        """Twelve with one key: one is told that it is kept, and that one is there."""
        owner = stored_user(database)
        first = a_kept_answer(owner)

        def keep() -> KeptAnswer | None:
            answer = a_kept_answer(owner, key_digest=first.key_digest)
            return answer if _keep(database, answer) else None

        kept = [answer for answer in race(keep) if answer is not None]
        assert kept == [_found(database, first)]

    def test_one_that_is_over_is_none(self, database: Database) -> None:
        """At its end, to the microsecond, a key stands for nothing, and whatever comes next replaces it."""
        owner = stored_user(database)
        over = a_kept_answer(owner, expires_at=NOW)
        with database() as unit:
            assert unit.answers.keep(over, now=NOW - MOMENT)
            assert unit.answers.find(over.key_digest, now=NOW - MOMENT) == over
            unit.commit()
        assert _found(database, over) is None
        following = a_kept_answer(owner, key_digest=over.key_digest, token_digest=os.urandom(32))
        assert _keep(database, following)
        assert _found(database, over) == following

    def test_the_last_moment_counts(self, database: Database) -> None:
        """A microsecond before its end an answer is still kept."""
        answer = a_kept_answer(stored_user(database), expires_at=NOW + MOMENT)
        assert _keep(database, answer)
        assert not _keep(database, a_kept_answer(stored_user(database), key_digest=answer.key_digest))
        assert _found(database, answer) == answer

    def test_it_outlives_its_file(self, database: Database) -> None:
        """When the file is removed the key still stands for it, so that it is not made again."""
        file = stored_file(database, state=FileState.ABORTING)
        answer = a_kept_answer(stored_user(database), file_id=file.id)
        assert _keep(database, answer)
        with database() as unit:
            unit.files.remove(file.id)
            unit.commit()
        assert _found(database, answer) == answer
