"""Presets: fixed rules that give every operator a format, and the edits (`--set`) a user lays over them.

A preset names the format it wishes for an operator. Where the operator has no kernel in that format, or the board does
not offer it, the next best one is taken and the reason in the plan says so. To add a preset, write one function here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import MappingProxyType

from mcu_quant import formats, ops
from mcu_quant.diagnostics import Diagnostic, DiagnosticError, Severity, did_you_mean, raise_errors
from mcu_quant.formats import ScaleKind
from mcu_quant.ir import Graph, Operator
from mcu_quant.lower import resolve
from mcu_quant.lowering import Target
from mcu_quant.powers import powers
from mcu_quant.precision.plan import OperatorPlan, PrecisionPlan, Range, unknown_format
from mcu_quant.qdq import KINDS as QDQ
from mcu_quant.qdq import Neighbours, is_quantised


@dataclass(frozen=True)
class Wish:
    """The format a preset wants for an operator, and why."""

    format: str
    reason: str
    #: as in `OperatorPlan`
    output: str | None = None


Preset = Callable[[Operator, Neighbours], Wish]

_presets: dict[str, Preset] = {}

#: How operators of a pipeline's ends are named (`mcu_quant/audio`).
PIPELINE_ENDS = ("front:", "back:")

#: What is taken where the wished format cannot be had, best first. Integers stay integers as long as they can, floats
#: stay floats: a board without a floating-point unit runs either, but not equally fast.
_NEXT_BEST: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "s8": ("s16", "f16", "f32"),
        "s16": ("f16", "f32", "s8"),
        "f16": ("f32", "s16", "s8"),
        "f32": ("f16", "s16", "s8"),
    }
)


def _preset(function: Preset) -> Preset:
    _presets[function.__name__] = function
    return function


def presets() -> Mapping[str, Preset]:
    """All presets by name; the first sentence of a preset's docstring says what it does."""
    return MappingProxyType(_presets)


#: Below 2^-25 half precision is zero, and the logarithm of zero is no number.
_LOGARITHM_IN_F16 = "a logarithm is taken, and half precision ends 75 dB below 1 for a signal that is squared"


@_preset
def f32(op: Operator, around: Neighbours) -> Wish:
    """Everything in 32-bit floats: as onnxruntime computes, largest and, without a floating-point unit, slowest."""
    return Wish("f32", "preset f32")


@_preset
def f16(op: Operator, around: Neighbours) -> Wish:
    """Everything in half precision where it can hold it: half the memory of f32, no calibration needed."""
    if around.in_logarithm(op):
        return Wish("f32", f"preset f16, but {_LOGARITHM_IN_F16}")
    return Wish("f16", "preset f16")


@_preset
def s8(op: Operator, around: Neighbours) -> Wish:
    """Everything in 8-bit integers where they can hold it: smallest and fastest, and often audible."""
    if around.in_power(op):
        return Wish("f32", "preset s8, but 8 bits span only 24 dB of a signal whose power is computed here")
    if around.before_power(op):
        return Wish("s8", "preset s8; its result is squared or goes into a logarithm, with 16 bits", output="s16")
    return Wish("s8", "preset s8")


@_preset
def tinydenoiser(op: Operator, around: Neighbours) -> Wish:
    """Recurrent layers in 8-bit integers, the rest in half precision, as Rusci et al. 2022 (arXiv:2210.07692)."""
    if ops.spec(op).family == "recurrent":
        return Wish("s8", "preset tinydenoiser: recurrent layers hold most of the weights")
    if around.in_logarithm(op):
        return Wish("f32", f"preset tinydenoiser, but {_LOGARITHM_IN_F16}")
    return Wish("f16", "preset tinydenoiser: not recurrent")


@_preset
def qdq(op: Operator, around: Neighbours) -> Wish:
    """What a model in QDQ form says: 8-bit integers on its own scales where it has them, floats where it has none."""
    if op.op in QDQ:
        scale, zero, dtype = (op.attributes[n] for n in ("scale", "zero_point", "dtype"))
        many = f" and {len(scale) - 1} more" if len(scale) > 1 else ""
        own = f"the model's own scale {scale[0]:.6g}, zero point {zero[0]} ({dtype}){many}"
        against = around.against_s8(op)
        return Wish("f32", f"{own}; no s8: {against}") if against else Wish("s8", own)
    reads, writes = around.floats_read(op), around.floats_written(op)
    if not reads and not writes:
        return Wish("s8", "the model has scales for all that it reads and writes")
    if not reads and around.whole_weights(op):
        reason = f"the model has scales for what it reads and its weights; for {writes[0]} calibration finds one"
        return Wish("s8", reason, output="s16")
    return Wish("f32", f"the model leaves {(*reads, *writes)[0]} in floats")


def default_preset(graph: Graph) -> str:
    """What is used when the user names no preset.

    `qdq` for models that bring scales of their own, `tinydenoiser` for those with recurrent layers, `s8` for others.
    """
    if is_quantised(graph):
        return "qdq"
    recurrent = any(ops.spec(op).family == "recurrent" for op in graph.operators)
    return "tinydenoiser" if recurrent else "s8"


def make(
    graph: Graph,
    preset: str,
    target: Target,
    *,
    ranges: Mapping[str, Range] | None = None,
    calibrated_on: str = "",
    sha256: str = "",
) -> PrecisionPlan:
    """The plan that a preset gives for a graph on a target.

    Raises:
        DiagnosticError: MQ900 if there is no such preset; MQ303 for operators without a kernel in any format.
    """
    if preset not in _presets:
        raise DiagnosticError(
            Diagnostic("MQ900", "--preset", f"there is no preset {preset!r}", help=did_you_mean(preset, _presets))
        )
    chosen: dict[str, OperatorPlan] = {}
    problems: list[Diagnostic] = []
    around = Neighbours(graph)
    for op in planned(graph):
        wish = _presets[preset](op, around)
        found = _best(op, graph, _at_an_end(op, wish, target) or wish, target)
        if isinstance(found, Diagnostic):
            problems.append(found)
        else:
            chosen[op.name] = found
    raise_errors(problems)
    return PrecisionPlan(graph.name, preset, chosen, ranges or {}, calibrated_on, sha256)


def _at_an_end(op: Operator, wish: Wish, target: Target) -> Wish | None:
    """What the front and back end of an audio pipeline are computed in instead: they hold no weights to speak of.

    Spectra span more than 8 bits and more than half precision reaches; floats, where the core has them.
    """
    if not op.name.startswith(PIPELINE_ENDS) or wish.format == "f32":
        return None
    reason = f"{wish.reason}, but front and back ends hold no weights, and span more than it"
    return Wish("f32" if target.f16 else "s16", reason)


def planned(graph: Graph) -> Iterator[Operator]:
    """The operators a plan has lines for: all but those that pass data on in whatever format it is stored."""
    return (op for op in graph.operators if ops.has_choice(op, graph))


def powers_in_s8(plan: PrecisionPlan, graph: Graph) -> Diagnostic | None:
    """A warning for a plan that computes powers in 8 bits, or whose preset was asked to and did not."""
    inside = [n for n in plan.operators if n in powers(graph).inside]
    narrow = [n for n in inside if plan.operators[n].format == "s8"]
    if narrow and plan.preset != "qdq":
        message = f"{_and_more(narrow)}: 8 bits span only 24 dB of a signal whose power, root or logarithm this is"
        help_ = f"compute it in floats: --set '{narrow[0]}=f32'"
        return Diagnostic("MQ307", narrow[0], message, help=help_, severity=Severity.WARNING)
    if inside and plan.preset == "s8":
        message = f"{_and_more(inside)}: not in s8, since 8 bits span only 24 dB of a signal whose power this is"
        help_ = "the plan says what each is computed in; --set OPERATOR=s8 insists"
        return Diagnostic("MQ307", inside[0], message, help=help_, severity=Severity.WARNING)
    return None


def _and_more(names: Sequence[str]) -> str:
    return f"this and {len(names) - 1} more operators" if len(names) > 1 else "one operator"


def _best(op: Operator, graph: Graph, wish: Wish, target: Target) -> OperatorPlan | Diagnostic:
    """The wished format or the next best one; the reasons against the better ones become part of the plan's reason."""
    refused: list[str] = []
    for fmt in (wish.format, *_NEXT_BEST[wish.format]):
        why = _refusal(op, graph, fmt, target)
        if why is None:
            output = wish.output if fmt == wish.format else None
            return OperatorPlan(fmt, "; ".join([wish.reason, *refused]), output=output)
        refused.append(f"no {fmt}: {why}")
    return Diagnostic("MQ303", op.name, f"{op.op} can be computed in no format: {'; '.join(refused)}")


def _refusal(op: Operator, graph: Graph, fmt: str, target: Target) -> str | None:
    """Why an operator cannot be computed in a format on a target, or None."""
    here = [low for low in ops.spec(op).lowerings if low.format == fmt and ScaleKind.STATIC in low.scales]
    if not here:
        return f"{op.op} has no {fmt} kernel"
    if _missing(fmt, target):
        return "the board has no half precision"
    reasons = [low.applies(op, graph) if low.applies else None for low in here]
    return None if None in reasons else reasons[0]


def adapted(plan: PrecisionPlan, graph: Graph, target: Target) -> PrecisionPlan:
    """The plan with every format that a board does not offer replaced by the next best one; the reason says so.

    Raises:
        DiagnosticError: MQ303 for operators without a kernel in any format that is offered.
    """
    lines = dict(plan.operators)
    problems: list[Diagnostic] = []
    for op in planned(graph):
        line = lines.get(op.name)
        if line is None or not (_missing(line.format, target) or _missing(line.output or "f32", target)):
            continue
        found = _best(op, graph, Wish(line.format, line.reason), target)
        if isinstance(found, Diagnostic):
            problems.append(found)
        else:
            lines[op.name] = found
    raise_errors(problems)
    return replace(plan, operators=lines)


def with_ends(plan: PrecisionPlan, graph: Graph, target: Target) -> PrecisionPlan:
    """The plan with lines for both ends of an audio pipeline, where it was made of the model alone and has none."""
    ends = [op for op in planned(graph) if op.name.startswith(PIPELINE_ENDS) and op.name not in plan.operators]
    wish = Wish("f32" if target.f16 else "s16", "the plan is of the model alone, and its ends hold no weights")
    found = {op.name: _best(op, graph, wish, target) for op in ends}
    raise_errors([line for line in found.values() if isinstance(line, Diagnostic)])
    lines = {name: line for name, line in found.items() if isinstance(line, OperatorPlan)}
    return replace(plan, operators={**plan.operators, **lines})


def _missing(fmt: str, target: Target) -> bool:
    return formats.get(fmt).needs_fpu and not target.f16


# --- edits ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Edit:
    """One `--set`: which operators, and what changes in their lines."""

    text: str
    operators: str
    format: str
    weights: str | None = None
    output: str | None = None
    scale: ScaleKind = ScaleKind.STATIC
    input: str | None = None


#: OPERATOR=FORMAT, then any number of :KEY=VALUE. Names of operators may hold "=" and ":" themselves.
_EDIT = re.compile(r"(?P<operators>.+?)=(?P<format>\w+)(?P<more>(?::\w+=[\w-]+)*)")


def parse_edits(texts: Sequence[str], graph: Graph | None = None) -> tuple[Edit, ...]:
    """Edits from `OPERATOR=FORMAT[:input=s16][:weights=s16][:output=f32][:scale=frame]`.

    OPERATOR is a name, a pattern with * and ? over names, or an operator type ("LSTM"), of the graph if one is given.

    Raises:
        DiagnosticError: MQ900 and MQ302, and with a graph MQ301 and MQ303, all problems at once.
    """
    edits: list[Edit] = []
    problems: list[Diagnostic] = []
    for text in texts:
        match = _EDIT.fullmatch(text)
        if match is None:
            help_ = "write OPERATOR=FORMAT, for example --set 'LSTM=s8' or --set '/decoder/*=s16:weights=s16'"
            problems.append(Diagnostic("MQ900", f"--set {text}", "is not OPERATOR=FORMAT", help=help_))
            continue
        more = dict(part.split("=", 1) for part in match["more"].split(":") if part)
        chosen = [] if graph is None else _selected(graph, match["operators"], text)
        problems += [chosen] if isinstance(chosen, Diagnostic) else []
        found = list(_edit_problems(text, match["format"], more))
        problems += found
        if not found:
            scale = ScaleKind(more.get("scale", "static"))
            parts = (more.get("weights"), more.get("output"), scale, more.get("input"))
            edits.append(Edit(text, match["operators"], match["format"], *parts))
    raise_errors(problems)
    return tuple(edits)


def _edit_problems(text: str, fmt: str, more: Mapping[str, str]) -> Iterator[Diagnostic]:
    where = f"--set {text}"
    words = {"format": fmt, **{part: more[part] for part in ("input", "weights", "output") if part in more}}
    found = (unknown_format(word, where, part) for part, word in words.items())
    yield from dict.fromkeys(problem for problem in found if problem)
    for key in more.keys() - {"input", "weights", "output", "scale"}:
        help_ = "there are input, weights, output and scale"
        yield Diagnostic("MQ900", where, f"there is no setting {key!r}", help=help_)
    if "scale" in more and more["scale"] not in list(ScaleKind):
        known = did_you_mean(more["scale"], list(ScaleKind))
        yield Diagnostic("MQ900", where, f"there is no scale kind {more['scale']!r}", help=known)


def edit(plan: PrecisionPlan, graph: Graph, edits: Sequence[Edit]) -> PrecisionPlan:
    """The plan with edits laid over it, in order; a later one wins.

    Raises:
        DiagnosticError: MQ301 and MQ303, for all edits that concern nothing.
    """
    operators = dict(plan.operators)
    problems: list[Diagnostic] = []
    for one in edits:
        found = _selected(graph, one.operators, one.text)
        if isinstance(found, Diagnostic):
            problems.append(found)
            continue
        line = OperatorPlan(one.format, f"--set {one.text}", one.weights, one.output, one.scale, one.input)
        operators.update(dict.fromkeys(found, line))
    raise_errors(problems)
    return replace(plan, operators=operators, planned="" if edits else plan.planned)


def _selected(graph: Graph, operators: str, text: str) -> list[str] | Diagnostic:
    """Names of the operators an edit concerns: the one of that name, else by pattern, else by type."""
    names = {op.name: op for op in graph.operators}
    by_pattern = [op for n, op in names.items() if fnmatchcase(n, operators)]
    by_type = [op for op in graph.operators if op.op == operators]
    found = [names[operators]] if operators in names else by_pattern or by_type
    if not found:
        return unknown_operator(operators, graph, f"--set {text}")
    lines = [op.name for op in found if ops.has_choice(op, graph)]
    return lines or _nothing_to_choose(found[0], f"--set {text}")


# --- checking ------------------------------------------------------------------------------------------------------


def check(plan: PrecisionPlan, graph: Graph, target: Target, where: str = "plan") -> None:
    """Whether a plan fits a graph and a target.

    Raises:
        DiagnosticError: MQ301, MQ303 and MQ305, all problems at once.
    """
    known = {op.name: op for op in graph.operators}
    problems: list[Diagnostic] = []
    for name in plan.operators:
        if name not in known:
            problems.append(unknown_operator(name, graph, where))
        elif not ops.has_choice(known[name], graph):
            problems.append(_nothing_to_choose(known[name], where))
    try:
        resolve(graph, plan, target)
    except DiagnosticError as error:
        problems += error.diagnostics
    raise_errors(problems)


def unknown_operator(name: str, graph: Graph, where: str) -> Diagnostic:
    """MQ301 with the names that come nearest."""
    help_ = did_you_mean(name, [op.name for op in planned(graph)]) or "`mcu-quant inspect MODEL` lists the names"
    return Diagnostic("MQ301", where, f"the model has no operator {name!r}", help=help_)


def _nothing_to_choose(op: Operator, where: str) -> Diagnostic:
    message = (
        f"{op.name!r} is a {op.op} that passes data on as stored, or computes whole numbers: there is nothing to choose"
    )
    return Diagnostic("MQ303", where, message, help="set the operator that computes its input")
