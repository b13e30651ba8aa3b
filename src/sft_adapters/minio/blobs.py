"""
Blobs as objects in one bucket of an S3 server, which is not trusted.

The server may be slow, full, unavailable or malicious. It can cause errors only: a blob is reported as missing, of
another size, or unavailable. That the bytes are correct is verified by the cipher.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC
from typing import Final

import attrs
from minio.datatypes import Object
from minio.helpers import DictType
from urllib3.response import BaseHTTPResponse

from sft_adapters.minio.client import S3Client
from sft_adapters.minio.errors import MalformedResponse, S3ErrorResponse
from sft_adapters.minio.http_pool import release
from sft_adapters.minio.put_body import PutBody
from sft_core.errors import BlobExists, BlobMissing, BlobSizeMismatch, BlobStoreUnavailable, InvalidValue
from sft_core.maintenance.store_identity import STORE_ID_BYTES, STORE_ID_NAME, decode_store_id, encode_store_id
from sft_core.vault.ports import BlobInfo, Buffer

_KEY: Final = re.compile(r"[0-9a-f-]{1,64}/[0-9a-f-]{1,64}")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-([0-9]{1,15})/([0-9]{1,15})")
_LENGTH: Final = re.compile(r"[0-9]{1,15}")
_READ_BYTES: Final = 256 << 10


@attrs.frozen
class MinioBlobs:
    """
    Implements `sft_core.vault.ports.IdentifiedBlobStore` in an existing bucket (see `ensure_bucket`).

    With `conditional_writes` the server itself rejects a put to an existing key, so of two concurrent puts of one key
    one succeeds. Without it a put checks for the key first: two concurrent puts may both succeed, and the later bytes
    are kept. This is safe because keys contain 64 random bits for each attempt, so no two puts share one. Of two
    store ids set concurrently the later may be kept too; every later read returns the one that is stored.
    """

    client: S3Client
    bucket: str
    conditional_writes: bool = False

    def put(self, key: str, pieces: Iterable[Buffer], *, size: int) -> None:
        body = PutBody(pieces, size)
        try:
            with self._call(key):
                if not self.conditional_writes and self._exists(key):
                    raise BlobExists(key)
                self._send(key, body)
        except BlobStoreUnavailable:
            # A connection error and an error of the caller's source cannot be distinguished by their type.
            if body.source_error is not None:
                raise body.source_error from None
            raise

    def _exists(self, key: str) -> bool:
        try:
            self._object_size(key)
        except S3ErrorResponse as error:
            if error.is_no_such_key:
                return False
            raise
        return True

    def _object_size(self, key: str) -> int | None:
        found = self.client.minio.stat_object(self.bucket, key)
        if not found.etag:
            raise MalformedResponse("a success response does not identify an object")
        return found.size

    def _send(self, key: str, body: PutBody) -> None:
        try:
            self.client.put(self.bucket, key, body.chunks(), size=body.size, create_only=self.conditional_writes)
        except S3ErrorResponse as error:
            if error.is_key_taken:
                raise BlobExists(key) from None
            raise
        if not body.is_complete:
            raise MalformedResponse("the server acknowledged the put before its end")

    def read_into(self, key: str, start: int, buffer: memoryview, *, size: int) -> None:
        with self._call(key):
            self._read(key, start, buffer, size)

    def _read(self, key: str, start: int, buffer: memoryview, size: int) -> None:
        stop = start + len(buffer)
        wanted: DictType = {"Range": f"bytes={start}-{stop - 1}"}
        try:
            if start >= stop or stop > size:
                length = self._object_size(key)
                if length != size or stop > size:
                    raise BlobSizeMismatch(f"blob {key} has {length} bytes, expected {size}, requested up to {stop}")
                return
            response = self.client.minio.get_object(self.bucket, key, request_headers=wanted)
        except S3ErrorResponse as error:
            if error.is_no_such_key:
                raise BlobMissing(f"blob {key} does not exist") from None
            if error.status == 416:
                raise BlobSizeMismatch(f"blob {key} ends before {start}, expected {size} bytes") from None
            raise
        try:
            for _ in _pieces(response, _leading_bytes(response, start, stop, size)):
                pass
            done = 0
            for piece in _pieces(response, len(buffer)):
                buffer[done : done + len(piece)] = piece
                done += len(piece)
        finally:
            release(response)

    def delete(self, key: str) -> None:
        with self._call(key):
            try:
                self.client.minio.remove_object(self.bucket, key)
            except S3ErrorResponse as error:
                if not error.is_no_such_key:
                    raise

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        objects = iter(self.client.minio.list_objects(self.bucket, prefix=prefix, recursive=True))
        while True:
            with self.client.call(f"blobs {prefix}*"):
                found = next(objects, None)
                info = found and _info(found)
            if found is None:
                return
            if info and info.key.startswith(prefix):
                yield info

    def store_id(self) -> str | None:
        body = bytearray(STORE_ID_BYTES)
        try:
            with self.client.call(STORE_ID_NAME):
                self._read(STORE_ID_NAME, 0, memoryview(body), STORE_ID_BYTES)
        except BlobMissing:
            return None
        except BlobSizeMismatch:
            return ""
        return decode_store_id(body)

    def set_store_id(self, store_id: str) -> str:
        found = self.store_id()
        if found is None:
            with self.client.call(STORE_ID_NAME), suppress(BlobExists):
                self._send(STORE_ID_NAME, PutBody([encode_store_id(store_id)], STORE_ID_BYTES))
            found = self.store_id()
        return found or ""

    def _call(self, key: str) -> AbstractContextManager[None]:
        if not _KEY.fullmatch(key):
            raise InvalidValue("key", "is not a blob key")
        return self.client.call(f"blob {key}")


def _info(found: Object) -> BlobInfo | None:
    """
    Convert an object of a listing; None if its key is not a blob key.
    """
    if not _KEY.fullmatch(found.object_name or ""):
        return None
    if found.size is None or found.size < 0 or found.last_modified is None:
        raise MalformedResponse("a listing lacks a size or a time")
    return BlobInfo(key=str(found.object_name), size=found.size, stored_at=found.last_modified.astimezone(UTC))


def _leading_bytes(response: BaseHTTPResponse, start: int, stop: int, size: int) -> int:
    """
    Return how many body bytes precede the range: 0 unless the whole object was sent.

    A server states the range of a partial body in `Content-Range` (RFC 9110, section 14.4), with status 206 or, as
    some servers do, 200.

    Raises:
        BlobSizeMismatch: The object does not have `size` bytes.
        MalformedResponse: The headers do not state which range the body is, or state another one.
    """
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    length = _LENGTH.fullmatch(response.headers.get("Content-Length", ""))
    if content_range:
        first, last, total = map(int, content_range.groups())
    elif length and response.status == 200:
        first, last, total = 0, int(length[0]) - 1, int(length[0])
    else:
        raise MalformedResponse("the response does not state which range of the object it contains")
    if total != size:
        raise BlobSizeMismatch(f"the blob has {total} bytes, expected {size}")
    if content_range and (first, last) != (start, stop - 1):
        raise MalformedResponse("the response contains another range of the object than requested")
    return start - first


def _pieces(response: BaseHTTPResponse, count: int) -> Iterator[bytes]:
    """
    Yield the next `count` bytes of the response body; the rest is not read.
    """
    while count:
        piece = response.read(min(count, _READ_BYTES), decode_content=False)
        if not piece:
            raise MalformedResponse("the response body is too short")
        yield piece
        count -= len(piece)
