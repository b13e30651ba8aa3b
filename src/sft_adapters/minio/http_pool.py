"""
The SDK's HTTP client: a bounded pool of connections to an untrusted server.

Regardless of what the server sends, no call exceeds its deadline, no more bytes are read than a valid
response has, no redirect is followed, and an error status is raised at once.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

import certifi
from urllib3 import HTTPConnectionPool, HTTPResponse, PoolManager, Timeout
from urllib3.exceptions import ProtocolError
from urllib3.response import BaseHTTPResponse

from sft_adapters.minio.deadlines import Deadlines, enforce_deadlines
from sft_adapters.minio.errors import MalformedResponse, S3ErrorResponse

_SUCCESS_STATUSES: Final = {200, 204, 206}
_IDEMPOTENT_METHODS: Final = {"GET", "HEAD", "DELETE"}
_MAX_BODY_BYTES: Final = 4 << 20
"""The largest listing: 1 000 keys of 1 000 bytes, escaped, with the XML around them."""
_MAX_ERROR_BYTES: Final = 64 << 10
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")


class Transport(PoolManager):
    """
    A pool of at most `connections` connections to one server; all times are in seconds.

    `connect_seconds` bounds connecting and the wait for a free connection, `read_seconds` each wait for
    bytes, `call_seconds` a whole call. The server's certificate is always verified: against `ca_file`
    (PEM) if given, otherwise against the public certificate authorities.
    """

    def __init__(
        self, *, connect_seconds: float, read_seconds: float, call_seconds: float, connections: int, ca_file: str | None
    ) -> None:
        trusted = ca_file or certifi.where()
        super().__init__(num_pools=1, maxsize=connections, block=True, cert_reqs="CERT_REQUIRED", ca_certs=trusted)
        self.connect_seconds = connect_seconds
        self.deadlines = Deadlines(wait_seconds=read_seconds, call_seconds=call_seconds)

    def _new_pool(self, *args: Any, **options: Any) -> HTTPConnectionPool:  # noqa: ANN401 (urllib3's own)
        pool = super()._new_pool(*args, **options)
        enforce_deadlines(pool, self.deadlines)
        return pool

    def urlopen(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:  # type: ignore[override]  # noqa: ANN401 (urllib3 breaks it too)
        """
        Send a request and return its response, with the body read unless `preload_content` is False.

        An idempotent request is retried once if its connection turns out to be closed, as pooled connections are
        after a restart of the server.

        Raises:
            S3ErrorResponse: The response has an error status.
            MalformedResponse: The response violates the protocol.
        """
        preload = options.pop("preload_content", True)
        try:
            response = self._send_once(method, url, **options)
        except ProtocolError as error:
            if method not in _IDEMPOTENT_METHODS or isinstance(error.args[-1], TimeoutError):
                raise
            response = self._send_once(method, url, **options)
        if response.status not in _SUCCESS_STATUSES:
            raise _error_response(method, response)
        if not preload:
            return response
        loaded = _read_whole(response)
        if method == "DELETE" and (loaded.status != 204 or loaded.data):
            raise MalformedResponse("a success response does not match a delete")
        return loaded

    def _send_once(self, method: str, url: str, **options: Any) -> BaseHTTPResponse:  # noqa: ANN401 (urllib3's own)
        seconds = self.deadlines.remaining(self.connect_seconds)
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
    Return the connection to the pool, or close it if its response has unread bytes.
    """
    response.close()
    response.release_conn()


def _read_whole(response: BaseHTTPResponse) -> HTTPResponse:
    try:
        body = response.read(_MAX_BODY_BYTES + 1, decode_content=False)
    finally:
        release(response)
    if len(body) > _MAX_BODY_BYTES:
        raise MalformedResponse("the response is too long")
    # Entities need a document type; with them a small body could expand without bound.
    if b"<!DOCTYPE" in body:
        raise MalformedResponse("the response contains a document type")
    stream, headers, status = io.BytesIO(body), response.headers, response.status
    return HTTPResponse(stream, headers, status, decode_content=False, enforce_content_length=False)


def _error_response(method: str, response: BaseHTTPResponse) -> S3ErrorResponse:
    """
    Convert an error response; of its body only the S3 error code is used.
    """
    try:
        body = response.read(_MAX_ERROR_BYTES, decode_content=False)
    finally:
        release(response)
    if method == "HEAD" and response.status == 404:
        return S3ErrorResponse(404, "NoSuchKey")  # a response to HEAD has no body with the code
    found = _CODE.search(body)
    return S3ErrorResponse(response.status, found[1].decode() if found else "")
