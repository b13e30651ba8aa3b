"""
Issuing a share link.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from sft_core.errors import IdempotencyKeyInUse, IdempotencyKeyReused
from sft_core.key_retirement import retry_if_key_retired
from sft_core.ports import Clock, Entropy, IdGenerator, KeyRing, UnitOfWorkFactory
from sft_core.sharing.idempotency import IdempotentRequest
from sft_core.sharing.model import DEFAULT_EXPIRES_HOURS, LINK_TOKEN_PURPOSE, IssuedLink, ShareLink, digest
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases.idempotency import FindIdempotentResult, RecordResult
from sft_core.values import SHARE_TOKEN_BYTES, FileId, LinkId, ShareToken, UserId
from sft_core.vault.model import MAX_DOWNLOADS_BOUND, MAX_EXPIRES_HOURS, File, check_bound
from sft_core.vault.use_cases import FindFile


@attrs.frozen(kw_only=True)
class IssueShareLink:
    """
    Issue a link to an owner's file, or return what the same request issued before.

    Earlier links are unaffected. What is not given is taken from the terms given at upload, then from the defaults (24
    hours, no limit of downloads). The link expires with the file at the latest, by the file's expiry at this time.

    Raises:
        FileNotFound: the owner has no such file.
        InvalidValue: the lifetime or the number of downloads is out of bounds.
        IdempotencyKeyReused: the `idempotency` key belongs to another request.
        IdempotencyKeyInUse: the same request is in progress; it may be repeated.
        ResultGone: what the earlier request has issued has ended.
    """

    begin: UnitOfWorkFactory[SharingUnit]
    ids: IdGenerator
    clock: Clock
    entropy: Entropy
    keyring: KeyRing
    find: FindFile
    record_result: RecordResult
    find_result: FindIdempotentResult

    def __call__(
        self,
        *,
        owner: UserId,
        file_id: FileId,
        expires_hours: int | None = None,
        max_downloads: int | None = None,
        idempotency: IdempotentRequest | None = None,
    ) -> IssuedLink:
        check_bound("expires_hours", expires_hours, MAX_EXPIRES_HOURS)
        check_bound("max_downloads", max_downloads, MAX_DOWNLOADS_BOUND)
        if found := self._found(owner, idempotency):
            return found
        token = self.new_token()

        def issued() -> IssuedLink:
            with self.begin() as unit:
                if idempotency is not None:
                    self.record_result(unit, idempotency, owner=owner, file_id=file_id, token=token)
                file = self.find.within(unit, owner=owner, file_id=file_id)
                link = self.within(unit, file, token=token, expires_hours=expires_hours, max_downloads=max_downloads)
                unit.commit()
            return link

        try:
            return retry_if_key_retired(issued)
        except IdempotencyKeyInUse:
            # Raised before the commit: nothing was issued here.
            if found := self._found(owner, idempotency):
                return found
            raise

    def new_token(self) -> ShareToken:
        return ShareToken(self.entropy.random_bytes(SHARE_TOKEN_BYTES))

    def within(
        self,
        unit: SharingUnit,
        file: File,
        *,
        token: ShareToken,
        expires_hours: int | None = None,
        max_downloads: int | None = None,
    ) -> IssuedLink:
        """
        Issue the link within a unit of work that the caller commits, in `retry_if_key_retired`.
        """
        now = self.clock.now()
        requested_end = now + timedelta(hours=expires_hours or file.terms.expires_hours or DEFAULT_EXPIRES_HOURS)
        link_id = LinkId(self.ids.new())
        link = ShareLink(
            id=link_id,
            file_id=file.id,
            owner=file.owner,
            token_digest=digest(token),
            token=self.keyring.wrap(token, purpose=LINK_TOKEN_PURPOSE, context=link_id.bytes),
            created_at=now,
            expires_at=min(requested_end, file.expires_at or requested_end),
            max_downloads=max_downloads if max_downloads is not None else file.terms.max_downloads,
        )
        unit.links.add(link)
        return IssuedLink(link=link, token=token)

    def _found(self, owner: UserId, request: IdempotentRequest | None) -> IssuedLink | None:
        result = self.find_result(owner=owner, request=request) if request is not None else None
        if result is not None and result.issued is None:
            raise IdempotencyKeyReused
        return result.issued if result is not None else None
