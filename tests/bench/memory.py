"""
Memory of the server's process tree during concurrent transfers of files of different sizes.

Each size has its own server. The memory at rest, after 16 MiB files were uploaded and downloaded, is subtracted from
the peak during the large transfers, and the difference is divided by their number.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.measure import MIB, Findings, Goal, Measure, Options, Spread
from bench.transfers import Client
from support.servers.processes import process_tree
from support.servers.service import serving

__all__ = ["MIB", "measures", "proportional", "resident"]

T = TypeVar("T")

GOAL = Goal(16, at_most=True)
SAMPLE_SECONDS = 0.05
SETTLE_SECONDS = 6
"""Delay after which memory of earlier transfers is released, so that it is not attributed to the measured ones."""
WARM_UP = 16 * MIB
NOTE = (
    "the greatest proportional set size (PSS) of all the server's processes while so many transfers run at once,"
    " sampled every 50 ms, less that at rest after files of 16 MiB have gone up and down, divided among them;"
    f" they begin {SETTLE_SECONDS} seconds after those before them have ended"
)


def _sum(pid: int, file: str, name: str) -> int:
    total = 0
    for member in process_tree(pid):
        try:
            lines = Path(f"/proc/{member}/{file}").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))
    return total


def resident(pid: int) -> int:
    """
    Return the resident bytes of a process and its descendants; shared pages count in each.
    """
    return _sum(pid, "status", "VmRSS")


def proportional(pid: int) -> int:
    """
    Return the resident bytes of a process and its descendants; shared pages are divided among them.
    """
    return _sum(pid, "smaps_rollup", "Pss")


@contextmanager
def sampled(pid: int) -> Iterator[list[int]]:
    """
    Sample the memory of the process tree until the block ends.
    """
    samples, stop = [proportional(pid)], threading.Event()

    def sample() -> None:
        while not stop.wait(SAMPLE_SECONDS):
            samples.append(proportional(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def peak(pid: int, transfers: Sequence[Callable[[], T]]) -> tuple[int, list[T]]:
    """
    Run the transfers concurrently; return the peak memory of the process tree in bytes, and their results.

    The process tree comes to rest first.
    """
    time.sleep(SETTLE_SECONDS)
    with sampled(pid) as samples, ThreadPoolExecutor(len(transfers)) as threads:
        results = [started.result() for started in [threads.submit(transfer) for transfer in transfers]]
    return max(samples), results


def concurrent_transfers(options: Options, folder: str, size: int) -> int:
    """
    Return the requested number of concurrent transfers, at most as many as fill half of the free disk space.
    """
    count = min(options.transfers, shutil.disk_usage(folder).free // 2 // size)
    if not count:
        raise RuntimeError(f"{folder} has no space for {size} bytes")
    return count


def of_size(options: Options, size: int) -> list[Measure]:
    """
    Measure uploads of a size, downloads of the same files, and uploads by form.
    """
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, serving(Path(folder)) as service:
        client, pid = Client(service, service.sign_up("memory")), service.process.pid
        client.get(client.put(WARM_UP))
        client.post(WARM_UP)
        count = concurrent_transfers(options, folder, size)
        time.sleep(SETTLE_SECONDS)
        rest = proportional(pid)
        up, files = peak(pid, [partial(client.put, size)] * count)
        down, _ = peak(pid, [partial(client.get, file) for file in files])
        formed, _ = peak(pid, [partial(client.post, size)] * count)
    name = f"{size / MIB / 1024:g} GiB" if size >= 1024 * MIB else f"{size / MIB:g} MiB"
    return [
        Measure(
            name=f"memory of one of {count} {what} of {name}",
            unit="MiB",
            ours=Spread.of([(taken - rest) / MIB / count]),
            goal=GOAL,
            note=NOTE,
        )
        for what, taken in (("uploads", up), ("downloads", down), ("forms", formed))
    ]


def measures(options: Options) -> Findings:
    """
    Measure uploads and downloads of every size.
    """
    return Findings([measure for size in options.memory_sizes for measure in of_size(options, size)])
