"""What lies where: buffers over the calls of a frame, states, and the board's memory region by region."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

from mcu_quant.boards import Board
from mcu_quant.cost import CostReport
from mcu_quant.footprint import Footprint
from mcu_quant.memory import MemoryPlan
from mcu_quant.placement import Placement
from mcu_quant.program import Program, Role

Document = dict[str, Any]


def timeline(program: Program, memory: MemoryPlan, cost: CostReport) -> Document:
    """`memory` of report.json: calls in order, and every buffer with its offset and the calls it lives through."""
    return {
        "calls": [
            {
                "operator": call.operator,
                "kernel": call.kernel,
                "purpose": str(call.purpose),
                "cycles": spent.cycles,
                "priced": spent.entry,
                "isa": spent.isa,
                "work": list(astuple(spent.work)),
                "read_bytes": spent.read_bytes,
                "times": spent.times,
            }
            for call, spent in zip(program.calls, cost.calls, strict=True)
        ],
        "buffers": list(_buffers(program, memory)),
        "states": list(_states(program, memory)),
    }


def _buffers(program: Program, memory: MemoryPlan) -> Iterator[Document]:
    for name, offset in sorted(memory.offsets.items(), key=lambda item: memory.lifetimes[item[0]].first):
        edge, life = program.edges[name], memory.lifetimes[name]
        yield {
            "name": name,
            "operator": program.calls[life.first].operator,
            "format": edge.type.format,
            "shape": list(edge.type.shape),
            "offset_bytes": offset,
            "bytes": edge.type.bytes,
            "first_call": life.first,
            "last_call": life.last,
            "scratch": edge.role is Role.SCRATCH,
            "in_place_of": memory.inplace.get(name),
        }


def _states(program: Program, memory: MemoryPlan) -> Iterator[Document]:
    for name, offset in memory.state_offsets.items():
        type_ = program.edges[name].type
        yield {
            "name": name,
            "format": type_.format,
            "shape": list(type_.shape),
            "offset_bytes": offset,
            "bytes": type_.bytes,
        }


def regions(board: Board, footprint: Footprint, memory: MemoryPlan, placed: Placement) -> list[Document]:
    """`regions` of report.json: the banks of the board by address, and what of the model lies in each."""
    io_bytes = footprint.static_ram_bytes - memory.arena_bytes - memory.state_bytes
    in_flash = {"weights": footprint.weights_bytes, "code": footprint.code_bytes, "library": footprint.library_bytes}
    held: dict[str, dict[str, int]] = {r.name: {} for r in board.memory}
    held[board.program_memory.name] |= in_flash
    held[placed.memory] |= {"arena": memory.arena_bytes, "state": memory.state_bytes}
    held[board.arena_memory.name] |= {"io": io_bytes, "stack": footprint.stack_bytes}
    for name, size in placed.bytes.items():
        held[name]["copied"] = size
    return [
        {
            "name": region.name,
            "kind": region.kind,
            "address": region.address,
            "bytes": region.bytes,
            "reserved_bytes": region.reserved_bytes,
            "holds": {what: size for what, size in held[region.name].items() if size},
            "execute": region.execute,
            "dma": region.dma,
        }
        for region in sorted(board.memory, key=lambda r: r.address)
    ]
