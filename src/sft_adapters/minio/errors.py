"""
Map responses of an S3 server and errors of its connection to the core's errors.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

from minio.error import MinioException
from urllib3 import exceptions

from sft_core.errors import BlobStoreFull, BlobStoreUnavailable

_STORE_FULL_CODES: Final = {
    "EntityTooLarge",
    "InsufficientCapacity",
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_KEY_TAKEN_CODES: Final = {"PreconditionFailed", "ConditionalRequestConflict"}

# Raised for a response that is not S3's: bad UTF-8, bad XML, missing elements, missing or malformed numbers.
PARSING_ERRORS: Final = (ValueError, SyntaxError, AttributeError, TypeError, LookupError, MinioException)


class S3ErrorResponse(Exception):
    """
    A response with an error status; `code` is the S3 error code, or empty.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{code or 'no S3 error'}, status {status}")
        self.status = status
        self.code = code

    @property
    def is_no_such_key(self) -> bool:
        """
        Whether the object does not exist; a 404 without S3's error code does not count.
        """
        return self.status == 404 and self.code == "NoSuchKey"

    @property
    def is_key_taken(self) -> bool:
        """
        Whether the key has an object, or another put of it is in progress.
        """
        return self.status == 412 or self.code in _KEY_TAKEN_CODES

    @property
    def is_store_full(self) -> bool:
        return self.status == 507 or self.code in _STORE_FULL_CODES

    @property
    def is_transient(self) -> bool:
        """
        Whether the same request may succeed later without a change by an operator.
        """
        return self.status >= 500 or self.status in {408, 425, 429}


class MalformedResponse(Exception):
    """
    A response that violates the S3 protocol.
    """


# A subclass comes before its base class.
_CONNECTION_ERRORS: Final = (
    (exceptions.NameResolutionError, "the host name of the server cannot be resolved"),
    (exceptions.NewConnectionError, "no server listens at the address"),
    (exceptions.ConnectTimeoutError, "connecting to the server timed out"),
    ((exceptions.ReadTimeoutError, TimeoutError), "the server did not respond in time"),
    ((exceptions.SSLError, ssl.SSLError), "the server's certificate was rejected, or it does not use TLS"),
    (exceptions.EmptyPoolError, "every connection is in use"),
    ((exceptions.ProtocolError, HTTPException, OSError), "the connection was closed before the end of the response"),
)


def _describe(error: Exception) -> str:
    return next((text for kind, text in _CONNECTION_ERRORS if isinstance(error, kind)), type(error).__name__)


@contextmanager
def map_s3_errors(subject: str) -> Iterator[None]:
    """
    Map errors of the SDK and its connections to the core's; details quote no response.

    Raises:
        BlobStoreFull: The server reports that it has no free space.
        BlobStoreUnavailable: Any other error.
    """
    try:
        yield
    except (S3ErrorResponse, MalformedResponse) as error:
        is_full = isinstance(error, S3ErrorResponse) and error.is_store_full
        raise (BlobStoreFull if is_full else BlobStoreUnavailable)(f"{subject}: {error}") from None
    except (exceptions.HTTPError, HTTPException, OSError) as error:
        raise BlobStoreUnavailable(f"{subject}: {_describe(error)}") from None
    except PARSING_ERRORS as error:
        raise BlobStoreUnavailable(f"{subject}: the response is not S3's ({type(error).__name__})") from None
