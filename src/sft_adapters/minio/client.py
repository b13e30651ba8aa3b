"""
A client of one S3 server: the SDK's, and a streaming conditional put.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from typing import Final

import attrs
from minio import Minio, signer, time
from minio.credentials.providers import StaticProvider
from minio.helpers import BaseURL, DictType

from sft_adapters.minio.errors import MalformedResponse, map_s3_errors
from sft_adapters.minio.http_pool import Transport
from sft_core.errors import ConfigurationError
from sft_core.values import Secret
from sft_core.vault.ports import Buffer

_LABEL: Final = r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_ENDPOINT: Final = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL}){{0,126}}|\[[0-9A-Fa-f:.]{{2,45}}\])(?::([0-9]{{1,5}}))?")
_REGION: Final = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_KEY_TEXT: Final = re.compile(r"[!-~]{1,1024}")
_ETAG: Final = re.compile(r'(?:W/)?"?[0-9A-Za-z+/=_-]{1,128}"?')
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"


@attrs.frozen
class S3Client:
    """
    The SDK's client with its connection pool; shared by threads, but never by processes.
    """

    minio: Minio = attrs.field(repr=False)
    transport: Transport = attrs.field(repr=False)
    _urls: BaseURL = attrs.field(repr=False)
    _credentials: StaticProvider = attrs.field(repr=False)
    _region: str

    @contextmanager
    def call(self, subject: str) -> Iterator[None]:
        """
        Bound a call, of any number of requests, by `call_seconds`, and map its errors.
        """
        with map_s3_errors(subject), self.transport.deadlines.call():
            yield

    def put(self, bucket: str, key: str, chunks: Iterable[Buffer], *, size: int, create_only: bool) -> None:
        """
        Store an object of `size` bytes, sending each chunk before the next is requested.

        With `create_only` the server is asked to reject the put if the key exists (`If-None-Match: *`, RFC 9110,
        section 13.1.2). The SDK's own `put_object` hashes and copies the bytes and cannot be conditional. Here the
        headers are signed and the body is not: a part authenticates itself.

        Raises:
            S3ErrorResponse: The server answered with an error status.
            MalformedResponse: The server did not acknowledge an object.
        """
        rest = iter(chunks)
        # An error of the source at its first chunk is raised before anything is sent.
        first = next(rest, b"")
        condition = {"If-None-Match": "*"} if create_only else {}
        url, headers = self._signed(bucket, key, {"Content-Length": str(size), **condition})
        response = self.transport.urlopen("PUT", url, body=chain([first], rest), headers=headers)
        if response.data or not _ETAG.fullmatch(response.headers.get("ETag", "")):
            raise MalformedResponse("a success response does not acknowledge an object")

    def _signed(self, bucket: str, key: str, extra: Mapping[str, str]) -> tuple[str, DictType]:
        """
        Return the URL and the signed headers of a put (AWS Signature Version 4).
        """
        url = self._urls.build(method="PUT", region=self._region, bucket_name=bucket, object_name=key)
        now = time.utcnow()
        headers: DictType = {
            **extra,
            "Host": url.netloc,
            "Content-Type": "application/octet-stream",
            "x-amz-content-sha256": _UNSIGNED,
            "x-amz-date": time.to_amz_date(now),
        }
        signed = signer.sign_v4_s3(
            method="PUT",
            url=url,
            region=self._region,
            headers=headers,
            credentials=self._credentials.retrieve(),
            content_sha256=_UNSIGNED,
            date=now,
        )
        return url.geturl(), signed

    def close(self) -> None:
        """
        Close the connections that are not in use.
        """
        self.transport.clear()


def open_client(
    *,
    endpoint: str | None,
    access_key: str | None,
    secret_key: Secret | None,
    region: str = "us-east-1",
    secure: bool = True,
    ca_file: str | None = None,
    connect_seconds: float = 2.0,
    read_seconds: float = 10.0,
    call_seconds: float = 60.0,
    connections: int = 16,
) -> S3Client:
    """
    Open a client of the server at `endpoint` (host or host:port), connected on first use.

    `Transport` explains the times. A malformed setting raises `ConfigurationError`, which names it.
    """
    endpoint, access_key = endpoint or "", access_key or ""
    secret = secret_key.reveal().decode("utf-8", "replace") if secret_key else ""
    _check(endpoint=endpoint, access_key=access_key, secret_key=secret, region=region, ca_file=ca_file)
    transport = Transport(
        connect_seconds=connect_seconds,
        read_seconds=read_seconds,
        call_seconds=call_seconds,
        connections=connections,
        ca_file=ca_file,
    )
    credentials = StaticProvider(access_key, secret)
    try:
        urls = BaseURL(f"{'https' if secure else 'http'}://{endpoint}", region)
        minio = Minio(endpoint, secure=secure, region=region, credentials=credentials, http_client=transport)
    except ValueError:
        raise ConfigurationError("MINIO_ENDPOINT is not the address of an S3 server") from None
    return S3Client(minio, transport, urls, credentials, region)


def _check(*, endpoint: str, access_key: str, secret_key: str, region: str, ca_file: str | None) -> None:
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None or not 0 < int(found[1] or 443) < 65536:
        raise ConfigurationError("MINIO_ENDPOINT must be host:port, without a scheme, path or user")
    if not _KEY_TEXT.fullmatch(access_key):
        raise ConfigurationError("MINIO_ACCESS_KEY is not set, or contains a character that no access key has")
    if not _KEY_TEXT.fullmatch(secret_key):
        raise ConfigurationError("MINIO_SECRET_KEY is not set, or contains a character that no secret key has")
    if not _REGION.fullmatch(region):
        raise ConfigurationError("MINIO_REGION must be the name of a region, such as us-east-1")

    if ca_file is None:
        return
    try:
        # Without this check, the first request would fail.
        ssl.create_default_context(cafile=ca_file)
    except OSError:
        raise ConfigurationError("MINIO_CA_FILE is not a file of certificates in PEM format") from None
