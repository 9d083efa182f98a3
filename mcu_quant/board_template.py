"""A board file to begin with: the facts of a board that is there, a comment on every key, and nothing verified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mcu_quant import schemas
from mcu_quant.boards import READ_ONLY, Board

#: Keys whose values read best in hexadecimal.
_HEXADECIMAL = ("address",)

#: What was measured on one board, or is to be known of it, says nothing of another.
OWN = ("read_cycles_per_byte", "cycles_factor", "note")

#: Tables of a board file, in the order in which they are written.
_TABLES = ("core", "compiler", "clock", "memory", "cache", "power", "debug", "emulator")

#: Keys of a memory that say how long reading it takes: of flash only.
_READING = ("line_bytes", "serial_hz", "serial_bits", "serial_overhead", "read_cycles_per_byte")


def template(board_id: str, like: Board, document: Mapping[str, Any]) -> str:
    """The text of a new board file; `document` is the parsed file of the board `like`.

    Every value is copied and every source says so, so that the file is valid at once and claims nothing.
    """
    schema = schemas.load("board")["properties"]
    head = {"id": board_id, "name": "My Board", "vendor": "Me", "mcu": like.mcu}
    parts = [
        f"# A board of your own, begun as a copy of {like.id}. Change what differs, look every fact up, and put its\n"
        f"# source below. Build with: mcu-quant build MODEL --board {board_id}.toml\n"
        "# Lines that begin with # are optional. docs/boards.md has the rules.\n",
        "".join(_line(key, head.get(key), schema[key]) for key in ("id", "name", "vendor", "mcu", "zephyr_board")),
    ]
    parts += [part for name in _TABLES for part in _table(name, document.get(name), schema[name])]
    sources = "".join(f'{name} = "unverified: copied from {like.id}"\n' for name in ("mcu", *_given(document)))
    about = schema["sources"]["description"].removeprefix("table: ")
    return "\n".join([*parts, f"# {about}\n[sources]\n{sources}"])


def _given(document: Mapping[str, Any]) -> Iterator[str]:
    return (name for name in _TABLES if document.get(name) and name not in ("power", "debug"))


def _table(name: str, values: Mapping[str, Any] | None, schema: Mapping[str, Any]) -> Iterator[str]:
    """A table, or one table per name. Power and debug names are the board's own: they begin empty."""
    about = f"# {schema['description'].removeprefix('table: ')}\n"
    inner = schema.get("additionalProperties")
    if not isinstance(inner, dict):
        kept = {} if name == "debug" else dict(values or {})
        yield about + f"[{name}]\n" + _lines(kept, schema["properties"])
        return
    if name == "power" or not values:
        text = f"[{name}.name]\n" + "".join(_example(k, s) for k, s in inner["properties"].items())
        yield about + "".join(f"# {line.removeprefix('# ')}\n" for line in text.splitlines())
        return
    for i, (key, fields) in enumerate(values.items()):
        kept = {k: v for k, v in fields.items() if k not in OWN}
        unread = name == "memory" and fields["kind"] not in READ_ONLY
        keys = {k: sub for k, sub in inner["properties"].items() if not (unread and k in _READING)}
        yield (about if i == 0 else "") + f"[{name}.{key}]\n" + _lines(kept, keys)


def _lines(values: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return "".join(_line(key, values.get(key), sub) for key, sub in schema.items())


def _line(key: str, value: object, schema: Mapping[str, Any]) -> str:
    if value is None:
        return _example(key, schema)
    return f"{key} = {_toml(key, value)}  # {_about(schema)}\n"


def _example(key: str, schema: Mapping[str, Any]) -> str:
    """A key that may be left out, with a value of its type."""
    examples = {
        "integer": schema.get("minimum", 0),
        "number": 0.5,
        "boolean": True,
        "array": schema.get("items", {}).get("enum", ["..."])[:1],
        "string": "...",
    }
    value = schema["enum"][0] if "enum" in schema else examples[schema["type"]]
    return f"# {key} = {_toml(key, value)}  # {_about(schema)}\n"


def _about(schema: Mapping[str, Any]) -> str:
    about: str = schema["description"]
    choices = [str(c) for c in schema.get("enum", ())]
    return about if all(c in about for c in choices) else f"{about} ({', '.join(choices)})"


def _toml(key: str, value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"0x{value:08x}" if key in _HEXADECIMAL else f"{value:_}"
        case list():
            return "[" + ", ".join(_toml(key, v) for v in value) + "]"
        case float():
            return repr(value)
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
