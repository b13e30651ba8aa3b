"""
The arenas of the C library, and memory that is returned to the system.
"""

from __future__ import annotations

import ctypes
import gc
import os
import subprocess
import sys

import pytest

from sft_adapters.keyring.loading import ephemeral_keys, load_keys
from sft_http.server import gunicorn_app
from support.app.edge import Edge

HEAPS = """
import ctypes, sys, threading
from sft_http.server.malloc import limit_arenas

if sys.argv[1] == "shared":
    limit_arenas()
all_there = threading.Barrier(4)

def take():
    all_there.wait()
    content = bytearray(100_000)
    all_there.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, output)
libc.fflush(output)
"""

BURST = """
from pathlib import Path
from sft_http.server.malloc import limit_arenas, trim

def resident():
    return int(Path("/proc/self/status").read_text().partition("VmRSS:")[2].split()[0]) << 10

limit_arenas()
taken = [b"x" * (2 << 20 if number % 2 == 0 else 2 << 10) for number in range(80)]
kept = taken[1::2]
before = resident()
del taken
freed = resident()
trim()
print(before - freed, before - resident())
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="the C library has no malloc_info")
def test_limited_arenas_are_shared_by_threads() -> None:
    """Memory that one thread has freed is available to all; by default each thread has an arena."""
    assert arena_count("shared") == 1
    assert arena_count("default") > 1


def arena_count(how: str) -> int:
    """
    The number of arenas of a process after several threads have allocated memory at once.
    """
    done = subprocess.run([sys.executable, "-c", HEAPS, how], capture_output=True, check=True, text=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library has no malloc_trim")
def test_trim_returns_unused_memory() -> None:
    """Of 80 MiB freed between small blocks in use, glibc returns almost nothing by default."""
    done = subprocess.run([sys.executable, "-c", BURST], capture_output=True, check=True, text=True)
    by_default, after_trim = map(int, done.stdout.split())
    assert by_default < 10 << 20
    assert after_trim > 70 << 20


def test_objects_are_frozen_before_workers_are_forked(service: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the first garbage collection of a worker would copy all memory shared with the main process."""
    frozen = list[int]()

    def run(started: gunicorn_app.Server) -> None:
        frozen.append(gc.get_freeze_count())
        os.close(int(started._options["bind"].removeprefix("fd://")))

    monkeypatch.setattr(gunicorn_app.Server, "run", run)
    before = gc.get_freeze_count()
    try:
        gunicorn_app.run(
            service.settings,
            load_keys(service.settings, stand_ins=ephemeral_keys()),
            bound=gunicorn_app.bound_socket("127.0.0.1", 0),
            workers=1,
            when_ready=lambda: None,
        )
        assert frozen[0] > before + 10_000
    finally:
        gc.unfreeze()
