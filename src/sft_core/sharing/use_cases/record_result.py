"""
Recording the result of a request under its idempotency key.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from sft_core.errors import IdempotencyKeyInUse
from sft_core.ports import Clock
from sft_core.sharing.idempotency import IdempotencyRecord, IdempotentRequest
from sft_core.sharing.link_tokens import digest
from sft_core.sharing.ports import SharingUnit
from sft_core.values import FileId, ShareToken, UserId


@attrs.frozen(kw_only=True)
class RecordResult:
    """
    Record what a request makes, in the unit of work that makes it and as its first change; the caller commits.

    A caller that repeats the request at the same moment waits here until the first one's commit is decided.

    Raises:
        IdempotencyKeyInUse: a result is recorded under the owner's key. The caller leaves the unit without a commit, so
            that what it would have made is not stored.
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
