"""
`sft serve`: create what is missing and run the service.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import click

from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.single_writer import allowed_workers
from sft_adapters.bootstrap.storage import prepare_storage
from sft_adapters.keyring.loading import key_file_paths
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import describe_database
from sft_http.cli.early_stop import StartupSignals
from sft_http.ops.options import echo_to_stderr, operator_command, read_environment, read_keys
from sft_http.server import gunicorn_app
from sft_http.server.json_logging import json_logs_during_startup


@click.command("serve")
@operator_command
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The port to listen on.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many worker processes.")
def command(data: Path, env_file: Path | None, host: str, port: int, workers: int) -> None:
    """
    Run the service until SIGTERM or Ctrl-C.

    Without settings it uses SQLite and a folder under --data, and creates its keys on the first start. Exits with
    status 2 if the configuration is wrong.
    """
    signals = click.get_current_context().ensure_object(StartupSignals)
    with ExitStack() as stack:
        with (
            json_logs_during_startup(),
            open_container(Settings.from_env(read_environment(env_file), data_dir=data)) as container,
        ):
            settings = container.settings()
            # Errors in settings, key files or the port are reported before the first key is created.
            read_keys(settings)
            bound = stack.enter_context(gunicorn_app.bound_socket(host, port))
            signals.check()
            keys = prepare_storage(container, on_wait=echo_to_stderr)
        allowed = allowed_workers(settings, workers)
        text = greeting(settings, host=host, port=port, workers=allowed, wanted=workers)

        def announce() -> None:
            # The server has replaced the signal handlers and has no record of earlier signals.
            signals.check()
            # A full standard output must not stop the service.
            with suppress(OSError):
                click.echo(text)

        signals.check()
        try:
            gunicorn_app.run(settings, keys, bound=bound, workers=allowed, when_ready=announce)
        finally:
            _discard_unwritten_output()


def _discard_unwritten_output() -> None:
    """
    Discard output that a full disk rejected: Python would write it again at exit.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            null_device = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null_device, stream.fileno())
            os.close(null_device)


_SESSIONS: Final = {
    "database": "in the database",
    "redis": "in the database, with Redis in front of it",
    "memory": "in memory: a restart signs all users out",
}


def greeting(settings: Settings, *, host: str, port: int, workers: int, wanted: int) -> str:
    """
    The summary at the start: database, sessions, blobs, keys, workers and URLs.
    """
    in_bucket = f"bucket {settings.s3.bucket} at {settings.s3.endpoint}"
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [
        f"{settings.app.name} {settings.app.version}",
        f"  database  {describe_database(settings.database_url)}",
        f"  sessions  {_SESSIONS[settings.session_store]}",
        f"  blobs     {in_bucket if settings.blob_store_kind == 's3' else settings.blob_folder}",
        f"  keys      {_keys(settings)}",
        f"  workers   {workers}",
    ]
    if workers < wanted:
        reason = "with SQLite before 3.51.3 only one process may write"
        if settings.session_store == "memory":
            reason = "sessions in memory are limited to one process"
        lines.append(f"            (not {wanted}: {reason})")
    lines += [f"  listening {url}", f"  try it    {url}/docs", f"            curl {url}/health"]
    return "\n".join(lines)


def _keys(settings: Settings) -> str:
    paths = key_file_paths(settings)
    folders = {path and path.parent for path in paths.values()}
    if len(folders) == 1:
        where = _key_location(folders.pop())
    else:
        where = ", ".join(f"{name} {_key_location(path)}" for name, path in paths.items())
    return f"{where}  <- keep a copy: without ENCRYPTION_KEY no file can be opened"


def _key_location(path: Path | None) -> str:
    return f"in {path}" if path else "from the environment"
