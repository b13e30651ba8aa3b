"""
`sft keys`: list, add, rotate and retire the keys of the key ring.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from sft_adapters.operations import keys
from sft_adapters.operations.keys import LABELS, RingKey
from sft_adapters.settings import Settings
from sft_core.keys.model import SecretKind, StoredSecret
from sft_http.ops.options import CONFIGURATION_EXIT, echo_to_stderr, operator_command, read_settings

INCOMPLETE_EXIT: Final = 1
"""The exit status while a stored secret needs a key other than the active one."""


@click.group("keys")
def command() -> None:
    """
    List and change the keys that wrap stored secrets.

    The key ring has one active key, which wraps new secrets, and any number of earlier ones, which only unwrap until
    their secrets have been re-wrapped. No command shows a key.
    """


@command.command("list")
@operator_command
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_keys(data: Path, env_file: Path | None, *, as_json: bool) -> None:
    """
    List the keys of the ring, and how many stored secrets need each.
    """
    ring = keys.list_keys(read_settings(data, env_file))
    click.echo(json.dumps({"keys": [_as_json(key) for key in ring]}, indent=2) if as_json else _as_table(ring))


def _as_json(key: RingKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "state": _state(key),
        "made_at": key.created_at.isoformat() if key.created_at else None,
        "file": str(key.file) if key.file else None,
        "in_environment": key.in_environment,
        "needed_by": {kind.value: number for kind, number in key.needed_by.items()},
    }


def _as_table(keys: list[RingKey]) -> str:
    rows = [["key", "state", "made", *(LABELS[kind] for kind in SecretKind), "where"]]
    for key in keys:
        made = f"{key.created_at:%Y-%m-%d %H:%M}" if key.created_at else "-"
        needed_by = (str(key.needed_by[kind]) for kind in SecretKind)
        rows.append([key.id, _state(key), made, *needed_by, _location(key)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _state(key: RingKey) -> str:
    if key.active:
        return "active"
    return "missing" if key.is_missing else "earlier"


def _location(key: RingKey) -> str:
    locations = [str(key.file)] if key.file else []
    locations += ["the environment"] if key.in_environment else []
    return " and ".join(locations) or "missing: restore it"


_MANUAL_STEPS: Final = """\
Key {active} comes from the environment. To replace it:
  1. {make}
  2. Append the present ENCRYPTION_KEY to ENCRYPTION_KEYS_RETIRING, separated by a comma,
     and set ENCRYPTION_KEY to the new key.
  3. Restart every service, then run `sft keys rotate`."""


@command.command("add")
@operator_command
@click.option(
    "--write",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="If ENCRYPTION_KEY comes from the environment: write a new key to this new file, readable only by you.",
)
def add_key(data: Path, env_file: Path | None, write: Path | None) -> None:
    """
    Create a new key and make it the active one.

    The previous key stays in the ring. Running services wrap under the new key from then on, without a restart. If
    ENCRYPTION_KEY comes from the environment, the command prints what to set.
    """
    settings = read_settings(data, env_file)
    active = keys.active_id(settings)
    if settings.security.encryption_key is None:
        if write is not None:
            raise click.UsageError("--write needs an ENCRYPTION_KEY that comes from the environment.")
        before, after = keys.add(settings)
        click.echo(f"Key {after} is now the active one; key {before} still unwraps.")
        click.echo("Running services use it from now on. Run `sft keys rotate` next.")
        return
    make = "Create a key, for example with `sft keys add --write FILE`."
    if write is not None:
        make = f"{write} contains the new key {keys.write_key(write)}; keep a copy."
    click.echo(_MANUAL_STEPS.format(active=active, make=make))
    if write is None:
        raise SystemExit(CONFIGURATION_EXIT)


@command.command("rotate")
@operator_command
@click.option("--dry-run", is_flag=True, help="Unwrap every secret that would be re-wrapped, and change nothing.")
@click.option(
    "--batch", type=click.IntRange(1, 5000), default=500, show_default=True, help="The number of rows per transaction."
)
def rotate(data: Path, env_file: Path | None, *, dry_run: bool, batch: int) -> None:
    """
    Re-wrap every stored secret under the active key.

    Services may run at the same time: they read that key from its file or have it in their environment. The command may
    be stopped at any point and continues when it is run again. Exits with status 1 if a secret could not be re-wrapped.
    """
    settings = read_settings(data, env_file)
    earlier = _needed_earlier_keys(settings)
    done: Counter[SecretKind] = Counter()
    undecryptable: list[StoredSecret] = []
    with keys.open_rewrapping(settings, dry_run=dry_run, on_wait=echo_to_stderr) as rewrap:
        present = [key for key in earlier if not key.is_missing]
        with _progress(sum(sum(key.needed_by.values()) for key in present)) as advance:
            for key in present:
                for some in rewrap(key_id=key.id, batch=batch, dry_run=dry_run):
                    done[some.kind] += some.rewrapped
                    undecryptable += some.undecryptable
                    advance(some.rewrapped + len(some.undecryptable))
    numbers = ", ".join(f"{done[kind]} {LABELS[kind]}" for kind in SecretKind)
    click.echo(f"{'To be re-wrapped' if dry_run else 'Re-wrapped'}: {numbers}.")
    if not _report_remaining(settings, earlier, dict.fromkeys(undecryptable), dry_run=dry_run):
        raise SystemExit(INCOMPLETE_EXIT)


def _needed_earlier_keys(settings: Settings) -> list[RingKey]:
    return [key for key in keys.list_keys(settings) if key.is_needed and not key.active]


def _report_remaining(
    settings: Settings, before: list[RingKey], undecryptable: Mapping[StoredSecret, None], *, dry_run: bool
) -> bool:
    """
    Print which secrets could not be re-wrapped, and why; return whether none is left.
    """
    for secret in undecryptable:
        echo_to_stderr(f"the {secret.kind.value} of row {secret.id} does not unwrap under key {secret.wrapped.key_id}")
    left = before if dry_run else _needed_earlier_keys(settings)
    for key in left:
        _report_reason(key, _count_unopened(key, undecryptable), dry_run=dry_run)
    if dry_run:
        click.echo("Nothing was changed.")
        return not undecryptable and not any(key.is_missing for key in left)
    if not left:
        keys.transfer_ownership(settings)
        for key in before:
            click.echo(f"Nothing needs key {key.id} any more: `sft keys retire {key.id}` removes it from the ring.")
    return not left


def _report_reason(key: RingKey, unopened_count: Counter[SecretKind], *, dry_run: bool) -> None:
    """
    Print why a key is still needed; a dry run omits what a rotation resolves.
    """
    if key.is_missing:
        echo_to_stderr(
            f"key {key.id} is missing from the ring, and {_format_counts(key.needed_by)} need it: restore it"
        )
        return
    if unopened_count:
        # Another run would find the same rows.
        echo_to_stderr(
            f"{_format_counts(unopened_count)} do not unwrap under key {key.id}, which they name: run `sft doctor`"
        )
    others = Counter(key.needed_by) - unopened_count
    if others and not dry_run:
        echo_to_stderr(
            f"{_format_counts(others)} still need key {key.id}, because a service wraps under it: rotate again"
        )


def _count_unopened(key: RingKey, undecryptable: Iterable[StoredSecret]) -> Counter[SecretKind]:
    found = Counter(secret.kind for secret in undecryptable if secret.wrapped.key_id == key.id)
    return found & Counter(key.needed_by)


def _format_counts(numbers: Mapping[SecretKind, int]) -> str:
    return ", ".join(f"{numbers[kind]} {LABELS[kind]}" for kind in SecretKind if numbers.get(kind))


@contextmanager
def _progress(length: int) -> Iterator[Callable[[int], None]]:
    """
    Show the progress: a bar on a terminal, otherwise one line per tenth.
    """
    if sys.stdout.isatty():
        with click.progressbar(length=length, label="Re-wrapping") as bar:
            yield bar.update
        return
    done = tenths = 0

    def advance(number: int) -> None:
        nonlocal done, tenths
        done += number
        if length and done * 10 // length > tenths:
            tenths = done * 10 // length
            click.echo(f"{done} of {length}")

    yield advance


@command.command("retire")
@operator_command
@click.argument("key_id", metavar="ID")
def retire(data: Path, env_file: Path | None, key_id: str) -> None:
    """
    Remove an earlier key from the ring, unless a stored secret needs it.

    From then on the database refuses secrets wrapped under it: a service that does not have the new key responds
    with 503 to requests that wrap one. Older backups still need the key, so its file is renamed and not removed.
    """
    retired = keys.retire(read_settings(data, env_file), key_id)
    if retired.file is not None:
        click.echo(f"Key {key_id} was removed from the ring. Its file is now {retired.file}:")
        click.echo("delete it when no backup needs it any more.")
    if retired.in_environment:
        click.echo(f"Nothing needs key {key_id}: remove it from ENCRYPTION_KEYS_RETIRING, wherever that is set.")
