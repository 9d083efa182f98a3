"""A program as rows of text: what the templates of a firmware folder loop over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mcu_quant import ecosystems, formats
from mcu_quant.c_text import Lines, Names, comment, float_literal
from mcu_quant.memory import MemoryPlan
from mcu_quant.program import Buffer, Call, Constant, Edge, Program, Purpose, Role, Scalar, Struct, Symbol
from mcu_quant.regions import enclosing


@dataclass(frozen=True)
class Writer:
    """Turns a program into rows of text. Names are fixed once, here."""

    program: Program
    memory: MemoryPlan
    prefix: str
    names: Names
    #: constant -> the region it is copied to
    placed: Mapping[str, str] = field(default_factory=dict)

    def edges(self) -> list[Edge]:
        """Edges that the calls outside of loops mention, in order of first use."""
        outside = [c for i, c in enumerate(self.program.calls) if not enclosing(i, self.program.loops)]
        return self.mentioned(outside)

    def mentioned(self, calls: Iterable[Call], others: Iterable[str] = ()) -> list[Edge]:
        """Edges that calls mention, in order of first use, and others, as far as the code must say where they lie."""
        used = dict.fromkeys((*(b.edge for c in calls for _, b in c.buffers()), *others))
        edges = (self.program.edges[e] for e in used)
        return [e for e in edges if e.view or e.role not in (Role.INPUT, Role.OUTPUT)]

    def parameter(self, name: str) -> str:
        """C name of a model input or output."""
        return self.names(name.removesuffix("@output"), "port")

    def edge(self, name: str) -> str:
        """C name of an edge."""
        edge = self.program.edges[name]
        if edge.role in (Role.INPUT, Role.OUTPUT) and edge.view is None:
            return self.parameter(name)
        return self.names(name, "edge")

    def place(self, edge: Edge) -> str:
        """C expression of the address of an edge."""
        root = self.program.edges[edge.root]
        c_type = edge.type.storage.c_type
        moves = "".join(f" {'-' if n < 0 else '+'} {self.step(loop)} * {abs(n)}" for loop, n in edge.strides)
        if root.role in (Role.INPUT, Role.OUTPUT):
            offset = f" + {edge.view.offset}" if edge.view and edge.view.offset else ""
            return f"{self.parameter(root.name)}{offset}{moves}"
        if root.role is Role.STATE:
            return f"({c_type} *)(void *)(state + {self.memory.state_offsets[root.name] + edge.offset_bytes}){moves}"
        return f"({c_type} *)(void *)(arena + {self.memory.offsets[root.name] + edge.offset_bytes}){moves}"

    def step(self, loop: str) -> str:
        """C name of the number of a loop's step."""
        return self.names("step", f"step of {loop}")

    def declaration(self, edge: Edge) -> dict[str, str]:
        """The row that says where an edge lies."""
        const = "const " if self.program.edges[edge.root].role is Role.INPUT else ""
        return {
            "type": f"{const}{edge.type.storage.c_type}",
            "name": self.edge(edge.name),
            "place": self.place(edge),
            "comment": str(edge.type),
        }

    def argument(self, call: Call, name: str) -> str:
        """C expression of an argument of a call."""
        arg = call.args[name]
        match arg:
            case Buffer(edge, _):
                return self.edge(edge)
            case Constant(constant):
                return self.constant(constant)
            case Scalar(value):
                return float_literal(value) if isinstance(value, float) else str(value)
            case Symbol(symbol):
                return symbol
            case Struct():
                return f"&{self.struct(call, name)}"
        raise TypeError(f"unknown argument {arg!r}")

    def constant(self, name: str) -> str:
        """C name of a constant."""
        return f"{self.prefix}_{self.names(name, 'constant')}"

    def struct(self, call: Call, name: str) -> str:
        """C name of a parameter struct of a call."""
        return self.names(f"{call.operator}_{name}", f"struct{self.program.calls.index(call)}")

    def structs(self) -> list[dict[str, Any]]:
        """One row per parameter struct: its type, its name, its fields."""
        rows = []
        for call in self.program.calls:
            for name, arg in call.args.items():
                if isinstance(arg, Struct):
                    fields = [(k, self.field(v)) for k, v in arg.fields.items()]
                    rows.append({"type": arg.c_type, "name": self.struct(call, name), "fields": fields})
        return rows

    def field(self, value: Any) -> str:
        """C initialiser of a struct's field."""
        match value:
            case Constant(name):
                return self.constant(name)
            case Symbol(name):
                return name
            case tuple():
                return "{" + ", ".join(self.field(v) for v in value) + "}"
            case float():
                return float_literal(value)
            case _:
                return str(value)

    def row(self, index: int, kinds: Mapping[str, str], previous: str, indent: str) -> dict[str, Any]:
        """The row of a call; with a heading where its operator is not the `previous` one."""
        call = self.program.calls[index]
        args = ", ".join(self.argument(call, n) for n in call.args)
        kind = kinds.get(call.operator, "")
        heading = "" if call.operator == previous else call.operator + (kind and f": {kind}")
        row = {"indent": indent, "index": index, "call": f"{call.kernel}({args});", "note": self.note(call)}
        return {**row, "heading": comment(heading)}

    def note(self, call: Call) -> str:
        """What a call writes: format, shape and offset of each result; the format it came from where it converts."""
        results = [self.program.edges[e] for e in call.writes if self.program.edges[e].role is not Role.SCRATCH]
        came = f"{self.program.edges[call.reads[0]].type.format} -> " if call.purpose is Purpose.CONVERT else ""
        return came + ", ".join(self.where(e) for e in results)

    def where(self, edge: Edge) -> str:
        """Format, shape and offset of an edge, for a comment."""
        root = self.program.edges[edge.root]
        shape = f"{edge.type.format}[{','.join(map(str, edge.type.shape))}]"
        if root.role in (Role.INPUT, Role.OUTPUT):
            return shape
        table = self.memory.state_offsets if root.role is Role.STATE else self.memory.offsets
        return (
            f"{shape} @{root.role.value if root.role is Role.STATE else 'arena'}+{table[root.name] + edge.offset_bytes}"
        )

    def constants(self) -> list[dict[str, Any]]:
        """One row per constant array."""
        return [
            {
                "type": formats.get(c.format).c_type,
                "name": self.constant(c.name),
                "size": c.array.size,
                "shape": "x".join(map(str, c.array.shape)),
                "comment": comment(
                    f"{c.name}: {c.format}[{','.join(map(str, c.array.shape))}]{c.comment and ', ' + c.comment}"
                ),
                "lines": Lines(c.format, c.array),
                "bank": self.placed.get(c.name, ""),
            }
            for c in self.program.constants.values()
        ]

    def resets(self) -> list[dict[str, Any]]:
        """How each state gets its initial value: a byte everywhere, or a constant array."""
        rows = []
        for s in self.program.states:
            edge = self.program.edges[s.edge]
            raw = np.ascontiguousarray(s.initial).view(np.uint8).ravel()
            uniform = raw.size == 0 or bool((raw == raw[0]).all())
            rows.append(
                {
                    "name": self.edge(s.edge),
                    "comment": comment(f"{s.edge}: {edge.type}"),
                    "offset": self.memory.state_offsets[s.edge],
                    "bytes": edge.type.bytes,
                    "uniform": uniform,
                    "value": int(raw[0]) if uniform and raw.size else 0,
                    "type": edge.type.storage.c_type,
                    "lines": [] if uniform else Lines(edge.type.format, s.initial),
                    "size": edge.type.size,
                }
            )
        return rows

    def ports(self, names: Sequence[str]) -> list[dict[str, Any]]:
        """One row per input or output of the model."""
        return [
            {
                "name": self.parameter(n),
                "onnx": comment(n.removesuffix("@output")),
                "type": self.program.edges[n].type.storage.c_type,
                "bytes": self.program.edges[n].type.storage.bytes,
                "rust": ecosystems.RUST_TYPES[self.program.edges[n].type.storage.c_type],
                "size": self.program.edges[n].type.size,
                "shape": "][".join(map(str, self.program.edges[n].type.shape)) or "1",
            }
            for n in names
        ]
