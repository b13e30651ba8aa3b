"""
The socket under a connection, for threads that move the bytes of a body by themselves.

Handing every piece to the event loop costs as much processor time as decrypting and sending it:
two threads fight for the interpreter. Here the thread that has a piece at hand sends it, and the
loop only hears how much has gone. It gets what a slow client does not take, and waits with it.
"""

from __future__ import annotations

import asyncio
import select
import socket
from typing import Final

PATIENCE_MILLISECONDS: Final = 5
"""How long a thread waits for a client to take more, before it leaves that to the event loop."""


class Sent(bytes):
    """
    A piece of a body of which a part has been sent: as long as all of it, it holds the rest.

    It goes the way of every piece, so that whoever counts a body's bytes counts them all; only
    the protocol at the end of the way writes just the rest (`SftProtocol`).
    """

    _length: int

    @classmethod
    def of(cls, length: int, rest: bytes | memoryview = b"") -> Sent:
        """
        `length` bytes, all of them sent but the rest.
        """
        piece = cls(rest)
        piece._length = length
        return piece

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return self._length > 0

    def __bytes__(self) -> Sent:
        return self

    @property
    def rest(self) -> bytes:
        """
        What has not been sent.
        """
        return self[:]


class Wire:
    """
    A second handle on a connection's socket, so that it never becomes another connection's.

    While a thread sends, nobody else may write to the connection: `is_idle` has to be asked for
    before, on the loop, and nothing given to the loop until the thread has ended.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._socket: socket.socket = transport.get_extra_info("socket").dup()
        self._writable = select.poll()
        self._writable.register(self._socket, select.POLLOUT)

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
                if not self._writable.poll(PATIENCE_MILLISECONDS):
                    break
            except OSError:
                # The client is gone; the loop hears of it by itself and ends the request.
                break
        return sent

    def close(self) -> None:
        """
        Let go of the handle; the connection itself goes on.
        """
        self._socket.close()
