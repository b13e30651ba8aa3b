"""
`sft sweep`: what is left unfinished, removed now.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

from sft_adapters.bootstrap.open_application import open_unchecked
from sft_adapters.bootstrap.storage import check_schema
from sft_adapters.disk.locks import Locked
from sft_adapters.settings import Settings
from sft_core.errors import ConfigurationError
from sft_core.maintenance.sweep import Swept
from sft_http.ops.options import read_keys, read_settings, tells_errors, with_settings


@click.command("sweep")
@with_settings
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what there is to be done.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
@tells_errors
def command(data: Path, env_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """
    Remove what is over: uploads that nobody goes on with, expired files, parts of no file, rows of the past.

    A running server does so by itself, every SWEEP_INTERVAL_SECONDS. Both at once do no harm, but with
    SQLite before 3.51.3 one process only may write: there this is refused beside a server, with
    status 2, and only a dry run is not. Ends with status 1 if something could not be done now.
    """
    settings = read_settings(data, env_file)
    keys = read_keys(settings)
    check_schema(settings)
    try:
        with open_unchecked(settings, keys, writes=not dry_run) as opened:
            swept = opened.application.sweep(dry_run=dry_run)
    except Locked as locked:
        raise ConfigurationError(f"{locked.detail}; {_who_sweeps(settings)}") from None
    click.echo(json.dumps(attrs.asdict(swept)) if as_json else told(swept, dry_run=dry_run))
    if swept.failures:
        raise SystemExit(1)


def _who_sweeps(settings: Settings) -> str:
    seconds = settings.sweep.interval_seconds
    if seconds:
        return f"nothing was done, and if it is a running server, it sweeps by itself every {seconds:g} seconds"
    return (
        "nothing was done, and a running server does not sweep by itself while SWEEP_INTERVAL_SECONDS is 0: "
        "set it to more than that, or stop the server for this"
    )


def told(swept: Swept, *, dry_run: bool) -> str:
    """
    What a sweep has done, for people.
    """
    lines = [
        "Nothing was changed. There are:" if dry_run else "Swept:",
        f"  uploads given up   {swept.given_up}",
        f"  files expired      {swept.expired}",
        f"  files removed      {swept.removed}",
        f"  parts of no file   {swept.orphans} ({swept.orphan_bytes} bytes)",
        f"  rows that are over {swept.forgotten}",
    ]
    lines += [f"  failed: {code} ({times} times)" for code, times in sorted(swept.failures.items())]
    if not swept.is_complete:
        lines.append("Not everything was looked at.")
    return "\n".join(lines)
