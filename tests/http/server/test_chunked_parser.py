"""
Chunked bodies: parsed a few chunks at a time, coalesced, and accepted or rejected as by gunicorn's own parser.
"""

from __future__ import annotations

import asyncio
from typing import Any

import attrs
import pytest
from gunicorn.asgi.parser import CallbackRequest, InvalidChunkExtension, PythonProtocol
from hypothesis import example, given
from hypothesis import strategies as st

from sft_http.server.chunked_parser import (
    MAX_CHUNKS_PER_FEED,
    MAX_FRAMING_BYTES,
    BoundedChunkParser,
    CoalescingReceiver,
)
from sft_http.server.protocol import SftProtocol
from support.protocol import InProcessWorker

HEAD = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
BYTES = 20_000
SMALL = b"1\r\na\r\n" * BYTES
LAST = b"0\r\n\r\n"


@attrs.define
class Delivered:
    """
    What a parser has delivered of a request.
    """

    pieces: list[bytes] = attrs.field(factory=list)
    ended_after: int | None = None

    def end(self) -> None:
        self.ended_after = len(b"".join(self.pieces))


def parser_of(kind: type[Any]) -> tuple[Any, Delivered]:
    delivered = Delivered()
    parser = kind(on_body=delivered.pieces.append, on_message_complete=delivered.end)
    parser.feed(HEAD)
    return parser, delivered


def outcome(kind: type[Any], parts: list[bytes]) -> tuple[bytes, int | None, str, bytes]:
    """
    The content that a parser delivers of a body in these parts, where it ends, its error, and the rest.
    """
    parser, delivered = parser_of(kind)
    error = ""
    try:
        for part in parts:
            parser.feed(part)
            while getattr(parser, "has_backlog", False):
                parser.feed(b"")
    except Exception as refused:  # noqa: BLE001 (the other parser must raise the same error)
        error = type(refused).__name__
    rest = b"" if error else bytes(parser._buffer)
    return b"".join(delivered.pieces), delivered.ended_after, error, rest


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    """
    The data in parts of these lengths, and the rest.
    """
    parts, at = [], 0
    for cut in cuts:
        parts.append(data[at : at + cut])
        at += cut
    return [*parts, data[at:]]


def test_feed_parses_a_limited_number_of_chunks() -> None:
    """A feed parses at most 64 of the received chunks and reports a backlog; empty feeds parse the rest."""
    parser, delivered = parser_of(BoundedChunkParser)
    parser.feed(SMALL + LAST)
    feeds = 1
    while parser.has_backlog:
        assert len(delivered.pieces) == feeds * MAX_CHUNKS_PER_FEED
        assert parser.unparsed_bytes == len(SMALL + LAST) - feeds * MAX_CHUNKS_PER_FEED * 6 + 2
        parser.feed(b"")
        feeds += 1
    assert feeds == -(-BYTES // MAX_CHUNKS_PER_FEED)
    assert (delivered.ended_after, parser.unparsed_bytes) == (BYTES, 0)


def test_data_received_during_a_backlog_is_parsed_after_it() -> None:
    """This includes the end of the request; the bytes of the next request are left as received."""
    parser, delivered = parser_of(BoundedChunkParser)
    parser.feed(SMALL)
    while parser.unparsed_bytes > len(SMALL) // 2:
        parser.feed(b"")
    parser.feed(b"2\r\nzz\r\n" + LAST + HEAD)
    while parser.has_backlog:
        parser.feed(b"")
    assert b"".join(delivered.pieces) == b"a" * BYTES + b"zz"
    assert (delivered.ended_after, parser.remaining()) == (BYTES + 2, HEAD)


def test_large_chunks_are_parsed_at_once() -> None:
    """One feed parses all large chunks that were received at once, and passes each on in one piece."""
    parser, delivered = parser_of(BoundedChunkParser)
    chunk = b"fff0\r\n" + bytes(0xFFF0) + b"\r\n"
    parser.feed(4 * chunk)
    assert not parser.has_backlog
    assert list(map(bytes, delivered.pieces)) == 4 * [bytes(0xFFF0)]


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_body_with_a_length_is_passed_on_as_it_is_received(size: int) -> None:
    """Nothing of it is retained; with its last byte the request ends, and its successor is left as it was received."""
    delivered = Delivered()
    parser = BoundedChunkParser(on_body=delivered.pieces.append, on_message_complete=delivered.end)
    parser.feed(b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * size))
    first, second = bytes(size), b"b" * size
    parser.feed(first)
    assert delivered.pieces == [first]
    assert (delivered.ended_after, parser.unparsed_bytes) == (None, 0)
    parser.feed(second + HEAD)
    assert b"".join(delivered.pieces) == first + second
    assert (delivered.ended_after, parser.remaining()) == (2 * size, HEAD)


@given(body=st.binary(min_size=1, max_size=300), tail=st.binary(max_size=40), cuts=st.lists(st.integers(0, 60)))
def test_body_with_a_length_ends_where_the_base_class_ends_it(body: bytes, tail: bytes, cuts: list[int]) -> None:
    """For any split and any bytes behind the body, content, end and rest are the same."""
    head = b"PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
    parts = split(head + body + tail, [len(head), *cuts])
    found = []
    for kind in (BoundedChunkParser, PythonProtocol):
        delivered = Delivered()
        parser = kind(on_body=delivered.pieces.append, on_message_complete=delivered.end)
        for part in parts:
            parser.feed(part)
        found.append((b"".join(delivered.pieces), delivered.ended_after, parser.remaining()))
    assert found[0] == found[1] == (body, len(body), tail)


SIZES = st.sampled_from([b"%x", b"%X", b"000%x", b"%x", b"%x", b" %x", b"0x%x", b"-%x", b"%xg", b""])
EXTENSIONS = st.sampled_from(
    [*[b""] * 8, b";a", b" ; a = b", b'\t;a="q;\\" x";b', b" ", b";", b";a=", b';a="', b";\r", b";a\n", b'"', b"\x00"]
)
ENDS = st.sampled_from([*[b"\r\n"] * 20, b"", b"\r", b"\n", b"xx", b"\r\r", b"\r\n\r\n"])
CONTENT = st.binary(min_size=1, max_size=12) | st.sampled_from([b"\r\n", b"\r\n0\r\n\r\n", bytes(300)])
TAILS = st.sampled_from(
    [
        LAST,
        b"000;a\r\n\r\n",
        b"0\r\nT: a\r\n\r\n",
        b"0\r\nHost: a\r\n\r\n",
        b"0\r\n" + b"T: a\r\n" * 101 + b"\r\n",
        b"0\r\n\r\nGET / HTTP/1.1\r\n",
        b"0\n\n",
        b"",
    ]
)


@st.composite
def chunked_bodies(draw: st.DrawFn) -> bytes:
    """
    A chunked body, well-formed or nearly so, for one feed or several.
    """
    made = bytearray()
    for _ in range(draw(st.integers(0, 6))):
        content, size = draw(CONTENT), draw(SIZES)
        line = (size % len(content) if size else size) + draw(EXTENSIONS)
        made += (line + b"\r\n" + content + draw(ENDS)) * draw(st.sampled_from([1, 1, 1, MAX_CHUNKS_PER_FEED + 1]))
    return bytes(made) + draw(TAILS)


@given(body=chunked_bodies(), cuts=st.lists(st.integers(1, 5000), max_size=40))
@example(body=b"3\r\nabc\r\n" + LAST, cuts=[1] * 20)
@example(body=b"12\r\n" + bytes(18) + b"\r\n" + LAST, cuts=[2, 30])
def test_chunked_body_is_accepted_or_rejected_as_by_the_base_class(body: bytes, cuts: list[int]) -> None:
    """For any split of the body, content, end, error and rest are the same."""
    parts = split(body, cuts)
    assert outcome(BoundedChunkParser, parts) == outcome(PythonProtocol, parts)


@pytest.mark.parametrize("line", [b"1;a=" + b"b" * 4000, b"0" * 4000 + b"1", b"1" + b";a" * 2000])
def test_excessive_chunk_framing_is_rejected(line: bytes) -> None:
    """A few long lines are accepted; then the body is rejected after its earlier content was delivered."""
    long = (line + b"\r\na\r\n") * (MAX_FRAMING_BYTES // 4000 + 2)
    content, end, error, _ = outcome(BoundedChunkParser, [long + LAST])
    assert (end, error) == (None, InvalidChunkExtension.__name__)
    assert 0 < len(content) <= MAX_FRAMING_BYTES // 4000


def test_single_line_beyond_the_framing_limit_is_rejected() -> None:
    """This also holds if the line is received at once, with its end."""
    line = b"1;a=" + b"b" * MAX_FRAMING_BYTES
    assert outcome(BoundedChunkParser, [line + b"\r\na\r\n" + LAST])[2] == InvalidChunkExtension.__name__


def test_size_line_of_the_last_chunk_counts_as_framing() -> None:
    """Its extension is counted with the others, though the last chunk has no content."""
    extension = b";a=" + b"b" * 7000
    chunks = 2 * (b"1" + extension + b"\r\na\r\n")
    assert outcome(BoundedChunkParser, [chunks + LAST])[1:3] == (2, "")
    end = b"0" + extension + b"\r\n\r\n"
    assert outcome(BoundedChunkParser, [chunks + end])[1:3] == (None, InvalidChunkExtension.__name__)


def test_extensions_of_large_chunks_are_accepted() -> None:
    """An example is a signature in each chunk, if it is short in proportion to the content."""
    chunk = b"400;chunk-signature=" + b"a" * 64 + b"\r\n" + bytes(1024) + b"\r\n"
    assert outcome(BoundedChunkParser, [chunk * 1000, LAST])[1:3] == (1000 * 1024, "")


def test_framing_is_counted_per_request() -> None:
    """On a kept-alive connection the framing of one request does not count for the next."""
    parser, delivered = parser_of(BoundedChunkParser)
    for _ in range(4):
        parser.feed(b"1;a=" + b"b" * (MAX_FRAMING_BYTES // 2) + b"\r\na\r\n" + LAST)
        assert delivered.ended_after is not None
        parser.reset()
        parser.feed(HEAD)


class CountingBuffer(bytearray):
    """
    A buffer that counts the bytes in which something was searched.
    """

    searched = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None, /) -> int:
        stop = len(self) if end is None else end
        CountingBuffer.searched += stop - start
        return super().find(sub, start, stop)


def test_line_received_byte_by_byte_is_searched_once() -> None:
    """The search for its end resumes where it stopped; from the start each time, its cost would be quadratic."""
    line = b"1;a=" + b"q" * 1000 + b"\r\nx\r\n0\r\n\r\n"
    expected = outcome(PythonProtocol, [line])
    assert outcome(BoundedChunkParser, [line[at : at + 1] for at in range(len(line))]) == expected
    parser, delivered = parser_of(BoundedChunkParser)
    parser.unparsed, CountingBuffer.searched = CountingBuffer(), 0
    for at in range(len(line)):
        parser.feed(line[at : at + 1])
    assert delivered.ended_after == 1
    assert 1000 < CountingBuffer.searched < 6 * len(line)


def receiver_of_request() -> CoalescingReceiver:
    return CoalescingReceiver(CallbackRequest(), SftProtocol(InProcessWorker()))


def test_waiting_pieces_are_coalesced() -> None:
    """100 000 pieces of one byte are received as at most four, complete and in order."""
    receiver = receiver_of_request()
    content = bytes(number % 251 for number in range(100_000))
    for number in range(len(content)):
        receiver.feed(content[number : number + 1])
    receiver.set_complete()
    assert receiver.buffered == len(content)

    async def drained() -> list[bytes]:
        found = []
        while True:
            message = await receiver.receive()
            assert type(message["body"]) is bytes
            found.append(message["body"])
            if not message["more_body"]:
                return found

    pieces = asyncio.run(drained())
    assert b"".join(pieces) == content
    assert len(pieces) <= 4


def test_long_piece_is_delivered_unchanged() -> None:
    """It is not copied, and later pieces are not added to it."""
    receiver = receiver_of_request()
    long = bytes(1 << 17)
    receiver.feed(long)
    receiver.feed(b"short")
    assert asyncio.run(receiver.receive())["body"] is long
