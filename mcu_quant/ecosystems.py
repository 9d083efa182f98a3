"""Ways of a generated folder into the build systems of others: a folder of templates each, `templates/ecosystem/NAME`.

A template is rendered to its own path in the firmware folder. In paths, PREFIX stands for the model's prefix, and a
template called HEADER or SOURCE is rendered once per public header or C file, under the name of that file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from mcu_quant.diagnostics import Diagnostic, DiagnosticError, did_you_mean
from mcu_quant.paths import templates

_FOLDER = "ecosystem"
#: C types of inputs and outputs, as Rust has them.
RUST_TYPES = {
    "float": "f32",
    "mq_f16": "u16",
    **{f"int{n}_t": f"i{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}_t": f"u{n}" for n in (8, 16, 32, 64)},
}

Render = Callable[[str, Mapping[str, Any]], str]


@cache
def names() -> tuple[str, ...]:
    """All there are, in alphabetical order. CMake is not one of them: its file is always there."""
    return tuple(sorted(path.name for path in (templates() / _FOLDER).iterdir() if path.is_dir()))


def chosen(text: str) -> tuple[str, ...]:
    """From "zephyr,arduino", "all" or "none".

    Raises:
        DiagnosticError: MQ900 for each name that is none.
    """
    if text in ("all", "none"):
        return names() if text == "all" else ()
    asked = tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    unknown = [word for word in asked if word not in names()]
    if unknown:
        known = f"there are {', '.join(names())}, all and none"
        raise DiagnosticError(
            [
                Diagnostic("MQ900", "--ecosystem", f"{word!r} is none", help=did_you_mean(word, names()) or known)
                for word in unknown
            ]
        )
    return tuple(sorted(asked))


def files(which: Iterable[str], values: Mapping[str, Any], render: Render) -> dict[str, str]:
    """What the chosen ones need in the folder, by path. `values` are those of the folder's other templates."""
    made = {}
    for name in which:
        root = templates() / _FOLDER / name
        for template in sorted(root.rglob("*.j2")):
            where = PurePosixPath(template.relative_to(root).as_posix().removesuffix(".j2"))
            source = template.relative_to(templates()).as_posix()
            for path, more in _targets(where, values):
                made[path] = render(source, {**values, **more})
    return made


def _targets(where: PurePosixPath, values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Paths that a template is rendered to, each with what it is told: the file it stands for, and the way up to it."""
    lists = {"HEADER": values["public"], "SOURCE": values["sources"]}
    if where.name not in lists:
        yield str(where).replace("PREFIX", values["prefix"]), {}
        return
    for path in lists[where.name]:
        target = where.parent / path
        yield str(target), {"path": path, "up": "../" * (len(target.parts) - 1)}
