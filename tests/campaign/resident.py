"""
A client that stays through all kills, and uses everything that the service offers.
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
"""The smallest permitted `PART_SIZE`, so that files of some hundred kilobytes have several parts."""

LONG = (PART, 3 * PART + 7, 6 * PART)
CHUNK_SIZES = (1, 1000, PART, 2 * PART + 7, 6 * PART)

MAX_FILES = 8
"""Files per user, above which a client deletes one first."""


@attrs.define
class Upload:
    """
    A resumable upload: its acknowledged offset, and how many more bytes may have been stored.
    """

    path: str
    name: str
    content: RandomContent
    at: int = 0
    ahead: int = 0


@attrs.define(eq=False)
class CampaignClient(Client):
    """
    A client that also sends raw bodies and resumable uploads, requests ranges, and signs in again.
    """

    account: dict[str, str] = attrs.field(factory=dict)
    refresh_token: str = ""
    uploads: list[Upload] = attrs.field(factory=list)
    ended: list[str] = attrs.field(factory=list)
    """Paths of uploads that have ended, by this client or by a sweep."""

    @property
    def verbs(self) -> Sequence[Callable[[], None]]:
        storing = [self.store, self.put, self.put, self.resume, self.resume, self.resume, self.resume]
        reading = [self.read, self.read_range, self.share, self.redeem, self.redeem, self.redeem]
        return [*storing, *reading, self.delete, self.delete, self.sign_in, self.refresh, self.cancel_upload]

    # --- files ---------------------------------------------------------------------------------

    def store(self) -> None:
        self._delete_if_many()
        super().store()

    def put(self) -> None:
        self._delete_if_many()
        name, content = self.new_file((*SIZES, *LONG))
        self.record_upload("put", name, content, self.request("put", "PUT", f"/files/{name}", body=content.data))

    def _delete_if_many(self) -> None:
        if len(self.journal.stored) >= MAX_FILES:
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
            self.journal.faults.append(f"read range: bytes {first} to {last} of {content.size} differ")

    # --- resumable uploads -----------------------------------------------------------------------

    def resume(self) -> None:
        if len(self.uploads) < 2:
            self._delete_if_many()
            self._begin()
            return
        upload = self.random_source.choice(self.uploads)
        if upload.ahead:
            self.check_offset(upload)
        if upload in self.uploads:
            self.append(upload, self.random_source.choice(CHUNK_SIZES))

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
        Send the next bytes of an upload from its acknowledged offset.
        """
        chunk = upload.content.data[upload.at : upload.at + size]
        end = upload.at + len(chunk)
        headers = {**VERSION, "Content-Type": "application/offset+octet-stream", "Upload-Offset": str(upload.at)}
        response = self.request("tus append", "PATCH", upload.path, body=chunk, headers=headers)
        # Bytes of a request without a response may have been stored since the last HEAD request.
        conflict = [409] if upload.ahead else []
        status = self.journal.count("tus append", response, 204, *conflict)
        if status == 204 and response is not None:
            if int(response.headers["upload-offset"]) != end:
                self.journal.faults.append(f"tus append: offset {response.headers['upload-offset']}, not {end}")
            upload.at, upload.ahead = end, 0
            self._note_complete(upload, response)
        elif is_uncertain(status):
            upload.ahead = max(upload.ahead, len(chunk))
            if end == upload.content.size:
                self.journal.unacknowledged[upload.name] = upload.content
        return status

    def check_offset(self, upload: Upload) -> Status:
        """
        Read an upload's offset, which lies between the acknowledged one and that of the bytes in doubt.
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
        End one of the uploads, but none that may already be sealed by a request in doubt.
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
        # Only a response reveals whether this token was used, so it is never presented twice.
        self.refresh_token = ""
        self._note_tokens("refresh", self.request_json("refresh", "/auth/refresh", body, anonymous=True))

    def _note_tokens(self, verb: str, response: Response | None) -> None:
        if self.journal.count(verb, response, 200) == 200 and response is not None:
            tokens = response.json()
            self.token, self.refresh_token = tokens["access_token"], tokens["refresh_token"]

    # --- verification ----------------------------------------------------------------------------

    def find_discrepancies(self) -> list[str]:
        """
        List what differs from the acknowledged state; see `find_discrepancies`.
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
                yield f"an upload that has ended still exists: {response and response.status}"

    def finish(self) -> None:
        """
        Complete all deletions and uploads, except one that is left for the sweep to abort.
        """
        # The number of attempts is bounded because there is no load any more: each has to succeed.
        for _ in range(2 * len(self.journal.uncertain)):
            if self.journal.uncertain:
                self.delete_again()
        unfinished = self.uploads[:1]
        for upload in self.uploads[1:]:
            for _ in range(3):
                # After a refusal some bytes may have been stored, as after a missing response.
                if upload in self.uploads and upload.ahead:
                    self.check_offset(upload)
                if upload in self.uploads:
                    self.append(upload, upload.content.size)
        for upload in unfinished:
            self.uploads.remove(upload)
            self.ended.append(upload.path)
            self.journal.unacknowledged.pop(upload.name, None)

    def has_used(self, quota: int) -> Iterator[str]:
        """
        List what is wrong with the usage that the service reports when it refuses an upload by quota.
        """
        response = self.request("verify", "PUT", "/files/too-large.bin", length=quota + 1)
        expected = sum(content.size for content in self.journal.stored.values())
        if response is None or response.status != 413 or response.json()["code"] != "quota-exceeded":
            yield f"no refusal by the quota: {response and response.status}"
        elif response.json()["used"] != expected:
            yield f"{response.json()['used']} bytes are used, the files have {expected}"


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
