"""
Record and find the result of a request by its idempotency key.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

import attrs

from sft_core.errors import IdempotencyKeyInUse, IdempotencyKeyReused, ResultGone
from sft_core.ports import Clock, KeyRing, UnitOfWorkFactory
from sft_core.sharing.idempotency import IdempotencyKey, IdempotencyRecord, IdempotentRequest
from sft_core.sharing.model import IssuedLink, digest, reveal
from sft_core.sharing.ports import SharingUnit
from sft_core.values import FileId, ShareToken, UserId
from sft_core.vault.model import File, FileState


@attrs.frozen(kw_only=True)
class RecordResult:
    """
    Record what a request makes, in the unit that makes it, as its first change.

    The caller commits. One that repeats the request at the same moment waits here until the first one's commit is
    decided. If a result is recorded under the owner's key, the caller gets `IdempotencyKeyInUse` and leaves the unit
    without a commit, so that what it would have made is not stored.
    """

    clock: Clock
    lifetime: timedelta

    def __call__(
        self, unit: SharingUnit, request: IdempotentRequest, *, owner: UserId, file_id: FileId, token: ShareToken | None
    ) -> None:
        now = self.clock.now()
        record = IdempotencyRecord(
            key_digest=request.key.digest(owner),
            owner=owner,
            fingerprint=request.fingerprint,
            file_id=file_id,
            token_digest=digest(token) if token is not None else None,
            expires_at=now + self.lifetime,
        )
        if not unit.idempotency_records.add(record, now=now):
            raise IdempotencyKeyInUse


@attrs.frozen(kw_only=True)
class IdempotentResult:
    """
    A request's result: a file with its link, or a link to an existing file.

    Each repeat of a request returns an equal one, whatever has happened to the link or the file's expiry since.
    """

    file: File
    issued: IssuedLink | None = None


@attrs.frozen(kw_only=True)
class FindIdempotentResult:
    """
    Find the result of an earlier request under the same key; None without a record.

    Raises:
        IdempotencyKeyReused: the earlier request was a different one.
        ResultGone: the file has ended since, or the token of its link was destroyed; it is not made a second time.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    clock: Clock
    keyring: KeyRing

    def __call__(self, *, owner: UserId, request: IdempotentRequest) -> IdempotentResult | None:
        now = self.clock.now()
        with self.begin(read_only=True) as unit:
            recorded = unit.idempotency_records.find(request.key.digest(owner), now=now)
            if recorded is None:
                return None
            if not hmac.compare_digest(recorded.fingerprint, request.fingerprint):
                raise IdempotencyKeyReused
            file = unit.files.get(recorded.file_id)
            link = unit.links.find(recorded.token_digest) if recorded.token_digest is not None else None
        if file is None or file.state is not FileState.SEALED or file.is_expired(now):
            raise ResultGone
        # An expiry is set later: when the file was made it had none.
        file = attrs.evolve(file, expires_at=None)
        if recorded.token_digest is None:
            return IdempotentResult(file=file)
        token = reveal(self.keyring, link) if link is not None else None
        if link is None or token is None:
            raise ResultGone
        return IdempotentResult(file=file, issued=IssuedLink(link=link, token=token))

    def is_recorded(self, *, owner: UserId, key: IdempotencyKey) -> bool:
        """
        Return whether a result is recorded, for a request whose body has not arrived.
        """
        with self.begin(read_only=True) as unit:
            return unit.idempotency_records.find(key.digest(owner), now=self.clock.now()) is not None
