"""
Systems for the machines: the library on memory, on SQLite or PostgreSQL and a folder, and the service as a process.
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
"""How many bytes a person may store: some small files, or not even one large one."""

LIGHT = {
    "ARGON2_MEMORY_KIB": "8192",
    "PART_SIZE": "65536",
    "SIGN_IN_ATTEMPTS": "10000",
    "TOTP_ATTEMPTS": "10000",
    "USER_QUOTA": str(QUOTA),
}
"""Quick hashes, small parts, a quota that is met, and tries enough for machines that make mistakes on purpose."""


def settings_for(folder: Path, **environ: str) -> Settings:
    """
    Settings with keys of their own.
    """
    keys = {"SECRET_KEY": os.urandom(32).hex(), "ENCRYPTION_KEY": base64.b64encode(os.urandom(32)).decode()}
    return Settings.from_env(LIGHT | keys | environ, data_dir=folder)


def wired(settings: Settings, **adapters: object) -> Application:
    """
    The application with these adapters in the place of the container's own.
    """
    container = Container(settings=settings)
    # Far below what a service may be set to: signing in is only the way to what is judged.
    light = Argon2idHasher(entropy=SystemEntropy(), cost=Argon2Cost(memory_kib=64))
    container.hasher.override(providers.Object(light))
    for name, adapter in adapters.items():
        getattr(container, name).override(providers.Object(adapter))
    return container.application()


def memory_library(**adapters: object) -> LibraryDriver:
    """
    The library on memory, except for the adapters given.
    """
    clock = SettableClock()
    stores = {"begin": MemoryDatabase(), "sessions": MemorySessions(), "limiter": MemoryRateLimiter()}
    stores |= {"blobs": MemoryBlobs(), "capacity": UnknownCapacity()}
    application = wired(settings_for(Path("/nonexistent")), clock=clock, **stores | adapters)
    return LibraryDriver(application=application, clock=clock)


@attrs.define
class StoredLibrary:
    """
    The library on a database and a folder: each opening is a new object graph on the same data.
    """

    settings: Settings
    clock: Clock
    adapters: dict[str, Callable[[Any], object]] = attrs.field(factory=dict)
    """What to make in the place of an adapter, given the engine."""
    _dispose: Callable[[], None] = attrs.field(default=lambda: None)

    def open(self) -> Application:
        """
        Drop what was open and open it anew, as after a crash.
        """
        self._dispose()
        engine = open_engine(self.settings.database_url, busy_seconds=self.settings.database.timeout_seconds)
        self._dispose = engine.dispose
        made = {name: make(engine) for name, make in self.adapters.items()}
        return wired(self.settings, clock=self.clock, engine=engine, **made)

    def close(self) -> None:
        self._dispose()

    def driver(self, clock: ManualClock) -> LibraryDriver:
        """
        Drive it; a crash drops it and opens it again.
        """
        return LibraryDriver(application=self.open(), clock=clock, reopen=self.open, closing=self.close)


def fresh_data(root: Path) -> Path:
    """
    A new data folder below `root` with the schema in its database, which is made once and copied.
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
    The library on SQLite and a folder below `root`, which crashes by being dropped and opened again.
    """
    clock = SettableClock()
    return StoredLibrary(settings_for(fresh_data(root)), clock, adapters=dict(adapters)).driver(clock)


def libraries_on_postgres(url: str, folder: Path) -> Callable[[], LibraryDriver]:
    """
    Makes drivers of the library on one PostgreSQL database, which is made ready, and a folder: one clock for all.
    """
    settings, clock = settings_for(folder, DATABASE_URL=url), SettableClock()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(settings)
    return lambda: StoredLibrary(settings, clock).driver(clock)


@attrs.define
class MortalService:
    """
    `sft serve` on one storage and one port: it can be killed with all its workers, and started again.

    It runs by a clock that stands still until it is moved, also while it is dead.
    """

    root: Path
    environ: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    port: int = attrs.field(factory=free_port)
    workers: int = 1
    stumbles: str = ""
    """The code of what one of its servers does wrong now and then, and does not when it is asked once more."""
    process: subprocess.Popen[bytes] | None = None
    did: Counter[str] = attrs.field(factory=Counter)
    """How often it was asked for what no call of HTTP can ask for."""

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
        End every process of it at once, as a power cut would.
        """
        assert self.process is not None
        kill_tree(self.process.pid)
        self.process.wait()

    def crash(self) -> None:
        self.did["crash"] += 1
        self.kill()
        self.start()

    def advance(self, seconds: int) -> None:
        self.did["advance"] += 1
        self.clock.advance(seconds=seconds)

    def revoke(self, access: str, token: str) -> None:
        """
        Withdraw a link by the library, on the service's own storage: there is no call of HTTP for it.
        """
        self.did["revoke"] += 1
        named = {name: value for name, value in self.environ.items() if name == "DATABASE_URL"}
        settings = configuration.settings_for(self.root / "data", LIGHT | named)
        library = StoredLibrary(settings, self.clock)
        try:
            library.driver(self.clock).revoke(access, token)
        finally:
            library.close()

    def driver(self) -> ServiceDriver:
        """
        Drive it over HTTP, and with all that HTTP cannot.
        """
        return ServiceDriver(
            base_url=f"http://127.0.0.1:{self.port}",
            clock=self.clock.now,
            crash_hook=self.crash,
            advance_hook=self.advance,
            revoke_hook=self.revoke,
            tick=partial(self.clock.advance, seconds=1),
            stumbles=self.stumbles,
        )


@attrs.frozen(kw_only=True)
class ServiceDriver(HttpDriver):
    """
    Lets the clock tick after each file and link: workers have no common order of what they make at one moment.
    """

    tick: Callable[[], object]
    stumbles: str = ""

    def store(self, access: str, *, name: str, media_type: str, content: bytes) -> str:
        store = partial(super().store, access, name=name, media_type=media_type, content=content)
        try:
            file_id = store()
        except Refused as refused:
            if refused.code != self.stumbles:
                raise
            file_id = store()
        self.tick()
        return file_id

    def share(self, access: str, file_id: str, *, hours: int | None = None, downloads: int | None = None) -> str:
        token = super().share(access, file_id, hours=hours, downloads=downloads)
        self.tick()
        return token


@contextmanager
def mortal_service(
    root: Path, environ: Mapping[str, str] = {}, *, workers: int = 1, stumbles: str = ""
) -> Iterator[MortalService]:
    """
    A service that runs until the block ends, on the embedded default or what the environment names.
    """
    root.mkdir(parents=True, exist_ok=True)
    service = MortalService(root, environ, workers=workers, stumbles=stumbles)
    service.clock.set(BEGINNING)
    service.start()
    try:
        yield service
    finally:
        service.kill()
