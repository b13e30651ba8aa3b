"""
Servers as processes: started on free ports of the loopback interface, stopped by their id.
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
    A free port to come back to after a while: one that no client is given meanwhile for its own end.

    A client that knocks at a closed port from that very port would be let in by itself.
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
    Run a server until the block ends; it is then killed with all its processes, for nobody waits for it any more.

    What it says is added to the log.
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
    How many TCP connections this process has open to a port, by /proc.
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
    The ids of a process and all its descendants, by /proc.
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
    The ids of the processes that run and have these words on their command line, forked ones included.
    """
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # What has ended and waits to be fetched has no command line any more.
                if words.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                    found.append(int(entry.name))
    return found


def freeze(pid: int) -> list[int]:
    """
    Stop a process and all its descendants, whose ids are returned; none of them runs any more.
    """
    frozen: list[int] = []
    # The parent stops before its children are looked for again, so none is born unseen.
    while found := [member for member in process_tree(pid) if member not in frozen]:
        for member in found:
            _signal(member, signal.SIGSTOP)
            _wait_for_states(member, "TZX")
        frozen += found
    return frozen


def thaw(pid: int) -> None:
    """
    Let a process and all its descendants go on after `freeze`.
    """
    for member in process_tree(pid):
        _signal(member, signal.SIGCONT)


def kill_tree(pid: int) -> None:
    """
    End a process and all its descendants at once, as a power cut would, and wait until they are gone.
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
    Wait until every thread of a process is in one of these states of /proc, or is no more.
    """
    while not all(state in states for state in _states(pid)):
        time.sleep(0.002)


def _states(pid: int) -> Iterator[str]:
    # A process or a thread may be gone between two looks.
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                yield (task / "stat").read_text().rpartition(")")[2].split()[0]
