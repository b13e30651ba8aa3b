"""
`sft sweep`: run one sweep.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

from sft_adapters.bootstrap.open_application import open_unverified
from sft_adapters.bootstrap.storage import check_schema
from sft_adapters.disk.locks import Locked
from sft_adapters.settings import Settings
from sft_core.errors import ConfigurationError
from sft_core.maintenance.sweep import SweepResult
from sft_http.ops.options import operator_command, read_keys, read_settings


@click.command("sweep")
@operator_command
@click.option("--dry-run", is_flag=True, help="Change nothing; print what a sweep would do.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(data: Path, env_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """
    Remove abandoned uploads, expired files, orphaned parts and expired rows.

    A running server does the same every SWEEP_INTERVAL_SECONDS, and both may run at once. With SQLite before 3.51.3
    only one process may write: there the command exits with status 2 while a server runs, except for a dry run.
    Exits with status 1 if a step failed; the next sweep retries it.
    """
    settings = read_settings(data, env_file)
    keys = read_keys(settings)
    check_schema(settings)
    try:
        with open_unverified(settings, keys, writes=not dry_run) as opened:
            swept = opened.application.maintenance.sweep(dry_run=dry_run)
    except Locked as locked:
        raise ConfigurationError(f"{locked.detail}; {_sweep_hint(settings)}") from None
    click.echo(json.dumps(attrs.asdict(swept)) if as_json else _summary(swept, dry_run=dry_run))
    if swept.failures:
        raise SystemExit(1)


def _sweep_hint(settings: Settings) -> str:
    if seconds := settings.sweep.interval_seconds:
        return f"nothing was swept; if a server is running, it sweeps every {seconds:g} seconds"
    return (
        "nothing was swept, and a running server does not sweep while SWEEP_INTERVAL_SECONDS is 0: "
        "set it to a positive number, or stop the server and repeat this command"
    )


def _summary(swept: SweepResult, *, dry_run: bool) -> str:
    lines = [
        "Nothing was changed. A sweep would report:" if dry_run else "Swept:",
        f"  uploads aborted    {swept.given_up}",
        f"  files expired      {swept.expired}",
        f"  files removed      {swept.removed}",
        f"  orphaned parts     {swept.orphans} ({swept.orphan_bytes} bytes)",
        f"  expired rows       {swept.forgotten}",
    ]
    lines += [f"  failed: {code} ({times} times)" for code, times in sorted(swept.failures.items())]
    if not swept.is_complete:
        lines.append("The sweep is incomplete.")
    return "\n".join(lines)
