"""
A second handle on a connection's socket, by which threads send and receive bodies.

A thread that decrypts a piece of a download sends it itself: through the event loop each piece would be copied and
handed over between threads, which costs half as much processor time again. A thread also receives the pieces of a
large, fast upload (`Connection.begin_handoff`). The event loop waits for slow clients, so that they occupy no thread.
"""

from __future__ import annotations

import asyncio
import io
import select
import socket
import time
from typing import Final

_SEND_POLL_MILLISECONDS: Final = 3
"""How long a thread waits before the event loop waits instead: threads are few."""
_RECEIVE_POLL_MILLISECONDS: Final = 1
"""How long a thread waits for more; meanwhile other clients' bytes wait in the kernel."""
_MAX_RECEIVE_SECONDS: Final = 0.02
"""How long a thread receives from one client before it serves another transfer."""


class SocketHandle:
    """
    A duplicate of a connection's socket; its descriptor is not reused while it is open.

    While a thread sends, nothing else may write to the connection: the caller checks `is_idle` on the event loop first,
    and gives the loop nothing to send until the thread has finished.
    """

    sent_bytes = 0
    """How many bytes threads have sent."""
    is_broken = False
    """Whether a thread has found that the client has disconnected."""
    is_fast = True
    """Whether the client accepts more within `_SEND_POLL_MILLISECONDS`, so that a thread may wait for it."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket").dup()
        self._writable, self._readable = select.poll(), select.poll()
        self._writable.register(self._socket, select.POLLOUT)
        self._readable.register(self._socket, select.POLLIN)

    @property
    def is_idle(self) -> bool:
        """
        Whether the event loop has sent all its data, so that a thread may continue.
        """
        return self._transport.get_write_buffer_size() == 0 and not self._transport.is_closing()

    def send(self, piece: memoryview) -> int:
        """
        Send what the client accepts without a longer wait; return the number of bytes.
        """
        sent = 0
        while sent < len(piece):
            try:
                sent += self._socket.send(piece[sent:], socket.MSG_DONTWAIT)
            except BlockingIOError:
                if not self.is_fast or not self._writable.poll(_SEND_POLL_MILLISECONDS):
                    break
            except OSError:
                # The client has disconnected.
                self.is_broken = True
                break
        self.sent_bytes += sent
        return sent

    def receive(self, limit: int) -> bytes:
        """
        Receive at most `limit` bytes, within 20 milliseconds in all.

        Each next piece must arrive within 1 millisecond. The result is empty if nothing was received, or the client has
        disconnected or finished sending.
        """
        # `BytesIO.getvalue` copies nothing if its buffer was filled to the end.
        buffer = io.BytesIO(bytes(limit))
        with buffer.getbuffer() as view:
            received = self._receive_into(view)
        buffer.truncate(received)
        return buffer.getvalue()

    def _receive_into(self, view: memoryview) -> int:
        received = 0
        # Bounded in all: each byte of a slow client may arrive just before its wait ends.
        deadline = time.monotonic() + _MAX_RECEIVE_SECONDS
        while received < len(view) and time.monotonic() < deadline:
            try:
                count = self._socket.recv_into(view[received:], 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._readable.poll(_RECEIVE_POLL_MILLISECONDS):
                    continue
                break
            except OSError:
                break
            if not count:
                break
            received += count
        return received

    def is_writable(self) -> bool:
        """
        Whether the client accepts more at once, or has disconnected.
        """
        return bool(self._writable.poll(0))

    async def wait_until_writable(self) -> None:
        """
        Wait on the event loop until the client accepts more, or has disconnected.
        """
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        began = loop.time()
        # The duplicate has a descriptor of its own, which the loop does not confuse with the connection's.
        loop.add_writer(self._socket, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(self._socket)
        self.is_fast = (loop.time() - began) * 1000 < _SEND_POLL_MILLISECONDS

    async def abort(self) -> None:
        """
        Abort the connection and await the request's cancellation: an idle loop notices no disconnect.
        """
        self._transport.abort()
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        self._socket.close()
