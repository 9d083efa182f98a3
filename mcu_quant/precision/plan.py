"""The precision plan: a format for every operator, with its reason, and the ranges that make the scales.

A plan is a frozen value and a TOML file that the user may edit: one line per operator, then one line per calibrated
range. A plan with ranges needs no data to be built again, and gives the same bytes.
"""

from __future__ import annotations

import base64
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean, raise_errors
from mcu_quant.formats import ScaleKind, formats
from mcu_quant.ir import Array
from mcu_quant.rounding import Rounded

#: Formats that a plan may choose, in the order they are listed to people.
CHOICES = ("f32", "f16", "s16", "s8")


def weight_formats() -> tuple[str, ...]:
    """Formats that weights may have: every one that holds reals, and kernels decide."""
    return tuple(name for name, fmt in formats().items() if not fmt.exact)


@dataclass(frozen=True)
class OperatorPlan:
    """How one operator is computed.

    `format` is what it computes in. `weights` and `output` default to what the format implies: s8 weights for s8 and
    s16, and an output stored as computed. `input` is the format a recurrent layer reads its X in, beside that of its
    state. `scale` says when the scale of its integer input is found.
    """

    format: str
    reason: str = ""
    weights: str | None = None
    output: str | None = None
    scale: ScaleKind = ScaleKind.STATIC
    input: str | None = None

    @property
    def weight_only(self) -> bool:
        """Are the weights integers, and all else floats?"""
        known = formats()
        return self.weights is not None and known[self.weights].integer and not known[self.format].integer


@dataclass(frozen=True)
class Range:
    """Smallest and largest real value that an edge took in calibration."""

    low: float
    high: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(-self.low, self.high, 0.0)


@dataclass(frozen=True, eq=False)
class Columns:
    """Ranges of the single inputs of a weight matrix, and the exponent by which they are brought to one range.

    Input j is divided by s_j = max|x_j|^a / max|w_j|^(1-a), and its weights multiplied by it (SmoothQuant's rule; with
    a = 1 every input has a scale of its own). `low` and `high`: [inputs], in reals.
    """

    exponent: float
    low: Array
    high: Array


@dataclass(frozen=True)
class PrecisionPlan:
    """A format for every operator of a model, and the ranges that calibration found."""

    model: str
    preset: str
    operators: Mapping[str, OperatorPlan]
    #: real-valued ranges of edges, and of tensors inside operators as "operator:tensor"
    ranges: Mapping[str, Range] = field(default_factory=dict)
    #: what the ranges come from, in words for the report
    calibrated_on: str = ""
    #: of the model file, in hexadecimal; empty for a graph that came from no file
    sha256: str = ""
    #: of a plan that the planner made: what it was made for, and what was predicted and measured of it
    planned: str = ""
    #: by name of a weight matrix, what is known of its inputs, [directions + 1, n] in f16 (see `mcu_quant/rounding.py`)
    moments: Mapping[str, Array] = field(default_factory=dict, compare=False)
    #: by name of a weight matrix, how its inputs are equalised in integers
    columns: Mapping[str, Columns] = field(default_factory=dict, compare=False)
    #: ranges of 16-bit edges are so many times wider than calibration saw: 16 bits have room for what is louder
    headroom: float = 1.0
    #: by tensor, then format, ranges that are covered instead of the calibrated ones; no headroom is added
    clipped: Mapping[str, Mapping[str, Range]] = field(default_factory=dict)
    #: by name of a weight matrix, the mean of what each column is multiplied with (see `quantise.Known`)
    means: Mapping[str, Array] = field(default_factory=dict, compare=False)
    #: by edge between layers, by what each of its channels is divided (see `mcu_quant/rebalance.py`)
    rebalanced: Mapping[str, Array] = field(default_factory=dict, compare=False)
    #: by name of a weight matrix, which of its weights are rounded up (see `mcu_quant/rounding.py`)
    rounded: Mapping[str, Rounded] = field(default_factory=dict, compare=False)
    #: scales of weights are powers of two
    powers_of_two: bool = False
    #: steps that made it, in the order they were taken
    steps: str = ""

    def __post_init__(self) -> None:
        for name in ("operators", "ranges", *TABLES):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def formats(self) -> dict[str, int]:
        """Number of operators per format, for every format a plan may choose."""
        chosen = [o.format for o in self.operators.values()]
        return {fmt: chosen.count(fmt) for fmt in CHOICES}


# --- what steps found ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Table:
    """How entries of one table of the file are written and read; `read` raises ValueError for what it does not take.

    rule: what an entry is not, where it cannot be read. without: how the model is computed without the line.
    """

    write: Callable[[Any], str]
    read: Callable[[Any], Any]
    rule: str
    without: str


def _encoded(values: Array, dtype: str) -> str:
    return base64.b64encode(np.asarray(values).astype(dtype).tobytes()).decode()


def _decoded(text: str, dtype: str) -> Array:
    values = np.frombuffer(base64.b64decode(text, validate=True), dtype)
    if not values.size or not np.isfinite(values).all():
        raise ValueError("not all finite")
    return values.astype(np.dtype(dtype).newbyteorder("="))


def _read_columns(one: Mapping[str, Any]) -> Columns:
    low, high = _decoded(one["f32"], "<f4").reshape(2, -1)
    if (low > high).any():
        raise ValueError("not in order")
    return Columns(float(one["exponent"]), low, high)


def _read_factors(one: Mapping[str, Any]) -> Array:
    values = _decoded(one["f32"], "<f4")
    if (values <= 0.0).any():
        raise ValueError("not positive")
    return values


def _read_clipped(one: Mapping[str, Any]) -> Mapping[str, Range]:
    found = {fmt: Range(float(low), float(high)) for fmt, (low, high) in one.items()}
    if not all(isfinite(r.low) and isfinite(r.high) and r.low <= r.high for r in found.values()):
        raise ValueError("not finite")
    return MappingProxyType(found)


def _write_rounded(kept: Rounded) -> str:
    bits = base64.b64encode(np.packbits(kept.up).tobytes()).decode()
    rows, columns = kept.up.shape
    return f'{{ weights = {_quoted(kept.format)}, rows = {rows}, columns = {columns}, up = "{bits}" }}'


def _read_rounded(one: Mapping[str, Any]) -> Rounded:
    shape = one["rows"], one["columns"]
    bits = np.unpackbits(np.frombuffer(base64.b64decode(one["up"], validate=True), np.uint8))
    size = shape[0] * shape[1]
    if bits.size != -(-size // 8) * 8:
        raise ValueError("another number of weights")
    return Rounded(one["weights"], bits[:size].reshape(shape).astype(bool))


#: Tables of the file beside [operators] and [ranges], by the name of the plan's field.
TABLES: Mapping[str, _Table] = MappingProxyType(
    {
        "clipped": _Table(
            lambda one: "{ " + ", ".join(f"{fmt} = {_pair(r)}" for fmt, r in one.items()) + " }",
            _read_clipped,
            "is not FORMAT = [low, high]",
            "the calibrated range is covered then",
        ),
        "columns": _Table(
            lambda one: (
                f'{{ exponent = {float(one.exponent)!r}, f32 = "{_encoded(np.stack([one.low, one.high]), "<f4")}" }}'
            ),
            _read_columns,
            "are not two rows of finite numbers",
            "the inputs are read as they are then",
        ),
        "moments": _Table(
            lambda kept: f'{{ rows = {len(kept)}, f16 = "{_encoded(kept, "<f2")}" }}',
            lambda one: _decoded(one["f16"], "<f2").reshape(one["rows"], -1),
            "are not rows of finite numbers",
            "weights are rounded to nearest then",
        ),
        "means": _Table(
            lambda kept: f'{{ groups = {len(kept)}, f32 = "{_encoded(kept, "<f4")}" }}',
            lambda one: _decoded(one["f32"], "<f4").reshape(one["groups"], -1),
            "are not rows of finite numbers",
            "biases stay as they are then",
        ),
        "rebalanced": _Table(
            lambda kept: f'{{ f32 = "{_encoded(kept, "<f4")}" }}',
            _read_factors,
            "are not positive numbers",
            "the layers stay as they are then",
        ),
        "rounded": _Table(
            _write_rounded, _read_rounded, "are not a bit per weight", "weights are rounded to nearest then"
        ),
    }
)

# --- writing -------------------------------------------------------------------------------------------------------

_HEAD = """\
# Precision plan of mcu-quant. Edit formats and build again: mcu-quant build MODEL --board BOARD --plan THIS_FILE
# An operator's line may also set weights = "s8" | "s16", output = FORMAT, scale = "static" | "frame" | "frame-pow2",
# and, of a recurrent layer in s8, input = "s8" | "s16".
# reason: "alone" is the quality of the outputs with only this operator changed; what follows says what the next cheaper
# and the next better format would change of that quality, save, and take in addition.
# [ranges] holds the smallest and largest value of each edge in calibration: no data is needed to build again.
# headroom: how many times wider than [ranges] 16-bit edges are, for what is louder than the recordings.
# steps: what the methods of `mcu-quant strategies` put into the tables below, each of which may be deleted:
# [clipped] ranges that are covered in one format instead of those in [ranges], beyond which values are cut off;
# [columns] ranges of single inputs of layers, which are divided by factors that even them out;
# [moments] the main directions of the inputs of layers: 8-bit weights are rounded to suit them;
# [means] the mean inputs of layers: biases make up for what rounding of weights adds to them;
# [rebalanced] by what the channels between two layers are divided, in the weights of both;
# [rounded] which weights of a layer are rounded up, in one format and with the other tables as they are.
"""


def to_toml(plan: PrecisionPlan) -> str:
    """The plan as its file. The same plan gives the same text, and `from_toml` gives the plan back exactly."""
    header = {n: getattr(plan, n) for n in ("model", "sha256", "preset", "planned", "calibrated_on", "steps")}
    lines = [f"{name} = {_quoted(value)}" for name, value in header.items() if value]
    lines += [] if plan.headroom == 1.0 else [f"headroom = {float(plan.headroom)!r}"]
    lines += ["powers_of_two = true"] if plan.powers_of_two else []
    lines += ["", "[operators]", *(f"{_quoted(name)} = {_line(choice)}" for name, choice in plan.operators.items())]
    lines += ["", "[ranges]"]
    lines += [f"{_quoted(name)} = {_pair(r)}" for name, r in plan.ranges.items()]
    for table, codec in TABLES.items():
        entries = getattr(plan, table)
        lines += ["", f"[{table}]"] if entries else []
        lines += [f"{_quoted(name)} = {codec.write(entry)}" for name, entry in entries.items()]
    return "\n".join([_HEAD, *lines]) + "\n"


def _pair(r: Range) -> str:
    return f"[{float(r.low)!r}, {float(r.high)!r}]"


def _line(choice: OperatorPlan) -> str:
    scale = None if choice.scale is ScaleKind.STATIC else str(choice.scale)
    parts = {"input": choice.input, "weights": choice.weights, "output": choice.output}
    keys = {**parts, "scale": scale, "reason": choice.reason}
    pairs = [f"{key} = {_quoted(value)}" for key, value in keys.items() if value]
    return "{ " + ", ".join([f"format = {_quoted(choice.format)}", *pairs]) + " }"


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's, but for DEL, which only TOML wants escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


# --- reading -------------------------------------------------------------------------------------------------------


def load(path: Path) -> PrecisionPlan:
    """Read a plan file.

    Raises:
        DiagnosticError: MQ304 if it cannot be read; else as `from_toml`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        help_ = "`mcu-quant plan MODEL --board BOARD -o PLAN` makes one"
        raise DiagnosticError(Diagnostic("MQ304", str(path), f"cannot be read: {error}", help=help_)) from error
    return from_toml(text, str(path))


def from_toml(text: str, where: str = "plan") -> PrecisionPlan:
    """The plan that a TOML text describes; `where` names it in diagnostics.

    Raises:
        DiagnosticError: MQ302 for unknown formats and MQ304 for everything else, all problems of the file at once.
    """
    from mcu_quant import schemas

    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise DiagnosticError(Diagnostic("MQ304", where, f"is not TOML: {error}")) from error
    problems = schemas.validate(document, "plan", where, "MQ304")
    wrong = [*_wrong_ranges(document, where), *_wrong_tables(document, where)]
    raise_errors([*problems, *_unknown_formats(document, where), *wrong])
    return PrecisionPlan(
        model=document.get("model", ""),
        preset=document.get("preset", ""),
        operators={name: _choice(line) for name, line in document["operators"].items()},
        ranges={name: Range(float(low), float(high)) for name, (low, high) in document.get("ranges", {}).items()},
        calibrated_on=document.get("calibrated_on", ""),
        sha256=document.get("sha256", ""),
        planned=document.get("planned", ""),
        headroom=float(document.get("headroom", 1.0)),
        powers_of_two=bool(document.get("powers_of_two", False)),
        steps=document.get("steps", ""),
        **{table: {n: codec.read(e) for n, e in document.get(table, {}).items()} for table, codec in TABLES.items()},
    )


def _choice(line: Mapping[str, Any]) -> OperatorPlan:
    return OperatorPlan(
        format=line["format"],
        reason=line.get("reason", ""),
        input=line.get("input"),
        weights=line.get("weights"),
        output=line.get("output"),
        scale=ScaleKind(line.get("scale", "static")),
    )


def unknown_format(word: str, where: str, part: str = "format") -> Diagnostic | None:
    """MQ302 if a plan may not choose this format for this part of a line."""
    known = weight_formats() if part == "weights" else CHOICES
    if word in known:
        return None
    help_ = did_you_mean(word, known) or f"choose one of {', '.join(known)}"
    return Diagnostic("MQ302", where, f"there is no format {word!r}", help=help_)


def _unknown_formats(document: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    """Checked apart from the schema, because a wrong format has a code of its own."""
    operators = document.get("operators")
    for name, line in operators.items() if isinstance(operators, dict) else ():
        for key in ("format", "input", "weights", "output"):
            word = line.get(key) if isinstance(line, dict) else None
            found = unknown_format(word, f"{where}: operators.{name}.{key}", key) if isinstance(word, str) else None
            if found:
                yield found


def _wrong_tables(document: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    """What a schema cannot say of what steps found."""
    for table, codec in TABLES.items():
        found = document.get(table)
        for name, entry in found.items() if isinstance(found, dict) else ():
            try:
                codec.read(entry)
            except (ValueError, KeyError, TypeError, AttributeError):
                yield Diagnostic(
                    "MQ304", f"{where}: {table}.{name}", codec.rule, help=f"delete the line: {codec.without}"
                )


def _wrong_ranges(document: Mapping[str, Any], where: str) -> Iterator[Diagnostic]:
    """What a schema cannot say of a range: both ends finite, the lower one first."""
    ranges = document.get("ranges")
    for name, pair in ranges.items() if isinstance(ranges, dict) else ():
        numbers = isinstance(pair, list) and len(pair) == 2 and all(isinstance(v, int | float) for v in pair)
        if numbers and not (all(map(isfinite, pair)) and pair[0] <= pair[1]):
            message = f"{pair} is not a finite range [low, high]"
            yield Diagnostic(
                "MQ304", f"{where}: ranges.{name}", message, help="give the smallest value, then the largest"
            )
