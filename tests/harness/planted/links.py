"""
Broken link repositories and session stores, based on the in-memory ones.
"""

# ruff: noqa: ARG002 (what a broken adapter ignores is its bug)

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import attrs

from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.memory.tables import Links
from sft_core.sharing.model import ShareLink
from sft_core.users.model import Session
from sft_core.values import FileId, LinkId, SessionId

# --- links -------------------------------------------------------------------------------------


class _ConsumesAltered(Links):
    """
    Consumes a download of `altered(link)` instead of the link.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        raise NotImplementedError

    def consume_download(self, link_id: LinkId, *, now: datetime) -> bool:
        links = self.write().links
        link = links.get(link_id)
        if link is None:
            return False
        links[link_id] = self.altered(link, now)
        claimed = super().consume_download(link_id, now=now)
        links[link_id] = attrs.evolve(link, downloads=link.downloads + claimed)
        return claimed


class ConsumesRevokedLinks(_ConsumesAltered):
    """
    A revoked link still grants a download.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        return attrs.evolve(link, revoked_at=None)


class ConsumesExpiredLinks(_ConsumesAltered):
    """
    An expired link still grants a download.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        return attrs.evolve(link, expires_at=now + timedelta(hours=1))


class ConsumesAtExpiry(_ConsumesAltered):
    """
    A link still grants a download at its expiry time.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        return attrs.evolve(link, expires_at=link.expires_at + timedelta(microseconds=1))


class ExpiresASecondEarly(_ConsumesAltered):
    """
    Whole seconds are compared, so a link expires up to a second early.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        return attrs.evolve(link, expires_at=link.expires_at.replace(microsecond=0))


class IgnoresTheBudget(_ConsumesAltered):
    """
    The download budget is stored and shown, but not enforced.
    """

    def altered(self, link: ShareLink, now: datetime) -> ShareLink:
        return attrs.evolve(link, max_downloads=None)


class RevokesAgain(Links):
    """
    A second revocation replaces the time of the first one.
    """

    def revoke(self, link_id: LinkId, *, now: datetime) -> bool:
        links = self.write().links
        if link_id not in links:
            return False
        links[link_id] = attrs.evolve(links[link_id], revoked_at=now)
        return True


class FindsOnlyTheFirstFilesLinks(Links):
    """
    Of several files only the first one's links are returned.
    """

    def of_files(self, file_ids: Iterable[FileId]) -> Sequence[ShareLink]:
        return super().of_files(list(file_ids)[:1])


# --- sessions ----------------------------------------------------------------------------------


class RotatesOldGenerations(MemorySessions):
    """
    A generation that was rotated before is rotated again.
    """

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        session = self.get(session_id)
        known = session is not None and generation <= session.generation
        current = session.generation if session is not None and known else generation
        return super().rotate(session_id, generation=current, now=now, expires_at=expires_at)


class ReadsThenRotates(MemorySessions):
    """
    Read, check and write are separate steps, so two concurrent rotations both succeed.
    """

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        session = self.get(session_id)
        if session is None or session.generation != generation or session.revoked_at or now >= session.expires_at:
            return False
        time.sleep(0.01)
        self._sessions[session_id] = attrs.evolve(session, generation=generation + 1, expires_at=expires_at)
        return True


class DeletesRevokedSessions(MemorySessions):
    """
    A revoked session is deleted, so it cannot be distinguished from an unknown one.
    """

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        self._sessions.pop(session_id, None)


class RotatesRevokedSessions(MemorySessions):
    """
    A rotation ignores the revocation.
    """

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        session = self.get(session_id)
        if session is None:
            return False
        self._sessions[session_id] = attrs.evolve(session, revoked_at=None)
        rotated = super().rotate(session_id, generation=generation, now=now, expires_at=expires_at)
        self._restore(session, rotated=rotated)
        return rotated

    def _restore(self, session: Session, *, rotated: bool) -> None:
        if not rotated:
            self._sessions[session.id] = session


class WritesTheWholeSessionWhenRotating(MemorySessions):
    """
    A rotation writes back every field it read, so a concurrent revocation is lost.
    """

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        session = self.get(session_id)
        if session is None or session.generation != generation or session.revoked_at or now >= session.expires_at:
            return False
        time.sleep(0.01)
        with self._lock:
            if self._sessions[session_id].generation != generation:
                return False
            self._sessions[session_id] = attrs.evolve(session, generation=generation + 1, expires_at=expires_at)
        return True


class WritesTheWholeSessionWhenRevoking(MemorySessions):
    """
    A revocation writes back every field it read, so a concurrent rotation is undone.
    """

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        session = self.get(session_id)
        if session is None or session.revoked_at is not None:
            return
        time.sleep(0.01)
        with self._lock:
            self._sessions[session_id] = attrs.evolve(session, revoked_at=now)


@attrs.define
class CachesMisses(MemorySessions):
    """
    A session that was unknown once is unknown from then on.
    """

    _unknown: set[SessionId] = attrs.field(factory=set, init=False)

    def get(self, session_id: SessionId) -> Session | None:
        session = None if session_id in self._unknown else super().get(session_id)
        if session is None:
            self._unknown.add(session_id)
        return session


@attrs.frozen
class CachesPerProcess:
    """
    A cache misses other processes' changes, so their revocations are never seen.
    """

    durable: MemorySessions
    _cached: dict[SessionId, Session] = attrs.field(factory=dict, init=False)

    def open(self, session: Session) -> None:
        self.durable.open(session)

    def get(self, session_id: SessionId) -> Session | None:
        session = self._cached.get(session_id) or self.durable.get(session_id)
        if session is not None:
            self._cached[session_id] = session
        return session

    def rotate(self, session_id: SessionId, *, generation: int, now: datetime, expires_at: datetime) -> bool:
        rotated = self.durable.rotate(session_id, generation=generation, now=now, expires_at=expires_at)
        self._cached.pop(session_id, None)
        return rotated

    def revoke(self, session_id: SessionId, *, now: datetime) -> None:
        self.durable.revoke(session_id, now=now)
        self._cached.pop(session_id, None)
