"""What limits a build on a board, and what to try next: each remedy with its price where the report knows it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcu_quant.report import Report
from mcu_quant.report.charts.arena import live_bytes
from mcu_quant.report.summary import decibels, kib, three, weakest

#: Bytes of a stored number.
BYTES = {"s8": 1, "s16": 2, "f16": 2, "f32": 4}

#: From this share of what there is, a resource is called tight.
TIGHT = 0.8

#: From this share of the time, waiting for weights is named.
WORTH_COPYING = 0.05

#: Below this SNR of the worst output the weakest operator is named.
MODEST_SNR_DB = 30.0
#: Below this, noise comes from everywhere.
FAR_SNR_DB = 15.0


@dataclass(frozen=True)
class Advice:
    """One limit in words, what to try, and whether it is in the way (or merely next)."""

    limit: str
    remedy: str
    blocks: bool

    @property
    def resource(self) -> str:
        """What is limited, in one word."""
        return self.limit.partition(":")[0]


def advice(report: Report) -> list[Advice]:
    """What is in the way first, then what is tight; if nothing is, what would be next."""
    found = [*_flash(report), *_ram(report), *_time(report), *_reading(report), *_quality(report)]
    return sorted(found, key=lambda a: not a.blocks) or [_headroom(report)]


def _flash(report: Report) -> Iterator[Advice]:
    flash = report["flash"]
    missing = flash["total_bytes"] - flash["available_bytes"]
    if missing > 0 or flash["total_bytes"] > TIGHT * flash["available_bytes"]:
        limit = f"flash: {kib(missing)} too much" if missing > 0 else f"flash: {kib(-missing)} left"
        yield Advice(limit, _smaller_weights(report) + _larger_boards(report, flash["region"]), missing > 0)


def _smaller_weights(report: Report) -> str:
    """The operator whose weights shrink most in 8 bits."""
    stored: dict[str, tuple[int, int]] = {}
    for w in report["weights"]:
        bytes_, saved = stored.get(w["operator"], (0, 0))
        stored[w["operator"]] = (bytes_ + w["bytes"], saved + w["bytes"] - w["bytes"] // BYTES.get(w["format"], 1))
    name, (_, saved) = max(stored.items(), key=lambda item: item[1][1], default=("", (0, 0)))
    if saved:
        return f"--set {name}=s8 stores its weights in 8 bits: about {kib(saved)} less"
    return "weights are in 8 bits already: prune the model, or take a board with more flash"


def _ram(report: Report) -> Iterator[Advice]:
    ram = report["ram"]
    missing = ram["total_bytes"] - ram["available_bytes"]
    if missing > 0 or ram["total_bytes"] > TIGHT * ram["available_bytes"]:
        limit = f"RAM: {kib(missing)} too much in {ram['region']}" if missing > 0 else f"RAM: {kib(-missing)} left"
        yield Advice(limit, _smaller_peak(report) + _larger_boards(report, ram["region"]), missing > 0)


def _smaller_peak(report: Report) -> str:
    """What is live where most is live."""
    memory = report["memory"]
    live = live_bytes(memory)
    if not live:
        return "the state and the stack are all there is: take a board with more RAM"
    at = max(range(len(live)), key=live.__getitem__)
    alive = [b for b in memory["buffers"] if b["first_call"] <= at <= b["last_call"]]
    largest = max(alive, key=lambda b: b["bytes"])
    peak = f"most is live at {memory['calls'][at]['operator']}"
    if BYTES.get(largest["format"], 1) == 1:
        return f"{peak}, and its largest buffer is in 8 bits already: take a board with more RAM"
    saved = largest["bytes"] - largest["bytes"] // BYTES[largest["format"]]
    wider = f"its largest buffer {largest['name']} holds {kib(largest['bytes'])} in {largest['format']}"
    return f"{peak}: {wider}; --set {largest['operator']}=s8 stores it in 8 bits: {kib(saved)} less there"


def _larger_boards(report: Report, region: str) -> str:
    """The smallest boards that would hold it, as the finding about this region names them."""
    for d in report["diagnostics"]:
        last = d["help"].rpartition("; ")[2]
        if d["code"] == "MQ503" and d["where"].endswith(f": {region}") and last.startswith("or take a board"):
            return f"; {last}"
    return ""


def _time(report: Report) -> Iterator[Advice]:
    latency = report["latency"]
    budget = latency["budget_ms"]
    if budget is None or not report["operators"]:
        return
    latest = latency["ms"] * (1 + latency["error_pct"][1] / 100)
    if latest <= TIGHT * budget:
        return
    slowest = max(report["operators"], key=lambda o: o["cycles"])
    share = 100 * slowest["cycles"] / max(1, latency["cycles"])
    what = f"{slowest['name']} takes {share:.0f} % of the time"
    if slowest["format"] in ("f32", "f16"):
        what += f": try --set {slowest['name']}=s8"
    elif slowest["convert_cycles"] > slowest["cycles"] / 4:
        what += ", much of it in conversions: give it the format of its neighbours"
    low = latency["ms"] * (1 + latency["error_pct"][0] / 100)
    limit = f"time: {three(latency['ms'])} ms of {three(budget)} ms per frame ({three(low)} to {three(latest)})"
    yield Advice(limit, f"{what}; measure on the board before anything else", latency["ms"] > budget)


def _reading(report: Report) -> Iterator[Advice]:
    """Waiting for weights is worth a copy of them where it takes some of the time."""
    latency = report["latency"]
    share = latency["reading_cycles"] / max(1, latency["cycles"])
    if share < WORTH_COPYING or report["ram"]["copied_bytes"]:
        return
    weights = report["flash"]["weights_bytes"]
    limit = f"weights: waiting for them takes {100 * share:.0f} % of the time"
    yield Advice(limit, f"build --place auto copies what fits of their {kib(weights)} to RAM at start-up", False)


def _quality(report: Report) -> Iterator[Advice]:
    found: dict[str, Any] = (report["accuracy"] or {}).get("outputs", {})
    outputs = {n: d["snr_db"] for n, d in found.items() if "note" not in d}
    worst, weak = min(outputs, key=outputs.__getitem__, default=None), weakest(report)
    if worst is None or weak is None or outputs[worst] >= MODEST_SNR_DB:
        return
    wider = "s16" if report["target"]["half_precision"] == "none" else "f16"
    remedy = f"{weak['name']} adds most noise: try --set {weak['name']}={wider}"
    if weak["format"] != "s8":
        remedy = f"{weak['name']} adds most noise: try --set {weak['name']}=f32"
    if outputs[worst] < FAR_SNR_DB:
        remedy += f"; one operator will hardly do: --min-snr {MODEST_SNR_DB:g} chooses formats by measuring them"
    yield Advice(f"quality: {worst} is {decibels(outputs[worst])} from the reference", remedy, False)


def _headroom(report: Report) -> Advice:
    """Nothing is tight: what would be used up first."""
    used = {
        "flash": report["flash"]["total_bytes"] / report["flash"]["available_bytes"],
        "RAM": report["ram"]["total_bytes"] / report["ram"]["available_bytes"],
    }
    if report["latency"]["real_time_factor"] is not None:
        used["time"] = report["latency"]["real_time_factor"]
    first = max(used, key=used.__getitem__)
    limit = f"nothing: {first} is used most, {100 * used[first]:.0f} %"
    return Advice(limit, "there is room for a larger model, a wider format or a smaller board", False)
