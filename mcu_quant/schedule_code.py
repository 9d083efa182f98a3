"""The C of a schedule: a line per call, and a function per loop, with loops inside it as loops of its body.

static void model_cells(uint8_t *arena, const float *x, float *all) {
    int8_t *const h = ...;
    for (int32_t step = 0; step < 200; ++step) {
        const float *const xt = x + step * 8;
        ... one call per line ...
    }
}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mcu_quant.c_text import comment
from mcu_quant.code_rows import Writer
from mcu_quant.program import Call, CallLoop, Edge, Program, Role
from mcu_quant.regions import Region, tree

_LINE = {"index": None, "heading": "", "note": ""}


class ScheduleCode:
    """Rows of text for the calls and loops of a program; `kinds` is what a heading says of an operator."""

    def __init__(self, writer: Writer, kinds: Mapping[str, str]) -> None:
        self._writer = writer
        self._kinds = kinds
        self._program: Program = writer.program

    def steps(self) -> list[dict[str, Any]]:
        """One row per call or loop; the first of each operator has a heading with its name and what `kinds` says."""
        rows = []
        previous = ""
        for part in tree(len(self._program.calls), self._program.loops):
            if isinstance(part, Region):
                heading = comment("" if previous == part.loop.name else part.loop.name)
                rows.append({**self._call(part.loop), "heading": heading})
                previous = part.loop.name
            else:
                rows.append(self._writer.row(part, self._kinds, previous, ""))
                previous = self._program.calls[part].operator
        return rows

    def _call(self, loop: CallLoop) -> dict[str, Any]:
        """The row that calls the function of a loop."""
        arguments = ", ".join(name for _, name in self._parameters(loop))
        return {**_LINE, "indent": "", "call": f"{self._name(loop)}({arguments});", "note": _often(loop)}

    def functions(self) -> list[dict[str, Any]]:
        """One function per loop that is in no other."""
        made = []
        for part in tree(len(self._program.calls), self._program.loops):
            if isinstance(part, Region):
                edges = self._writer.mentioned(self._calls(part.loop), self._own(part.loop))
                made.append(
                    {
                        "name": self._name(part.loop),
                        "comment": comment(f"{part.loop.name}: {_often(part.loop)}"),
                        "parameters": ", ".join(f"{t}{n}" for t, n in self._parameters(part.loop)),
                        "edges": [self._writer.declaration(e) for e in edges if not e.strides],
                        "rows": self._rows(part, [e for e in edges if e.strides], ""),
                    }
                )
        return made

    def _name(self, loop: CallLoop) -> str:
        return f"{self._writer.prefix}_{self._writer.names(loop.name, 'loop')}"

    def _calls(self, loop: CallLoop) -> Sequence[Call]:
        return self._program.calls[loop.start : loop.stop]

    def _own(self, loop: CallLoop) -> list[str]:
        """Edges that a loop and those inside it read and write themselves."""
        inside = (o for o in self._program.loops if loop.start <= o.start and o.stop <= loop.stop)
        return [e for o in inside for e in o.edges]

    def _parameters(self, loop: CallLoop) -> list[tuple[str, str]]:
        """What the function of a loop is given: the memory that it touches, and buffers of the caller."""
        touched = [*(b.edge for c in self._calls(loop) for _, b in c.buffers()), *self._own(loop)]
        roots = dict.fromkeys(self._program.edges[e].root for e in touched)
        edges = [self._program.edges[r] for r in roots]
        found = [("uint8_t *", "arena")] if any(e.role in (Role.ARENA, Role.SCRATCH) for e in edges) else []
        found += [("uint8_t *", "state")] if any(e.role is Role.STATE for e in edges) else []
        for e in edges:
            if e.role in (Role.INPUT, Role.OUTPUT):
                const = "const " if e.role is Role.INPUT else ""
                found.append((f"{const}{e.type.storage.c_type} *", self._writer.parameter(e.name)))
        return found

    def _rows(self, region: Region[CallLoop], moving: Sequence[Edge], indent: str) -> list[dict[str, Any]]:
        """The lines of a loop: those edges that move with it first, then its calls."""
        loop, inner, w = region.loop, f"{indent}    ", self._writer
        rows: list[dict[str, Any]] = [{**_LINE, "indent": indent, "call": self._head(loop)}]
        for edge in moving:
            if edge.strides[-1][0] == loop.name:
                d = w.declaration(edge)
                line = f"{d['type']} *const {d['name']} = {d['place']};"
                rows.append({**_LINE, "indent": inner, "call": line, "note": d["comment"]})
        if loop.index:
            rows.append({**_LINE, "indent": inner, "call": f"*{w.edge(loop.index)} = {w.step(loop.name)};"})
        previous = ""
        for part in region.body:
            if isinstance(part, Region):
                rows += self._rows(part, moving, inner)
                previous = ""
            else:
                rows.append(w.row(part, self._kinds, previous, inner))
                previous = self._program.calls[part].operator
        return [*rows, {**_LINE, "indent": indent, "call": "}"}]

    def _head(self, loop: CallLoop) -> str:
        step = self._writer.step(loop.name)
        tests = [f"{step} < {'INT32_MAX' if loop.count is None else loop.count}"]
        tests += [f"{step} < *{self._writer.edge(loop.limit)}"] if loop.limit else []
        tests += [f"*{self._writer.edge(loop.condition)}"] if loop.condition else []
        return f"for (int32_t {step} = 0; {' && '.join(tests)}; ++{step}) {{"


def _often(loop: CallLoop) -> str:
    """How often a loop runs, in words."""
    if not (loop.condition or loop.limit):
        return f"{loop.count} steps"
    return "as many steps as data says" + ("" if loop.count is None else f", at most {loop.count}")
