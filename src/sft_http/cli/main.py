"""
The `sft` command.
"""

from __future__ import annotations

import importlib
from typing import Final

import click

from sft_core.version import __version__
from sft_http.cli.early_stop import EarlyStop, Stopped

_OPERATORS: Final = {
    "serve": ("sft_http.ops.serve", "Run the service."),
    "keys": ("sft_http.ops.keys", "See and change the keys that protect what is stored."),
    "migrate": ("sft_http.ops.migrate", "Bring the database schema up to date."),
    "doctor": ("sft_http.ops.doctor", "Check that everything stored is whole."),
    "sweep": ("sft_http.ops.sweep", "Remove what is left unfinished."),
}


# Of another one a stop is a failure: it has not done what it was asked to do.
_STOPPABLE: Final = frozenset({"serve"})


class LazyGroup(click.Group):
    """
    A group that imports an operator's command only when it is named: help stays quick and light.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *_OPERATORS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _OPERATORS:
            return super().get_command(ctx, cmd_name)
        if cmd_name in _STOPPABLE:
            # To import it takes most of a start's time.
            ctx.ensure_object(EarlyStop).heed()
        module, _ = _OPERATORS[cmd_name]
        command: click.Command = importlib.import_module(module).command
        return command

    def invoke(self, ctx: click.Context) -> object:
        stop = ctx.ensure_object(EarlyStop)
        try:
            return super().invoke(ctx)
        except (Stopped, SystemExit):
            if not stop.asked:
                raise
            raise click.exceptions.Exit(0) from None
        finally:
            stop.forget()

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, _OPERATORS[name][1]) for name in self.list_commands(ctx)])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sft")
def sft() -> None:
    """
    Secure File Transfer: an encrypted vault, and links to hand files to others.
    """


if __name__ == "__main__":
    sft()
