"""The few figures everybody wants first, in words: what the terminal and the README of a folder print of a report."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcu_quant.report import Report

#: What supports a time, in words.
STATUS = {
    "calibrated": "compared with measurements of this board",
    "transferred": "compared with measurements of another board with this core",
    "none": "never compared with measurements of this core",
}


def figures(report: Report) -> Iterator[tuple[str, str]]:
    """(label, value) rows: fit, flash, RAM, time, accuracy, formats."""
    target = report["target"]
    yield "Board", f"{target['name']}, {target['core']} at {target['clock_hz'] / 1e6:g} MHz, {target['isa']} kernels"
    yield "Fits", "yes" if report["fits"] else "NO"
    yield "Flash", _flash(report["flash"])
    yield "RAM", _ram(report["ram"])
    yield "Time per frame", time(report["latency"])
    if report["energy"]:
        yield "Energy per frame", energy(report["energy"])
        if "battery" in report["energy"]:
            yield "Battery", battery(report["energy"]["battery"])
    yield "Formats", ", ".join(f"{_count(n)} in {f}" for f, n in report["plan"]["formats"].items() if n)
    if report["accuracy"]:
        yield from _accuracy(report["accuracy"])
        worst = weakest(report)
        if worst:
            what = f"{worst['name']} ({worst['op']} in {worst['format']})"
            yield "Weakest operator", f"{what} adds most noise; {decibels(worst['snr_db'])} behind it"
    needless = "nothing: no format needs ranges, or the model has scales of its own"
    yield "Calibrated on", report["plan"]["calibrated_on"] or needless


def _count(operators: int) -> str:
    return "1 operator" if operators == 1 else f"{operators} operators"


def weakest(report: Report) -> dict[str, Any] | None:
    """The operator that adds most noise to what comes in."""
    measured = [o for o in report["operators"] if o["noise_added_db"] is not None]
    found: dict[str, Any] | None = max(measured, key=lambda o: o["noise_added_db"], default=None)
    return found


def operator_notes(report: Report) -> Iterator[tuple[str, str, str, str]]:
    """(name, type, format, SNR) of every operator."""
    for o in report["operators"]:
        yield o["name"], o["op"], o["format"], "" if o["snr_db"] is None else decibels(o["snr_db"])


def decibels(value: float) -> str:
    """An SNR; two signals equal to the bit have none, and one with infinite or undefined values neither."""
    if abs(value) >= 999:
        return "exact" if value > 0 else "not finite"
    return f"{value:.1f} dB"


def noise(value: float | None) -> str:
    """Noise that an operator adds; nothing where it adds none."""
    if value is None or value <= -999:
        return ""
    return "not finite" if value >= 999 else f"{value:.0f} dB"


def three(value: float) -> str:
    """Three digits that matter, and never an exponent."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(ms: float) -> str:
    """A time in the unit that suits it."""
    if ms >= 1000:
        return f"{ms / 1000:.3g} s"
    return f"{ms:.3g} ms" if ms >= 0.1 else f"{1000 * ms:.2g} µs"


def kib(size: int) -> str:
    """Bytes as people read them."""
    return f"{size / 1024:.1f} KiB" if size >= 1024 else f"{size} B"


def worst_snr_db(report: Report) -> float | None:
    """Of the outputs and states, the SNR that is worst; not of states that are cut off by design."""
    accuracy = report["accuracy"]
    found = (d["snr_db"] for d in accuracy["outputs"].values() if "note" not in d) if accuracy else ()
    return min(found, default=None)


def of_available(region: Any) -> str:
    """What flash or RAM is needed of what there is."""
    used = 100 * region["total_bytes"] / region["available_bytes"]
    return f"{kib(region['total_bytes'])} of {kib(region['available_bytes'])} ({used:.0f} %)"


def _flash(flash: Any) -> str:
    parts = ", ".join(f"{n} {kib(flash[f'{n}_bytes'])}" for n in ("weights", "code", "library"))
    how = f"linked with {flash['compiler']}" if flash["origin"] == "linked" else "estimated: no compiler for this board"
    return f"{of_available(flash)}: {parts}; {how}{_predicted(flash)}"


def _ram(ram: Any) -> str:
    names = {"arena": "arena", "state": "state", "io": "inputs and outputs", "stack": "stack"}
    if ram["copied_bytes"]:
        names = {**names, "copied": "copied weights"}
    parts = ", ".join(f"{words} {kib(ram[f'{n}_bytes'])}" for n, words in names.items())
    return f"{of_available(ram)}: {parts}{_predicted(ram)}"


def _predicted(region: Any) -> str:
    """What was predicted before linking, and by how much that is off."""
    predicted = region["predicted_bytes"]
    if predicted is None:
        return ""
    return f"; predicted {kib(predicted)} ({100 * (predicted / region['total_bytes'] - 1):+.1f} %)"


def time(latency: Any) -> str:
    """Milliseconds of a frame, of how many, and how sure that is."""
    low, high = latency["error_pct"]
    text = f"{three(latency['ms'])} ms"
    if latency["budget_ms"] is not None:
        slowest = latency["clock_hz"] * latency["real_time_factor"] * (1 + high / 100)
        text += f" of {three(latency['budget_ms'])} ms ({100 * latency['real_time_factor']:.0f} %; "
        text += f"keeps up from {three(slowest / 1e6)} MHz on)"
    support = "to what a board of this type measured" if latency["origin"] == "fitted" else STATUS[latency["status"]]
    return f"{text}, {latency['origin']} ({low:+g} to {high:+g} %; {support})"


def energy(found: Any) -> str:
    """Millijoules of a frame and how sure that is; the average power of computing where frames have a rate."""
    text = (
        f"{found['mj']:.2g} mJ ({found['low_mj']:.2g} to {found['high_mj']:.2g}), {found['active_mw']:.3g} mW at work"
    )
    return text if found["average_mw"] is None else f"{text}, {found['average_mw']:.2g} mW on average without sleep"


def battery(found: Any) -> str:
    """How long a cell lasts, and under which conditions."""
    low, typical, high = (lasting(found[k]) for k in ("low_hours", "hours", "high_hours"))
    asleep = f"drawing {found['sleep_ua']:g} µA otherwise"
    work = f"listening {found['duty_pct']:g} % of the time, {asleep}"
    return f"{found['mah']:g} mAh at {found['volts']:g} V last {typical} ({low} to {high}); {work}"


def lasting(hours: float) -> str:
    """A duration of hours in the unit that suits it."""
    if hours < 48:
        return f"{three(hours)} hours"
    return f"{three(hours / 24)} days" if hours < 24 * 730 else f"{three(hours / 24 / 365)} years"


def _accuracy(accuracy: Any) -> Iterator[tuple[str, str]]:
    parts = [
        f"{name} {decibels(d['snr_db'])}{' (state; ' + d['note'] + ')' if 'note' in d else ''}"
        for name, d in accuracy["outputs"].items()
    ]
    yield "Accuracy", f"{', '.join(parts)} against {accuracy['reference']} over {accuracy['frames']} frames"
    yield "Verified on", accuracy["data"]
