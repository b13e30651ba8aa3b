"""
Many small requests over kept-alive connections, and their cost in processor time of the service.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import attrs

from support.clients.wire import connected, next_body
from support.servers.processes import process_tree
from support.servers.service import Service


@attrs.frozen
class Usage:
    """
    Seconds of wall-clock time, and of processor time of the service in user mode and in the kernel.
    """

    wall: float
    user: float
    system: float

    @classmethod
    def now(cls, service: Service) -> Usage:
        user = system = 0
        for pid in process_tree(service.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        ticks = os.sysconf("SC_CLK_TCK")
        return cls(time.perf_counter(), user / ticks, system / ticks)

    def since(self, before: Usage) -> Usage:
        return Usage(self.wall - before.wall, self.user - before.user, self.system - before.system)


@attrs.frozen
class RequestStats:
    """
    The result of `count` requests: total usage, the latency of each in seconds, and the last body.
    """

    count: int
    usage: Usage
    seconds: list[float] = attrs.field(repr=False)
    bodies: list[bytes] = attrs.field(repr=False)

    @property
    def rate(self) -> float:
        return self.count / self.usage.wall


def run_requests(
    service: Service, request_of: Callable[[int], bytes], *statuses: int, count: int, connections: int
) -> RequestStats:
    """
    Send `count` numbered requests over this many connections, each waiting for its responses.

    Every response must have one of the statuses.
    """
    failures: list[BaseException] = []
    seconds: list[float] = []
    bodies: list[bytes] = []

    def run_connection(first: int) -> None:
        try:
            with connected(service.port) as connection:
                responses: BinaryIO = connection.makefile("rb")
                for number in range(first, count, connections):
                    request = request_of(number)
                    start = time.perf_counter()
                    connection.sendall(request)
                    bodies.append(next_body(responses, *statuses))
                    seconds.append(time.perf_counter() - start)
        except BaseException as error:  # noqa: BLE001 (raised again by the main thread)
            failures.append(error)

    before = Usage.now(service)
    threads = [threading.Thread(target=run_connection, args=(first,)) for first in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return RequestStats(count, Usage.now(service).since(before), seconds, bodies)


def get(service: Service, path: str, token: str) -> bytes:
    """
    Return a GET request of the API.
    """
    return f"GET {service.api}{path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
