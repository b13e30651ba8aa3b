"""
Bytes of one request on their way into an upload that may be gone on with.
"""

from __future__ import annotations

import hmac
from functools import partial

import attrs
from falcon.asgi import Request

from sft_core.application import Application
from sft_core.vault.appending import Writing
from sft_http.exchange import require_whole_body
from sft_http.gathering import Gathering, PartAfterPart
from sft_http.lanes import Lanes
from sft_http.problems import ChecksumMismatch
from sft_http.tus_headers import Checksum, Digest


async def append(
    application: Application,
    lanes: Lanes,
    writing: Writing,
    req: Request,
    *,
    part_size: int,
    checksum: Checksum | None,
) -> None:
    """
    Add a request's body to an upload; when it returns, every byte of it is durable and recorded.

    If the body breaks off, what has come of it is kept; with a checksum nothing is, because nobody
    can tell any more whether it is right. `ChecksumMismatch` keeps nothing either.
    """
    # A request that brings little needs no large buffer.
    part_size = max(1, min(part_size, part_size if req.content_length is None else req.content_length))
    received = writing.received
    append_bytes = application.append_bytes
    checked = None if checksum is None else _Checked(application, writing, checksum)
    body = Gathering(
        PartAfterPart(lanes, partial(append_bytes, writing) if checked is None else checked.store),
        admit=lambda size: append_bytes.admit(writing, received + size),
        part_size=part_size,
        keeps_what_came=checked is None,
    )
    if checked is None:
        await body.take(req.stream)
        await require_whole_body(req)
        return
    try:
        await body.take(req.stream)
        await require_whole_body(req)
        checked.require()
    except BaseException:
        await lanes.bytes.insist(append_bytes.discard, writing)
        raise
    # Not under the handler: an error out of a commit leaves the outcome unknown, and parts that the
    # manifest may know of are never taken away because of it.
    await lanes.bytes.insist(append_bytes.record, writing)


@attrs.define
class _Checked:
    """
    Stores bytes that are not recorded before their checksum is right.
    """

    _application: Application
    _writing: Writing
    _checksum: Checksum
    _digest: Digest = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._digest = self._checksum.begin()

    def store(self, plaintext: memoryview) -> None:
        self._digest.update(plaintext)
        self._application.append_bytes.store(self._writing, plaintext)

    def require(self) -> None:
        if not hmac.compare_digest(self._digest.digest(), self._checksum.expected):
            raise ChecksumMismatch
