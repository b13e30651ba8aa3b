"""
`sft sweep`: what is left unfinished, removed now.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs
import click

from sft_adapters.bootstrap import check_schema
from sft_adapters.container import open_unchecked
from sft_core.vault.sweep import Swept
from sft_http.ops.configuration import read_settings, tells_errors, with_settings


@click.command("sweep")
@with_settings
@click.option("--dry-run", is_flag=True, help="Change nothing; tell what there is to be done.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
@tells_errors
def command(data: Path, env_file: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """
    Remove what is left unfinished: uploads that nobody goes on with, parts of no file, rows that are over.

    A running server does so by itself; both at once do no harm. Ends with status 1 if something
    could not be done now.
    """
    settings = read_settings(data, env_file, make_keys=False)
    check_schema(settings)
    with open_unchecked(settings, writes=not dry_run) as opened:
        swept = opened.application.sweep(dry_run=dry_run)
    click.echo(json.dumps(attrs.asdict(swept)) if as_json else told(swept, dry_run=dry_run))
    if swept.failures:
        raise SystemExit(1)


def told(swept: Swept, *, dry_run: bool) -> str:
    """
    What a sweep has done, for people.
    """
    lines = [
        "Nothing was changed. There are:" if dry_run else "Swept:",
        f"  uploads given up   {swept.given_up}",
        f"  files removed      {swept.removed}",
        f"  parts of no file   {swept.orphans} ({swept.orphan_bytes} bytes)",
        f"  rows that are over {swept.forgotten}",
    ]
    lines += [f"  failed: {code} ({times} times)" for code, times in sorted(swept.failures.items())]
    if not swept.is_complete:
        lines.append("Not everything was looked at.")
    return "\n".join(lines)
