"""
Measure the peak memory of the server's process tree: `PYTHONPATH=tests python -m bench.memory`.

A file of each size goes up and comes down once, against a server of its own. The peak is the sum
of the resident sets of all its processes, sampled every 20 ms while the bytes flow.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.processes import process_tree
from support.service import Service, serving
from support.wire import download, multipart, upload

MIB = 1 << 20


def resident(pid: int) -> int:
    """
    The resident bytes of a process and all its descendants.
    """
    total = 0
    for member in process_tree(pid):
        try:
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))
    return total


@contextmanager
def sampled(pid: int) -> Iterator[list[int]]:
    """
    Collect samples of the tree's resident bytes until the block ends.
    """
    samples, over = [resident(pid)], threading.Event()

    def sample() -> None:
        while not over.wait(0.02):
            samples.append(resident(pid))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def round_trip(service: Service, token: str, size: int) -> None:
    """
    One file up and down again.
    """
    headers, around = multipart("memory.bin")
    headers["Authorization"] = f"Bearer {token}"
    answer = upload(service.port, "POST", f"{service.api}/files/upload", size=size, headers=headers, around=around)
    if answer.status != 201:
        raise RuntimeError(f"the upload was answered {answer.status}")
    received = download(service.port, f"{service.api}/files/{answer.json()['id']}/download", token=token)
    if received != size:
        raise RuntimeError(f"{received} bytes came down of {size}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes-mib", type=int, nargs="+", default=[10, 3072])
    arguments = parser.parse_args()
    print(f"{'size, MiB':>10} {'before, MiB':>12} {'peak, MiB':>10} {'seconds':>8}")
    for size in arguments.sizes_mib:
        with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, serving(Path(folder)) as service:
            token = service.sign_up("memory")
            start = time.perf_counter()
            with sampled(service.process.pid) as samples:
                round_trip(service, token, size * MIB)
            seconds = time.perf_counter() - start
            print(f"{size:10} {samples[0] / MIB:12.1f} {max(samples) / MIB:10.1f} {seconds:8.1f}")


if __name__ == "__main__":
    main()
