"""
Options and error handling that the operators' commands share.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

import click

from sft_adapters.bootstrap.configuration import settings_for
from sft_adapters.keyring.loading import KeySet, ephemeral_keys, load_keys
from sft_adapters.settings import Settings
from sft_adapters.settings.model import environment
from sft_core.errors import SftError

P = ParamSpec("P")
T = TypeVar("T")

CONFIGURATION_EXIT = 2
"""The exit status when a setting, a key or the schema is wrong."""


def operator_command(command: Callable[P, T]) -> Callable[P, T]:
    """
    Add `--data` and `--env-file` to a command, and report its errors in one sentence.
    """
    data = click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path("sft-data"),
        show_default=True,
        help="The folder for database, blobs and keys.",
    )
    env_file = click.option(
        "--env-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="A file of settings; the environment takes precedence. [default: .env, if it exists]",
    )
    return data(env_file(_reporting_errors()(command)))


def read_settings(data: Path, env_file: Path | None) -> Settings:
    """
    Return the settings of the environment and the `.env` file; nothing is written.
    """
    return settings_for(data, read_environment(env_file))


def read_environment(env_file: Path | None) -> dict[str, str]:
    """
    Return the environment merged over `env_file`, or over this folder's `.env` if it exists.
    """
    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    return environment(os.environ, env_file)


def read_keys(settings: Settings) -> KeySet:
    """
    Return existing keys and stand-ins for missing ones, for commands that only examine or clean.
    """
    return load_keys(settings, stand_ins=ephemeral_keys())


def echo_to_stderr(sentence: str) -> None:
    """
    Print a sentence to standard error.
    """
    click.echo(f"sft: {sentence}", err=True)


@contextmanager
def _reporting_errors() -> Iterator[None]:
    """
    Print an error as one sentence, without a traceback, and exit with status 2.
    """
    try:
        yield
    except SftError as error:
        echo_to_stderr(error.detail or error.public)
        raise SystemExit(CONFIGURATION_EXIT) from None
    except OSError as error:
        echo_to_stderr(f"{error.filename or 'the data folder'}: {error.strerror}")
        raise SystemExit(CONFIGURATION_EXIT) from None
