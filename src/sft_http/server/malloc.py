"""
Limits on how much freed memory the C library keeps.
"""

from __future__ import annotations

import ctypes
from typing import Final

_MIB: Final = 1 << 20
_OPTIONS: Final = {
    -8: 1,  # M_ARENA_MAX: one arena
    -3: 3 * _MIB,  # M_MMAP_THRESHOLD: larger blocks are unmapped when freed; pieces of bodies are smaller and reused
    -1: 8 * _MIB,  # M_TRIM_THRESHOLD: free memory kept at the end of the heap
}
"""Options of glibc's `mallopt(3)`, by their numbers in its `malloc.h`."""


def limit_arenas() -> None:
    """
    Make all threads allocate from one arena; call it before threads are started.

    By default glibc creates an arena for each thread, and each keeps megabytes of freed memory for reuse, because
    transfers allocate megabytes at once. One arena must keep some memory as well: otherwise the kernel would map every
    piece of a body again, page by page. Other C libraries have no arenas, and the function does nothing.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in _OPTIONS.items():
            mallopt(option, value)


def trim() -> None:
    """
    Return all unused pages of the heap to the system.

    By default glibc returns only pages at the end of the heap, behind the last block in use, so a
    moment of high load would occupy its memory for good. The call takes a millisecond.
    """
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)
