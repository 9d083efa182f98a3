"""mcu-quant plans: plan files compared, and made one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mcu_quant.cli import options, output
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity

if TYPE_CHECKING:
    from mcu_quant.precision.plan import PrecisionPlan
    from mcu_quant.precision.plan_changes import Merged

_WHAT = ("diff", "merge")


@click.command(
    short_help="Compare plans, or merge two into one.",
    epilog="\b\nExamples:\n  mcu-quant plans diff small.toml good.toml\n"
    "  mcu-quant plans merge small.toml good.toml --take '/decoder/*' -o both.toml\n"
    "  mcu-quant plans merge mine.toml yours.toml --base before.toml -o both.toml",
)
@click.argument("what", metavar="diff | merge")
@click.argument("first", type=options.FILE)
@click.argument("second", type=options.FILE)
@click.option("--take", multiple=True, metavar="PATTERN", help="Of merge: operators as SECOND has them.")
@click.option("--base", type=options.FILE, metavar="PLAN", help="Of merge: what both came from.")
@click.option("-o", "--output", "target", type=options.FILE, metavar="FILE", help="Write the merged plan here.")
@click.option("--force", is_flag=True, help="Write over an existing FILE.")
@options.output_format()
def command(
    what: str,
    first: Path,
    second: Path,
    take: tuple[str, ...],
    base: Path | None,
    target: Path | None,
    force: bool,
    fmt: str,
) -> int:
    """Compare the plan files FIRST and SECOND, or merge them.

    diff lists the operators that are computed differently, and what else differs. merge gives FIRST with lines of
    SECOND: those that --take names and, with --base, those that only SECOND changed since; what both changed
    differently is named, stays as FIRST has it, and makes the exit status 1.
    """
    from mcu_quant.precision import plan

    if what not in _WHAT:
        raise DiagnosticError(Diagnostic("MQ900", what, "is neither diff nor merge"))
    plans = plan.load(first), plan.load(second)
    if what == "diff":
        _diff(*plans, fmt)
        return 0
    if target and target.exists() and not force:
        raise options.exists(target)
    return _merge(*plans, plan.load(base) if base else None, take, target, fmt)


def _diff(first: PrecisionPlan, second: PrecisionPlan, fmt: str) -> None:
    from mcu_quant.precision.plan_changes import changes, in_words, other_changes
    from mcu_quant.report.tables import Table

    found, others = changes(first, second), other_changes(first, second)
    document = {
        "operators": [
            {"name": c.operator, "first": c.before and asdict(c.before), "second": c.after and asdict(c.after)}
            for c in found
        ],
        "others": others,
    }
    rows = tuple((c.operator, in_words(c.before), in_words(c.after)) for c in found)
    tables = [Table(("operator", "first", "second"), rows), Table(("else", "what differs"), tuple(others.items()))]
    heading = f"{len(found)} of {len(first.operators)} operators are computed differently"
    output.emit(fmt, document, tables, heading=heading)


def _merge(
    first: PrecisionPlan,
    second: PrecisionPlan,
    base: PrecisionPlan | None,
    take: Sequence[str],
    target: Path | None,
    fmt: str,
) -> int:
    from mcu_quant.api.folder import write_file
    from mcu_quant.precision.plan import to_toml
    from mcu_quant.precision.plan_changes import in_words, merged
    from mcu_quant.report.tables import Table

    if not take and base is None:
        message, help_ = "nothing says what to take from the second plan", "add --take PATTERN, or --base PLAN"
        raise DiagnosticError(Diagnostic("MQ900", "merge", message, help=help_))
    if first.model != second.model or (first.sha256 and second.sha256 and first.sha256 != second.sha256):
        message = f"one is for {first.model}, the other for {second.model}, or for another version of it"
        raise DiagnosticError(Diagnostic("MQ304", "merge", message))
    made: Merged = merged(first, second, base, take)
    if target:
        write_file(target, to_toml(made.plan).encode())
    listed = [*((n, "as SECOND") for n in made.taken), *((n, "CONFLICT: as FIRST") for n in made.conflicts)]
    rows = tuple(
        (n, where, in_words(first.operators[n]), in_words(second.operators[n]), in_words(made.plan.operators[n]))
        for n, where in listed
    )
    table = Table(("operator", "merged", "first", "second", "result"), rows)
    document = {"taken": made.taken, "conflicts": made.conflicts, "output": str(target) if target else None}
    written = f"; written to {target}" if target else "; -o FILE writes it"
    heading = f"{len(made.taken)} operators as the second plan has them, {len(made.conflicts)} conflicts{written}"
    output.emit(fmt, document, [table], heading=heading, diagnostics=_unsettled(made))
    return 1 if made.conflicts else 0


def _unsettled(made: Merged) -> tuple[Diagnostic, ...]:
    help_ = "take the second's line with --take NAME, or leave it as it is; build or test tells what the plan loses"
    message = "both plans changed this line since the base, differently: it is as the first has it"
    return tuple(Diagnostic("MQ304", n, message, help=help_, severity=Severity.WARNING) for n in made.conflicts)
