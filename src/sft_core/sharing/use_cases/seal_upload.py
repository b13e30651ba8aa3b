"""
Sealing an upload: the commit that turns it into a file.
"""

from __future__ import annotations

import attrs

from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import UnitOfWorkFactory
from sft_core.sharing.idempotency import IdempotentRequest
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases.idempotency import IdempotentResult, RecordResult
from sft_core.sharing.use_cases.issue_share_link import IssueShareLink
from sft_core.vault.model import ShareTerms
from sft_core.vault.use_cases import SealWithinUnit, StorePart, UploadSession


@attrs.frozen(kw_only=True)
class SealUpload:
    """
    Turn an upload whose parts are all durable into a file, in one commit.

    The same commit issues its first link, if it is `public`, and records the result under the `idempotency` key, if
    there is one: a public file always has its link, and a repeated request finds the result of the first one.

    Raises, before anything is committed, what `SealWithinUnit` raises, or `IdempotencyKeyInUse` if a result is recorded
    under the key (`FindIdempotentResult`); the caller may then abort the upload. After any other error the outcome of
    the commit is unknown, and the upload must not be aborted because of it.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    store_part: StorePart
    seal: SealWithinUnit
    issue: IssueShareLink
    record_result: RecordResult

    def __call__(
        self,
        upload: UploadSession,
        *,
        terms: ShareTerms | None = None,
        public: bool = False,
        idempotency: IdempotentRequest | None = None,
    ) -> IdempotentResult:
        self.store_part.complete(upload)
        owner, file_id = upload.file.owner, upload.file.id
        token = self.issue.new_token() if public else None

        def sealed() -> IdempotentResult:
            with self.begin() as unit:
                if idempotency is not None:
                    self.record_result(unit, idempotency, owner=owner, file_id=file_id, token=token)
                file = self.seal(unit, upload, terms=terms or ShareTerms())
                issued = None if token is None else self.issue.within(unit, file, token=token)
                unit.commit()
            return IdempotentResult(file=file, issued=issued)

        return retry_if_key_retired(sealed)
