"""
A stored file and its link, as owner and recipient see them, and the required form of a refusal.
"""

from __future__ import annotations

import os
from typing import Any, Final

import attrs
from falcon.testing import Result

from sft_core.values import FileId
from support.app.edge import API, Edge

OTHER: Final = '"00000000000000000000000000000000-1"'
"""An ETag that no file has."""
SIZE: Final = 150_000
CONTENT: Final = os.urandom(SIZE)
"""The bytes of the fixture `shared_file`."""


@attrs.frozen
class Shared:
    """
    A stored file, its download paths by link and by owner, and its expected content.
    """

    service: Edge
    token: str
    id: str
    etag: str
    path: str

    def get(self, method: str = "GET", **headers: str) -> Result:
        """Download through the link; underscores in header names stand for hyphens."""
        return self.service.call(method, self.path, headers=header_names(headers))

    def own(self, method: str = "GET", **headers: str) -> Result:
        """Download as the owner."""
        path = f"/files/{self.id}/download"
        return self.service.call(method, path, token=self.token, headers=header_names(headers))

    def spent(self) -> int:
        response = self.service.call("GET", f"/files/{self.id}", token=self.token)
        return int(response.json["download_count"])

    def blobs(self) -> list[str]:
        """Return the keys of the file's blobs."""
        prefix = f"{FileId.parse(self.id).value.hex}/"
        return [blob.key for blob in self.service.application.vault.read_file.blobs.list(prefix)]


def header_names(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


def share(service: Edge, token: str, file_id: str, **terms: int) -> str:
    response = service.call("POST", f"/files/{file_id}/share", token=token, body=terms)
    assert response.status_code == 200
    return str(response.json["share_url"]).removeprefix(API)


def shared(service: Edge, token: str, content: bytes, **terms: int) -> Shared:
    file = service.store(token, content, "data.bin")
    path = share(service, token, file["id"], **terms)
    etag = service.call("HEAD", path).headers["etag"]
    return Shared(service=service, token=token, id=file["id"], etag=etag, path=path)


def problem(response: Result, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = response.json
    assert (found["status"], found["code"]) == (status, code)
    return found
