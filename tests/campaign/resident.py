"""
A user who stays through all kills, and uses everything that the service offers.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable, Iterator, Sequence

import attrs

from support.clients.journal import RandomContent, Status, is_uncertain
from support.clients.load import SIZES, Client, find_discrepancies, forget_deleted
from support.clients.tus import VERSION
from support.clients.wire import Response
from support.servers.service import Service

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
    content: RandomContent
    at: int = 0
    ahead: int = 0


@attrs.define(eq=False)
class CampaignClient(Client):
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
        storing = [self.store, self.put, self.put, self.resume, self.resume, self.resume, self.resume]
        reading = [self.read, self.read_range, self.share, self.redeem, self.redeem, self.redeem]
        return [*storing, *reading, self.delete, self.delete, self.sign_in, self.refresh, self.cancel_upload]

    # --- files ---------------------------------------------------------------------------------

    def store(self) -> None:
        self._make_room()
        super().store()

    def put(self) -> None:
        self._make_room()
        name, content = self.new_file((*SIZES, *LONG))
        self.record_upload("put", name, content, self.request("put", "PUT", f"/files/{name}", body=content.data))

    def _make_room(self) -> None:
        if len(self.journal.stored) >= MANY:
            self.delete()

    def read_range(self) -> None:
        files = [(file, content) for file, content in self.journal.stored.items() if content.size]
        if not files:
            return
        file, content = self.random_source.choice(files)
        first = self.random_source.randrange(content.size)
        last = self.random_source.randrange(first, content.size)
        headers = {"Range": f"bytes={first}-{last}"}
        response = self.request("read range", "GET", f"/files/{file}/download", headers=headers)
        status = self.journal.count("read range", response, 206)
        if status == 206 and response is not None and response.body != content.data[first : last + 1]:
            self.journal.faults.append(f"read range: bytes {first} to {last} of {content.size} are others")

    # --- uploads that are resumed ----------------------------------------------------------------

    def resume(self) -> None:
        if len(self.uploads) < 2:
            self._make_room()
            self._begin()
            return
        upload = self.random_source.choice(self.uploads)
        if upload.ahead:
            self.check_offset(upload)
        if upload in self.uploads:
            self.append(upload, self.random_source.choice(BITES))

    def _begin(self) -> None:
        name, content = self.new_file(LONG)
        metadata = f"filename {base64.b64encode(name.encode()).decode()}"
        headers = {**VERSION, "Upload-Length": str(content.size), "Upload-Metadata": metadata}
        response = self.request("tus create", "POST", "/tus", headers=headers)
        if self.journal.count("tus create", response, 201) == 201 and response is not None:
            path = response.headers["location"].removeprefix(self.service.api)
            self.uploads.append(Upload(path, name, content))

    def append(self, upload: Upload, size: int) -> Status:
        """
        Send the next bytes of an upload from where it is.
        """
        chunk = upload.content.data[upload.at : upload.at + size]
        end = upload.at + len(chunk)
        headers = {**VERSION, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(upload.at)}
        response = self.request("tus append", "PATCH", upload.path, body=chunk, headers=headers)
        # What came before the answer that never came may have come to be since the last look.
        conflict = [409] if upload.ahead else []
        status = self.journal.count("tus append", response, 204, *conflict)
        if status == 204 and response is not None:
            if int(response.headers["upload-offset"]) != end:
                self.journal.faults.append(f"tus append: {end} is the end, {response.headers['upload-offset']} is told")
            upload.at, upload.ahead = end, 0
            self._note_complete(upload, response)
        elif is_uncertain(status):
            upload.ahead = max(upload.ahead, len(chunk))
            if end == upload.content.size:
                self.journal.unacknowledged[upload.name] = upload.content
        return status

    def check_offset(self, upload: Upload) -> Status:
        """
        Ask how far an upload is: as far as was acknowledged, or further by what is in doubt.
        """
        response = self.request("tus look", "HEAD", upload.path, headers=dict(VERSION))
        status = self.journal.count("tus look", response, 200)
        if status == 200 and response is not None:
            offset = int(response.headers["upload-offset"])
            if not upload.at <= offset <= upload.at + upload.ahead:
                most = upload.at + upload.ahead
                self.journal.faults.append(f"tus: offset {offset}, though {upload.at} is acknowledged, {most} was sent")
            upload.ahead -= offset - upload.at
            upload.at = offset
            self._note_complete(upload, response)
        return status

    def _note_complete(self, upload: Upload, response: Response) -> None:
        if upload.at == upload.content.size:
            self.journal.stored[response.headers["x-file-id"]] = upload.content
            self.journal.unacknowledged.pop(upload.name, None)
            self.uploads.remove(upload)

    def cancel_upload(self) -> None:
        """
        End one of the uploads; not one that may be a file already, whose end may come late.
        """
        uploads = [upload for upload in self.uploads if not upload.ahead]
        if not uploads or self.random_source.random() < 0.7:
            return
        upload = self.random_source.choice(uploads)
        self.uploads.remove(upload)
        response = self.request("tus end", "DELETE", upload.path, headers=dict(VERSION))
        status = self.journal.count("tus end", response, 204)
        if status == 204:
            self.ended.append(upload.path)
            self.journal.unacknowledged.pop(upload.name, None)
        elif status is not None and not is_uncertain(status):
            self.uploads.append(upload)

    # --- accounts ------------------------------------------------------------------------------

    def sign_in(self) -> None:
        login = {key: self.account[key] for key in ("email", "password")}
        self._note_tokens("sign in", self.request_json("sign in", "/auth/login", login, anonymous=True))

    def refresh(self) -> None:
        if not self.refresh_token:
            return
        body = {"refresh_token": self.refresh_token}
        # Whether this one is spent, only an answer tells; it is never shown twice.
        self.refresh_token = ""
        self._note_tokens("refresh", self.request_json("refresh", "/auth/refresh", body, anonymous=True))

    def _note_tokens(self, verb: str, response: Response | None) -> None:
        if self.journal.count(verb, response, 200) == 200 and response is not None:
            tokens = response.json()
            self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    # --- what is checked -------------------------------------------------------------------------

    def find_discrepancies(self) -> list[str]:
        """
        What is not as it was acknowledged; see `find_discrepancies`.
        """
        for upload in list(self.uploads):
            self.check_offset(upload)
        faults = [*find_discrepancies(self), *self._ended()]
        forget_deleted(self)
        self.ended.clear()
        return faults

    def _ended(self) -> Iterator[str]:
        for path in self.ended:
            response = self.request("verify", "HEAD", path, headers=dict(VERSION))
            if response is None or response.status != 404:
                yield f"an upload that has ended is there: {response and response.status}"

    def finish(self) -> None:
        """
        Bring all deletions and uploads to their end, but one for the sweep to give up.
        """
        # The number of tries is bounded, for this is no load: each has to go well.
        for _ in range(2 * len(self.journal.uncertain)):
            if self.journal.uncertain:
                self.delete_again()
        left = self.uploads[:1]
        for upload in self.uploads[1:]:
            for _ in range(3):
                # After a refusal a part of what was sent may be there, as after no answer.
                if upload in self.uploads and upload.ahead:
                    self.check_offset(upload)
                if upload in self.uploads:
                    self.append(upload, upload.content.size)
        for upload in left:
            self.uploads.remove(upload)
            self.ended.append(upload.path)
            self.journal.unacknowledged.pop(upload.name, None)

    def has_used(self, quota: int) -> Iterator[str]:
        """
        What is wrong with the count of what this user's files hold, as a refusal by the quota tells it.
        """
        response = self.request("verify", "PUT", "/files/too-large.bin", length=quota + 1)
        due = sum(content.size for content in self.journal.stored.values())
        if response is None or response.status != 413 or response.json()["code"] != "quota-exceeded":
            yield f"no refusal by the quota: {response and response.status}"
        elif response.json()["used"] != due:
            yield f"{response.json()['used']} bytes are used, the files have {due}"


def new_client(service: Service, number: int) -> CampaignClient:
    """
    A new user, signed in.
    """
    name = f"resident{number}"
    account = {"email": f"{name}@example.org", "username": name, "password": secrets.token_hex(16)}
    assert service.call("POST", "/auth/register", body=account).status == 201
    client = CampaignClient(service, number, "", account=account)
    client.sign_in()
    assert client.token
    return client
