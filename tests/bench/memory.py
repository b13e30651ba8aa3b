"""
The memory of the server's process tree while it moves files of different sizes, several at once.

A server of its own moves each size. Its memory at rest, after files of 16 MiB have gone up and down, is
subtracted from the peak while so many large ones flow, and the rest is divided among them.
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
"""What transfers before have left is given back by then: it is no memory of those that are measured."""
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
    The resident bytes of a process and all its descendants; what they share is counted in each.
    """
    return _sum(pid, "status", "VmRSS")


def proportional(pid: int) -> int:
    """
    The resident bytes of a process and all its descendants; what they share is divided among them.
    """
    return _sum(pid, "smaps_rollup", "Pss")


@contextmanager
def sampled(pid: int) -> Iterator[list[int]]:
    """
    Collect samples of the tree's memory until the block ends.
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
    The greatest number of bytes that the tree takes while these run at once, and their results.

    It is let come to rest before.
    """
    time.sleep(SETTLE_SECONDS)
    with sampled(pid) as samples, ThreadPoolExecutor(len(transfers)) as threads:
        results = [started.result() for started in [threads.submit(transfer) for transfer in transfers]]
    return max(samples), results


def concurrent_transfers(options: Options, folder: str, size: int) -> int:
    """
    How many transfers of a size run at once: as many as asked for, if they fill at most half of the free disk.
    """
    count = min(options.transfers, shutil.disk_usage(folder).free // 2 // size)
    if not count:
        raise RuntimeError(f"{folder} has no room for {size} bytes")
    return count


def of_size(options: Options, size: int) -> list[Measure]:
    """
    Uploads of a size, then downloads of the same files, then uploads by form.
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
    Every size, up and down.
    """
    return Findings([measure for size in options.memory_sizes for measure in of_size(options, size)])
