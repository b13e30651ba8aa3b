"""
Rates of many small uploads and downloads, and the stages of one upload.

The stages are timed in this process, on storage of the same kind. The rest of the time of one request over one
connection is spent in HTTP, the event loop, its threads and the client.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from bench.load import RequestStats, get, run_requests
from bench.measure import Findings, Measure, Options, Spread
from sft_adapters.bootstrap.service import open_service
from sft_core.application import Application
from sft_core.users.model import User
from sft_core.values import EmailAddress, FileName, Password, Username
from support.servers.service import Service, serving

SIZE = 10 << 10
SLICES = 20
NOTE = "the embedded default, each file durable when it is answered, one worker; the client shares its cores"


def put(service: Service, token: str) -> bytes:
    head = f"PUT {service.api}/files/small.bin HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
    return f"{head}Content-Length: {SIZE}\r\n\r\n".encode() + os.urandom(SIZE)


@attrs.frozen
class Stages:
    """
    Wall-clock and processor seconds of each stage, by name, and the number of syncs.
    """

    wall: dict[str, float] = attrs.field(factory=lambda: defaultdict(float))
    processor: dict[str, float] = attrs.field(factory=lambda: defaultdict(float))
    syncs: list[None] = attrs.field(factory=list)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.thread_time()
        yield
        self.wall[name] += time.perf_counter() - wall
        self.processor[name] += time.thread_time() - processor

    @contextmanager
    def counting(self) -> Iterator[None]:
        """
        Count every `fsync` made by Python; the database's own syncs are not included.
        """
        sync = os.fsync

        def counted(fd: Any) -> None:
            self.syncs.append(None)
            sync(fd)

        os.fsync = counted
        try:
            yield
        finally:
            os.fsync = sync


def registered(application: Application) -> tuple[User, str]:
    """
    Register a user, and return them with an access token.
    """
    email, password = EmailAddress.parse("bench@example.org"), Password.parse(secrets.token_hex(16))
    user = application.users.register_user(email=email, username=Username.parse("bench"), password=password)
    return user, application.users.sign_in(email=email, password=password).access


@attrs.frozen
class InProcess:
    """
    An application in this process, and the user whose files it stores.
    """

    application: Application
    user: User
    token: str
    stages: Stages = attrs.field(factory=Stages)

    def store(self, count: int) -> None:
        """
        Store this many files on one thread, in the stages of the HTTP layer.
        """
        stages, sft = self.stages, self.application
        name, content = FileName.parse("small.bin"), os.urandom(SIZE)
        with stages.counting():
            for _ in range(count):
                with stages.stage("authenticate the token"):
                    sft.users.authenticate(access_token=self.token)
                with stages.stage("begin: name, size, key"):
                    upload = sft.vault.begin_upload(owner=self.user.id, name=name, announced_size=SIZE)
                with stages.stage("encrypt, write and sync"):
                    sft.vault.store_part(upload, content)
                with stages.stage("commit the rows"):
                    sft.sharing.seal_upload(upload)


def shares(stages: Stages, alone: Sequence[RequestStats]) -> str:
    """
    Return a table of the time of one upload over one connection, by stage; the last row is the total.
    """
    count = sum(stats.count for stats in alone)
    whole = sum(sum(stats.seconds) for stats in alone) / count
    served = sum(stats.usage.user + stats.usage.system for stats in alone) / count
    rows = [(name, wall / count, stages.processor[name] / count) for name, wall in stages.wall.items()]
    rest = whole - sum(wall for _, wall, _ in rows)
    # The processor time is the server's; the rest is the client, and threads that wait for each other.
    rows.append(("HTTP, threads, client", rest, served - sum(used for _, _, used in rows)))
    rows.append(("whole", whole, sum(used for _, _, used in rows)))
    lines = [
        f"one PUT of 10 KiB over one connection, {len(stages.syncs) / count:.1f} fsyncs and one commit each",
        f"{'stage':24} {'ms':>7} {'processor':>9} {'waiting':>8} {'share':>6}",
    ]
    for name, wall, used in rows:
        lines.append(f"{name:24} {wall * 1e3:7.2f} {used * 1e3:9.2f} {(wall - used) * 1e3:8.2f} {wall / whole:6.0%}")
    return "\n".join(lines)


def processor(name: str, stats: RequestStats) -> str:
    each, usage = 1000 / stats.count, stats.usage
    used = (usage.user + usage.system) / usage.wall
    return (
        f"{name:24} {usage.user * each:6.2f} ms user {usage.system * each:6.2f} ms system for each file;"
        f" {used:.0%} of one core"
    )


def alternate_uploads(service: Service, request: bytes, folder: Path, count: int) -> tuple[list[RequestStats], Stages]:
    """
    Alternate uploads over one connection with uploads in this process, so that disturbances affect both.
    """
    alone: list[RequestStats] = []
    with open_service(folder) as application:
        inside = InProcess(application, *registered(application))
        for _ in range(SLICES):
            alone.append(run_requests(service, lambda _: request, 201, count=count // SLICES, connections=1))
            inside.store(count // SLICES)
    return alone, inside.stages


def measures(options: Options) -> Findings:
    """
    Measure uploads and downloads over all connections, and the stages of one upload.
    """
    few = max(100, options.files // 20)
    with tempfile.TemporaryDirectory(prefix="sft-bench-") as folder, serving(Path(folder) / "served") as service:
        token = service.sign_up("bench")
        request = put(service, token)
        run_requests(service, lambda _: request, 201, count=few, connections=options.connections)
        alone, stages = alternate_uploads(service, request, Path(folder) / "in-process", few)
        up = run_requests(service, lambda _: request, 201, count=options.files, connections=options.connections)
        files = [json.loads(body)["id"] for body in up.bodies]
        gets = [get(service, f"/files/{file}/download", token) for file in files]
        down = run_requests(service, gets.__getitem__, 200, count=options.files, connections=options.connections)
    details = [
        shares(stages, alone),
        "",
        f"over {options.connections} connections:",
        processor("PUT", up),
        processor("GET", down),
    ]
    return Findings(
        [
            Measure(
                name=f"{options.files} files of 10 KiB {way}, {options.connections} connections",
                unit="files/s",
                ours=Spread.of([stats.rate]),
                note=NOTE,
            )
            for way, stats in (("up", up), ("down", down))
        ],
        "\n".join(details),
    )
