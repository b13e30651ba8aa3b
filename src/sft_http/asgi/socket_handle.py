"""
The socket under a connection, for threads that move the bytes of a body by themselves.

Moving every piece through the event loop and the server's parser costs more processor time than
encrypting it: it is copied five times, and two threads fight for the interpreter. Here a thread
sends what it has decrypted, and takes a large body in as it comes. The loop waits with whoever is
slow, so that a slow client holds no thread.
"""

from __future__ import annotations

import asyncio
import io
import select
import socket
import time
from typing import Final, Protocol, Self

_SEND_POLL_MILLISECONDS: Final = 3
"""How long a thread waits for a client to take more, before it leaves that to the event loop: threads are few."""
_RECEIVE_POLL_MILLISECONDS: Final = 1
"""The same for one that sends: while others are waited for, what it has sent waits in the kernel and is not lost."""
_MAX_RECEIVE_SECONDS: Final = 0.02
"""How long a thread takes in from one client at a time."""


class AlreadySent(bytes):
    """
    A piece of a body that has been sent already: so long, and empty.

    It goes the way of every piece, so that whoever counts a body's bytes counts them all; only
    the protocol at the end of the way writes nothing (`SftProtocol`).
    """

    _length: int

    def __new__(cls, length: int) -> Self:
        piece = super().__new__(cls)
        piece._length = length
        return piece

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return self._length > 0

    def __bytes__(self) -> AlreadySent:
        return self


class SocketHandle:
    """
    A second handle on a connection's socket, so that it never becomes another connection's.

    While a thread sends, nobody else may write to the connection: `is_idle` has to be asked for
    before, on the loop, and nothing given to the loop until the thread has ended.
    """

    sent_bytes: int
    """How many bytes have been sent by threads."""
    is_broken: bool
    """Whether a thread has found that nothing can be sent any more."""
    is_fast: bool
    """Whether the client takes more so soon that a thread may wait for it: others' threads are as few."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self.sent_bytes = 0
        self.is_broken = False
        self.is_fast = True
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket").dup()
        self._writable = select.poll()
        self._writable.register(self._socket, select.POLLOUT)
        self._readable = select.poll()
        self._readable.register(self._socket, select.POLLIN)

    @property
    def is_idle(self) -> bool:
        """
        Whether everything the loop was given to send has left it, so that more may follow from elsewhere.
        """
        return self._transport.get_write_buffer_size() == 0 and not self._transport.is_closing()

    def send(self, piece: memoryview) -> int:
        """
        Send what the client takes without being waited for; returns how many bytes that was.
        """
        sent = 0
        while sent < len(piece):
            try:
                sent += self._socket.send(piece[sent:], socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self.is_fast or not self._writable.poll(_SEND_POLL_MILLISECONDS):
                    break
            except OSError:
                # The client is gone.
                self.is_broken = True
                break
        self.sent_bytes += sent
        return sent

    def is_writable(self) -> bool:
        """
        Whether the client takes more at once, or is gone.
        """
        return bool(self._writable.poll(0))

    async def wait_until_writable(self) -> None:
        """
        Wait on the loop until the client takes more, or is gone.
        """
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        began = loop.time()
        # The handle has a number of its own, which the loop does not take for the connection's.
        loop.add_writer(self._socket, _resolve, ready)
        try:
            await ready
        finally:
            loop.remove_writer(self._socket)
        self.is_fast = (loop.time() - began) * 1000 < _SEND_POLL_MILLISECONDS

    async def abort(self) -> None:
        """
        Break the connection off and wait for the request to be ended with it.

        A loop that neither reads nor writes does not hear by itself that a client is gone.
        """
        self._transport.abort()
        await asyncio.get_running_loop().create_future()

    def receive(self, limit: int) -> bytes:
        """
        Take in what comes without being waited for, at most `limit` bytes; empty if nothing came, or the end.
        """
        # BytesIO hands out its buffer without a copy, as long as all of it has been filled.
        buffer = io.BytesIO(bytes(limit))
        with buffer.getbuffer() as view:
            filled = self._fill(view)
        buffer.truncate(filled)
        return buffer.getvalue()

    def _fill(self, view: memoryview) -> int:
        filled = 0
        # Bounded as a whole too: bytes may drip in just before each wait would be over.
        until = time.monotonic() + _MAX_RECEIVE_SECONDS
        while filled < len(view) and time.monotonic() < until:
            try:
                count = self._socket.recv_into(view[filled:], 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._readable.poll(_RECEIVE_POLL_MILLISECONDS):
                    continue
                break
            except OSError:
                break
            if not count:
                break
            filled += count
        return filled

    def close(self) -> None:
        """
        Let go of the handle; the connection itself goes on.
        """
        self._socket.close()


def _resolve(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class BodyHandoff(Protocol):
    """
    A request's body that is still to come, as the server that parses the connection knows it.
    """

    def begin(self) -> int:
        """
        Keep the loop from reading, and tell how many bytes of the body a thread may take; 0 if none.
        """
        ...

    def consumed(self, count: int) -> None:
        """
        Note that so many have been taken.
        """
        ...

    def end(self) -> None:
        """
        Let the loop read again.
        """
        ...
