"""
The way to the server: a bounded pool of connections that believes no answer more than it must.

It is the HTTP client that the SDK is given. Whatever the server sends, no call outlives its time, no
more is read than the answer may hold, no redirect is followed, and a refusal is an error at once.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

import certifi
from urllib3 import HTTPConnectionPool, HTTPResponse, PoolManager, Timeout
from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse

from sft_adapters.minio.deadlines import Deadlines, keep
from sft_adapters.minio.errors import Malformed, Refused

_GOOD: Final = {200, 204, 206}
_REPEATABLE: Final = {"GET", "HEAD", "DELETE"}
_PAGE_BYTES: Final = 4 << 20
"""A listing's page: a thousand keys of a thousand bytes, escaped, with all that stands around them."""
_REFUSAL_BYTES: Final = 64 << 10
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class Transport(PoolManager):
    """
    A pool of at most `connections` connections to one server; all times are in seconds.

    `connect_seconds` bounds the making of a connection and the wait for a free one, `read_seconds`
    each wait for a sign of life, `call_seconds` a call as a whole. TLS is always verified: against
    `ca_file` (PEM) if it is given, else against the public authorities.
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        read_seconds: float,
        call_seconds: float,
        connections: int,
        ca_file: str | None,
    ) -> None:
        super().__init__(
            num_pools=1,
            maxsize=connections,
            block=True,
            cert_reqs="CERT_REQUIRED",
            ca_certs=ca_file or certifi.where(),
        )
        self.connect_seconds = connect_seconds
        self.deadlines = Deadlines(wait_seconds=read_seconds, call_seconds=call_seconds)

    def _new_pool(self, *args: Any, **options: Any) -> HTTPConnectionPool:  # noqa: ANN401 (urllib3's own)
        pool = super()._new_pool(*args, **options)
        keep(pool, self.deadlines)
        return pool

    def urlopen(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: ANN401 (urllib3 breaks it too)
        """
        Send a request and return its answer, if it is a good one: read, unless `preload_content` is off.

        `Refused` for any other status. A request that may be repeated is sent once more if its
        connection turns out to be dead, as kept ones are after a restart of the server.
        """
        whole = options.pop("preload_content", True)
        try:
            response = self._sent(method, url, **options)
        except ProtocolError as error:
            if method not in _REPEATABLE or isinstance(error.args[-1], TimeoutError):
                raise
            response = self._sent(method, url, **options)
        if response.status not in _GOOD:
            raise _refusal(method, response)
        if not whole:
            return response
        loaded = _loaded(response)
        if method == "DELETE" and (loaded.status != 204 or loaded.data):
            raise Malformed("a success that is not a delete's")
        return loaded

    def _sent(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:  # noqa: ANN401 (urllib3's own)
        seconds = self.deadlines.left(self.connect_seconds)
        return super().urlopen(
            method,
            url,
            redirect=False,
            retries=False,
            timeout=Timeout(connect=seconds),
            pool_timeout=seconds,
            preload_content=False,
            decode_content=False,
            **options,
        )


def release(response: BaseHTTPResponse) -> None:
    """
    Give the connection back if its answer was read to the end, close it otherwise.
    """
    response.close()
    response.release_conn()


def _loaded(response: BaseHTTPResponse) -> HTTPResponse:
    """
    The same answer with its body at hand; `Malformed` if it is longer than any that S3 gives.
    """
    try:
        body = response.read(_PAGE_BYTES + 1, decode_content=False)
    finally:
        release(response)
    if len(body) > _PAGE_BYTES:
        raise Malformed("the answer is too long")
    # Only a document type can make entities, and with them a small page that grows without bound.
    if b"<!DOCTYPE" in body:
        raise Malformed("the answer holds a document type")
    return HTTPResponse(
        io.BytesIO(body),
        headers=response.headers,
        status=response.status,
        decode_content=False,
        enforce_content_length=False,
    )


def _refusal(method: str, response: BaseHTTPResponse) -> Refused:
    """
    The refusal that an answer is; of its body nothing but S3's code is taken.
    """
    try:
        body = response.read(_REFUSAL_BYTES, decode_content=False)
    finally:
        release(response)
    if method == "HEAD" and response.status == 404:
        return Refused(404, "NoSuchKey")  # its answer has no body to say so
    found = _CODE.search(body)
    return Refused(response.status, found[1].decode() if found else "")
