"""The command line: one thin file per command, which parses, calls the API and renders.

This package imports click and nothing heavy, so that `--help` is instant; what a command needs it imports when it runs.
Results go to stdout, everything else to stderr. Exit status: 0 fine, 1 findings about the model, 2 usage, bad input
files or an internal error.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.version import VERSION

#: Order in which commands are listed: as they are met in use.
_ORDER = (
    *("inspect", "pipeline", "plan", "plans", "explore", "build", "test", "run", "demo", "flash", "report"),
    *("calibrate", "boards", "ops", "strategies", "doctor", "explain"),
)


class Commands(click.Group):
    """The commands are the modules of `mcu_quant.cli.commands`, each with a `command`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, the known ones in order of use, others after them."""
        folder = Path(__file__).resolve().parent / "commands"
        names = [m.name for m in pkgutil.iter_modules([str(folder)])]
        return sorted(names, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported now."""
        if cmd_name not in self.list_commands(ctx):
            return None
        found: click.Command = importlib.import_module(f"{__name__}.commands.{cmd_name}").command
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, with a suggestion for a mistyped name."""
        from mcu_quant.diagnostics import did_you_mean

        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            help_ = did_you_mean(args[0], self.list_commands(ctx)) or "`mcu-quant --help` lists the commands"
            raise DiagnosticError(Diagnostic("MQ900", args[0], "there is no such command", help=help_))
        return super().resolve_command(ctx, args)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        """Run a command and leave with its exit status; whatever goes wrong is said as a diagnostic."""
        from mcu_quant.cli import failures

        given = list(sys.argv[1:] if args is None else args)
        extra["standalone_mode"] = False
        try:
            status = super().main(given, *more, **extra)
        except Exception as error:
            status = failures.tell(error, given)
        sys.exit(status or 0)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="\b\nFirst steps:\n  mcu-quant doctor\n  mcu-quant build model.onnx --board nucleo_h743zi2 --data speech/\n"
    "  mcu-quant test build/model-nucleo_h743zi2",
)
@click.version_option(VERSION, prog_name="mcu-quant")
def main() -> None:
    """ONNX speech models to tested mixed-precision C firmware, with a report of memory and time on a board."""
