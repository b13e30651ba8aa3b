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
    "serve": ("sft_http.ops.serve", "Run the service."),
    "keys": ("sft_http.ops.keys", "List and change the keys that wrap stored secrets."),
    "migrate": ("sft_http.ops.migrate", "Update the database schema."),
    "doctor": ("sft_http.ops.doctor", "Check the integrity of everything stored."),
    "sweep": ("sft_http.ops.sweep", "Remove unfinished and expired data."),
}
# For every other command a stop is a failure: its work is not done.
_STOPPABLE: Final = frozenset({"serve"})


class LazyGroup(click.Group):
    """
    A group that imports an operator's command only when it is named: help needs no server package and prints at once.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_OPERATORS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _OPERATORS:
            return super().get_command(ctx, cmd_name)
        if cmd_name in _STOPPABLE:
            # Before the import, which takes most of a start's time.
            ctx.ensure_object(StartupSignals).install()
        module, _ = _OPERATORS[cmd_name]
        command: click.Command = importlib.import_module(module).command
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
            formatter.write_dl([(name, _OPERATORS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sft")
def sft() -> None:
    """
    Secure File Transfer: an encrypted vault, and links that share its files.
    """


if __name__ == "__main__":
    sft()
