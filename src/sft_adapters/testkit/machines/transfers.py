"""
Rules of the system machine about files and links.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from sft_adapters.testkit.drivers.protocol import SeenFile
from sft_adapters.testkit.machines.clauses import Clause
from sft_adapters.testkit.machines.concurrency import run_concurrently
from sft_adapters.testkit.machines.driver_machine import (
    FILES,
    LINKS,
    LOGINS,
    UNKNOWN_ID,
    UNKNOWN_TOKEN,
    DriverMachine,
    from_machine,
)
from sft_adapters.testkit.machines.oracle import QUOTA_EXCEEDED
from sft_adapters.testkit.strategies import contents, file_names, media_types

_contents: Final = from_machine(
    lambda machine: contents(max_size=machine.max_file_bytes, around=(16_384, machine.part_size, 2 * machine.part_size))
)
BUDGETS: Final = st.one_of(st.integers(1, 3), st.none(), st.integers(1, 3), st.just(2**31 - 1))


class FileRules(DriverMachine):
    """
    Rules about a user's own files, and about other users' access to them.
    """

    @rule(login=LOGINS, name=file_names().map(str), media_type=media_types().map(str), content=_contents)
    def store(self, login: int, name: str, media_type: str, content: bytes) -> None:
        """
        Store a file with any name and size.
        """
        self._store(login, name, media_type, content)

    @precondition(lambda self: self.has_quota)
    @rule(login=LOGINS, over=st.sampled_from([-1, 0, 1]))
    def store_up_to_quota(self, login: int, over: int) -> None:
        """
        Store a file of exactly the free quota, or of a byte more or less.
        """
        size = self.oracle.free_quota(self.oracle.logins[login]["email"]) + over
        if 0 <= size <= self.max_file_bytes:
            self._store(login, "last.bin", "application/octet-stream", bytes(int(size)))

    @precondition(lambda self: self.has_quota)
    @rule(login=LOGINS, share=st.integers(1, 4), threads=st.integers(2, 6))
    def store_concurrently(self, login: int, share: int, threads: int) -> None:
        """
        Store several files concurrently, each as large as a fraction of the free quota.

        Each file is a single part: concurrent larger files may exclude one another, so their number is not exact.
        """
        owner, refusal, access = self.oracle.logins[login]["email"], self.call_error(login), self.access(login)
        free_quota = self.oracle.free_quota(owner)
        content = bytes(int(min(free_quota // share, self.part_size // 2)))
        expected = 0 if refusal else int(min(threads, free_quota // len(content))) if content else threads
        store = partial(self.driver.store, access, name="crowd.bin", media_type="text/plain", content=content)
        outcomes = run_concurrently([lambda: self.outcome(store)] * threads)
        stored = [file_id for file_id, _ in outcomes if file_id is not None]
        codes = {code for _, code in outcomes if code is not None}
        self.require_equal(Clause.QUOTA_IS_EXACT, seen=len(stored), expected=expected)
        self.require_equal(Clause.QUOTA_IS_EXACT, seen=codes - {refusal or QUOTA_EXCEEDED}, expected=set())
        newest = self.listing(login, skip=0, limit=len(stored), refusal=None) if stored else ()
        listed = [file.id for file in newest]
        self.require_equal(Clause.LISTED_IS_OWNED, seen=set(listed), expected=set(stored))
        for file_id in reversed(listed):
            self.file_ids.append(file_id)
            self.oracle.note_file(owner, file_id, "crowd.bin", "text/plain", content)

    @property
    def has_quota(self) -> bool:
        """
        Return whether a user's stored bytes are limited.
        """
        return type(self).quota is not None

    def _store(self, login: int, name: str, media_type: str, content: bytes) -> None:
        owner, access = self.oracle.logins[login]["email"], self.access(login)
        refusal = self.call_error(login, self.oracle.store_error(owner, len(content)))
        store = partial(self.driver.store, access, name=name, media_type=media_type, content=content)
        file_id, code = self.outcome(store)
        is_about_quota = QUOTA_EXCEEDED in {code, refusal}
        self.require_equal(
            Clause.QUOTA_IS_EXACT if is_about_quota else Clause.STORED_IS_KEPT, seen=code, expected=refusal
        )
        if file_id is not None:
            self.file_ids.append(file_id)
            self.oracle.note_file(owner, file_id, name, media_type, content)

    def file_error(self, login: int, file_id: str) -> tuple[Clause, str | None]:
        """
        Return the clause and the expected refusal of an operation on a file.
        """
        refusal = self.call_error(login, self.oracle.file_error(self.oracle.logins[login]["email"], file_id))
        if refusal != "file-not-found":
            return Clause.STORED_IS_KEPT, refusal
        return (Clause.OTHERS_ARE_ABSENT if file_id in self.oracle.files else Clause.DELETED_IS_GONE), refusal

    @rule(login=LOGINS, file=FILES)
    def find(self, login: int, file: int) -> None:
        """
        Find one file: the caller's, another user's, or a deleted one.
        """
        file_id = self.file_ids[file]
        clause, refusal = self.file_error(login, file_id)
        seen = self.expect(clause, lambda: self.driver.find(self.access(login), file_id), refusal)
        if seen is not None:
            self.require_equal(Clause.STORED_IS_KEPT, seen=seen, expected=self.expected_file(file_id))

    def expected_file(self, file_id: str) -> SeenFile:
        """
        Return the file as its owner must see it now.
        """
        file = self.oracle.files[file_id]
        return SeenFile(
            id=file_id,
            name=file["name"],
            media_type=file["type"],
            size=len(file["content"]),
            downloads=self.oracle.downloads(file_id),
            token=self.oracle.current_link(file_id, self.now()),
        )

    @rule(login=LOGINS, file=FILES)
    def read(self, login: int, file: int) -> None:
        """
        Read a whole file.
        """
        file_id = self.file_ids[file]
        clause, refusal = self.file_error(login, file_id)
        seen = self.expect(clause, lambda: self.driver.read(self.access(login), file_id), refusal)
        if refusal is None:
            self.require_equal(Clause.STORED_IS_KEPT, seen=seen, expected=self.oracle.files[file_id]["content"])

    @rule(login=LOGINS, file=FILES, start=st.integers(0, 1 << 20), length=st.integers(1, 1 << 18))
    def read_range(self, login: int, file: int, start: int, length: int) -> None:
        """
        Read a range of a file, possibly beyond its end.
        """
        file_id = self.file_ids[file]
        clause, refusal = self.file_error(login, file_id)
        content = self.oracle.files[file_id]["content"] if refusal is None else b"?"
        if not content:
            return
        start %= len(content)
        access, stop = self.access(login), start + length
        seen = self.expect(clause, lambda: self.driver.read(access, file_id, start=start, stop=stop), refusal)
        if refusal is None:
            self.require_equal(Clause.RANGE_IS_THE_SLICE, seen=seen, expected=content[start:stop])

    @rule(login=LOGINS, skip=st.integers(0, 3), limit=st.integers(1, 3))
    def list_page(self, login: int, skip: int, limit: int) -> None:
        """
        List a page of the caller's files.
        """
        refusal = self.call_error(login)
        seen = self.listing(login, skip=skip, limit=limit, refusal=refusal)
        if refusal is None:
            expected = self.oracle.listed_ids(self.oracle.logins[login]["email"])[skip : skip + limit]
            self.require_equal(Clause.LISTED_IS_OWNED, seen=[file.id for file in seen], expected=expected)

    def listing(self, login: int, *, skip: int, limit: int, refusal: str | None) -> Sequence[SeenFile]:
        """
        Return a page from the driver.
        """
        page = partial(self.driver.list_files, self.access(login), skip=skip, limit=limit)
        return self.expect(Clause.LISTED_IS_OWNED, page, refusal) or ()

    @rule(login=LOGINS, file=FILES)
    def delete(self, login: int, file: int) -> None:
        """
        Delete a file: the caller's, another user's, or one already deleted.
        """
        file_id = self.file_ids[file]
        clause, refusal = self.file_error(login, file_id)
        self.expect(clause, lambda: self.driver.delete(self.access(login), file_id), refusal)
        if refusal is None:
            self.oracle.note_deletion(file_id)
            self.expect(Clause.DELETED_IS_GONE, lambda: self.driver.find(self.access(login), file_id), "file-not-found")


class LinkRules(FileRules):
    """
    Rules about links.
    """

    @rule(
        login=LOGINS,
        file=FILES,
        hours=st.one_of(st.none(), st.sampled_from([1, 2, 24, 720])),
        downloads=BUDGETS,
    )
    def share(self, login: int, file: int, hours: int | None, downloads: int | None) -> None:
        """
        Create a link to a file: the caller's, another user's, or a deleted one.
        """
        self._share(login, self.file_ids[file], hours=hours, downloads=downloads)

    def _share(self, login: int, file_id: str, *, hours: int | None, downloads: int | None) -> None:
        clause, refusal = self.file_error(login, file_id)
        access, now = self.access(login), self.now()
        token = self.expect(
            clause, lambda: self.driver.share(access, file_id, hours=hours, downloads=downloads), refusal
        )
        if token is not None:
            self.tokens.append(token)
            self.oracle.note_link(file_id, token, hours=hours, downloads=downloads, now=now)

    def link_error(self, token: str) -> tuple[Clause, str | None]:
        """
        Return the clause and the expected refusal of a link.
        """
        refusal = self.oracle.redeem_error(token, self.now())
        clauses = {
            "link-not-found": Clause.DELETED_IS_GONE,
            "link-revoked": Clause.LINK_HAS_AN_END,
            "link-expired": Clause.LINK_HAS_AN_END,
            "download-limit-reached": Clause.BUDGET_IS_EXACT,
        }
        return clauses.get(refusal or "", Clause.LINK_LEADS_TO_ITS_FILE), refusal

    @rule(link=LINKS)
    def look(self, link: int) -> None:
        """
        Request the metadata of a link, which consumes no download.
        """
        token = self.tokens[link]
        clause, refusal = self.link_error(token)
        seen = self.expect(clause, lambda: self.driver.look(token), refusal)
        if refusal is None:
            self.require_equal(
                Clause.LINK_LEADS_TO_ITS_FILE, seen=seen, expected=len(self.oracle.linked_content(token))
            )

    @rule(link=LINKS)
    def redeem(self, link: int) -> None:
        """
        Download through a link.
        """
        token = self.tokens[link]
        clause, refusal = self.link_error(token)
        seen = self.expect(clause, lambda: self.driver.redeem(token), refusal)
        if refusal is None:
            self.require_equal(Clause.LINK_LEADS_TO_ITS_FILE, seen=seen, expected=self.oracle.linked_content(token))
            self.oracle.links[token]["granted"] += 1

    @rule(link=LINKS, threads=st.integers(2, 6))
    def redeem_concurrently(self, link: int, threads: int) -> None:
        """
        Download through one link several times concurrently.
        """
        token = self.tokens[link]
        clause, refusal = self.link_error(token)
        outcomes = run_concurrently([lambda: self.outcome(lambda: self.driver.redeem(token))] * threads)
        granted = [content for content, _ in outcomes if content is not None]
        expected = 0 if refusal else self.oracle.remaining_grants(token, threads)
        self.require_equal(clause if refusal else Clause.BUDGET_IS_EXACT, seen=len(granted), expected=expected)
        codes = {code for _, code in outcomes if code is not None}
        self.require_equal(Clause.BUDGET_IS_EXACT, seen=codes - {refusal or "download-limit-reached"}, expected=set())
        for content in granted:
            self.require_equal(Clause.LINK_LEADS_TO_ITS_FILE, seen=content, expected=self.oracle.linked_content(token))
            self.oracle.links[token]["granted"] += 1

    @rule(login=LOGINS)
    def access_unknown(self, login: int) -> None:
        """
        Request an unknown file id and an unknown link token.
        """
        refusal = self.call_error(login, "file-not-found")
        self.expect(Clause.OTHERS_ARE_ABSENT, lambda: self.driver.find(self.access(login), UNKNOWN_ID), refusal)
        clause = Clause.LINK_LEADS_TO_ITS_FILE
        self.expect(clause, lambda: self.driver.look(UNKNOWN_TOKEN), "link-not-found")
        self.expect(clause, lambda: self.driver.redeem(UNKNOWN_TOKEN), "link-not-found")

    @precondition(lambda self: self.driver.can_revoke_links)
    @rule(login=LOGINS, link=LINKS)
    def revoke(self, login: int, link: int) -> None:
        """
        Revoke a link: the caller's, another user's, or that of a deleted file.
        """
        token = self.tokens[link]
        refusal = self.call_error(login, self.oracle.revoke_error(self.oracle.logins[login]["email"], token))
        self.expect(Clause.OTHERS_ARE_ABSENT, lambda: self.driver.revoke(self.access(login), token), refusal)
        if refusal is None:
            self.oracle.links[token]["revoked"] = True
            self.expect(Clause.LINK_HAS_AN_END, lambda: self.driver.redeem(token), "link-revoked")
