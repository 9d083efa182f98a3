"""What the command line says when a command fails: diagnostics, never a bare traceback."""

from __future__ import annotations

import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import click

from mcu_quant.diagnostics import USAGE, Diagnostic, DiagnosticError, Severity
from mcu_quant.version import VERSION

DEBUG = "MCU_QUANT_DEBUG"


def tell(error: Exception, args: Sequence[str]) -> int:
    """Say what went wrong, as JSON where `--format json` was asked for, and return the exit status."""
    match error:
        case DiagnosticError():
            show(error.diagnostics, as_json=wants_json(args))
            return error.exit_status
        case click.exceptions.NoArgsIsHelpError():
            error.show()
            return USAGE
        case click.ClickException():
            where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "mcu-quant"
            help_ = f"`{where} --help` lists arguments and options"
            show([Diagnostic("MQ900", where, error.format_message(), help=help_)], as_json=wants_json(args))
            return USAGE
        case click.exceptions.Abort():
            click.echo("interrupted", err=True)
            return USAGE
    show([_internal(error, args)], as_json=wants_json(args))
    return USAGE


def show(diagnostics: Iterable[Diagnostic], *, as_json: bool = False) -> None:
    """Diagnostics alone: one JSON object on stdout, or text on stderr."""
    if as_json:
        click.echo(json.dumps({"diagnostics": [d.as_dict() for d in diagnostics]}, indent=1, ensure_ascii=False))
        return
    colours = {"error": "red", "warning": "yellow", "note": "cyan"}
    for d in diagnostics:
        head, _, rest = str(d).partition(" ")
        click.echo(f"{click.style(head, fg=colours[d.severity], bold=True)} {rest}", err=True)


def stored(documents: Iterable[Mapping[str, str]]) -> list[Diagnostic]:
    """Diagnostics as a report holds them."""
    return [
        Diagnostic(**{k: v for k, v in d.items() if k != "severity"}, severity=Severity(d["severity"]))
        for d in documents
    ]


def wants_json(args: Sequence[str]) -> bool:
    """Whether JSON was asked for; read off the raw arguments, since they may be what is wrong."""
    return option(args, "--format") == "json"


def option(args: Sequence[str], name: str) -> str | None:
    """The last value of an option among raw arguments."""
    found = None
    for i, arg in enumerate(args):
        if arg == name and i + 1 < len(args):
            found = args[i + 1]
        elif arg.startswith(f"{name}="):
            found = arg.partition("=")[2]
    return found


def _internal(error: Exception, args: Sequence[str]) -> Diagnostic:
    """MQ999, with a traceback on request only, and a folder that reproduces the defect if one was asked for."""
    text = "".join(traceback.format_exception(error))
    if os.environ.get(DEBUG):
        click.echo(text, err=True)
    last = traceback.extract_tb(error.__traceback__)[-1]
    message = f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno}, {last.name})"
    folder = option(args, "--save-repro")
    help_ = f"run it again with --save-repro DIR and report DIR; {DEBUG}=1 shows the traceback"
    if folder:
        help_ = _save(Path(folder), text, args)
    return Diagnostic("MQ999", "mcu-quant", message, help=help_)


def _save(folder: Path, text: str, args: Sequence[str]) -> str:
    """Put command, traceback, versions and the small input files into a folder; return what to tell the user."""
    from mcu_quant.api.folder import versions

    try:
        folder.mkdir(parents=True, exist_ok=True)
        about = {"mcu-quant": VERSION, "arguments": list(args), "platform": sys.platform, "versions": versions()}
        (folder / "command.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        (folder / "traceback.txt").write_text(text, encoding="utf-8")
        for arg in args:
            path = Path(arg.partition("=")[2] if arg.startswith("--") else arg)
            if path.suffix in (".onnx", ".toml") and path.is_file():
                shutil.copy2(path, folder / path.name)
    except OSError as problem:
        return f"{folder} could not be written: {problem.strerror}"
    return f"report {folder}: it holds command, traceback, versions, model and plan (your data is not in it)"
