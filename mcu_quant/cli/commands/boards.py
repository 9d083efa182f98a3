"""mcu-quant boards: the boards that come with the tool: list, filter, compare; begin a file for another one."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import failures, options, output

if TYPE_CHECKING:
    from mcu_quant.boards import Board
    from mcu_quant.report.tables import Table


@click.command(
    short_help="List, filter and compare boards; begin a file for another one.",
    epilog="\b\nExamples:\n  mcu-quant boards --core cortex-m4 --ram 128KiB\n  mcu-quant boards nucleo_f446re\n"
    "  mcu-quant boards nucleo_f446re nucleo_h743zi2 my_board.toml\n"
    "  mcu-quant boards --fits model.onnx --data speech/\n"
    "  mcu-quant boards new my_board.toml --like nucleo_f446re",
)
@click.argument("words", metavar="[BOARD]... | new FILE", nargs=-1)
@click.option("--core", metavar="NAME", help="Only boards with this core, such as cortex-m4.")
@click.option("--flash", metavar="SIZE", help="Only boards with so much program memory, such as 512KiB.")
@click.option("--ram", metavar="SIZE", help="Only boards with so much RAM in one bank.")
@click.option("--fits", type=options.FILE, metavar="DIR|MODEL", help="Say which boards hold this model, and why not.")
@click.option("--like", metavar="BOARD", default="nucleo_f446re", show_default=True, help="What a new file begins as.")
@options.precision
@options.data
@options.importing
@options.output_format("markdown")
def command(
    *,
    words: tuple[str, ...],
    core: str | None,
    flash: str | None,
    ram: str | None,
    fits: Path | None,
    like: str,
    preset: str | None,
    plan: Path | None,
    edits: tuple[str, ...],
    data: Path | None,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
    fmt: str,
) -> int:
    """List boards; show the facts about one BOARD (an id or a file) with their sources; compare several.

    `new FILE` writes a commented board file to begin with.
    """
    if words and words[0] == "new":
        return _new(words[1:], like)
    from mcu_quant import boards

    found = [boards.load(w) for w in words] if words else list(boards.all_boards())
    found = _filtered(found, core, _size("--flash", flash), _size("--ram", ram))
    if fits is not None:
        from mcu_quant.api import ReportRequest

        source = options.source(fits, bind, states, pipeline, stream, audio)
        precision = options.precision_request(preset, plan, edits, adapt=True)
        names = tuple(words or (b.id for b in found))
        return _fits(ReportRequest(fits, names, precision, data, None if fits.is_dir() else source), fmt)
    if len(words) == 1 and found:
        _one(found[0], fmt)
    else:
        _several(found, bool(words), fmt)
    return 0


def _filtered(found: list[Board], core: str | None, flash: int, ram: int) -> list[Board]:
    from mcu_quant.diagnostics import did_you_mean

    cores = {b.core.name for b in found}
    if core is not None and core not in cores:
        raise options.usage("--core", f"no board has the core {core!r}", did_you_mean(core, cores) or ", ".join(cores))
    return [
        b
        for b in found
        if core in (None, b.core.name) and b.program_memory.usable_bytes >= flash and b.arena_memory.usable_bytes >= ram
    ]


def _size(option: str, text: str | None) -> int:
    """Bytes of "512KiB", "2MiB" or "65536"; nothing is no demand."""
    if text is None:
        return 0
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KiB|MiB)?", text.strip(), flags=re.IGNORECASE)
    if not found:
        raise options.usage(f"{option} {text}", "is not a size", "for example 512KiB, 2MiB or 65536")
    return round(float(found[1]) * {"": 1, "b": 1, "kib": 1024, "mib": 1024**2}[(found[2] or "").lower()])


def _one(board: Board, fmt: str) -> None:
    from mcu_quant.report.tables import Table

    facts = [{"fact": f, "value": v, "source": board.source(f)} for f, v in board.facts.items()]
    rows = tuple((str(d["fact"]), _value(str(d["fact"]), d["value"]), str(d["source"])) for d in facts)
    about = {"id": board.id, "name": board.name, "vendor": board.vendor, "mcu": board.mcu, "note": board.note}
    heading = f"{board.name} ({board.mcu}), {board.vendor}" + (f"\n{board.note}" if board.note else "")
    _emit(fmt, {**about, "facts": facts}, Table(("fact", "value", "source"), rows), heading)


def _several(found: list[Board], compare: bool, fmt: str) -> None:
    """A row per board; where boards were named and people read it, a column per board."""
    from mcu_quant.report.tables import Table, shown

    listed = [_row(b) for b in found]
    columns = tuple(listed[0]) if listed else ("id",)
    table = Table(columns, tuple(tuple(row.values()) for row in listed))
    if compare and fmt in ("table", "markdown"):
        sideways = tuple((key, *(shown(row[key]) for row in listed)) for key in columns[1:])
        table = Table(("", *(b.id for b in found)), sideways)
    _emit(fmt, {"boards": listed}, table)


def _emit(fmt: str, document: dict[str, object], table: Table, heading: str = "") -> None:
    if fmt == "markdown":
        from mcu_quant.report.tables import as_markdown

        click.echo((f"{heading}\n\n" if heading else "") + as_markdown(table), nl=False)
        return
    output.emit(fmt, document, [table], heading=heading)


def _row(board: Board) -> dict[str, str | int]:
    from mcu_quant.cost import status
    from mcu_quant.timing import table

    return {
        "id": board.id,
        "name": board.name,
        "mcu": board.mcu,
        "core": board.core.name,
        "clock_hz": board.clock.hz,
        "flash_bytes": board.program_memory.usable_bytes,
        "ram_bytes": board.arena_memory.usable_bytes,
        "f16": str(board.half_precision),
        "kernels": board.kernel_isa,
        "timing": str(status(table().cores[board.timing_core], board)),
        "unverified": len(board.unverified),
    }


def _value(fact: str, value: object) -> str:
    """A fact as people read it: addresses in hexadecimal, lists without brackets."""
    if fact.endswith(".address"):
        return f"0x{value:08x}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _fits(request: object, fmt: str) -> int:
    """The boards that hold a model first, the smallest of them at the top."""
    from mcu_quant import api
    from mcu_quant.report import render

    assert isinstance(request, api.ReportRequest)
    with output.progress() as progress:
        reports = api.report(request, progress)
    reports.sort(key=lambda r: (not r["fits"], r["ram"]["available_bytes"], r["flash"]["available_bytes"], r["board"]))
    if fmt in ("table", "markdown"):
        from mcu_quant.report.boards import overview
        from mcu_quant.report.tables import as_markdown, as_text

        click.echo(as_text([overview(reports)]) if fmt == "table" else as_markdown(overview(reports)), nl=False)
        failures.show(failures.stored(d for r in reports[:1] for d in r["diagnostics"] if d["code"] == "MQ402"))
    else:
        click.echo(render(reports, fmt), nl=False)
    return 0 if any(r["fits"] for r in reports) else 1


def _new(words: tuple[str, ...], like: str) -> int:
    from mcu_quant import boards, paths
    from mcu_quant.board_template import template

    if len(words) != 1 or not re.fullmatch(r"[a-z][a-z0-9_]*", Path(words[0]).stem):
        help_ = "for example: mcu-quant boards new my_board.toml; lower-case letters, digits and _ make an id"
        raise options.usage("new", "takes the name of one file", help_)
    target = Path(words[0]).with_suffix(".toml")
    if target.exists():
        raise options.exists(target)
    model = boards.load(like)
    built_in = like in boards.ids()
    file = paths.boards() / f"{like}.toml" if built_in else Path(like)
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    output.write(template(target.stem, model, document), target)
    click.echo(f"{target}: a copy of {model.id} with a comment on every key; `mcu-quant boards {target}` shows it")
    return 0
