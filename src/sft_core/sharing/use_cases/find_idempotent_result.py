"""
Making a file or a link once, however often the request for it is sent.
"""

from __future__ import annotations

import hmac
from datetime import timedelta

import attrs

from sft_core.errors import IdempotencyKeyInUse, IdempotencyKeyReused, ResultGone
from sft_core.key_retirement import wrapped_and_stored
from sft_core.ports import Begin, Clock, KeyRing
from sft_core.sharing.idempotency import IdempotencyKey, KeptAnswer, Repeatable
from sft_core.sharing.ports import SharingUnit
from sft_core.sharing.use_cases.issue_share_link import IssuedLink, IssueShareLink, digest, reveal
from sft_core.values import FileId, ShareToken, UserId
from sft_core.vault.model import File, FileState, ShareTerms, check_expires_hours, check_max_downloads
from sft_core.vault.use_cases import SealUpload, Upload


@attrs.frozen(kw_only=True)
class Made:
    """
    What a request has made: a file with the link that came with it, or a link to a file that was there.

    It is the same each time the request is answered, whatever has become of the link since, and
    whatever end has been set for the file.
    """

    file: File
    issued: IssuedLink | None = None


@attrs.frozen(kw_only=True)
class KeepAnswer:
    """
    Keep what a request makes inside the unit of work that makes it, as its first change.

    `IdempotencyKeyInUse` if the owner's key stands for something already: whoever wants the same at
    the same moment waits here until the first one's commit is decided. The unit is then left
    without a commit, so what it would have made is not there.
    """

    clock: Clock
    lifetime: timedelta

    def within(
        self, unit: SharingUnit, request: Repeatable, *, owner: UserId, file_id: FileId, token: ShareToken | None
    ) -> None:
        """
        Keep it, inside a unit of work that somebody else commits.
        """
        now = self.clock.now()
        answer = KeptAnswer(
            key_digest=request.key.digest(owner),
            owner=owner,
            fingerprint=request.fingerprint,
            file_id=file_id,
            token_digest=digest(token) if token is not None else None,
            expires_at=now + self.lifetime,
        )
        if not unit.answers.keep(answer, now=now):
            raise IdempotencyKeyInUse


@attrs.frozen(kw_only=True)
class FindMade:
    """
    What an earlier request under the same key has made; None if nothing is kept under it.

    `IdempotencyKeyReused` if that was another request. `ResultGone` if the file has ended
    since, or the token of a link that has been over for long: it is not made a second time.
    """

    begin: Begin[SharingUnit]
    clock: Clock
    keyring: KeyRing

    def __call__(self, *, owner: UserId, request: Repeatable) -> Made | None:
        now = self.clock.now()
        with self.begin(read_only=True) as unit:
            answer = unit.answers.find(request.key.digest(owner), now=now)
            if answer is None:
                return None
            if not hmac.compare_digest(answer.fingerprint, request.fingerprint):
                raise IdempotencyKeyReused
            file = unit.files.get(answer.file_id)
            link = unit.links.find(answer.token_digest) if answer.token_digest is not None else None
        if file is None or file.state is not FileState.SEALED or file.is_expired(now):
            raise ResultGone
        if link is None and answer.token_digest is not None:
            raise ResultGone
        # An end is set later: when it was made it had none.
        file = attrs.evolve(file, expires_at=None)
        if link is None:
            return Made(file=file)
        token = reveal(self.keyring, link)
        if token is None:
            raise ResultGone
        return Made(file=file, issued=IssuedLink(link=link, token=token))

    def knows(self, *, owner: UserId, key: IdempotencyKey) -> bool:
        """
        Whether something is kept under a key, for a request whose body has not come yet.
        """
        with self.begin(read_only=True) as unit:
            return unit.answers.find(key.digest(owner), now=self.clock.now()) is not None


@attrs.frozen(kw_only=True)
class SealOnce:
    """
    Seal an upload, with a first link if it is `public`, and keep what was made: all in one commit.

    `IdempotencyKeyInUse`, and what `SealUpload` refuses, come before the commit is asked for: then
    it is for the caller to abort the upload, and to ask `FindMade`.
    """

    begin: Begin[SharingUnit]
    seal: SealUpload
    issue: IssueShareLink
    keep: KeepAnswer

    def __call__(self, upload: Upload, *, terms: ShareTerms, public: bool, request: Repeatable) -> Made:
        self.seal.complete(upload)
        token = self.issue.draw() if public else None

        def made() -> Made:
            with self.begin() as unit:
                self.keep.within(unit, request, owner=upload.file.owner, file_id=upload.file.id, token=token)
                file = self.seal.within(unit, upload, terms=terms)
                issued = self.issue.within(unit, file, token=token) if token is not None else None
                unit.commit()
            return Made(file=file, issued=issued)

        return wrapped_and_stored(made)


@attrs.frozen(kw_only=True)
class IssueOnce:
    """
    Make a link to one of the owner's files, or find the one that the same request has made before.
    """

    begin: Begin[SharingUnit]
    issue: IssueShareLink
    keep: KeepAnswer
    find: FindMade

    def __call__(
        self,
        *,
        owner: UserId,
        file_id: FileId,
        request: Repeatable,
        expires_hours: int | None = None,
        max_downloads: int | None = None,
    ) -> IssuedLink:
        check_expires_hours(expires_hours)
        check_max_downloads(max_downloads)
        found = self._found(owner, request)
        if found is not None:
            return found
        token = self.issue.draw()

        def issued() -> IssuedLink:
            with self.begin() as unit:
                self.keep.within(unit, request, owner=owner, file_id=file_id, token=token)
                file = self.issue.find.within(unit, owner=owner, file_id=file_id)
                made = self.issue.within(
                    unit, file, token=token, expires_hours=expires_hours, max_downloads=max_downloads
                )
                unit.commit()
            return made

        try:
            return wrapped_and_stored(issued)
        except IdempotencyKeyInUse:
            # Never out of the commit: nothing has been made here.
            found = self._found(owner, request)
            if found is None:
                raise
            return found

    def _found(self, owner: UserId, request: Repeatable) -> IssuedLink | None:
        made = self.find(owner=owner, request=request)
        if made is not None and made.issued is None:
            raise IdempotencyKeyReused
        return None if made is None else made.issued
