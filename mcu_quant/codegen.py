"""Program + memory plan -> the files of a firmware folder. The same input gives the same bytes.

Everything that needs arithmetic or a decision happens here; the templates only loop over prepared rows.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from mcu_quant import bare, ecosystems, formats
from mcu_quant.c_text import Lines, Names, comment, commented, float_literal
from mcu_quant.emulator.library import declarations, headers
from mcu_quant.interface import interface
from mcu_quant.ir import Array
from mcu_quant.loop_code import LoopCode
from mcu_quant.memory import MemoryPlan
from mcu_quant.paths import firmware, templates
from mcu_quant.placement import Placement
from mcu_quant.program import (
    Buffer,
    Call,
    Constant,
    Edge,
    Program,
    Purpose,
    Role,
    Scalar,
    Struct,
    Symbol,
)
from mcu_quant.regions import Region, enclosing, tree
from mcu_quant.selftest_log import SCHEDULE_DIGITS
from mcu_quant.texts import LargeText, Text
from mcu_quant.variants import sources, variant


@dataclass(frozen=True, eq=False)
class Vectors:
    """Frames for the self-test: inputs and the outputs the emulator gave, each [frames, elements]; reals in float32."""

    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]

    @property
    def frames(self) -> int:
        """Number of frames."""
        return next((len(a) for a in self.inputs.values()), 0)


@dataclass(frozen=True)
class AudioFacts:
    """What a folder of `build --audio` says of its audio: samples of 16 bits. `labels` are those of keywords."""

    rate_hz: int
    hop: int
    latency: int
    labels: tuple[str, ...] = ()

    @property
    def literals(self) -> tuple[str, ...]:
        """The labels as C strings."""
        return tuple(json.dumps(label) for label in self.labels)

    @property
    def words(self) -> str:
        """The labels in a comment."""
        return comment(", ".join(self.labels))


@dataclass(frozen=True, eq=False)
class Context:
    """What a folder says about itself beyond the program: texts for its README and vectors for its self-test.

    `board_flags` are the compiler flags of the board's core, `facts` the rows of the README's table.
    """

    prefix: str
    model: str
    board: str
    command: str
    vectors: Vectors
    compiler: str = "arm-none-eabi-gcc"
    board_flags: tuple[str, ...] = ()
    #: the compiler's option for speed or size
    level: str = "-O2"
    #: operator -> its type and format, for the headings of the schedule
    kinds: Mapping[str, str] = field(default_factory=dict)
    #: rows of the README, which may quote sizes that are known only after linking
    facts: tuple[tuple[str, str], ...] = ()
    operators: tuple[tuple[str, str, str, str], ...] = ()
    frame: str = ""
    version: str = ""
    audio: AudioFacts | None = None
    #: build systems of others that the folder fits into (`ecosystems.names`)
    ecosystems: tuple[str, ...] = ()
    #: the board's id, and where a program of our own lies on it; None where it has no place for one
    board_id: str = "none"
    layout: bare.Layout | None = None
    #: what does not lie where everything else does; None where all does
    placement: Placement | None = None


# --- the library's part --------------------------------------------------------------------------------------------


def library_functions(program: Program) -> list[str]:
    """C functions of the firmware library that a program needs: its kernels and the functions it passes to them."""
    found = set(program.kernels())
    for call in program.calls:
        for arg in call.args.values():
            symbols = [arg] if isinstance(arg, Symbol) else []
            if isinstance(arg, Struct):
                symbols = [v for v in arg.fields.values() if isinstance(v, Symbol)]
            found |= {s.name for s in symbols if s.name != "NULL"}
    return sorted(found)


@cache
def _header_index() -> Mapping[str, Path]:
    return {p.name: p for p in [*firmware().glob("include/*.h"), *headers()]}


def library_files(functions: Iterable[str], isa: str) -> dict[str, Path]:
    """Files to copy into `mq/`: one C file per function, and every header they include."""
    found: dict[str, Path] = {}
    queue = [variant(f, isa) for f in functions]
    while queue:
        path = queue.pop()
        if path.name in found:
            continue
        found[path.name] = path
        for included in re.findall(r'^#include "([^"]+)"', path.read_text(), flags=re.M):
            queue.append(_header_index()[included])
    return dict(sorted(found.items()))


@cache
def text_hash(function: str, isa: str) -> str:
    """Eight hexadecimal digits of everything a function is compiled from: equal where it may be shared."""
    texts = [p.read_bytes() for name, p in library_files([function], isa).items() if name != "mq_names.h"]
    return hashlib.sha256(b"\0".join(texts)).hexdigest()[:8]


def header_of(function: str) -> str:
    """The header that declares a library function."""
    folder = next(iter(sources()[function].values())).parent
    for path in sorted(folder.glob("*.h")):
        if re.search(rf"\b{function}\(", declarations([path])):
            return path.name
    raise KeyError(f"{function} is not declared in {folder.name}")


# --- rows for the templates ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Writer:
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
        const = "const " if self.program.edges[edge.root].role is Role.INPUT else ""
        return {
            "type": f"{const}{edge.type.storage.c_type}",
            "name": self.edge(edge.name),
            "place": self.place(edge),
            "comment": str(edge.type),
        }

    def argument(self, call: Call, name: str) -> str:
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
        return f"{self.prefix}_{self.names(name, 'constant')}"

    def struct(self, call: Call, name: str) -> str:
        return self.names(f"{call.operator}_{name}", f"struct{self.program.calls.index(call)}")

    def structs(self) -> list[dict[str, Any]]:
        rows = []
        for call in self.program.calls:
            for name, arg in call.args.items():
                if isinstance(arg, Struct):
                    fields = [(k, self.field(v)) for k, v in arg.fields.items()]
                    rows.append({"type": arg.c_type, "name": self.struct(call, name), "fields": fields})
        return rows

    def field(self, value: Any) -> str:
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

    def steps(self, kinds: Mapping[str, str]) -> list[dict[str, Any]]:
        """One row per call or loop; the first of each operator has a heading with its name and what `kinds` says."""
        rows = []
        previous = ""
        for part in tree(len(self.program.calls), self.program.loops):
            if isinstance(part, Region):
                heading = comment("" if previous == part.loop.name else part.loop.name)
                rows.append({**LoopCode(self, kinds).call(part.loop), "heading": heading})
                previous = part.loop.name
            else:
                rows.append(self.row(part, kinds, previous, ""))
                previous = self.program.calls[part].operator
        return rows

    def row(self, index: int, kinds: Mapping[str, str], previous: str, indent: str) -> dict[str, Any]:
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
        root = self.program.edges[edge.root]
        shape = f"{edge.type.format}[{','.join(map(str, edge.type.shape))}]"
        if root.role in (Role.INPUT, Role.OUTPUT):
            return shape
        table = self.memory.state_offsets if root.role is Role.STATE else self.memory.offsets
        return (
            f"{shape} @{root.role.value if root.role is Role.STATE else 'arena'}+{table[root.name] + edge.offset_bytes}"
        )

    def constants(self) -> list[dict[str, Any]]:
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


# --- the folder ----------------------------------------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    made.filters["commented"] = commented
    return made


#: Pieces of a template that are handed on together.
_PIECES = 1000


def generate(program: Program, memory: MemoryPlan, context: Context) -> dict[str, Text]:
    """The source files of a firmware folder, by path, without its README.

    plan.toml, report.json and manifest.json are added by whoever knows them.
    """
    values = _values(program, memory, context)
    prefix = context.prefix
    schedule = _render("model.c.j2", values)
    values["schedule"] = hashlib.sha256(schedule.encode()).hexdigest()[:SCHEDULE_DIGITS]
    made: dict[str, Text] = {
        path: _render(template, values)
        for path, template in {
            f"{prefix}.h": "model.h.j2",
            f"{prefix}_weights.h": "weights.h.j2",
            f"{prefix}_check.c": "check.c.j2",
            "CMakeLists.txt": "CMakeLists.txt.j2",
            "toolchain.cmake": "toolchain.cmake.j2",
            "mq/mq_names.h": "mq_names.h.j2",
            "selftest/adapter.h": "adapter.h.j2",
            "selftest/footprint.c": "footprint.c.j2",
            "selftest/timed.c": "timed.c.j2",
            "selftest/vectors.h": "vectors.h.j2",
            "selftest/vectors.c": "vectors.c.j2",
            **({"selftest/board.ld": "board.ld.j2"} if context.layout else {}),
            **({f"{prefix}_load.c": "load.c.j2"} if values["copied"] else {}),
        }.items()
    }
    weights = _environment().get_template("weights.c.j2").stream(values)
    weights.enable_buffering(_PIECES)
    made[f"{prefix}_weights.c"] = LargeText(weights)
    library = library_files(library_functions(program), program.isa)
    made |= {f"mq/{name}": path.read_text() for name, path in library.items() if name != "mq_names.h"}
    made |= {f"selftest/{path.name}": path.read_text() for path in _selftest_files(context)}
    made |= {f"{prefix}.c": schedule, "mq/mq_crc32.h": _header_index()["mq_crc32.h"].read_text()}
    if context.audio:
        made |= stream_files(prefix, values["outputs"])
    made |= ecosystems.files(context.ecosystems, values, _render)
    made["selftest/interface.json"] = json.dumps(interface(program, memory, prefix), indent=1) + "\n"
    return dict(sorted(made.items()))


def _selftest_files(context: Context) -> list[Path]:
    """The part of the self-test that is the same for every model; with start-up code where the board takes it."""
    start = bare.start_files(context.compiler) if context.layout else [firmware() / "qemu" / "semihosting.h"]
    return [*sorted((firmware() / "selftest").glob("*.[ch]")), *start]


def weights_crc32(program: Program) -> int:
    """CRC-32 of all constants, as the compiler lays them out: little-endian, one array after the other."""
    crc = 0
    for constant in program.constants.values():
        array = np.ascontiguousarray(constant.array, constant.array.dtype.newbyteorder("<"))
        if constant.format == "f32" and np.isnan(array).any():
            array = np.where(np.isnan(array), np.float32("nan"), array)  # every NaN is written as the macro
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc


def stream_files(prefix: str, outputs: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The real-time skeleton around a model that takes samples: `outputs` are rows as `model.h.j2` has them."""
    values = {"prefix": prefix, "upper": prefix.upper(), "outputs": outputs, "plays": _plays(outputs)}
    made = {f"{prefix}_stream.{kind}": _render(f"stream.{kind}.j2", values) for kind in ("c", "h")}
    return made | {"mq/mq_ring.h": _header_index()["mq_ring.h"].read_text()}


def _plays(outputs: Sequence[Mapping[str, Any]]) -> bool:
    return any(p["name"] == "audio_out" for p in outputs)


def readme(program: Program, memory: MemoryPlan, context: Context) -> str:
    """The folder's README.md: the only file that quotes `context.facts` and `context.operators`."""
    return _render("README.md.j2", _values(program, memory, context))


def _render(template: str, values: Mapping[str, Any]) -> str:
    return _environment().get_template(template).render(values)


def _values(program: Program, memory: MemoryPlan, context: Context) -> dict[str, Any]:
    """What the templates may name."""
    placed = context.placement.weights if context.placement else {}
    writer = _Writer(program, memory, context.prefix, Names(c.operator for c in program.calls), placed)
    inputs, outputs = writer.ports(program.inputs), writer.ports(program.outputs)  # named before anything inside
    functions = library_functions(program)
    library = [f"mq/{name}" for name in library_files(functions, program.isa) if name.endswith(".c")]
    copied = context.placement is not None and bool(context.placement.weights)
    parts = ("", "_weights", "_check", *(["_load"] if copied else []), *(["_stream"] if context.audio else []))
    return {
        "context": context,
        "prefix": context.prefix,
        "upper": context.prefix.upper(),
        "program": program,
        "memory": memory,
        "inputs": inputs,
        "outputs": outputs,
        "edges": [writer.declaration(e) for e in writer.edges()],
        "structs": writer.structs(),
        "steps": writer.steps(context.kinds),
        "last_step": len(program.calls),
        "loops": LoopCode(writer, context.kinds).functions(),
        "constants": writer.constants(),
        "weights_crc32": weights_crc32(program),
        **_placed(context),
        "link": context.layout,
        "start_source": bare.start_files(context.compiler)[0].name,
        "resets": writer.resets(),
        "signature": _signature(context.prefix, inputs, outputs),
        "usage": _usage(context.prefix, memory, [p["name"] for p in inputs + outputs]),
        "functions": [{"name": f, "shared": f"{f}_{text_hash(f, program.isa)}"} for f in functions],
        "kernel_headers": sorted({header_of(f) for f in functions}),
        "sources": [*(f"{context.prefix}{part}.c" for part in parts), *library],
        "public": [f"{context.prefix}{part}.h" for part in ("", "_stream")[: 2 if context.audio else 1]],
        "stream": context.audio is not None,
        "plays": _plays(outputs),
        "names": [p["name"] for p in outputs],
        "vectors": _vector_rows(context.vectors, writer),
        "frames": context.vectors.frames,
    }


def _signature(prefix: str, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[Mapping[str, Any]]) -> str:
    """What the function of a frame is declared as."""
    taken = [f"const {p['type']} *{p['name']}" for p in inputs]
    given = [f"{p['type']} *{p['name']}" for p in outputs]
    return f"void {prefix}_run({', '.join([f'{prefix}_t *m', *taken, *given])})"


def _placed(context: Context) -> dict[str, Any]:
    """Rows of what copies constants and of the linker script, and where arena and state lie if not with the rest."""
    placed, layout = context.placement, context.layout
    if placed is None or layout is None:
        return {"copied": [], "moved": "", "banks": []}
    usual = layout.data.name
    return {
        "copied": sorted(set(placed.weights.values())),
        "moved": placed.memory if placed.memory != usual else "",
        "banks": [
            {"bank": r, "script": "DATA" if r.name == usual else r.name.upper(), "own": r.name != usual}
            for r in placed.banks
        ],
    }


def _usage(prefix: str, memory: MemoryPlan, ports: Sequence[str]) -> list[tuple[str, str]]:
    """The three statements of an application, padded to the same width, each with what it is for."""
    rows = [
        (f"static {prefix}_t model;", f"all its memory: {memory.arena_bytes} B arena, {memory.state_bytes} B state"),
        (f"{prefix}_reset(&model);", "before the first frame, and whenever the stream starts anew"),
        (f"{prefix}_run({', '.join(['&model', *ports])});", "once per frame"),
    ]
    width = max(len(statement) for statement, _ in rows)
    return [(statement.ljust(width), why) for statement, why in rows]


def _vector_rows(vectors: Vectors, writer: _Writer) -> dict[str, list[dict[str, Any]]]:
    def rows(kind: str, arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
        return [
            {
                "name": f"{writer.prefix}_{kind}_{writer.parameter(n)}",
                "type": formats.natural(str(a.dtype)).c_type,
                "size": int(a.size),
                "lines": Lines(formats.natural(str(a.dtype)).name, a),
            }
            for n, a in arrays.items()
        ]

    return {"inputs": rows("input", vectors.inputs), "outputs": rows("expected", vectors.outputs)}
