"""
`sft migrate`: update or check the database schema.
"""

from __future__ import annotations

from pathlib import Path

import click

from sft_adapters.bootstrap.storage import check_schema, prepare
from sft_http.ops.options import echo_to_stderr, operator_command, read_keys, read_settings


@click.command("migrate")
@operator_command
@click.option("--check", is_flag=True, help="Change nothing; exit with status 2 unless the schema is up to date.")
def command(data: Path, env_file: Path | None, *, check: bool) -> None:
    """
    Update the database schema.
    """
    settings = read_settings(data, env_file)
    read_keys(settings)
    if not check:
        prepare(settings, on_wait=echo_to_stderr)
    check_schema(settings)
    click.echo("The schema is up to date.")
