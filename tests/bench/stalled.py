"""
The effect of stalled clients on other clients: `PYTHONPATH=tests python -m bench.stalled`.

Many clients request a large file and read only the head of the response; others start an upload and
send single bytes. The output is the latency of `/health` and of an authenticated request without and
beside them, and the memory of each stalled client, in one run.
"""

from __future__ import annotations

import argparse
import resource
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.memory import MIB, resident
from support.clients.wire import call, connected, multipart, receive_head, send, upload
from support.servers.service import Service, serving

_TRICKLE_SECONDS = 10.0
_ANNOUNCED = 64 * MIB


def latencies(send_request: Callable[[], int], count: int) -> list[float]:
    """
    Return the seconds of `count` requests, one after another.
    """
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        if send_request() != 200:
            raise RuntimeError("the service is not healthy")
        seconds.append(time.perf_counter() - start)
    return seconds


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[98]


def stalled(stack: ExitStack, service: Service, path: str, token: str) -> None:
    """
    Start a download whose body is not read.
    """
    connection = stack.enter_context(connected(service.port))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
    send(connection, "GET", path, {"Authorization": f"Bearer {token}"}, 0)
    if receive_head(connection)[0] != 200:
        raise RuntimeError("a download was refused")


def started_upload(stack: ExitStack, service: Service, token: str) -> socket.socket:
    """
    Return a connection on which an upload has started.
    """
    headers, (before, _) = multipart("trickling.bin")
    connection = stack.enter_context(connected(service.port))
    headers["Authorization"] = f"Bearer {token}"
    send(connection, "POST", f"{service.api}/files/upload", headers, _ANNOUNCED)
    connection.sendall(before + b"x")
    return connection


@contextmanager
def trickling(connections: list[socket.socket]) -> Iterator[None]:
    """
    Send a byte on each connection in every round, evenly spread, until the block ends.
    """
    stop = threading.Event()

    def trickle() -> None:
        while connections and not stop.is_set():
            for connection in connections:
                if stop.wait(_TRICKLE_SECONDS / len(connections)):
                    break
                connection.send(b"x")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def tcp_memory() -> int:
    """
    Return the bytes that the kernel holds for all connections of this machine.
    """
    lines = Path("/proc/net/sockstat").read_text().splitlines()
    (fields,) = [line.split() for line in lines if line.startswith("TCP:")]
    return int(fields[fields.index("mem") + 1]) * resource.getpagesize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--downloads", type=int, default=1000, help="clients that do not read")
    parser.add_argument("--uploads", type=int, default=200, help="clients that send one byte in 10 s")
    parser.add_argument("--requests", type=int, default=3000, help="measured requests of each kind")
    arguments = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    headers, around = multipart("stalled.bin")
    limits = {"STALL_SECONDS": "3600", "MAX_UPLOADS_PER_USER": "512"}
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        serving(Path(folder), settings=limits) as service,
        ExitStack() as stack,
    ):
        token = service.sign_up("stalled")
        headers["Authorization"] = f"Bearer {token}"
        stored = upload(
            service.port, "POST", f"{service.api}/files/upload", size=64 * MIB, headers=headers, around=around
        )
        path = f"{service.api}/files/{stored.json()['id']}/download"
        good: dict[str, Callable[[], int]] = {
            "/health": lambda: call(service.port, "GET", "/health").status,
            "/auth/me": lambda: service.call("GET", "/auth/me", token=token).status,
        }
        for send_request in good.values():
            latencies(send_request, 200)
        alone = {name: latencies(send_request, arguments.requests) for name, send_request in good.items()}
        pid = service.process.pid
        before, kernel = resident(pid), tcp_memory()
        for _ in range(arguments.downloads):
            stalled(stack, service, path, token)
        between = resident(pid)
        uploads = [started_upload(stack, service, token) for _ in range(arguments.uploads)]
        time.sleep(1)
        after, kernel_after = resident(pid), tcp_memory()
        with trickling(uploads):
            under_load = {name: latencies(send_request, arguments.requests) for name, send_request in good.items()}
        print(f"{'':10} {'p50 alone':>10} {'p50 beside':>10} {'p99 alone':>10} {'p99 beside':>10} {'ratio':>6}  (ms)")
        for name in good:
            medians = [statistics.median(found[name]) * 1e3 for found in (alone, under_load)]
            tails = [p99(found[name]) * 1e3 for found in (alone, under_load)]
            print(f"{name:10}" + "".join(f" {ms:10.2f}" for ms in medians + tails) + f" {tails[1] / tails[0]:6.2f}")
        print(f"memory of the service: {before / MIB:.1f} MiB alone, {after / MIB:.1f} MiB beside them")
        each = (between - before) / max(1, arguments.downloads), (after - between) / max(1, arguments.uploads)
        print(f"  {arguments.downloads} stalled downloads:   {each[0] / MIB:.3f} MiB each")
        print(f"  {arguments.uploads} trickling uploads:    {each[1] / MIB:.3f} MiB each")
        print(f"  kernel, both sides: {(kernel_after - kernel) / MIB:.0f} MiB")


if __name__ == "__main__":
    main()
