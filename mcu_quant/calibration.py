"""What was measured on one board, and what follows for its timing: the file that `mcu-quant calibrate` writes.

It holds the measured calls themselves beside the factors that were fitted to them. The factors belong to one version of
the tables in `tables/`; with another they are fitted again when the file is read. A calibration lies beside the board's
file (`my_board.toml`, `my_board.calibration.json`); that of a board that comes with mcu-quant in the user's folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import platformdirs

from mcu_quant import schemas
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.paths import PACKAGE

SUFFIX = ".calibration.json"

Percent = tuple[float, float]
"""Signed range: the truth is expected between estimate * (1 + low / 100) and estimate * (1 + high / 100)."""


@dataclass(frozen=True)
class MeasuredCall:
    """One call of a schedule as it was measured: its work (as `Counts` has it), constants it reads, cycles it took.

    `kernel` is the name it is priced under and `isa` the instruction set of its C file. `spread_cycles` is how far
    frames differed. `call` tells calls apart: several measurements of one call have the same. `constant_bytes` counts
    constants as often as they are read past the cache. Everything is of all `times` that a frame makes the call.
    """

    call: str
    kernel: str
    isa: str
    work: tuple[int, ...]
    constant_bytes: int
    cycles: int
    spread_cycles: int = 0
    times: int = 1

    @property
    def key(self) -> str:
        """What a factor is kept for."""
        return f"{self.kernel}@{self.isa}"


@dataclass(frozen=True)
class Factor:
    """Cycles on the board per cycle of the tables, for one kernel, and how far its calls were off when held out."""

    factor: float
    error_pct: Percent
    calls: int


@dataclass(frozen=True)
class Fitted:
    """What was fitted: per kernel, for all others (`factor`), and for reading constants from where the program lies.

    Attributes:
        error_pct: range of kernels that were not measured, from leaving out each that was.
        held_out_pct: error of the sum of all calls, each predicted without itself.
    """

    factor: float
    error_pct: Percent
    read_cycles_per_byte: float
    kernels: Mapping[str, Factor]
    held_out_pct: float


@dataclass(frozen=True)
class Provenance:
    """One log that was used."""

    log: str
    sha256: str
    day: str
    model: str
    clock_hz: int
    frames: int
    runs: int


@dataclass(frozen=True, eq=False)
class Calibration:
    """Measurements of one board, and what was fitted to them."""

    board: str
    core: str
    clock_hz: int
    tables: str
    measured: tuple[Provenance, ...]
    calls: tuple[MeasuredCall, ...] = field(repr=False)
    fitted: Fitted

    @property
    def days(self) -> str:
        """When it was measured: one day, several, or that nobody said."""
        days = sorted({p.day for p in self.measured if p.day})
        return " and ".join(days) if days else "an unknown day"

    @property
    def models(self) -> str:
        """What was measured."""
        return ", ".join(dict.fromkeys(p.model for p in self.measured))

    def as_dict(self) -> dict[str, Any]:
        """As the file has it, but for the calls."""
        kernels = {name: asdict(k) for name, k in self.fitted.kernels.items()}
        return {
            "schema": 1,
            **{name: getattr(self, name) for name in ("board", "core", "clock_hz", "tables")},
            "measured": [asdict(p) for p in self.measured],
            "fitted": {**asdict(replace(self.fitted, kernels={})), "kernels": kernels},
        }


def home() -> Path:
    """Where calibrations of boards that come with mcu-quant are kept."""
    return Path(os.environ.get("MCU_QUANT_CALIBRATIONS") or platformdirs.user_data_path("mcu-quant") / "calibrations")


def path_of(board_id: str, file: Path | None) -> Path:
    """Where the calibration of a board lies; `file` is the board's own file, None for one that comes with mcu-quant."""
    return home() / f"{board_id}{SUFFIX}" if file is None else file.with_suffix("").with_suffix(SUFFIX)


def find(board_id: str, file: Path | None) -> Calibration | None:
    """The calibration of a board, if there is one.

    Raises:
        DiagnosticError: MQ506 if the file is damaged, or of another board.
    """
    path = path_of(board_id, file)
    return _read(path, path.stat().st_mtime_ns, board_id) if path.is_file() else None


@cache
def _read(path: Path, _modified: int, board_id: str) -> Calibration:
    help_ = "measure again with mcu-quant calibrate, or remove the file"
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DiagnosticError(Diagnostic("MQ506", str(path), f"cannot be read: {error}", help=help_)) from error
    wrong = schemas.validate(document, "calibration", str(path), "MQ506")
    if wrong:
        raise DiagnosticError(wrong)
    if document["board"] != board_id:
        message = f"is of {document['board']}, not of {board_id}"
        raise DiagnosticError(Diagnostic("MQ506", str(path), message, help=help_))
    return current(_from(document))


def current(found: Calibration) -> Calibration:
    """With factors of the tables that are in use: fitted again if they are of others."""
    if found.tables == tables():
        return found
    from mcu_quant.refit import refit  # what is heavy is needed only here

    return replace(found, tables=tables(), fitted=refit(found.calls, found.core, found.fitted.read_cycles_per_byte))


@cache
def tables() -> str:
    """Which tables factors belong to."""
    texts = [(PACKAGE / "tables" / name).read_bytes() for name in ("latency_kernels.json", "latency_cores.toml")]
    return hashlib.sha256(b"".join(texts)).hexdigest()[:16]


def to_json(made: Calibration) -> str:
    """The text of the file."""
    head = json.dumps(made.as_dict(), indent=1)[:-2]
    rows = ",\n  ".join(json.dumps(list(asdict(c).values())) for c in made.calls)
    return f'{head},\n "calls": [\n  {rows}\n ]\n}}\n'


def _from(document: Mapping[str, Any]) -> Calibration:
    fitted = document["fitted"]
    kernels = {
        name: Factor(k["factor"], (k["error_pct"][0], k["error_pct"][1]), k["calls"])
        for name, k in fitted["kernels"].items()
    }
    low, high = fitted["error_pct"]
    return Calibration(
        board=document["board"],
        core=document["core"],
        clock_hz=document["clock_hz"],
        tables=document["tables"],
        measured=tuple(Provenance(**p) for p in document["measured"]),
        calls=tuple(MeasuredCall(c[0], c[1], c[2], tuple(c[3]), *c[4:]) for c in document["calls"]),
        fitted=Fitted(
            fitted["factor"],
            (low, high),
            fitted["read_cycles_per_byte"],
            MappingProxyType(kernels),
            fitted["held_out_pct"],
        ),
    )
