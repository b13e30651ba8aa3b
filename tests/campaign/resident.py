"""
A user who stays through all kills, and uses everything that the service offers.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Sequence

import attrs

from support.ledger import Content, Status, in_doubt
from support.load import SIZES, Client, forget_what_is_over, settle
from support.service import Service
from support.tus import VERSION
from support.wire import Answer

PART = 64 << 10
"""The smallest `PART_SIZE` there is: files of some hundred kilobytes have several parts."""

LONG = (PART, 3 * PART + 7, 6 * PART)
BITES = (1, 1000, PART, 2 * PART + 7, 6 * PART)

MANY = 8
"""Files of one user; one who has so many makes room."""


@attrs.define
class Upload:
    """
    A resumable upload: how far it is as acknowledged, and how far it may be besides.
    """

    path: str
    name: str
    content: Content
    at: int = 0
    ahead: int = 0


@attrs.define(eq=False)
class Resident(Client):
    """
    A client that also sends raw bodies and resumable uploads, asks for ranges, and signs in anew.
    """

    account: dict[str, str] = attrs.field(factory=dict)
    refresh_token: str = ""
    uploads: list[Upload] = attrs.field(factory=list)
    ended: list[str] = attrs.field(factory=list)
    """Paths of uploads that were given up, by us or by a sweep."""

    @property
    def verbs(self) -> Sequence[Callable[[], None]]:
        storing = [self.store, self.put, self.put, self.go_on, self.go_on, self.go_on, self.go_on]
        reading = [self.read, self.read_range, self.share, self.redeem, self.redeem, self.redeem]
        return [*storing, *reading, self.delete, self.delete, self.sign_in, self.refresh, self.give_up]

    # --- files ---------------------------------------------------------------------------------

    def store(self) -> None:
        self._make_room()
        super().store()

    def put(self) -> None:
        self._make_room()
        name, content = self.new_file((*SIZES, *LONG))
        self.note_stored("put", name, content, self.asked("put", "PUT", f"/files/{name}", body=content.data))

    def _make_room(self) -> None:
        if len(self.ledger.stored) >= MANY:
            self.delete()

    def read_range(self) -> None:
        files = [(file, content) for file, content in self.ledger.stored.items() if content.size]
        if not files:
            return
        file, content = self.dice.choice(files)
        first = self.dice.randrange(content.size)
        last = self.dice.randrange(first, content.size)
        headers = {"Range": f"bytes={first}-{last}"}
        answer = self.asked("read range", "GET", f"/files/{file}/download", headers=headers)
        status = self.ledger.count("read range", answer, 206)
        if status == 206 and answer is not None and answer.body != content.data[first : last + 1]:
            self.ledger.faults.append(f"read range: bytes {first} to {last} of {content.size} are others")

    # --- uploads that are resumed ----------------------------------------------------------------

    def go_on(self) -> None:
        if len(self.uploads) < 2:
            self._make_room()
            self._begin()
            return
        upload = self.dice.choice(self.uploads)
        if upload.ahead:
            self.look(upload)
        if upload in self.uploads:
            self.append(upload, self.dice.choice(BITES))

    def _begin(self) -> None:
        name, content = self.new_file(LONG)
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        headers = {**VERSION, "Upload-Length": str(content.size), "Upload-Metadata": metadata}
        answer = self.asked("tus create", "POST", "/tus", headers=headers)
        if self.ledger.count("tus create", answer, 201) == 201 and answer is not None:
            path = answer.headers["location"].removeprefix(self.service.api)
            self.uploads.append(Upload(path, name, content))

    def append(self, upload: Upload, size: int) -> Status:
        """
        Send the next bytes of an upload from where it is.
        """
        bite = upload.content.data[upload.at : upload.at + size]
        end = upload.at + len(bite)
        headers = {**VERSION, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(upload.at)}
        answer = self.asked("tus append", "PATCH", upload.path, body=bite, headers=headers)
        # What came before the answer that never came may have come to be since the last look.
        conflict = [409] if upload.ahead else []
        status = self.ledger.count("tus append", answer, 204, *conflict)
        if status == 204 and answer is not None:
            if int(answer.headers["upload-offset"]) != end:
                self.ledger.faults.append(f"tus append: {end} is the end, {answer.headers['upload-offset']} is told")
            upload.at, upload.ahead = end, 0
            self._note_complete(upload, answer)
        elif in_doubt(status):
            upload.ahead = max(upload.ahead, len(bite))
            if end == upload.content.size:
                self.ledger.unanswered[upload.name] = upload.content
        return status

    def look(self, upload: Upload) -> Status:
        """
        Ask how far an upload is: as far as was acknowledged, or further by what is in doubt.
        """
        answer = self.asked("tus look", "HEAD", upload.path, headers=dict(VERSION))
        status = self.ledger.count("tus look", answer, 200)
        if status == 200 and answer is not None:
            offset = int(answer.headers["upload-offset"])
            if not upload.at <= offset <= upload.at + upload.ahead:
                most = upload.at + upload.ahead
                self.ledger.faults.append(f"tus: offset {offset}, though {upload.at} is acknowledged, {most} was sent")
            upload.ahead -= offset - upload.at
            upload.at = offset
            self._note_complete(upload, answer)
        return status

    def _note_complete(self, upload: Upload, answer: Answer) -> None:
        if upload.at == upload.content.size:
            self.ledger.stored[answer.headers["x-file-id"]] = upload.content
            self.ledger.unanswered.pop(upload.name, None)
            self.uploads.remove(upload)

    def give_up(self) -> None:
        """
        End one of the uploads; not one that may be a file already, whose end may come late.
        """
        uploads = [upload for upload in self.uploads if not upload.ahead]
        if not uploads or self.dice.random() < 0.7:
            return
        upload = self.dice.choice(uploads)
        self.uploads.remove(upload)
        answer = self.asked("tus end", "DELETE", upload.path, headers=dict(VERSION))
        status = self.ledger.count("tus end", answer, 204)
        if status == 204:
            self.ended.append(upload.path)
            self.ledger.unanswered.pop(upload.name, None)
        elif status is not None and not in_doubt(status):
            self.uploads.append(upload)

    # --- accounts ------------------------------------------------------------------------------

    def sign_in(self) -> None:
        login = {key: self.account[key] for key in ("email", "password")}
        self._note_tokens("sign in", self.asked_json("sign in", "/auth/login", login, anonymous=True))

    def refresh(self) -> None:
        if not self.refresh_token:
            return
        body = {"refresh_token": self.refresh_token}
        # Whether this one is spent, only an answer tells; it is never shown twice.
        self.refresh_token = ""
        self._note_tokens("refresh", self.asked_json("refresh", "/auth/refresh", body, anonymous=True))

    def _note_tokens(self, verb: str, answer: Answer | None) -> None:
        if self.ledger.count(verb, answer, 200) == 200 and answer is not None:
            tokens = answer.json()
            self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    # --- what is checked -------------------------------------------------------------------------

    def held_to_it(self) -> list[str]:
        """
        What is not as it was acknowledged; see `settle`.
        """
        for upload in list(self.uploads):
            self.look(upload)
        faults = [*settle(self), *self._ended()]
        forget_what_is_over(self)
        self.ended.clear()
        return faults

    def _ended(self) -> Iterator[str]:
        for path in self.ended:
            answer = self.asked("verify", "HEAD", path, headers=dict(VERSION))
            if answer is None or answer.status != 404:
                yield f"an upload that has ended is there: {answer and answer.status}"

    def finish(self) -> None:
        """
        Bring all deletions and uploads to their end, but one for the sweep to give up.
        """
        # The number of tries is bounded, for this is no load: each has to go well.
        for _ in range(2 * len(self.ledger.doubtful)):
            if self.ledger.doubtful:
                self.delete_again()
        left = self.uploads[:1]
        for upload in self.uploads[1:]:
            for _ in range(3):
                # After a refusal a part of what was sent may be there, as after no answer.
                if upload in self.uploads and upload.ahead:
                    self.look(upload)
                if upload in self.uploads:
                    self.append(upload, upload.content.size)
        for upload in left:
            self.uploads.remove(upload)
            self.ended.append(upload.path)
            self.ledger.unanswered.pop(upload.name, None)

    def has_used(self, quota: int) -> Iterator[str]:
        """
        What is wrong with the count of what this user's files hold, as a refusal by the quota tells it.
        """
        answer = self.asked("verify", "PUT", "/files/too-large.bin", length=quota + 1)
        due = sum(content.size for content in self.ledger.stored.values())
        if answer is None or answer.status != 413 or answer.json()["code"] != "quota-exceeded":
            yield f"no refusal by the quota: {answer and answer.status}"
        elif answer.json()["used"] != due:
            yield f"{answer.json()['used']} bytes are used, the files have {due}"


def settled_down(service: Service, number: int) -> Resident:
    """
    A new user, signed in.
    """
    name = f"resident{number}"
    account = {"email": f"{name}@example.org", "username": name, "password": secrets.token_hex(16)}
    assert service.call("POST", "/auth/register", body=account).status == 201
    resident = Resident(service, number, "", account=account)
    resident.sign_in()
    assert resident.token
    return resident
