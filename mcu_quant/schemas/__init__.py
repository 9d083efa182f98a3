"""JSON schemas of the files people write and read, and the check that turns every violation into a `Diagnostic`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from mcu_quant.diagnostics import Diagnostic, did_you_mean

FOLDER = Path(__file__).resolve().parent


def names() -> tuple[str, ...]:
    """Names of all schemas, without the suffix."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


@cache
def load(name: str) -> Mapping[str, Any]:
    """The schema of that name, as published.

    Raises:
        FileNotFoundError: if there is none.
    """
    schema: Mapping[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    return schema


def validate(document: object, schema_name: str, where: str, code: str) -> list[Diagnostic]:
    """Everything in which a document departs from a schema; an empty list is a valid document.

    `where` names the file; each diagnostic adds the key as `file: table.key`. `code` is the code of all of them.
    """
    found: dict[tuple[str, str], Diagnostic] = {}
    validator = Draft202012Validator(load(schema_name))
    for error in sorted(validator.iter_errors(document), key=lambda e: [str(p) for p in e.absolute_path]):
        for diagnostic in _diagnostics(error, where, code):
            found.setdefault((diagnostic.where, diagnostic.message), diagnostic)
    return list(found.values())


def _diagnostics(error: ValidationError, where: str, code: str) -> Iterator[Diagnostic]:
    path = ".".join(str(part) for part in error.absolute_path)
    schema: Mapping[str, Any] = error.schema if isinstance(error.schema, dict) else {}
    instance: Any = error.instance
    demanded: Any = error.validator_value

    def at(key: str = "") -> str:
        full = ".".join(part for part in (path, key) if part)
        return f"{where}: {full}" if full else where

    match error.validator:
        case "additionalProperties":
            known = schema.get("properties", {})
            for key in _unknown(instance, schema):
                yield Diagnostic(code, at(key), f"unknown key {key!r}", help=did_you_mean(key, known))
        case "required":
            described = schema.get("properties", {})
            for key in demanded:
                if key not in instance:
                    meaning = described.get(key, {}).get("description", "")
                    yield Diagnostic(
                        code, at(key), f"missing key {key!r}", help=f"add it: {meaning}" if meaning else ""
                    )
        case "enum":
            words = [str(v) for v in demanded]
            suggestion = did_you_mean(str(instance), words)
            yield Diagnostic(code, at(), f"{instance!r} is not one of {', '.join(words)}", help=suggestion)
        case "type":
            words = [demanded] if isinstance(demanded, str) else list(demanded)
            message = f"{_short(instance)} is not of type {' or '.join(words)}"
            yield Diagnostic(code, at(), message, help=schema.get("description", ""))
        case "anyOf" | "oneOf" if error.context:
            # the branch that went deepest is the one the writer meant
            nearest = max(error.context, key=lambda e: len(e.absolute_path))
            yield from _diagnostics(nearest, where, code)
        case _:
            yield Diagnostic(code, at(), error.message, help=schema.get("description", ""))


def _unknown(instance: Mapping[str, Any], schema: Mapping[str, Any]) -> list[str]:
    patterns = schema.get("patternProperties", {})
    known = schema.get("properties", {})
    return [key for key in instance if key not in known and not any(re.search(p, key) for p in patterns)]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
