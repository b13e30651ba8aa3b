"""
Measure small files and small questions: `PYTHONPATH=tests python -m bench.small`.

Ten thousand files of 10 KiB are put over sixteen kept connections, and the caller's own account is
asked for as often. Rates on a noisy machine say little; what holds is where the processor time goes.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import attrs

from support import servers
from support.processes import process_tree
from support.service import Service, serving
from support.wire import connected, next_body

SIZE = 10 << 10
CONNECTIONS = 16


@attrs.frozen
class Spent:
    """
    Seconds: by the clock, and of the processor in the service, as itself and in the kernel.
    """

    wall: float
    user: float
    system: float

    @classmethod
    def now(cls, service: Service) -> Spent:
        user = system = 0
        for pid in process_tree(service.process.pid):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        ticks = os.sysconf("SC_CLK_TCK")
        return cls(time.perf_counter(), user / ticks, system / ticks)

    def since(self, before: Spent) -> Spent:
        return Spent(self.wall - before.wall, self.user - before.user, self.system - before.system)


def asked(service: Service, request: bytes, status: int, count: int) -> Spent:
    """
    What it takes to have a request answered `count` times over kept connections.
    """
    failures: list[BaseException] = []

    def ask(times: int) -> None:
        try:
            with connected(service.port) as connection:
                answers: BinaryIO = connection.makefile("rb")
                for _ in range(times):
                    connection.sendall(request)
                    next_body(answers, status)
        except BaseException as error:  # noqa: BLE001 (told by the main thread)
            failures.append(error)

    before = Spent.now(service)
    threads = [threading.Thread(target=ask, args=(count // CONNECTIONS,)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return Spent.now(service).since(before)


def put_of(service: Service, token: str) -> bytes:
    head = f"PUT {service.api}/files/small.bin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {SIZE}\r\n\r\n".encode() + os.urandom(SIZE)


def me_of(service: Service, token: str) -> bytes:
    return f"GET {service.api}/auth/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


def report(name: str, service: Service, count: int) -> None:
    token = service.sign_up("bench")
    measures: list[tuple[str, Callable[[Service, str], bytes], int]] = [
        ("PUT of 10 KiB", put_of, 201),
        ("GET /auth/me", me_of, 200),
    ]
    for what, request_of, status in measures:
        request = request_of(service, token)
        asked(service, request, status, 10 * CONNECTIONS)
        spent = asked(service, request, status, count)
        each = 1000 / count
        print(
            f"{name:22} {what:14} {count / spent.wall:9.0f} a second"
            f"   {spent.user * each:6.2f} ms user {spent.system * each:6.2f} ms system each"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, ExitStack() as running:
        with serving(Path(folder) / "embedded") as service:
            report("SQLite and a folder", service, arguments.count)
        postgres = running.enter_context(servers.own_postgres())
        url = running.enter_context(postgres.database())
        with serving(Path(folder) / "postgres", settings={"DATABASE_URL": url}, workers=2) as service:
            report("PostgreSQL, 2 workers", service, arguments.count)


if __name__ == "__main__":
    main()
