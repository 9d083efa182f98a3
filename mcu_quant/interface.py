"""Where everything lies in the generated code, as data: what the emulator reads to drive a folder and tap its edges."""

from __future__ import annotations

from typing import Any

from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Array
from mcu_quant.memory import MemoryPlan
from mcu_quant.program import CallLoop, Program, Role, scale_edge


def _runs(index: Array) -> list[list[int]]:
    """An index array as [start, count, step] runs, which is short for everything that slices make."""
    flat = [int(i) for i in index]
    runs: list[list[int]] = []
    for i in flat:
        if runs:
            start, count, step = runs[-1]
            if count == 1:
                runs[-1] = [start, 2, i - start]
                continue
            if i == start + count * step:
                runs[-1][1] += 1
                continue
        runs.append([i, 1, 1])
    return runs


def _port(program: Program, name: str) -> dict[str, Any]:
    type_ = program.edges[name].type
    return {"name": name.removesuffix("@output"), "shape": list(type_.shape), "format": type_.format}


def _loop(loop: CallLoop) -> dict[str, Any]:
    """Steps `start` to before `stop` are made `count` times; None or `open` where data may end the loop earlier."""
    open_ = bool(loop.condition or loop.limit)
    return {"name": loop.name, "start": loop.start, "stop": loop.stop, "count": loop.count, "open": open_}


def interface(program: Program, memory: MemoryPlan, prefix: str) -> dict[str, Any]:
    """Where everything lies in the generated code, as data: what the emulator reads to drive a folder and tap edges."""
    edges = {}
    for name, edge in program.edges.items():
        root = program.edges[edge.root]
        if root.role in (Role.INPUT, Role.OUTPUT):
            continue
        table = memory.state_offsets if root.role is Role.STATE else memory.offsets
        if root.name not in table or edge.strides:  # what moves with the steps of a loop is seen as a whole
            continue
        quant = edge.type.quant
        edges[name] = {
            "region": "state" if root.role is Role.STATE else "arena",
            "offset": table[root.name] + edge.offset_bytes,
            "shape": list(edge.type.shape),
            "format": edge.type.format,
            "scale": quant.scale if quant else None,
            "zero_point": quant.zero_point if quant else 0,
            "scale_edge": scale_edge(name) if quant and quant.kind is not ScaleKind.STATIC else None,
            "scratch": root.role is Role.SCRATCH,
        }
    return {
        "prefix": prefix,
        "inputs": [_port(program, n) for n in program.inputs],
        "outputs": [_port(program, n) for n in program.outputs],
        "states": [
            {"edge": s.edge, "input": s.model_input, "output": s.model_output, "index": _runs(s.index)}
            for s in program.states
        ],
        "steps": [
            {"kernel": c.kernel, "operator": c.operator, "purpose": c.purpose.value, "writes": list(c.writes)}
            for c in program.calls
        ],
        **({"loops": [_loop(loop) for loop in program.loops]} if program.loops else {}),
        "edges": edges,
        "holds": {k: v for k, v in program.holds.items() if v in edges},
    }
