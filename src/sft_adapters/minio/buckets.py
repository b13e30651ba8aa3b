"""
Create or check the bucket at the start.
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from http.client import BadStatusLine, RemoteDisconnected
from typing import Final

from minio.helpers import check_bucket_name
from urllib3.exceptions import HTTPError, ProtocolError, SSLError

from sft_adapters.minio.client import S3Client
from sft_adapters.minio.errors import PARSING_ERRORS, MalformedResponse, S3ErrorResponse
from sft_core.errors import BlobStoreUnavailable, ConfigurationError

_NOT_S3: Final = "MINIO_ENDPOINT does not answer as an S3 server (does MINIO_SECURE match it?)"
_DISCONNECTED: Final = (
    "the server closed the connection without an answer: is it an S3 server, and does MINIO_SECURE match it?"
)
_REGION: Final = "MINIO_REGION is not the region of this server or bucket"
_EXPLANATIONS: Final = {
    "": _NOT_S3,
    "AccessDenied": "MINIO_ACCESS_KEY is unknown or is not allowed to use MINIO_BUCKET_NAME",
    "AuthorizationHeaderMalformed": _REGION,
    "BucketAlreadyExists": "MINIO_BUCKET_NAME belongs to another account",
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": "MINIO_ACCESS_KEY is unknown to the server",
    "InvalidBucketName": "MINIO_BUCKET_NAME is not a name that the server accepts",
    "InvalidRegion": _REGION,
    "PermanentRedirect": _REGION,
    "RequestTimeTooSkewed": "the clocks of this machine and of MINIO_ENDPOINT differ by too much",
    "SignatureDoesNotMatch": "MINIO_SECRET_KEY does not belong to MINIO_ACCESS_KEY",
    "TemporaryRedirect": _REGION,
}
_ALREADY_CREATED: Final = {"BucketAlreadyExists", "BucketAlreadyOwnedByYou", "OperationAborted"}


def ensure_bucket(client: S3Client, bucket: str) -> None:
    """
    Create a private bucket if it is missing; several processes may do so at once.

    Raises:
        ConfigurationError: A setting is wrong; the error names it.
        BlobStoreUnavailable: The server does not respond or is temporarily unable to serve.
    """
    try:
        check_bucket_name(bucket, strict=True)
    except ValueError:
        raise ConfigurationError("MINIO_BUCKET_NAME must have 3 to 63 lower-case letters, digits and hyphens") from None
    with client.call(f"bucket {bucket}"):
        try:
            _find_or_create(client, bucket)
        except S3ErrorResponse as error:
            if error.is_transient:
                raise
            explanation = _EXPLANATIONS.get(error.code, "MINIO_BUCKET_NAME cannot be used")
            raise ConfigurationError(f"{explanation} ({error})") from None
        except SSLError:
            raise ConfigurationError(
                "MINIO_ENDPOINT has no trusted certificate (see MINIO_CA_FILE), or does not use TLS (see MINIO_SECURE)"
            ) from None
        except ProtocolError as error:
            if isinstance(error.args[-1], RemoteDisconnected):
                raise BlobStoreUnavailable(_DISCONNECTED) from None
            if isinstance(error.args[-1], BadStatusLine):
                raise ConfigurationError(_NOT_S3) from None
            raise
        except (MalformedResponse, *PARSING_ERRORS):
            raise ConfigurationError(_NOT_S3) from None


def _find_or_create(client: S3Client, bucket: str) -> None:
    try:
        _find(client, bucket)
    except S3ErrorResponse as error:
        if error.code != "NoSuchBucket":
            raise
    else:
        return
    try:
        client.minio.make_bucket(bucket)
    except S3ErrorResponse as error:
        if error.code not in _ALREADY_CREATED:
            raise
        try:
            _find(client, bucket)
        except S3ErrorResponse:
            raise error from None


def _find(client: S3Client, bucket: str) -> None:
    """
    List one object, since a HEAD response neither identifies S3 nor explains a refusal.
    """
    next(iter(client.minio.list_objects(bucket, recursive=True)), None)


def supports_conditional_writes(client: S3Client, bucket: str) -> bool:
    """
    Return whether the server enforces `If-None-Match: *`, tested by putting a small object twice.

    `ConfigurationError` is raised if the credentials are not allowed to write.
    """
    key = f"sft-probe-{secrets.token_hex(8)}"
    with client.call(f"bucket {bucket}"):
        try:
            return _rejects_second_put(client, bucket, key)
        except S3ErrorResponse as error:
            if error.is_transient:
                raise
            raise ConfigurationError(f"MINIO_ACCESS_KEY cannot write to MINIO_BUCKET_NAME ({error})") from None


def _rejects_second_put(client: S3Client, bucket: str, key: str) -> bool:
    """
    Put an object twice, the second time conditionally; status 400 or 501 means no support.
    """
    client.put(bucket, key, [], size=0, create_only=False)
    try:
        client.put(bucket, key, [], size=0, create_only=True)
    except S3ErrorResponse as error:
        if error.status not in {400, 412, 501}:
            raise
        return error.status == 412
    finally:
        with suppress(S3ErrorResponse, MalformedResponse, HTTPError, OSError):
            client.minio.remove_object(bucket, key)
    return False
