"""mcu-quant ops: the operators that are supported, in which formats, under which rules."""

from __future__ import annotations

from typing import Any

import click

from mcu_quant.cli import options, output


@click.command(
    short_help="List supported operators, formats and rules.",
    epilog="\b\nExamples:\n  mcu-quant ops\n  mcu-quant ops Conv\n  mcu-quant ops --format json",
)
@click.argument("name", required=False, metavar="[OPERATOR]")
@options.output_format()
def command(name: str | None, fmt: str) -> None:
    """List supported ONNX operators with their formats, or the rules of one OPERATOR."""
    from mcu_quant import ops
    from mcu_quant.diagnostics import did_you_mean
    from mcu_quant.report.tables import Table

    known = {onnx: _row(onnx, spec) for onnx, spec in sorted(ops.by_onnx().items())}
    if name is not None and name not in known:
        raise options.usage(
            name, "is not a supported operator", did_you_mean(name, known) or "`mcu-quant ops` lists them"
        )
    chosen = [known[name]] if name else list(known.values())
    rows = tuple(
        (
            *(r["onnx"], r["operator"], r["family"]),
            ", ".join([*r["formats"], *(["whole numbers"] if r["exact"] else [])]),
            "; ".join(r["rules"]),
        )
        for r in chosen
    )
    table = Table(("ONNX", "operator", "family", "formats", "rules"), rows)
    output.emit(fmt, {"operators": chosen}, [table])


def _row(onnx: str, spec: Any) -> dict[str, Any]:
    from mcu_quant import ops
    from mcu_quant.precision.plan import CHOICES

    have = {low.format for low in spec.lowerings}
    passes = spec.carries or not (have or spec.exact)  # values that are only moved, operators that become others
    return {
        "onnx": onnx,
        "operator": spec.name,
        "family": spec.family,
        "formats": list(CHOICES) if passes else [f for f in CHOICES if f in have],
        "carries": spec.carries,
        "exact": spec.exact is not None,
        "rules": [ops.rule(c) for c in spec.constraints],
    }
