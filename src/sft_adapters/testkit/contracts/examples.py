"""
Example entities for tests: complete, plausible, and unique in the fields that must be unique.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any, Final, Protocol, TypeVar
from uuid import uuid4

import attrs

from sft_core.maintenance.ports import MaintenanceUnit
from sft_core.ports import UnitOfWorkFactory
from sft_core.sharing.idempotency import IdempotencyRecord
from sft_core.sharing.model import ShareLink
from sft_core.sharing.ports import SharingUnit
from sft_core.users.model import Session, Totp, User
from sft_core.users.ports import UsersUnit
from sft_core.values import (
    EmailAddress,
    FileId,
    FileName,
    LinkId,
    MediaType,
    SessionId,
    UserId,
    Username,
    WrappedSecret,
)
from sft_core.vault.model import File, FileState, Part, ShareTerms
from sft_core.vault.ports import Buffer

T = TypeVar("T")

NOW: Final = datetime(2026, 3, 1, 12, 30, 15, 123457, tzinfo=UTC)
RACERS: Final = 12


class AnyUnit(UsersUnit, SharingUnit, MaintenanceUnit, Protocol):
    """
    A unit of work over all repositories.
    """


Database = UnitOfWorkFactory[AnyUnit]


def a_user(name: str | None = None, **changes: Any) -> User:  # noqa: ANN401 (an entity's fields)
    """
    Return a user with a confirmed second factor.
    """
    name = name or f"u{uuid4().hex[:20]}"
    user = User(
        id=UserId(uuid4()),
        email=EmailAddress.parse(f"{name}@example.org"),
        username=Username.parse(name),
        password_hash="$argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",  # noqa: S106 (no user's password)
        created_at=NOW,
        totp=Totp(WrappedSecret("key-1", os.urandom(40)), confirmed=True, last_step=100),
    )
    return attrs.evolve(user, **changes)


def a_file(owner: User, **changes: Any) -> File:  # noqa: ANN401 (an entity's fields)
    """
    Return a file in state `RECEIVING`.
    """
    file = File(
        id=FileId(uuid4()),
        owner=owner.id,
        name=FileName.parse("notes – 文.txt"),
        original_name=FileName.parse("notes.txt"),
        media_type=MediaType.parse("text/plain"),
        created_at=changes.get("created_at", NOW),
        key=WrappedSecret("key-1", os.urandom(40)),
        terms=ShareTerms(max_downloads=3, expires_hours=5),
    )
    return attrs.evolve(file, **changes)


def some_parts(file: File, *sizes: int, first: int = 0, start: int = 0) -> list[Part]:
    """
    Return consecutive parts of these plaintext sizes.
    """
    parts = []
    for number, size in enumerate(sizes, first):
        parts.append(
            Part(
                number=number,
                start=start,
                size=size,
                stored_size=size + 72,
                blob_key=file.blob_key(number, os.urandom(8)),
                header=os.urandom(56),
            ),
        )
        start += size
    return parts


def a_link(file: File, **changes: Any) -> ShareLink:  # noqa: ANN401 (an entity's fields)
    """
    Return a live link without a download budget.
    """
    link = ShareLink(
        id=LinkId(uuid4()),
        file_id=file.id,
        owner=file.owner,
        token_digest=os.urandom(32),
        token=WrappedSecret("key-1", os.urandom(40)),
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    return attrs.evolve(link, **changes)


def an_idempotency_record(owner: User, **changes: Any) -> IdempotencyRecord:  # noqa: ANN401 (an entity's fields)
    """
    Return the record of a request that stored a file; it expires in an hour.
    """
    answer = IdempotencyRecord(
        key_digest=os.urandom(32),
        owner=owner.id,
        fingerprint=os.urandom(32),
        file_id=FileId(uuid4()),
        expires_at=NOW + timedelta(hours=1),
    )
    return attrs.evolve(answer, **changes)


def a_session(user: User, **changes: Any) -> Session:  # noqa: ANN401 (an entity's fields)
    """
    Return a live session of generation 0.
    """
    session = Session(
        id=SessionId(uuid4()),
        user_id=user.id,
        created_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    return attrs.evolve(session, **changes)


def stored_user(database: Database, **changes: Any) -> User:  # noqa: ANN401 (an entity's fields)
    """
    Commit a user and return it.
    """
    user = a_user(**changes)
    with database() as unit:
        unit.users.add(user)
        unit.commit()
    return user


def stored_file(database: Database, *sizes: int, **changes: Any) -> File:  # noqa: ANN401 (an entity's fields)
    """
    Commit a sealed file with parts of these sizes and return it.
    """
    owner = stored_user(database)
    file = a_file(owner, **{"state": FileState.SEALED, "size": sum(sizes), **changes})
    with database() as unit:
        unit.files.add(file)
        unit.manifests.append(file.id, some_parts(file, *sizes))
        unit.commit()
    return file


def race(action: Callable[[], T], racers: int = RACERS) -> list[T]:
    """
    Run one action in `racers` threads at the same moment and return their results.
    """
    barrier = Barrier(racers)

    def run() -> T:
        barrier.wait()
        return action()

    with ThreadPoolExecutor(racers) as pool:
        return [future.result() for future in [pool.submit(run) for _ in range(racers)]]


def same(found: Buffer, expected: Buffer) -> bool:
    """
    Return whether two contents are equal.

    Use it in assertions: pytest's explanation of a difference between megabytes takes minutes.
    """
    return found == expected


def holding_file(database: Database, owner: User, holding: int, **changes: object) -> File:
    """
    Commit a file that reserves `holding` bytes of its owner's quota, and return it.
    """
    file = a_file(owner, **changes)
    with database() as unit:
        unit.files.add(file)
        assert unit.quotas.reserve(file.id, holding, limit=None)
        unit.commit()
    return file
