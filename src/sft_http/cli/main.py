"""
The `sft` command.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from sft_core.version import __version__
from sft_http.cli.early_stop import StartupSignals, Stopped

_OPERATORS: Final = {
    "serve": "Run the service.",
    "keys": "List and change the keys that wrap stored secrets.",
    "migrate": "Update the database schema.",
    "doctor": "Check the integrity of everything stored.",
    "sweep": "Remove unfinished and expired data.",
}
"""The commands of `sft_http.ops`, one a module, and their help."""
# For every other command a stop is a failure: its work is not done.
_STOPPABLE: Final = frozenset({"serve"})


class LazyGroup(click.Group):
    """
    A group that imports an operator's command only when it is named.

    So help needs no server package and prints at once.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_OPERATORS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _OPERATORS:
            return super().get_command(ctx, cmd_name)
        if cmd_name in _STOPPABLE:
            # Before the import, which takes most of a start's time.
            ctx.ensure_object(StartupSignals).install()
        command: click.Command = importlib.import_module(f"sft_http.ops.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> object:
        signals = ctx.ensure_object(StartupSignals)
        try:
            return super().invoke(ctx)
        except (Stopped, SystemExit):
            if not signals.requested:
                raise
            raise click.exceptions.Exit(0) from None
        finally:
            signals.restore()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _OPERATORS[name]) for name in self.list_commands(ctx)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sft")
def sft() -> None:
    """
    Secure File Transfer: an encrypted vault, and links that share its files.
    """


if __name__ == "__main__":
    sft()
