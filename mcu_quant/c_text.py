"""Names and literals of C: what ONNX names and numbers are called in generated code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mcu_quant.ir import Array

# --- names ---------------------------------------------------------------------------------------------------------


def c_identifier(name: str) -> str:
    """A C identifier that a reader recognises: the ONNX name with everything else turned into single underscores."""
    made = re.sub(r"[^0-9A-Za-z]+", "_", name).strip("_")
    return made if made and not made[0].isdigit() else f"n{made}"


#: Keywords of C and C++ (the header is read by both), and what headers and compilers may define: none is a good name.
_WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl complex concept const const_cast
constexpr continue decltype default delete do double dynamic_cast else enum explicit export extern false final float for
friend goto if imaginary import inline int long module mutable namespace new noexcept noreturn not not_eq nullptr
operator or or_eq override private protected public register reinterpret_cast requires restrict return short signed
sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid typename
typeof union unsigned using virtual void volatile wchar_t while xor xor_eq
int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t intptr_t uintptr_t size_t ptrdiff_t float_t double_t
null nan infinity eof errno assert stdin stdout stderr linux unix arm i386
memcpy memset memmove memcmp strlen sqrt sqrtf fabs fabsf exp expf log logf sin sinf cos cosf tanh tanhf pow powf
signbit isnan isinf isfinite main
m arena state
"""


class Names:
    """C identifiers for ONNX names: recognisable, valid, unique, and the same every time."""

    LONGEST = 40
    #: words of C and C++, and names that the generated functions use themselves; case does not matter
    TAKEN = frozenset(_WORDS.split())

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._of: dict[tuple[str, str], str] = {}
        self._used: set[str] = set(self.TAKEN)
        self._common = _common_path(known)

    def __call__(self, name: str, kind: str = "") -> str:
        """The C identifier of a name: the same for the same name and kind, never one given before."""
        key = (kind, name)
        if key not in self._of:
            made = self._fresh(self._short(name))
            self._used.add(made.lower())
            self._of[key] = made
        return self._of[key]

    def _short(self, name: str) -> str:
        """As many of the last parts of a path-like name as fit, without what all names share or exporters append."""
        parts = _path(name)
        if len(parts) > len(self._common) and parts[: len(self._common)] == self._common:
            parts = parts[len(self._common) :]
        kept: list[str] = []
        for part in reversed(parts):
            if kept and len("_".join([part, *kept])) > self.LONGEST:
                break
            kept.insert(0, part)
        made = c_identifier("_".join(kept) or name)[: 2 * self.LONGEST]
        # the firmware's own names begin so
        return f"n_{made}" if made.lower().startswith("mq_") else made

    def _fresh(self, name: str) -> str:
        candidate, n = name, 2
        while candidate.lower() in self._used:
            candidate, n = f"{name}_{n}", n + 1
        return candidate


def _path(name: str) -> list[str]:
    """Parts of a name that is a path in most exporters; PyTorch's `_output_0` says nothing."""
    return [p for p in re.split(r"[/.;:@#]+", re.sub(r"_output_\d+", "", name)) if p]


def _common_path(names: Iterable[str]) -> list[str]:
    """Leading parts that every path among the names shares ("model" in "model/a/b" and "model/c")."""
    paths = [p for p in map(_path, names) if len(p) > 1]
    shared: list[str] = []
    for level in zip(*(p[:-1] for p in paths), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return shared


def comment(text: str) -> str:
    """Text that can stand in a comment, whatever it is: one line, and nothing in it begins or ends a comment."""
    line = " ".join(text.split()).replace("*/", "* /").replace("/*", "/ *").replace("??/", "?? /")
    return f"{line} " if line.endswith(("/", "\\")) else line


#: Columns of a line of generated code.
COLUMNS = 120


def commented(code: str, note: str, indent: str = "") -> str:
    """A statement with a comment behind it; where both are too long for a line, the comment stands above it."""
    line = f"{indent}{code} /* {note} */" if note else f"{indent}{code}"
    if len(line) <= COLUMNS:
        return line
    above = f"{indent}/* {note} */\n" if note else ""
    return above + _broken(code, indent)


def _broken(code: str, indent: str) -> str:
    """A statement in lines that are short enough, broken behind commas."""
    lines, line = [], indent
    for i, part in enumerate(code.split(", ")):
        piece = part if i == 0 else f", {part}"
        if i and len(line) + len(piece) >= COLUMNS:
            lines.append(f"{line},")
            line, piece = f"{indent}        ", part
        line += piece
    return "\n".join([*lines, line])


# --- literals ------------------------------------------------------------------------------------------------------


def float_literal(value: float) -> str:
    """The shortest C literal of an f32; of what is no finite number, the macro of mq_base.h."""
    x = np.float32(value)
    if np.isinf(x):
        return "MQ_INFINITY" if x > 0 else "-MQ_INFINITY"
    if np.isnan(x):
        return "MQ_NAN"
    text = np.format_float_positional(x, unique=True, trim="0") if 1e-4 <= abs(x) < 1e7 or x == 0 else str(x)
    return f"{text}f" if any(c in text for c in ".e") else f"{text}.0f"


@dataclass(frozen=True, eq=False)
class Lines:
    """The elements of an array in C, in lines that are made as they are read: the text is many times the array."""

    constant_format: str
    array: Array

    def __iter__(self) -> Iterator[str]:
        flat = np.ravel(self.array)
        parts = (flat[start : start + _PART] for start in range(0, flat.size, _PART))
        return wrapped(", ".join(_elements(self.constant_format, part)) + ", " for part in parts)


#: Elements that are turned into text at a time.
_PART = 1 << 14


def _elements(constant_format: str, flat: Array) -> list[str]:
    """The C literal of each element of an array that is stored in a format; f16 as its bits."""
    if constant_format == "f16":
        return [f"0x{v:04x}" for v in flat.view(np.uint16).tolist()]
    if constant_format == "f32":
        return [float_literal(v) for v in flat.tolist()]
    if constant_format in ("s64", "i64"):
        return [f"INT64_C({v})" if v != -(2**63) else "INT64_MIN" for v in flat.tolist()]
    if constant_format == "u64":
        return [f"UINT64_C({v})" for v in flat.tolist()]
    if constant_format == "u32":
        return [f"{v}u" for v in flat.tolist()]
    if constant_format == "b8":
        return [str(int(v)) for v in flat.tolist()]
    # the most negative 32-bit number has no literal of its own
    return [str(v) if v != -(2**31) else "INT32_MIN" for v in flat.tolist()]


def wrapped(parts: Iterable[str], width: int = 116) -> Iterator[str]:
    """A text of short items with comma and space behind, in parts, as lines of less than `width` characters."""
    rest = ""
    for part in parts:
        text, start = rest + part, 0
        while len(text) - start > width:
            end = text.rindex(" ", start, start + width)
            yield text[start:end]
            start = end + 1
        rest = text[start:]
    if rest:
        yield rest.rstrip()
