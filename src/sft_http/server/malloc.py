"""
Where the C library takes memory from, and how much of it it keeps.
"""

from __future__ import annotations

import ctypes
from typing import Final

_MIB: Final = 1 << 20
_OPTIONS: Final = {
    -8: 1,  # M_ARENA_MAX: one heap
    -3: 3 * _MIB,  # M_MMAP_THRESHOLD: what is larger goes back at once, a piece of a body is used again
    -1: 8 * _MIB,  # M_TRIM_THRESHOLD: what is kept at the end of the heap
}
"""Options of glibc's `mallopt(3)`, by their numbers in its `malloc.h`."""


def limit_arenas() -> None:
    """
    Let all threads of this process take memory from one heap; to be called before there are any.

    By default glibc gives each thread a heap of its own, and each keeps some of what was freed for
    its next use: megabytes, as transfers take them by the megabyte. One heap has to keep some, too,
    or every piece of a body is taken from the kernel anew, page by page. Other libraries have no
    such heaps, and nothing is done.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _OPTIONS.items():
            mallopt(option, value)


def give_back() -> None:
    """
    Let the system have what the heap keeps and nobody uses, down to the last page of it.

    By itself glibc gives back only what lies at the end, behind the last little thing that is still
    in use; so a busy moment would stay to be seen for ever. It takes a millisecond.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
