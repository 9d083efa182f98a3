"""mcu-quant doctor: what is installed, and how to get the rest."""

from __future__ import annotations

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="Say what is installed and how to get the rest.",
    epilog="\b\nExamples:\n  mcu-quant doctor\n  mcu-quant doctor --format json",
)
@options.output_format()
def command(fmt: str) -> int:
    """Say which compilers, emulators and packages are there, what each is for, and how to get what is missing."""
    from mcu_quant.api import doctor
    from mcu_quant.report.tables import Table

    found = doctor.examine()
    rows = tuple(
        (
            c.name,
            "ok" if c.found else ("MISSING" if c.required else "missing"),
            c.found,
            c.purpose,
            "" if c.found else c.remedy,
        )
        for c in found
    )
    table = Table(("tool", "", "found", "for", "how to get it"), rows)
    complete = all(c.found for c in found if c.required)
    output.emit(fmt, {"complete": complete, "tools": [c.as_dict() for c in found]}, [table])
    return 0 if complete else 1
