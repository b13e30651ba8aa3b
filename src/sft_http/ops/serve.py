"""
`sft serve`: the service, from nothing to listening in one step.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

import click

from sft_adapters.bootstrap.container import open_container
from sft_adapters.bootstrap.single_writer import processes_that_may_write
from sft_adapters.bootstrap.storage import prepare_storage
from sft_adapters.keyring.loading import key_file_paths
from sft_adapters.settings import Settings
from sft_adapters.sql.engine import described
from sft_http.cli.early_stop import EarlyStop
from sft_http.ops.options import read_environment, read_keys, tell, tells_errors, with_settings
from sft_http.server import gunicorn_app
from sft_http.server.json_logging import lines_of_a_start


@click.command("serve")
@with_settings
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="The port to listen on.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="How many worker processes.")
@tells_errors
def command(data: Path, env_file: Path | None, host: str, port: int, workers: int) -> None:
    """
    Run the service until SIGTERM or Ctrl-C.

    Without settings it runs on its embedded default: SQLite and a folder under --data, with keys
    made on the first start. Ends with status 2 if something is not configured as it must be.
    """
    stop = click.get_current_context().ensure_object(EarlyStop)
    with ExitStack() as stack:
        with (
            lines_of_a_start(),
            open_container(Settings.from_env(read_environment(env_file), data_dir=data)) as container,
        ):
            settings = container.settings()
            # Every fault of settings, key files or port is reported before the first key is created.
            read_keys(settings)
            bound = stack.enter_context(gunicorn_app.listening(host, port))
            stop.check()
            keys = prepare_storage(container, when_waiting=tell)
        allowed = processes_that_may_write(settings, workers)
        text = greeting(settings, host=host, port=port, workers=allowed, wanted=workers)

        def announce() -> None:
            # The server has taken over the signals: what came before it is not known to it.
            stop.check()
            # What it writes to may be full: the service is there all the same.
            with suppress(OSError):
                click.echo(text)

        stop.check()
        try:
            gunicorn_app.run(settings, keys, bound=bound, workers=allowed, when_ready=announce)
        finally:
            _drop_what_found_no_room()


def _drop_what_found_no_room() -> None:
    """
    Let go of what a full standard output did not take: it would be written once more, and fail the process's end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)


_SESSIONS: Final = {
    "database": "in the database",
    "redis": "in the database, with Redis in front of it",
    "memory": "in memory: a restart signs everybody out",
}


def greeting(settings: Settings, *, host: str, port: int, workers: int, wanted: int) -> str:
    """
    What the service uses and where to go next.
    """
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [
        f"{settings.app.name} {settings.app.version}",
        f"  database  {described(settings.database_url)}",
        f"  sessions  {_SESSIONS[settings.session_store]}",
        f"  blobs     {_blobs(settings)}",
        f"  keys      {_keys(settings)}",
        f"  workers   {workers}",
    ]
    if workers < wanted:
        lines.append(f"            ({wanted} were asked for, but {_why_one(settings)})")
    lines += [f"  listening {url}", f"  try it    {url}/docs", f"            curl {url}/health"]
    return "\n".join(lines)


def _why_one(settings: Settings) -> str:
    if settings.session_store == "memory":
        return "sessions in memory are one process's only"
    return "SQLite before 3.51.3 is safe for one writing process only"


def _blobs(settings: Settings) -> str:
    if settings.blob_store_kind == "s3":
        return f"bucket {settings.s3.bucket} at {settings.s3.endpoint}"
    return str(settings.blob_folder)


def _keys(settings: Settings) -> str:
    places = key_file_paths(settings)
    folders = {path and path.parent for path in places.values()}
    if len(folders) == 1:
        where = _place_of_key(folders.pop())
    else:
        where = ", ".join(f"{name} {_place_of_key(path)}" for name, path in places.items())
    return f"{where}  <- keep a copy: without ENCRYPTION_KEY no file can be opened"


def _place_of_key(path: Path | None) -> str:
    return f"in {path}" if path else "from the environment"
