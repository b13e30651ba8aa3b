"""
The one place where what an S3 server answers becomes one of our errors.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from typing import Final

from minio.error import MinioException
from urllib3.exceptions import (
    ConnectTimeoutError,
    EmptyPoolError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
    SSLError,
)

from sft_core.errors import BlobStoreFull, BlobStoreUnavailable

_FULL: Final = {
    "EntityTooLarge",
    "InsufficientCapacity",
    "InsufficientStorage",
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
}
_TAKEN: Final = {"PreconditionFailed", "ConditionalRequestConflict"}

# What reading a page that is no S3 answer raises: bad UTF-8, bad XML, elements and numbers that are not there.
UNREADABLE: Final = (ValueError, SyntaxError, AttributeError, TypeError, LookupError, MinioException)


class Refused(Exception):
    """
    The server answered with another status than success; `code` is S3's word for why, or empty.
    """

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{code or 'no S3 error'}, status {status}")
        self.status = status
        self.code = code

    @property
    def says_missing(self) -> bool:
        """
        Whether it says that the object is not there; a 404 of something else than S3 does not count.
        """
        return self.status == 404 and self.code == "NoSuchKey"

    @property
    def says_taken(self) -> bool:
        """
        Whether it says that the key has an object already, or gets one just now.
        """
        return self.status == 412 or self.code in _TAKEN

    @property
    def may_pass(self) -> bool:
        """
        Whether the same request may be answered otherwise later, with nobody mending anything.
        """
        return self.status >= 500 or self.status in {408, 425, 429}


class Malformed(Exception):
    """
    The server's answer is not one that S3 gives.
    """


# The narrower kind stands before the wider one.
_FAULTS: Final = (
    (NameResolutionError, "the name of the server's host is not known"),
    (NewConnectionError, "nobody listens at the server's address"),
    (ConnectTimeoutError, "no connection to the server could be made in time"),
    ((ReadTimeoutError, TimeoutError), "the server did not answer in time"),
    ((SSLError, ssl.SSLError), "the server's certificate was refused, or it speaks no TLS"),
    (EmptyPoolError, "every connection is in use"),
    ((ProtocolError, HTTPException, OSError), "the connection broke off before the whole answer was there"),
)


def _in_words(error: Exception) -> str:
    return next((words for kind, words in _FAULTS if isinstance(error, kind)), type(error).__name__)


@contextmanager
def translated(subject: str) -> Iterator[None]:
    """
    Turn what the SDK and its connections raise into the core's errors; the detail quotes no answer.
    """
    try:
        yield
    except Refused as refused:
        is_full = refused.status == 507 or refused.code in _FULL
        raise (BlobStoreFull if is_full else BlobStoreUnavailable)(f"{subject}: {refused}") from None
    except Malformed as malformed:
        raise BlobStoreUnavailable(f"{subject}: {malformed}") from None
    except (HTTPError, HTTPException, OSError) as error:
        raise BlobStoreUnavailable(f"{subject}: {_in_words(error)}") from None
    except UNREADABLE as error:
        raise BlobStoreUnavailable(f"{subject}: the answer is not S3's ({type(error).__name__})") from None
