"""mcu-quant inspect: what a model is made of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mcu_quant.cli import options, output

if TYPE_CHECKING:
    from mcu_quant.report.tables import Table


@click.command(
    short_help="Show what a model is made of, or what is in the way.",
    epilog="\b\nExamples:\n  mcu-quant inspect model.onnx\n"
    "  mcu-quant inspect vad.onnx --bind sequence=576 --bind sr=16000",
)
@options.model
@options.importing
@options.verify
@options.data
@options.output_format()
@options.save_repro
def command(
    *,
    model: Path,
    bind: tuple[str, ...],
    states: tuple[str, ...],
    pipeline: str | None,
    stream: tuple[str, ...],
    audio: bool,
    verify: bool,
    data: Path | None,
    fmt: str,
) -> None:
    """Show inputs, states and operators of MODEL, or everything that is in the way of importing it."""
    source = options.source(model, bind, states, pipeline, stream, audio)
    from mcu_quant import api

    with output.progress():
        found = api.inspect(source, verify, data)
    output.emit(fmt, found, _tables(found), heading=_heading(found))


def _heading(found: dict[str, Any]) -> str:
    totals, pipeline = found["totals"], found["pipeline"]
    audio = (
        f"{pipeline['name']} ({pipeline['title']})" if pipeline else "none is known: pass --pipeline, or data as .npz"
    )
    lines = [
        found["model"],
        f"  {_grouped(totals['macs'])} multiply-accumulates per frame, {_grouped(totals['params'])} parameters",
        f"  pipeline: {audio}",
    ]
    lines += [f"  bound: {b['name']} = {b['value']} ({b['why']}; {', '.join(b['where'])})" for b in found["bindings"]]
    lines += [f"  state: {s['input']} <- {s['output']} {s['shape']} ({s['paired_by']})" for s in found["states"]]
    lines += [f"  loop: {_loop(loop)}" for loop in found["loops"]]
    lines += [f"  note: {note}" for note in found["notes"]]
    lines += [f"  verified: {_verified(v)}" for v in found["verified"] or ()]
    return "\n".join(lines)


def _loop(loop: dict[str, Any]) -> str:
    most = f"{loop['steps']} steps" if loop["steps"] is not None else "steps"
    often = f"{most if loop['steps'] is None else 'at most ' + most}, as data says" if loop["open"] else most
    return f"{loop['name']} ({often} of {len(loop['operators'])} operators, from {loop['operators'][0]})"


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")


def _verified(check: dict[str, Any]) -> str:
    worst = min((d["snr_db"] for d in check["outputs"].values()), default=float("inf"))
    return f"{worst:.0f} dB or more against {check['reference']} on {check['signal']}, {check['frames']} frames"


def _tables(found: dict[str, Any]) -> list[Table]:
    from mcu_quant.report.tables import Table

    operators = tuple(
        (
            o["name"],
            o["op"],
            _shapes(o["inputs"]),
            _shapes(o["outputs"]),
            o["macs"],
            o["params"],
            ", ".join(o["formats"]),
        )
        for o in found["operators"]
    )
    ports = tuple((kind, p["name"], _shape(p), p["dtype"]) for kind in ("input", "output") for p in found[f"{kind}s"])
    rewrites = tuple((r["rule"], r["where"], r["detail"]) for r in found["rewrites"])
    return [
        Table(("operator", "type", "in", "out", "MACs", "parameters", "formats"), operators, "Operators"),
        Table(("", "name", "shape", "type"), ports, "Inputs and outputs"),
        Table(("rewrite", "where", "detail"), rewrites, "Rewrites"),
    ]


def _shape(port: dict[str, Any]) -> str:
    return "x".join(map(str, port["shape"])) or "scalar"


def _shapes(ports: list[dict[str, Any]]) -> str:
    return ", ".join(map(_shape, ports))
