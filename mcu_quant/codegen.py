"""Program + memory plan -> the files of a firmware folder. The same input gives the same bytes.

Everything that needs arithmetic or a decision happens here; the templates only loop over prepared rows.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from mcu_quant import bare, ecosystems, formats
from mcu_quant.c_text import Lines, Names, comment, commented
from mcu_quant.code_rows import Writer
from mcu_quant.interface import interface
from mcu_quant.ir import Array
from mcu_quant.library_sources import header_files, header_of, library_files, library_functions, text_hash
from mcu_quant.memory import MemoryPlan
from mcu_quant.paths import firmware, templates
from mcu_quant.placement import Placement
from mcu_quant.program import Program
from mcu_quant.schedule_code import ScheduleCode
from mcu_quant.selftest_log import SCHEDULE_DIGITS
from mcu_quant.texts import LargeText, Text


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
    libraries: tuple[str, ...] = ()
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

    @property
    def release(self) -> str:
        """The version in the one form that every package manager takes: three numbers."""
        found = re.match(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?", self.version)
        return ".".join(n or "0" for n in found.groups()) if found else "0.0.0"


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
    made |= {f"{prefix}.c": schedule, "mq/mq_crc32.h": header_files()["mq_crc32.h"].read_text()}
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
    return made | {"mq/mq_ring.h": header_files()["mq_ring.h"].read_text()}


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
    writer = Writer(program, memory, context.prefix, Names(c.operator for c in program.calls), placed)
    inputs, outputs = writer.ports(program.inputs), writer.ports(program.outputs)  # named before anything inside
    schedule = ScheduleCode(writer, context.kinds)
    functions = library_functions(program)
    copies = [f"mq/{name}" for name in library_files(functions, program.isa)]
    library = [name for name in copies if name.endswith(".c")]
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
        "steps": schedule.steps(),
        "last_step": len(program.calls),
        "loops": schedule.functions(),
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
        "headers": [name for name in copies if name.endswith(".h")],
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


def _vector_rows(vectors: Vectors, writer: Writer) -> dict[str, list[dict[str, Any]]]:
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
