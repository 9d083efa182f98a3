"""Tables of results: the same rows for a terminal, as CSV and as Markdown."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | int | float | bool | None

#: Columns of text where the output is no terminal: wide enough that names are not cut.
PLAIN_WIDTH = 160


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Numbers stand to the right; None is an empty cell."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""


def as_text(tables: Sequence[Table], *, colour: bool = False) -> str:
    """Tables for a terminal, as wide as it is, or as plain text of PLAIN_WIDTH columns."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    buffer = io.StringIO()
    width = shutil.get_terminal_size((PLAIN_WIDTH, 24)).columns if colour else PLAIN_WIDTH
    console = Console(file=buffer, width=width, force_terminal=colour, highlight=False, legacy_windows=False)
    for i, table in enumerate(tables):
        if i:
            console.print()
        drawn = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(table.title) if table.title else None)
        drawn.title_justify = "left"
        for n, column in enumerate(table.columns):
            numeric = any(isinstance(row[n], int | float) for row in table.rows)
            drawn.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
        for row in table.rows:
            # Text, not str: names of operators hold brackets, which rich would take for markup
            drawn.add_row(*(Text(shown(cell)) for cell in row))
        console.print(drawn)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def as_csv(table: Table) -> str:
    """RFC 4180, with a header line; numbers in full."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(["" if cell is None else cell for cell in row] for row in table.rows)
    return buffer.getvalue()


def as_markdown(table: Table) -> str:
    """A pipe table."""
    lines = ["| " + " | ".join(table.columns) + " |", "|" + " --- |" * len(table.columns)]
    lines += ["| " + " | ".join(shown(cell).replace("|", "\\|") for cell in row) + " |" for row in table.rows]
    title = f"### {table.title}\n\n" if table.title else ""
    return title + "\n".join(lines) + "\n"


def shown(cell: Cell) -> str:
    """A cell as people read it."""
    match cell:
        case None:
            return ""
        case bool():
            return "yes" if cell else "no"
        case int():
            return f"{cell:,}".replace(",", " ")
        case float():
            return f"{cell:.0f}" if 100 <= abs(cell) < 1e9 else f"{cell:.4g}"
        case str():
            return cell
