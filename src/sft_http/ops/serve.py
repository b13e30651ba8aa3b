"""
`sft serve`: the service, from nothing to listening in one step.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import click

from sft_adapters.container import blob_folder, migrate_schema, processes_that_may_write
from sft_adapters.settings import Settings
from sft_http import server
from sft_http.ops.configuration import read_settings, tells_errors, with_settings


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
    settings = read_settings(data, env_file)
    allowed = processes_that_may_write(settings, workers)
    migrate_schema(settings)
    blob_folder(settings).mkdir(mode=0o700, parents=True, exist_ok=True)
    click.echo(greeting(settings, host=host, port=port, workers=allowed, wanted=workers))
    server.run(settings, host=host, port=port, workers=allowed)


def greeting(settings: Settings, *, host: str, port: int, workers: int, wanted: int) -> str:
    """
    What the service uses and where to go next.
    """
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    lines = [
        f"{settings.app_name} {settings.app_version}",
        f"  database  {settings.data_dir / 'sft.db'} (SQLite {sqlite3.sqlite_version})",
        f"  blobs     {blob_folder(settings)}",
        f"  keys      {settings.data_dir / 'keys'}  <- keep a copy: without them no file can be opened",
        f"  workers   {workers}",
    ]
    if workers < wanted:
        lines.append(
            f"            ({wanted} were asked for, but SQLite before 3.51.3 is safe for one writing process only)",
        )
    lines += [f"  listening {url}", f"  try it    {url}/docs", f"            curl {url}/health"]
    return "\n".join(lines)
