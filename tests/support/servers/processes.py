"""
Server processes on free ports of the loopback interface, stopped by their ids.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def reusable_port() -> int:
    """
    Return a free port outside the range of client ports, so that it stays free until it is used again.

    A client that connects to a closed port from that same port would connect to itself.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = lowest - 1 - secrets.randbelow(12_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def wait_for(port: int, process: subprocess.Popen[bytes], *, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it listened")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the server did not listen in time")


@contextmanager
def running(
    command: list[str],
    port: int,
    log: Path,
    *,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """
    Run a server until the block ends, and then kill it with all its descendants, because no client uses it any more.

    Its output is appended to the log.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    try:
        wait_for(port, process)
        yield process
    finally:
        if process.poll() is None:
            kill_tree(process.pid)
            process.wait()


def connections_to(port: int) -> int:
    """
    Return how many open TCP connections this process has to a port, according to /proc.
    """
    inodes = set()
    for table in ("/proc/self/net/tcp", "/proc/self/net/tcp6"):
        for fields in map(str.split, Path(table).read_text().splitlines()[1:]):
            if int(fields[2].rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{fields[9]}]")
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            count += str(descriptor.readlink()) in inodes
    return count


def process_tree(pid: int) -> list[int]:
    """
    Return the ids of a process and all its descendants, according to /proc.
    """
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    tree, unseen = [], [pid]
    while unseen:
        tree.append(unseen.pop())
        unseen += parents.get(tree[-1], [])
    return tree


def processes_matching(words: str) -> list[int]:
    """
    Return the ids of running processes with these words on their command line, forked ones included.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # A zombie has no command line.
                if words.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(entry.name))
    return found


def freeze(pid: int) -> list[int]:
    """
    Stop a process and all its descendants, and return their ids once none of them runs.
    """
    frozen: list[int] = []
    # A parent is stopped before its children are listed again, so no new child is missed.
    while found := [member for member in process_tree(pid) if member not in frozen]:
        for member in found:
            _signal(member, signal.SIGSTOP)
            _wait_for_states(member, "TZX")
        frozen += found
    return frozen


def thaw(pid: int) -> None:
    """
    Continue a process and all its descendants after `freeze`.
    """
    for member in process_tree(pid):
        _signal(member, signal.SIGCONT)


def kill_tree(pid: int) -> None:
    """
    Kill a process and all its descendants at once, as a power cut would, and wait for their end.
    """
    members = freeze(pid)
    for member in members:
        _signal(member, signal.SIGKILL)
    for member in members:
        _wait_for_states(member, "ZX")


def _signal(pid: int, which: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, which)


def _wait_for_states(pid: int, states: str) -> None:
    """
    Wait until every thread of a process has ended or is in one of these states of /proc.
    """
    while not all(state in states for state in _states(pid)):
        time.sleep(0.002)


def _states(pid: int) -> Iterator[str]:
    # A process or a thread may end between two reads.
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                yield (task / "stat").read_text().rpartition(")")[2].split()[0]
