"""How results leave a command: tables, JSON or CSV on stdout; warnings and progress on stderr."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcu_quant.cli import failures
from mcu_quant.diagnostics import Diagnostic, DiagnosticError

if TYPE_CHECKING:
    from mcu_quant.report.tables import Table


def emit(
    fmt: str,
    document: Mapping[str, Any],
    tables: Sequence[Table],
    *,
    heading: str = "",
    diagnostics: Sequence[Diagnostic] = (),
) -> None:
    """A result: the document as JSON, with its diagnostics; the first table as CSV; or everything for people."""
    from mcu_quant.report.tables import as_csv, as_text

    if fmt == "json":
        noted = {**document, "diagnostics": [d.as_dict() for d in diagnostics]} if diagnostics else document
        click.echo(json.dumps(noted, indent=1, ensure_ascii=False))
        return
    failures.show(diagnostics)
    if fmt == "csv":
        click.echo(as_csv(tables[0]), nl=False)
        return
    if heading:
        click.echo(heading)
    if shown := [t for t in tables if t.rows]:
        click.echo(as_text(shown, colour=sys.stdout.isatty()), nl=False)


def write(text: str, target: Path | None) -> None:
    """A text to stdout, or whole to a file.

    Raises:
        DiagnosticError: MQ701 if the file cannot be written.
    """
    if target is None:
        click.echo(text, nl=False)
        return
    try:
        draft = target.with_name(f".{target.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(target)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise DiagnosticError(Diagnostic("MQ701", str(target), message, help="choose another file with -o")) from error


#: What progress says of work that is counted: "measuring layers: 3 of 8, about 12 s left".
_COUNTED = re.compile(r"(?P<what>.*): (?P<done>\d+) of (?P<all>\d+)(?:, about (?P<left>\d+) s left)?$")


def counted(text: str) -> tuple[str, int | None, int | None, str]:
    """What is being done, how much of it, of how much, and the time left in words; None, None and "" if unknown."""
    found = _COUNTED.match(text)
    if found is None:
        return text, None, None, ""
    left = "" if found["left"] is None else f"about {timedelta(seconds=int(found['left']))} left"
    return found["what"], int(found["done"]), int(found["all"]), left


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Shows what is being done, on stderr, and only on a terminal: a bar and the time left where work is counted."""
    if not sys.stderr.isatty():
        yield _silent
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None, left="")

        def tell(text: str) -> None:
            what, done, total, left = counted(text)
            bar.update(task, description=escape(what), completed=done or 0, total=total, left=left)

        yield tell


def _silent(_: str) -> None:
    """No terminal, no progress."""
