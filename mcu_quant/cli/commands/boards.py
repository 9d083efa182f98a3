"""mcu-quant boards: the boards that come with the tool."""

from __future__ import annotations

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="List boards and the facts about them.",
    epilog="\b\nExamples:\n  mcu-quant boards\n  mcu-quant boards nucleo_f446re\n  mcu-quant boards my_board.toml",
)
@click.argument("board", required=False)
@options.output_format()
def command(board: str | None, fmt: str) -> None:
    """List boards, or the facts about one BOARD (an id or a file) with their sources."""
    from mcu_quant import boards
    from mcu_quant.report.tables import Table

    if board:
        found = boards.load(board)
        facts = [{"fact": f, "value": v, "source": found.source(f)} for f, v in found.facts.items()]
        rows = tuple((d["fact"], str(d["value"]), d["source"]) for d in facts)
        about = {"id": found.id, "name": found.name, "vendor": found.vendor, "mcu": found.mcu, "note": found.note}
        heading = f"{found.name} ({found.mcu}), {found.vendor}" + (f"\n{found.note}" if found.note else "")
        table = Table(("fact", "value", "source"), tuple((str(a), b, str(c)) for a, b, c in rows))
        output.emit(fmt, {**about, "facts": facts}, [table], heading=heading)
        return
    listed = [_row(b) for b in boards.all_boards()]
    table = Table(tuple(listed[0]), tuple(tuple(row.values()) for row in listed))
    output.emit(fmt, {"boards": listed}, [table])


def _row(board: object) -> dict[str, str | int]:
    from mcu_quant.boards import Board

    assert isinstance(board, Board)
    return {
        "id": board.id,
        "name": board.name,
        "mcu": board.mcu,
        "core": board.core.name,
        "clock_hz": board.clock.hz,
        "flash_bytes": board.program_memory.usable_bytes,
        "ram_bytes": board.arena_memory.usable_bytes,
        "f16": str(board.half_precision),
    }
