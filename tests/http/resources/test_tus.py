"""
Resumable uploads over HTTP (tus 1.0.0): each extension and each rejection.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import attrs
import falcon.testing
import pytest

from sft_core.values import FileId
from sft_core.vault.use_cases import UploadSession
from support.app.edge import API, Edge
from support.app.exchange import RecordedExchange, send_messages
from support.app.library import FaultyBlobs
from support.app.resumable import keys, recorded
from support.app.shared_file import problem

CONTENT = bytes(range(256)) * 600
PART = 65_536
VERSION = {"Tus-Resumable": "1.0.0"}
OFFSET = "application/offset+octet-stream"

Result = falcon.testing.Result


def metadata(**pairs: str | None) -> str:
    return ",".join(key if value is None else f"{key} {encoded(value.encode())}" for key, value in pairs.items())


def encoded(value: bytes) -> str:
    return base64.b64encode(value).decode()


NAMED = {"Upload-Metadata": metadata(filename="notes – 文.txt", filetype="text/plain")}


def create(service: Edge, token: str, length: int | None = None, raw: bytes | None = None, **headers: Any) -> Result:
    given = {**VERSION, **NAMED, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if length is not None:
        given["Upload-Length"] = str(length)
    if raw is not None:
        given.setdefault("Content-Type", OFFSET)
    return service.call("POST", "/tus", token=token, headers=given, raw=raw)


def new_upload(service: Edge, token: str, length: int | None = None, **headers: Any) -> str:
    """
    Create an upload and return its path.
    """
    response = create(service, token, length, **headers)
    assert response.status_code == 201, response.text
    return str(response.headers["location"].removeprefix(API))


def patch(service: Edge, token: str, upload: str, offset: int, chunk: bytes, **headers: str) -> Result:
    given = {**VERSION, "Content-Type": OFFSET, "Upload-Offset": str(offset)}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    return service.call("PATCH", upload, token=token, headers=given, raw=chunk)


def head(service: Edge, token: str, upload: str) -> Result:
    return service.call("HEAD", upload, token=token, headers=VERSION)


def offset_of(service: Edge, token: str, upload: str) -> int:
    return int(head(service, token, upload).headers["upload-offset"])


def acquired(service: Edge, upload: str) -> UploadSession:
    """
    Acquire an upload that has no bytes yet, as another request would.
    """
    application, file_id = service.application, FileId.parse(upload.rpartition("/")[2])
    with application.vault.find_file.begin(read_only=True) as unit:
        stored = unit.files.get(file_id)
    assert stored is not None
    return application.vault.acquire_upload(owner=stored.owner, file_id=file_id, offset=0)


def files(service: Edge, token: str) -> Any:
    return service.call("GET", "/files/", token=token).json


def content(service: Edge, token: str, file: str) -> bytes:
    response = service.call("GET", f"/files/{file}/download", token=token)
    assert response.status_code == 200
    return bytes(response.content)


# --- core protocol --------------------------------------------------------------------------


def test_options_describes_the_server_without_authentication(service: Edge) -> None:
    """OPTIONS returns versions, extensions, checksum algorithms and the maximum size without token or version."""
    for path, allowed in (("/tus", "OPTIONS, POST"), ("/tus/x", "DELETE, HEAD, OPTIONS, PATCH")):
        response = service.call("OPTIONS", path)
        assert (response.status_code, response.headers["allow"]) == (204, allowed)
        assert response.headers["tus-version"] == response.headers["tus-resumable"] == "1.0.0"
        assert response.headers["tus-max-size"] == str(service.settings.uploads.max_file_size)
        assert response.headers["tus-checksum-algorithm"] == "sha1,sha256,sha512,md5"
        assert set(response.headers["tus-extension"].split(",")) == {
            *("creation", "creation-with-upload", "creation-defer-length", "expiration"),
            *("checksum", "termination", "concatenation"),
        }


@pytest.mark.parametrize("version", [None, "0.2.2", "1.0.0, 2.0.0", "1.0"])
def test_request_with_another_version_is_rejected(service: Edge, token: str, version: str | None) -> None:
    """Another or no Tus-Resumable is 412 with the supported version, and the upload stays unchanged."""
    upload = new_upload(service, token, 3)
    headers = {"Content-Type": OFFSET, "Upload-Offset": "0"} | ({} if version is None else {"Tus-Resumable": version})
    for method, path in (("POST", "/tus"), ("PATCH", upload), ("DELETE", upload), ("PATCH", "/tus/unknown")):
        response = service.call(method, path, token=token, headers=headers, raw=b"abc")
        problem(response, 412, "tus-version-not-supported")
        assert response.headers["tus-version"] == response.headers["tus-resumable"] == "1.0.0"
    assert service.call("HEAD", upload, token=token, headers={}).status_code == 412
    assert offset_of(service, token, upload) == 0


def test_upload_in_several_requests_becomes_a_file(service: Edge, token: str) -> None:
    """Each response reports the offset; the last one and every later HEAD also report the file's id."""
    upload = new_upload(service, token, len(CONTENT))
    offset = 0
    for size in (1, 100_000, 7, len(CONTENT) - 100_008):
        response = patch(service, token, upload, offset, CONTENT[offset : offset + size])
        offset += size
        assert (response.status_code, response.headers["upload-offset"]) == (204, str(offset))
        assert response.headers["tus-resumable"] == "1.0.0"
        assert ("x-file-id" in response.headers) == (offset == len(CONTENT))
        reported = head(service, token, upload)
        assert (reported.status_code, reported.headers["upload-offset"]) == (200, str(offset))
        assert reported.headers["upload-length"] == str(len(CONTENT))
        assert reported.headers["upload-metadata"] == NAMED["Upload-Metadata"]
        assert reported.headers["cache-control"] == "no-store"
        assert len(files(service, token)) == (offset == len(CONTENT))
        if offset == len(CONTENT):
            assert response.headers["x-file-id"] == reported.headers["x-file-id"] == upload.rpartition("/")[2]
    (file,) = files(service, token)
    assert file["id"] == upload.rpartition("/")[2]
    assert (file["original_filename"], file["mime_type"]) == ("notes – 文.txt", "text/plain")
    assert (file["file_size"], content(service, token, file["id"])) == (len(CONTENT), CONTENT)
    assert keys(service.application) == recorded(service.application)


def test_patch_at_a_wrong_offset_is_rejected(service: Edge, token: str) -> None:
    """Any offset but the current one is 409, reports the current one, and appends nothing."""
    upload = new_upload(service, token, 9)
    patch(service, token, upload, 0, b"abc")
    for offset in (0, 2, 4, 9, 2**63 - 1):
        response = patch(service, token, upload, offset, b"x")
        problem(response, 409, "offset-mismatch")
        assert response.headers["upload-offset"] == "3"
    assert patch(service, token, upload, 3, b"").headers["upload-offset"] == "3"


@pytest.mark.parametrize("offset", ["", "-1", "+1", "1.0", "1e3", "٣", "9" * 20, str(2**63)])
def test_malformed_or_missing_offset_is_rejected(service: Edge, token: str, offset: str) -> None:
    """A negative, fractional, non-ASCII, oversized or missing Upload-Offset is 400."""
    upload = new_upload(service, token, 9)
    response = patch(service, token, upload, 0, b"x", Upload_Offset=offset.encode().decode("latin-1"))
    problem(response, 400, "malformed-request")
    headers = {**VERSION, "Content-Type": OFFSET}
    problem(service.call("PATCH", upload, token=token, headers=headers, raw=b"x"), 400, "malformed-request")


@pytest.mark.parametrize("media_type", ["application/octet-stream", "text/plain", OFFSET + "; x=y", ""])
def test_body_of_another_media_type_is_rejected(service: Edge, token: str, media_type: str) -> None:
    """A body is 415 unless its type is application/offset+octet-stream, in PATCH and in creation."""
    upload = new_upload(service, token, 9)
    problem(patch(service, token, upload, 0, b"x", Content_Type=media_type), 415, "unsupported-media-type")
    problem(create(service, token, 9, b"x", Content_Type=media_type), 415, "unsupported-media-type")


@pytest.mark.parametrize("method", ["PATCH", "DELETE", "HEAD"])
def test_method_override_is_accepted_for_uploads_only(service: Edge, token: str, method: str) -> None:
    """X-HTTP-Method-Override turns a POST to an upload into PATCH, DELETE or HEAD; any other use is 405."""
    upload = new_upload(service, token, 3)
    headers = {**VERSION, "Content-Type": OFFSET, "Upload-Offset": "0", "X-HTTP-Method-Override": method}
    response = service.call("POST", upload, token=token, headers=headers, raw=b"abc")
    assert response.status_code == (200 if method == "HEAD" else 204)
    assert head(service, token, upload).status_code == (404 if method == "DELETE" else 200)
    headers["X-HTTP-Method-Override"] = "PUT"
    problem(service.call("POST", upload, token=token, headers=headers, raw=b""), 405, "method-not-allowed")
    headers["X-HTTP-Method-Override"] = "DELETE"
    problem(service.call("POST", "/auth/me", token=token, headers=headers), 405, "method-not-allowed")


def test_overtaken_request_appends_nothing(service: Edge, token: str) -> None:
    """A request that is overtaken while its body is received is 409, and its bytes are discarded."""
    upload, application = new_upload(service, token, 5), service.application

    def pieces() -> Iterator[bytes]:
        yield b"la"
        application.vault.store_part(acquired(service, upload), b"new")
        yield b"te"

    late = exchange(service, token, upload, 0, pieces(), announced=4)
    assert (late.status, late.body["code"]) == (409, "upload-taken-over")
    assert offset_of(service, token, upload) == 3
    assert keys(application) == recorded(application)


def test_oversized_patch_does_not_acquire_the_upload(service: Edge, token: str) -> None:
    """A request with too large a Content-Length is 413, and the current writer keeps the upload."""
    upload = new_upload(service, token, 5)
    session = acquired(service, upload)
    refused = exchange(service, token, upload, 0, [b"too long"], announced=8)
    assert (refused.status, refused.body["code"], refused.received_bytes) == (413, "file-too-large", 0)
    service.application.vault.store_part(session, b"first")
    assert offset_of(service, token, upload) == 5


@pytest.mark.parametrize(("announced", "code"), [(41, "file-too-large"), (31, "quota-exceeded")])
@pytest.mark.parametrize("checked", [False, True])
def test_patch_of_a_deferred_length_beyond_a_limit_is_rejected_unread(
    make_edge: Callable[..., Edge], announced: int, code: str, *, checked: bool
) -> None:
    """A Content-Length beyond the file size limit or the quota is 413 before any byte is read."""
    service = make_edge(MAX_FILE_SIZE="40", USER_QUOTA="30")
    token = service.sign_up()
    upload = new_upload(service, token, Upload_Defer_Length="1")
    headers = {"Upload-Checksum": f"sha1 {encoded(bytes(20))}"} if checked else {}
    refused = exchange(service, token, upload, 0, [bytes(announced)], announced=announced, headers=headers)
    assert (refused.status, refused.body["code"], refused.received_bytes) == (413, code, 0)


def test_patch_of_unknown_size_with_a_checksum_stores_no_more_than_the_quota(make_edge: Callable[..., Edge]) -> None:
    """Without Content-Length only the parts that fit are stored; after the rejection none remains."""
    service = make_edge(USER_QUOTA=str(3 * PART))
    store_part = service.application.vault.store_part
    blobs = FaultyBlobs(store_part.blobs, {})
    service = service.with_use_cases(store_part=attrs.evolve(store_part, blobs=blobs))
    token = service.sign_up()
    upload = new_upload(service, token, Upload_Defer_Length="1")
    pieces = (bytes(PART) for _ in range(20))
    refused = exchange(service, token, upload, 0, pieces, headers={"Upload-Checksum": f"sha1 {encoded(bytes(20))}"})
    assert (refused.status, refused.body["code"]) == (413, "quota-exceeded")
    assert blobs.calls["put"] == 3
    assert keys(service.application) == set()
    assert create(service, token, 3 * PART).status_code == 201


# --- interrupted bodies -------------------------------------------------------------------------


def exchange(service: Edge, token: str, upload: str, offset: int, pieces: Any, **more: Any) -> RecordedExchange:
    headers = {**VERSION, "Content-Type": OFFSET, "Upload-Offset": str(offset), **more.pop("headers", {})}
    return send_messages(service, "PATCH", upload, token, pieces, headers=headers, **more)


@pytest.mark.parametrize("announced", [len(CONTENT), None])
@pytest.mark.parametrize("received", [0, 1, 1000, PART, PART + 1, len(CONTENT) - 1])
def test_bytes_received_before_a_disconnect_are_kept(
    service: Edge, token: str, received: int, announced: int | None
) -> None:
    """Every byte received before a disconnect is kept, and the client can resume there and complete the file."""
    upload = new_upload(service, token, len(CONTENT))
    pieces = [CONTENT[start : min(received, start + 1000)] for start in range(0, received, 1000)]
    assert exchange(service, token, upload, 0, pieces, announced=announced, disconnects=True).status == 400
    assert offset_of(service, token, upload) == received
    assert patch(service, token, upload, received, CONTENT[received:]).status_code == 204
    assert content(service, token, upload.rpartition("/")[2]) == CONTENT
    assert keys(service.application) == recorded(service.application)


def test_patch_longer_than_the_upload_is_rejected(service: Edge, token: str) -> None:
    """An announced excess stores nothing; without a length, the bytes received before the excess are kept."""
    upload = new_upload(service, token, 10)
    problem(patch(service, token, upload, 0, bytes(11)), 413, "file-too-large")
    assert offset_of(service, token, upload) == 0
    late = exchange(service, token, upload, 0, [bytes(8), bytes(3)])
    assert (late.status, late.body["code"]) == (413, "file-too-large")
    assert offset_of(service, token, upload) == 8


@pytest.mark.parametrize("received", [0, 10, PART + 10])
def test_interrupted_creation_leaves_nothing(service: Edge, token: str, received: int) -> None:
    """An upload whose creation is interrupted is deleted, because the client has not received its URL."""
    headers = {**VERSION, **NAMED, "Content-Type": OFFSET, "Upload-Length": "100000"}
    pieces = [CONTENT[:received]] if received else []
    response = send_messages(
        service, "POST", "/tus", token, pieces, announced=100_000, disconnects=True, headers=headers
    )
    assert response.status == 400
    assert service.is_empty()


# --- creation ----------------------------------------------------------------------------------------


def test_creation_may_carry_bytes(service: Edge, token: str) -> None:
    """The response reports the offset of the bytes it carried and, if they are all, the file's id."""
    some = create(service, token, 10, b"abc")
    assert (some.status_code, some.headers["upload-offset"]) == (201, "3")
    assert "x-file-id" not in some.headers
    every = create(service, token, len(CONTENT), CONTENT)
    assert (every.status_code, every.headers["upload-offset"]) == (201, str(len(CONTENT)))
    assert content(service, token, every.headers["x-file-id"]) == CONTENT
    assert len(files(service, token)) == 1


def test_creation_with_a_body_longer_than_the_upload_is_rejected_unread(service: Edge, token: str) -> None:
    """A Content-Length above Upload-Length is 413 before any byte is read, and no upload remains."""
    headers = {**VERSION, **NAMED, "Content-Type": OFFSET, "Upload-Length": "2"}
    refused = send_messages(service, "POST", "/tus", token, [b"abc"], announced=3, headers=headers)
    assert (refused.status, refused.body["code"], refused.received_bytes) == (413, "file-too-large", 0)
    assert service.is_empty()


def test_upload_of_length_zero_is_a_file_at_once(service: Edge, token: str) -> None:
    """A creation with Upload-Length 0 returns the id of a complete, empty file."""
    response = create(service, token, 0)
    assert (response.status_code, content(service, token, response.headers["x-file-id"])) == (201, b"")


def test_deferred_length_is_declared_once(service: Edge, token: str) -> None:
    """Any PATCH may declare the length, which then stays fixed; until then HEAD returns Upload-Defer-Length."""
    upload = new_upload(service, token, Upload_Defer_Length="1")
    assert patch(service, token, upload, 0, b"abc").status_code == 204
    reported = head(service, token, upload)
    assert (reported.headers["upload-defer-length"], "upload-length" in reported.headers) == ("1", False)
    problem(patch(service, token, upload, 3, b"d", Upload_Length="2"), 422, "invalid-value")
    assert patch(service, token, upload, 3, b"d", Upload_Length="6").status_code == 204
    reported = head(service, token, upload)
    assert (reported.headers["upload-length"], "upload-defer-length" in reported.headers) == ("6", False)
    problem(patch(service, token, upload, 4, b"ef", Upload_Length="7"), 409, "length-announced")
    assert patch(service, token, upload, 4, b"ef", Upload_Length="6").headers["x-file-id"]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "1", "Upload-Defer-Length": "1"},
        {"Upload-Defer-Length": "0"},
        {"Upload-Length": "-1"},
        {"Upload-Length": "x"},
        {"Upload-Length": "1", "Upload-Concat": "total"},
        {"Upload-Concat": "final;"},
        {"Upload-Concat": "final;/elsewhere/x"},
        {"Upload-Concat": f"final;{API}/tus/x"},
        {"Upload-Length": "1", "Upload-Concat": f"final;{API}/tus/{'0' * 8}-{'0' * 4}-{'0' * 4}-{'0' * 4}-{'0' * 12}"},
        {"Upload-Length": "1", "Upload-Metadata": "filename YQ==,filename YQ=="},
        {"Upload-Length": "1", "Upload-Metadata": "filename Y"},
        {"Upload-Length": "1", "Upload-Metadata": "filename /w=="},
        {"Upload-Length": "1", "Upload-Metadata": ",filename YQ=="},
        {"Upload-Length": "1", "Upload-Metadata": "filename YQ==,x " + "A" * 4096},
    ],
)
def test_contradictory_or_malformed_creation_is_rejected(service: Edge, token: str, headers: Mapping[str, str]) -> None:
    """Missing, contradictory or malformed creation headers are 400, and no upload is created."""
    response = service.call("POST", "/tus", token=token, headers={**VERSION, **NAMED, **headers})
    problem(response, 400, "malformed-request")
    assert service.is_empty()


@pytest.mark.parametrize(
    ("pairs", "code"),
    [
        ({}, "invalid-value"),
        ({"filetype": "text/plain"}, "invalid-value"),
        ({"filename": "../x"}, "invalid-file-name"),
        ({"filename": ""}, "invalid-file-name"),
        ({"filename": "a", "max_downloads": "0"}, "invalid-value"),
        ({"filename": "a", "max_downloads": "x"}, "invalid-input"),
        ({"filename": "a", "expires_hours": "721"}, "invalid-value"),
        ({"filename": "a", "is_public": "maybe"}, "invalid-input"),
    ],
)
def test_invalid_metadata_is_rejected(service: Edge, token: str, pairs: dict[str, str], code: str) -> None:
    """Metadata without a valid file name, or with invalid share terms, is 422 as in a form."""
    problem(create(service, token, 1, Upload_Metadata=metadata(**pairs)), 422, code)
    assert service.is_empty()


@pytest.mark.parametrize("names", [("filename", "filetype"), ("name", "type")])
def test_metadata_sets_name_type_and_share_terms(service: Edge, token: str, names: tuple[str, str]) -> None:
    """Name and type are accepted under either key, other keys are kept, and HEAD returns the metadata unchanged."""
    pairs = {names[0]: "a.txt", names[1]: "nonsense", "is_public": "TRUE", "max_downloads": "3", "expires_hours": "5"}
    messages = metadata(**pairs, relativePath=None, other="x")
    upload = new_upload(service, token, 1, Upload_Metadata=messages)
    assert head(service, token, upload).headers["upload-metadata"] == messages
    patch(service, token, upload, 0, b"x")
    (file,) = files(service, token)
    assert (file["original_filename"], file["mime_type"]) == ("a.txt", "application/octet-stream")
    assert (file["is_public"], file["max_downloads"]) == (True, 3)
    assert service.call("GET", f"/files/shared/{file['share_token']}").content == b"x"


# --- expiration -----------------------------------------------------------------------------------


def test_upload_reports_its_expiry(service: Edge, token: str) -> None:
    """Upload-Expires is 24 hours after the last received byte, and absent once the file is complete."""
    response = create(service, token, 3)
    assert response.headers["upload-expires"] == "Fri, 02 Jan 2026 00:00:00 GMT"
    upload = response.headers["location"].removeprefix(API)
    # Within the lifetime of the access token.
    service.clock.advance(minutes=20)
    assert patch(service, token, upload, 0, b"ab").headers["upload-expires"] == "Fri, 02 Jan 2026 00:20:00 GMT"
    assert head(service, token, upload).headers["upload-expires"] == "Fri, 02 Jan 2026 00:20:00 GMT"
    assert "upload-expires" not in patch(service, token, upload, 2, b"c").headers


# --- checksum --------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
@pytest.mark.parametrize("size", [1, 1000, PART, PART + 1000])
def test_bytes_with_a_wrong_checksum_are_discarded(service: Edge, token: str, algorithm: str, size: int) -> None:
    """A mismatch is 460 and discards every part of the request; with the correct checksum all are kept."""
    upload = new_upload(service, token, 3 + size)
    patch(service, token, upload, 0, b"abc")
    digest = hashlib.new(algorithm, CONTENT[:size]).digest()
    wrong = bytes([digest[0] ^ 1, *digest[1:]])
    response = patch(service, token, upload, 3, CONTENT[:size], Upload_Checksum=f"{algorithm} {encoded(wrong)}")
    assert problem(response, 460, "checksum-mismatch")["title"] == "Checksum Mismatch"
    assert offset_of(service, token, upload) == 3
    assert keys(service.application) == recorded(service.application)
    response = patch(service, token, upload, 3, CONTENT[:size], Upload_Checksum=f"{algorithm} {encoded(digest)}")
    assert response.status_code == 204
    assert content(service, token, response.headers["x-file-id"]) == b"abc" + CONTENT[:size]


def test_interrupted_bytes_with_a_checksum_are_discarded(service: Edge, token: str) -> None:
    """The bytes of an interrupted request with a checksum are deleted, because they cannot be verified."""
    upload = new_upload(service, token, len(CONTENT))
    headers = {"Upload-Checksum": f"sha1 {encoded(hashlib.sha1(CONTENT).digest())}"}
    pieces = [CONTENT[:100_000]]
    assert (
        exchange(service, token, upload, 0, pieces, announced=len(CONTENT), disconnects=True, headers=headers).status
        == 400
    )
    assert offset_of(service, token, upload) == 0
    assert keys(service.application) == set()


@pytest.mark.parametrize("checksum", ["crc32 AAAA", "sha1", "sha1 ", "sha1 AAAA", "sha1 !", "SHA1 AAAA"])
def test_malformed_or_unsupported_checksum_is_rejected(service: Edge, token: str, checksum: str) -> None:
    """An unknown algorithm or a malformed digest is 400, and the upload keeps its offset."""
    upload = new_upload(service, token, 3)
    problem(patch(service, token, upload, 0, b"abc", Upload_Checksum=checksum), 400, "malformed-request")
    assert offset_of(service, token, upload) == 0


def test_creation_with_a_wrong_checksum_leaves_nothing(service: Edge, token: str) -> None:
    """A creation whose body has the wrong checksum is 460, and no upload remains."""
    wrong = f"sha1 {encoded(bytes(20))}"
    problem(create(service, token, 3, b"abc", Upload_Checksum=wrong), 460, "checksum-mismatch")
    assert service.is_empty()


# --- termination ------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [0, 2, 3])
def test_terminated_upload_is_not_found(service: Edge, token: str, sent: int) -> None:
    """After DELETE each request is 404, whether the upload had no bytes, some, or was a complete file."""
    upload = new_upload(service, token, 3)
    patch(service, token, upload, 0, b"abc"[:sent])
    assert service.call("DELETE", upload, token=token, headers=VERSION).status_code == 204
    assert service.is_empty()
    assert head(service, token, upload).status_code == 404
    problem(patch(service, token, upload, sent, b""), 404, "file-not-found")
    problem(service.call("DELETE", upload, token=token, headers=VERSION), 404, "file-not-found")


# --- concatenation -----------------------------------------------------------------------------------


def partial(service: Edge, token: str, piece: bytes) -> str:
    upload = new_upload(service, token, len(piece), Upload_Concat="partial", Upload_Metadata="")
    assert "x-file-id" not in patch(service, token, upload, 0, piece).headers
    return upload


def final(service: Edge, token: str, *uploads: str, **headers: Any) -> Result:
    urls = " ".join((API if path.startswith("/") else "") + path for path in uploads)
    return create(service, token, Upload_Concat=f"final;{urls}", **headers)


def test_partial_uploads_are_concatenated(service: Edge, token: str) -> None:
    """They are joined in the requested order, by path or full URL; they are never listed, and are deleted."""
    first, second = partial(service, token, CONTENT), partial(service, token, b"tail")
    assert head(service, token, first).headers["upload-concat"] == "partial"
    assert files(service, token) == []
    response = final(service, token, f"https://files.example.org{API}{second}", first)
    assert (response.status_code, response.headers["upload-offset"]) == (201, str(len(CONTENT) + 4))
    (file,) = files(service, token)
    assert file["id"] == response.headers["x-file-id"]
    assert content(service, token, file["id"]) == b"tail" + CONTENT
    upload = response.headers["location"].removeprefix(API)
    reported = head(service, token, upload)
    assert reported.headers["upload-concat"] == f"final;{API}{second} {API}{first}"
    assert reported.headers["upload-length"] == reported.headers["upload-offset"]
    problem(patch(service, token, upload, len(CONTENT) + 4, b""), 403, "upload-is-final")
    assert head(service, token, first).status_code == 404
    assert keys(service.application) == recorded(service.application)


def test_unsuitable_uploads_are_not_concatenated(service: Edge, token: str) -> None:
    """Unfinished, non-partial and other users' uploads are rejected; a final upload needs a name and has no body."""
    noor = service.sign_up("noor")
    usable, others = partial(service, token, b"x"), partial(service, noor, b"x")
    short = new_upload(service, token, 2, Upload_Concat="partial")
    ordinary = new_upload(service, token, 1)
    for wrong in (short, ordinary):
        problem(final(service, token, usable, wrong), 409, "partial-unfinished")
    problem(final(service, token, usable, others), 404, "file-not-found")
    problem(create(service, token, raw=b"x", Upload_Concat=f"final;{API}{usable}"), 400, "malformed-request")
    problem(final(service, token, usable, Upload_Metadata=metadata()), 422, "invalid-value")
    assert files(service, token) == []
    assert offset_of(service, token, usable) == 1


# --- ownership, limits, file types --------------------------------------------------------------------


def test_upload_of_another_user_is_not_found(service: Edge, token: str) -> None:
    """HEAD, PATCH and DELETE by another user are 404; a request without a token is 401."""
    noor = service.sign_up("noor")
    upload = new_upload(service, token, 3)
    assert head(service, noor, upload).status_code == 404
    problem(patch(service, noor, upload, 0, b"x"), 404, "file-not-found")
    problem(service.call("DELETE", upload, token=noor, headers=VERSION), 404, "file-not-found")
    problem(patch(service, "", upload, 0, b"x"), 401, "not-authenticated")
    problem(create(service, "", 3), 401, "not-authenticated")
    problem(patch(service, token, "/tus/x", 0, b"x"), 404, "file-not-found")
    assert offset_of(service, token, upload) == 0


def test_limits_apply_at_creation_and_later(make_edge: Callable[..., Edge]) -> None:
    """File size, quota and types are checked at creation; size and quota also for later bytes and lengths."""
    service = make_edge(MAX_FILE_SIZE="100", USER_QUOTA="150", ALLOWED_EXTENSIONS=".txt")
    token = service.sign_up()
    assert service.call("OPTIONS", "/tus").headers["tus-max-size"] == "100"
    problem(create(service, token, 101), 413, "file-too-large")
    problem(create(service, token, 1, Upload_Metadata=metadata(filename="a.exe")), 400, "file-type-not-allowed")
    new_upload(service, token, 90)
    reported = problem(create(service, token, 61), 413, "quota-exceeded")
    assert (reported["quota"], reported["used"]) == (150, 90)
    upload = new_upload(service, token, Upload_Defer_Length="1")
    assert patch(service, token, upload, 0, bytes(50)).status_code == 204
    problem(patch(service, token, upload, 50, bytes(11)), 413, "quota-exceeded")
    problem(patch(service, token, upload, 50, bytes(51)), 413, "file-too-large")
    problem(patch(service, token, upload, 50, b"", Upload_Length="61"), 413, "quota-exceeded")
    problem(patch(service, token, upload, 50, b"", Upload_Length="101"), 413, "file-too-large")
    assert offset_of(service, token, upload) == 50


# --- cross-origin requests ---------------------------------------------------------------------------


def test_allowed_origin_may_use_tus(make_edge: Callable[..., Edge]) -> None:
    """A listed origin may send the tus headers and read those of the response; any other origin may not."""
    service = make_edge(ALLOWED_ORIGINS="https://files.example.org")
    token = service.sign_up()
    preflight = {"Origin": "https://files.example.org", "Access-Control-Request-Method": "PATCH"}
    preflight["Access-Control-Request-Headers"] = "authorization,content-type,tus-resumable,upload-offset"
    response = service.call("OPTIONS", "/tus/x", headers=preflight)
    assert response.headers["access-control-allow-origin"] == "https://files.example.org"
    assert "PATCH" in response.headers["access-control-allow-methods"]
    assert response.headers["access-control-allow-headers"] == preflight["Access-Control-Request-Headers"]
    response = create(service, token, 3, Origin="https://files.example.org")
    exposed = {name.strip().lower() for name in response.headers["access-control-expose-headers"].split(",")}
    reported = {name for name in response.headers if name.startswith(("upload-", "tus-", "x-file"))}
    assert exposed >= reported | {
        "location",
        "upload-offset",
        "upload-length",
        "tus-version",
        "tus-extension",
        "x-file-id",
    }
    other = create(service, token, 3, Origin="https://elsewhere.example.org")
    assert "access-control-allow-origin" not in other.headers


# --- expiry and the sweep -----------------------------------------------------------------------


def expiry(response: Result) -> datetime:
    return parsedate_to_datetime(response.headers["upload-expires"])


def test_upload_is_kept_until_its_reported_expiry(service: Edge, token: str) -> None:
    """Each PATCH extends the expiry; a sweep one microsecond before the latest one deletes nothing."""
    upload = new_upload(service, token, 30)
    reported = expiry(head(service, token, upload))
    for offset in (0, 10):
        service.clock.advance(hours=23, microseconds=700_001)
        token = service.sign_in()["access_token"]
        response = patch(service, token, upload, offset, b"x" * 10)
        assert expiry(response) - reported > timedelta(hours=22)
        reported = expiry(response)
        assert expiry(head(service, token, upload)) == reported
    service.clock.advance(microseconds=(reported - service.clock.now()) / timedelta(microseconds=1) - 1)
    assert service.application.maintenance.sweep().given_up == 0
    token = service.sign_in()["access_token"]
    assert patch(service, token, upload, 20, b"x" * 10).status_code == 204
    assert content(service, token, files(service, token)[0]["id"]) == b"x" * 30


@pytest.mark.parametrize("is_swept", [False, True])
def test_expired_upload_is_not_found_before_and_after_the_sweep(service: Edge, token: str, *, is_swept: bool) -> None:
    """HEAD, PATCH, DELETE and concatenation are 404; other uploads are unaffected."""
    upload = new_upload(service, token, 30)
    piece = new_upload(service, token, 3, Upload_Concat="partial")
    assert patch(service, token, piece, 0, b"abc").status_code == 204
    service.clock.advance(hours=24)
    token = service.sign_in()["access_token"]
    newer = new_upload(service, token, 30)
    if is_swept:
        assert service.application.maintenance.sweep().given_up == 2
    assert head(service, token, upload).status_code == 404
    assert patch(service, token, upload, 0, b"x" * 30).status_code == 404
    assert service.call("DELETE", upload, token=token, headers=VERSION).status_code == 404
    assert create(service, token, Upload_Concat=f"final;{API}{piece}").status_code == 404
    assert offset_of(service, token, newer) == 0
    assert service.application.maintenance.sweep().given_up == (0 if is_swept else 2)
