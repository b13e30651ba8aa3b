"""
Systems for the machines: the library on several storages, and the service as a process.

The library runs in memory, and on SQLite or PostgreSQL with a folder of blobs.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import attrs
from dependency_injector import providers

from harness.clocks import BEGINNING, CLOCK, FileClock
from sft_adapters.bootstrap import configuration
from sft_adapters.bootstrap.container import Container
from sft_adapters.bootstrap.storage import prepare
from sft_adapters.crypto.passwords import Argon2Cost, Argon2idHasher
from sft_adapters.memory.blobs import MemoryBlobs
from sft_adapters.memory.capacity import UnknownCapacity
from sft_adapters.memory.clock import SettableClock
from sft_adapters.memory.database import MemoryDatabase
from sft_adapters.memory.rate_limiter import MemoryRateLimiter
from sft_adapters.memory.sessions import MemorySessions
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import open_engine
from sft_adapters.system import SystemEntropy
from sft_adapters.testkit import HttpDriver, LibraryDriver, Refused
from sft_adapters.testkit.drivers.library import ManualClock
from sft_core.application import Application
from sft_core.ports import Clock
from support.servers.processes import free_port, kill_tree, wait_for

QUOTA = 200_000
"""The quota of a user in bytes: enough for some small files, too little for a large one."""

LIGHT = {
    "ARGON2_MEMORY_KIB": "8192",
    "PART_SIZE": "65536",
    "SIGN_IN_ATTEMPTS": "10000",
    "TOTP_ATTEMPTS": "10000",
    "USER_QUOTA": str(QUOTA),
}
"""Fast hashes, small parts, a small quota, and attempts enough for machines that make mistakes on purpose."""


def settings_for(folder: Path, **environ: str) -> Settings:
    """
    Return settings with fresh keys.
    """
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    return Settings.from_env(LIGHT | keys | environ, data_dir=folder)


def build_application(settings: Settings, **adapters: object) -> Application:
    """
    Build the application with these adapters in place of the container's own.
    """
    container = Container(settings=settings)
    # Far below the minimum of a service's settings: the cost of a sign-in is not under test.
    light = Argon2idHasher(entropy=SystemEntropy(), cost=Argon2Cost(memory_kib=64))
    container.hasher.override(providers.Object(light))
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    return container.application()


def memory_library(**adapters: object) -> LibraryDriver:
    """
    Return a driver of the library in memory, except for the given adapters.
    """
    clock = SettableClock()
    stores = {"begin": MemoryDatabase(), "sessions": MemorySessions(), "limiter": MemoryRateLimiter()}
    stores |= {"blobs": MemoryBlobs(), "capacity": UnknownCapacity()}
    application = build_application(settings_for(Path("/nonexistent")), clock=clock, **stores | adapters)
    return LibraryDriver(application=application, clock=clock)


@attrs.define
class StoredLibrary:
    """
    The library on a database and a folder.

    Each `open` builds a new object graph on the same data.
    """

    settings: Settings
    clock: Clock
    adapters: dict[str, Callable[[Any], object]] = attrs.field(factory=dict)
    """Factories of replacement adapters by name, called with the engine."""
    _dispose: Callable[[], None] = attrs.field(default=lambda: None)

    def open(self) -> Application:
        """
        Close the open application and open another one, as after a crash.
        """
        self._dispose()
        engine = open_engine(self.settings.database_url, busy_seconds=self.settings.database.timeout_seconds)
        self._dispose = engine.dispose
        made = {name: make(engine) for name, make in self.adapters.items()}
        return build_application(self.settings, clock=self.clock, engine=engine, **made)

    def close(self) -> None:
        self._dispose()

    def driver(self, clock: ManualClock) -> LibraryDriver:
        """
        Return a driver whose crash closes and reopens the library.
        """
        return LibraryDriver(application=self.open(), clock=clock, reopen=self.open, closing=self.close)


def new_data_folder(root: Path) -> Path:
    """
    Create a data folder below `root` with a prepared database.

    The database schema is created once, and copied for each folder.
    """
    template = settings_for(root / "template")
    if not template.data_dir.exists():
        template.data_dir.mkdir(parents=True)
        prepare(template)
    folder = Path(mkdtemp(dir=root))
    shutil.copytree(template.data_dir, folder, dirs_exist_ok=True)
    return folder


def embedded_library(root: Path, **adapters: Callable[[Any], object]) -> LibraryDriver:
    """
    Return a driver of the library on SQLite and a folder below `root`.

    It crashes by being closed and reopened.
    """
    clock = SettableClock()
    return StoredLibrary(settings_for(new_data_folder(root)), clock, adapters=dict(adapters)).driver(clock)


def libraries_on_postgres(url: str, folder: Path) -> Callable[[], LibraryDriver]:
    """
    Prepare a PostgreSQL database and a folder, and return a factory of drivers on them.

    All drivers share one clock.
    """
    settings, clock = settings_for(folder, DATABASE_URL=url), SettableClock()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(settings)
    return lambda: StoredLibrary(settings, clock).driver(clock)


@attrs.define
class CrashableService:
    """
    `sft serve` on one storage and port, which can be killed and restarted.

    Killing it kills all its workers. Its clock changes only when it is advanced, also while the service is dead.
    """

    root: Path
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    port: int = attrs.field(factory=free_port)
    workers: int = 1
    retried_error: str = ""
    """The code of an occasional error of one of its servers that a retry does not repeat."""
    process: subprocess.Popen[bytes] | None = None
    hook_calls: Counter[str] = attrs.field(factory=Counter)
    """The number of calls of each hook."""

    @property
    def clock(self) -> FileClock:
        return FileClock(self.root / "clock")

    def start(self) -> None:
        command = [sys.executable, "-m", "harness.clocks", "serve", "--data", str(self.root / "data")]
        command += ["--port", str(self.port), "--workers", str(self.workers)]
        paths = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        environ = {**os.environ, **LIGHT, **self.environ, "PYTHONPATH": paths, CLOCK: str(self.clock.path)}
        with (self.root / "sft.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
        wait_for(self.port, self.process)

    def kill(self) -> None:
        """
        Kill every process of the service at once, as a power failure would.
        """
        assert self.process is not None
        kill_tree(self.process.pid)
        self.process.wait()

    def crash(self) -> None:
        self.hook_calls["crash"] += 1
        self.kill()
        self.start()

    def advance(self, seconds: int) -> None:
        self.hook_calls["advance"] += 1
        self.clock.advance(seconds=seconds)

    def revoke(self, access: str, token: str) -> None:
        """
        Revoke a link through the library, on the service's own storage.

        The API has no call for it.
        """
        self.hook_calls["revoke"] += 1
        named = {name: value for name, value in self.environ.items() if name == "DATABASE_URL"}
        settings = configuration.settings_for(self.root / "data", LIGHT | named)
        library = StoredLibrary(settings, self.clock)
        try:
            library.driver(self.clock).revoke(access, token)
        finally:
            library.close()

    def driver(self) -> ServiceDriver:
        """
        Return a driver over HTTP with every hook.
        """
        return ServiceDriver(
            base_url=f"http://127.0.0.1:{self.port}",
            clock=self.clock.now,
            crash_hook=self.crash,
            advance_hook=self.advance,
            revoke_hook=self.revoke,
            tick=partial(self.clock.advance, seconds=1),
            retried_error=self.retried_error,
        )


@attrs.frozen(kw_only=True)
class ServiceDriver(HttpDriver):
    """
    Advances the clock by one second after each file and link.

    Workers have no common order of files and links created at the same time.
    """

    tick: Callable[[], object]
    retried_error: str = ""

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        store = partial(super().store, access, name=name, media_type=media_type, content=content)
        try:
            file_id = store()
        except Refused as refused:
            if refused.code != self.retried_error:
                raise
            file_id = store()
        self.tick()
        return file_id

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        token = super().share(access, file_id, hours=hours, downloads=downloads)
        self.tick()
        return token


@contextmanager
def crashable_service(
    root: Path, environ: Mapping[str, str] = {}, *, workers: int = 1, retried_error: str = ""
) -> Iterator[CrashableService]:
    """
    Run a service until the block ends, on the embedded storage or that of `environ`.
    """
    root.mkdir(parents=True, exist_ok=True)
    service = CrashableService(root, environ, workers=workers, retried_error=retried_error)
    service.clock.set(BEGINNING)
    service.start()
    try:
        yield service
    finally:
        service.kill()
