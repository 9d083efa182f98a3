"""Tests of the latency estimate against published measurements: writes bench/latency.json and docs/latency.md.

    python -m bench.latency [--coremark DIR] [--cmsis-nn DIR]      also `make bench-latency`

The kernels that were measured are not ours, so that each test is of one part of the estimate: the form (classes of
operators, each with its cost per multiply-accumulate), the timing of a core, the transfer from core to core, reading
weights from flash. Whatever is fitted is fitted to measurements named so; all others are predicted.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bench import coremark, esp_nn, latency_page
from bench import networks as cmsis_networks
from mcu_quant import boards, cost, timing
from mcu_quant.ir import Array
from mcu_quant.timing import Percent

HERE = Path(__file__).resolve().parent
CASES = HERE / "latency.json"
PAGE = HERE.parent / "docs" / "latency.md"
#: CoreMark as it was counted last, for runs without a checkout of it.
COREMARK = HERE / "coremark.json"
#: And ESP-NN.
ESP_NN = esp_nn.RECORDED
#: And CMSIS-NN on the networks of MLPerf Tiny: as it is, and as it was (CMSIS 5 at 51263182, which microTVM names).
NETWORKS = {"today": HERE / "networks.json", "2022": HERE / "networks_2022.json"}
CLASSES = ("conv", "depthwise", "dense")
FITTED, HELD_OUT = "fitted", "held out"
#: The board on which every library was measured.
ORIGIN = "nucleo_l4r5zi"
#: The library that factors of boards and the reading of flash were taken from.
FITS = "Bosch HALE"


@dataclass(frozen=True)
class Case:
    """One published measurement and what the estimate says of it. `used`: whether it was fitted to or held out.

    `low` and `high` are the cycles between which the estimate expects the truth. `test` is the part that is tested, and
    `status` what supports the estimate there: calibrated, transferred or none.
    """

    test: str
    case: str
    board: str
    status: str
    published: int
    predicted: int
    low: int
    high: int
    used: str

    @property
    def error_pct(self) -> float:
        """How far the truth is from the estimate."""
        return 100.0 * (self.published / self.predicted - 1.0)

    @property
    def covered(self) -> bool:
        """Does the interval hold the truth?"""
        return self.low <= self.published <= self.high


@cache
def published() -> Mapping[str, Any]:
    """Everything in bench/published.toml."""
    return tomllib.loads((HERE / "published.toml").read_text())


def _case(
    test: str, name: str, board: str, truth: float, estimate: float, range_: Percent, used: str, status: str
) -> Case:
    low, high = (estimate * (1 + pct / 100) for pct in range_)
    return Case(test, name, board, status, round(truth), round(estimate), round(low), round(high), used)


def _core(name: str) -> timing.CoreEntry:
    return timing.table().cores[name]


def _core_of(board: str) -> str:
    return boards.load(board).core.name


# --- the form: classes of operators ---------------------------------------------------------------------------------


def _macs(model: str) -> list[float]:
    return [published()["models"][model]["macs"].get(c, 0) for c in CLASSES]


def _cycles(library: Mapping[str, Any], model: str) -> float:
    cycles: float = library["ms"][model] * library["mhz"] * 1e3
    return cycles


def per_mac(library: Mapping[str, Any], models: Sequence[str]) -> Array:
    """Cycles per multiply-accumulate of each class, from some models of a library: least relative squares."""
    cycles = np.array([_cycles(library, m) for m in models])
    a = np.array([_macs(m) for m in models])
    found, *_ = np.linalg.lstsq(a / cycles[:, None], np.ones(len(models)), rcond=None)
    return np.asarray(found)


def by_class() -> Iterator[Case]:
    """Each library's own cost per class, from three models: predicts the fourth, where it has all classes."""
    for library in published()["library"]:
        board = library["board"]
        if library.get("fused"):
            continue
        for held in ("vww", "kws"):
            others = [m for m in library["ms"] if m != held]
            estimate = float(np.dot(per_mac(library, others), _macs(held)))
            range_ = _range_on(board)
            name = f"{library['name']}, {held} from {', '.join(others)}"
            status = str(cost.status(_core(_core_of(board)), boards.load(board, calibrated=False)))
            yield _case("classes", name, board, _cycles(library, held), estimate, range_, HELD_OUT, status)


def recurrent() -> Iterator[Case]:
    """Recurrent layers by products and by units: each layer from the others."""
    about = published()["recurrent"]
    layers = about["layers"]
    a = np.array([[3 * x["units"] * (x["units"] + x["inputs"]), x["units"]] for x in layers], float)
    cycles = np.array([x["us"] * about["mhz"] for x in layers], float)
    for i, layer in enumerate(layers):
        rest = [k for k in range(len(layers)) if k != i]
        found, *_ = np.linalg.lstsq(a[rest] / cycles[rest, None], np.ones(len(rest)), rcond=None)
        name = f"{about['name']}, GRU {layer['units']} <- {layer['inputs']} from the others"
        range_ = _core(about["core"]).error_pct
        yield _case("recurrent", name, about["board"], cycles[i], float(a[i] @ found), range_, HELD_OUT, "calibrated")


# --- the timing of a core -------------------------------------------------------------------------------------------


def same_loop() -> Iterator[Case]:
    """A loop that is ours, too: counted, priced, and read from flash. Nothing is fitted."""
    about = published()["same_loop"]
    board = boards.load(about["board"])
    core = board.core.name
    each = timing.table().kernels[about["kernel"], "scalar", core].cycles.mac
    each += 4 * (board.program_memory.read_cycles_per_byte or 0.0)
    for model in about["models"]:
        name, range_ = f"{about['name']}, {model['name']}", _core(core).error_pct
        truth = model["ms"] * about["mhz"] * 1e3
        yield _case("counted", name, about["board"], truth, each * model["macs"], range_, HELD_OUT, "calibrated")


#: Where the reading of flash was taken from such a case.
FLASH_FROM = (("ek_ra8d1", "ad"),)
#: Cores whose timing was chosen with that library's times in view.
CHOSEN_WITH = ("cortex-m33",)


@cache
def networks(version: str = "today") -> Mapping[str, Mapping[str, Sequence[Sequence[Any]]]]:
    """Layers of CMSIS-NN per core and network, as bench/networks.py priced them."""
    found: dict[str, dict[str, list[list[Any]]]] = json.loads(NETWORKS[version].read_text())
    return found


def _priced(core: str, model: str) -> float:
    return float(sum(row[1] for row in networks()[core][model]))


def transferred() -> Iterator[Case]:
    """A library's time for a network on one core, times the ratio that CMSIS-NN has there, predicts another core."""
    for library in published()["library"]:
        mine = (x for x in published()["library"] if x["name"] == library["name"] and x["board"] == ORIGIN)
        origin = next(mine, None)
        if origin is None or library is origin:
            continue
        board, core = library["board"], _core_of(library["board"])
        factor = boards.load(board, calibrated=False).clock.cycles_factor
        for model in library["ms"]:
            # a dense layer reads each weight once, from flash: the part of its cost that is not the core's
            once = _macs(model)[CLASSES.index("dense")]
            computed = _cycles(origin, model) - once * _flash(ORIGIN)
            ratio = factor * _priced(core, model) / _priced(_core_of(ORIGIN), model)
            fits = library["name"] == FITS and (core in CHOSEN_WITH or factor != 1)
            used = FITTED if fits else HELD_OUT
            name = f"{library['name']}, {model} from {ORIGIN}"
            estimate = computed * ratio + once * _flash(board)
            yield _on_board("core to core", name, library, model, estimate, used)


def library_counted() -> Iterator[Case]:
    """CMSIS-NN, counted and priced, with its weights read from flash: nothing is fitted. Frameworks add their own."""
    for library in published()["library"]:
        if not library.get("counted"):
            continue
        found = boards.load(library["board"], calibrated=False)
        memory = cost.Memory.of(_core(found.core.name), found)
        for model in library["ms"]:
            rows = networks(library["counted"])[found.core.name][model]
            read = sum(memory.bytes_read(row[2], row[3]) for row in rows)
            computed = float(sum(row[1] for row in rows)) * found.clock.cycles_factor
            estimate = computed + read * memory.cycles_per_byte
            used = FITTED if (found.id, model) in FLASH_FROM else HELD_OUT
            yield _on_board("counted", f"{library['name']}, {model}", library, model, estimate, used)


def _on_board(test: str, name: str, library: Mapping[str, Any], model: str, estimate: float, used: str) -> Case:
    found = boards.load(library["board"], calibrated=False)
    core = _core(found.core.name)
    status = str(cost.status(core, found))
    range_ = cost.core_range(core, found)
    return _case(test, name, found.id, _cycles(library, model), estimate, range_, used, status)


def _flash(board: str) -> float:
    """Cycles of reading a byte where the program lies, as a report on the board has it."""
    found = boards.load(board, calibrated=False)
    return cost.Memory.of(_core(found.core.name), found).cycles_per_byte


def _range_on(board: str) -> Percent:
    """The range of a report on the board, without that of its kernels."""
    found = boards.load(board, calibrated=False)
    return cost.core_range(_core(found.core.name), found)


def coremarks(counted: Mapping[str, float]) -> Iterator[Case]:
    """CoreMark's cycles, counted and priced, times what a vendor's compiler does better on the Cortex-M4."""
    theirs = {core: 1e6 / per_mhz for core, per_mhz in published()["coremark"]["per_mhz"].items()}
    compiler = theirs["cortex-m4"] / counted["cortex-m4"]
    for core, truth in theirs.items():
        used = FITTED if core == "cortex-m4" else HELD_OUT
        name = "CoreMark, one iteration"
        yield _case("CoreMark", name, core, truth, counted[core] * compiler, _core(core).error_pct, used, "transferred")
    for core, per_mhz in published()["coremark"]["gcc"]["per_mhz"].items():
        entry, name = _core(core), "CoreMark, one iteration, GCC"
        yield _case("CoreMark", name, core, 1e6 / per_mhz, counted[core], entry.error_pct, HELD_OUT, "none")


def esp_nn_counted() -> Iterator[Case]:
    """ESP-NN's portable C, counted and priced: a network on the ESP32-C3, single functions on the ESP32-S3."""
    about, counted = published()["esp_nn"], json.loads(ESP_NN.read_text())
    network = about["person_detection"]
    found = boards.load(network["board"], calibrated=False)
    core = _core(found.core.name)
    memory = cost.Memory.of(core, found)
    read = sum(memory.bytes_read(layer.weight_bytes, layer.pixels) for layer in esp_nn.PERSON_DETECTION)
    estimate = counted[core.coefficients_of]["person detection"] * core.factor + read * memory.cycles_per_byte
    truth, status = network["ms"] * network["mhz"] * 1e3, str(cost.status(core, found))
    range_ = _range_on(found.id)
    yield _case("counted", "ESP-NN, person detection", found.id, truth, estimate, range_, HELD_OUT, status)
    functions = dict(about["functions"])
    found = boards.load(functions.pop("board"), calibrated=False)
    core = _core(found.core.name)
    for name, ticks in functions.items():
        estimate, status = counted[core.coefficients_of][name] * core.factor, str(cost.status(core, found))
        yield _case("counted", f"ESP-NN, {name}", found.id, ticks, estimate, core.error_pct, HELD_OUT, status)


def weights() -> Iterator[Case]:
    """Reading weights from flash: the difference that moving them to RAM made is what the board's file has."""
    for library in published()["library"]:
        for model, ms in library.get("ms_weights_in_ram", {}).items():
            board = library["board"]
            estimate = ms * library["mhz"] * 1e3 + _flash(board) * sum(_macs(model))
            range_ = _range_on(board)
            name = f"{library['name']}, {model}: weights in flash, from weights in RAM"
            yield _case("flash", name, board, _cycles(library, model), estimate, range_, FITTED, "calibrated")


def cases(counted: Mapping[str, float]) -> list[Case]:
    """All of them, the worst first."""
    parts = (by_class(), recurrent(), same_loop(), library_counted(), esp_nn_counted(), transferred(), weights())
    found = [c for part in (*parts, coremarks(counted)) for c in part]
    return sorted(found, key=lambda c: -abs(c.error_pct))


# --- written down ---------------------------------------------------------------------------------------------------


def as_dict(case: Case) -> dict[str, Any]:
    """A case as bench/latency.json has it."""
    return {**asdict(case), "error_pct": round(case.error_pct, 1)}


def main() -> int:
    parser = argparse.ArgumentParser(description="The latency estimate against published measurements.")
    parser.add_argument("--coremark", type=Path, metavar="DIR", help="count CoreMark again, from a checkout of it")
    parser.add_argument("--esp-nn", type=Path, metavar="DIR", help="count ESP-NN again, from a checkout of it")
    parser.add_argument(
        "--cmsis-nn", type=Path, metavar="DIR", help="count CMSIS-NN again, from a checkout of it or of CMSIS 5"
    )
    given = parser.parse_args()
    if given.cmsis_nn:
        old = (given.cmsis_nn / "CMSIS").is_dir()
        counted = cmsis_networks.everything(given.cmsis_nn, ("m4",) if old else ())
        NETWORKS["2022" if old else "today"].write_text(cmsis_networks.rendered(counted))
    if given.esp_nn:
        ESP_NN.write_text(esp_nn.rendered(esp_nn.everything(given.esp_nn)))
    if given.coremark:
        COREMARK.write_text(json.dumps(coremark.everything(given.coremark), indent=1) + "\n")
    found = cases(json.loads(COREMARK.read_text()))
    CASES.write_text("[\n" + ",\n".join(f" {json.dumps(as_dict(c))}" for c in found) + "\n]\n")
    PAGE.write_text(latency_page.rendered(found))
    for c in found:
        mark = "" if c.covered else "  OUTSIDE"
        print(f"{c.error_pct:+6.1f} %  {c.used:8} {c.status:11} {c.test:12} {c.board:18} {c.case}{mark}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
