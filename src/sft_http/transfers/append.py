"""
Bytes of one request on their way into an upload that may be gone on with.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from functools import partial
from typing import Final

import attrs
from falcon.asgi import Request

from sft_core.application import Application
from sft_core.vault.model import Part
from sft_core.vault.use_cases import Place
from sft_core.vault.use_cases.append import AppendBytes, Writing
from sft_http.asgi.exchange import require_whole_body
from sft_http.concurrency.thread_pools import Lanes
from sft_http.errors import ChecksumMismatch
from sft_http.headers.tus import Checksum, Digest
from sft_http.transfers.part_pipeline import Gathering, PartAfterPart, Parts, PartsAbreast

_RECORDED_TOGETHER: Final = 4
"""How many parts of one request wait for a commit, at most."""


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
        _parts_of(application, lanes, writing, checked, is_small=(req.content_length or part_size + 1) <= part_size),
        lanes.limits.memory,
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


def _parts_of(
    application: Application, lanes: Lanes, writing: Writing, checked: _Checked | None, *, is_small: bool
) -> Parts:
    if checked is not None:
        return PartAfterPart(lanes, checked.store)
    if is_small:
        return PartAfterPart(lanes, partial(application.append_bytes, writing))
    return PartsAbreast(lanes, AppendSteps(application.append_bytes, writing))


@attrs.frozen
class AppendSteps:
    """
    Implements `sft_http.transfers.part_pipeline.Steps` for a large request.

    A part that another one follows already is recorded together with that one, and so a few in one
    commit. What stays unrecorded when a process dies has been told to nobody: the client sends it
    again.
    """

    _append_bytes: AppendBytes
    _writing: Writing

    async def place(self, size: int, *, after: Place | None, refusable: bool) -> Place:
        # Nothing is asked of the database, so nobody who is cut off here loses what has come.
        del refusable
        return self._append_bytes.place(self._writing, size, after=after)

    def put(self, place: Place, plaintext: memoryview, *, taken: Callable[[], object]) -> Part:
        return self._append_bytes.put(self._writing, place, plaintext, taken=taken)

    def settle(self, part: Part | None, *, is_followed: bool) -> None:
        writing = self._writing
        if part is not None:
            self._append_bytes.settle(writing, part)
        # Of an open length each part has to be asked for of the quota, and is kept if it alone fits.
        together = 1 if writing.length is None else _RECORDED_TOGETHER
        if part is None or not is_followed or len(writing.pending) >= together:
            self._append_bytes.record(writing)


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
