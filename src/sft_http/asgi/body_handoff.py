"""
The handoff of a request's body: a thread receives from the socket in place of the event loop.

Through the event loop and the server's parser a large upload is received in pieces of at most
256 KiB, each handed over between threads. A thread that receives 512 KiB at once shortens a fast
upload. A server that parses the requests implements `BodyHandoff`, because only it has counted
which bytes on the socket belong to the body.
"""

from __future__ import annotations

from typing import Final, Protocol

import attrs


class BodyHandoff(Protocol):
    """
    The control of which side receives a request's body: the event loop, or one thread at a time.

    All methods are called on the event loop. After `begin` has returned a positive number, the event
    loop does not read until `end`, and a thread may receive that many bytes. The caller calls
    `consumed` with the number that was received, also if the request was cancelled meanwhile.
    """

    def begin(self) -> int:
        """
        Pause the event loop's reading; return how many bytes of the body a thread may receive.

        All but the last byte, with which the server's parser ends the request. 0 if the event loop
        must continue to read: the length is not declared, or received bytes wait in memory.
        """
        ...

    def consumed(self, count: int) -> None:
        """
        Count the bytes that a thread has received.
        """
        ...

    def end(self) -> None:
        """
        Resume the event loop's reading.
        """
        ...


@attrs.frozen
class NoBodyHandoff:
    """
    Implements `BodyHandoff` for a server that has none: the event loop receives the whole body.
    """

    def begin(self) -> int:
        return 0

    def consumed(self, count: int) -> None:
        pass

    def end(self) -> None:
        pass


NO_BODY_HANDOFF: Final = NoBodyHandoff()
