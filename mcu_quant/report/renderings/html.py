"""HTML: one file that needs nothing else, for a browser on a desk, on a phone, or on paper.

Everything is drawn here from report.json; the page may load nothing, and its own policy forbids it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import jinja2
from markupsafe import Markup

from mcu_quant.paths import templates
from mcu_quant.report import Report
from mcu_quant.report.advice import advice
from mcu_quant.report.changes import changed_figures, changed_operators
from mcu_quant.report.charts import colour, element
from mcu_quant.report.charts.arena import arena
from mcu_quant.report.charts.flow import flow
from mcu_quant.report.charts.front import explored, front, points
from mcu_quant.report.charts.histogram import histogram
from mcu_quant.report.charts.scatter import scatter
from mcu_quant.report.metrics import METRICS
from mcu_quant.report.names import operator_labels, titles
from mcu_quant.report.summary import STATUS, decibels, duration, figures, kib, lasting, noise, three, worst_snr_db
from mcu_quant.report.tables import shown

#: Bars of the time per operator; the rest is one more bar.
BARS = 24

#: Diagnostics about what advice says too, in more words.
SAID_BY_ADVICE = ("MQ503", "MQ504")

#: What lies in memory, in words, and in the order in which it is drawn.
HELD = {
    "weights": "weights",
    "copied": "weights copied",
    "code": "code",
    "library": "C library",
    "arena": "arena",
    "state": "state",
    "io": "inputs and outputs",
    "stack": "stack",
}


def render(reports: Sequence[Report]) -> str:
    """One report in full; several: a table of boards, then each board's own findings and memory."""
    return _environment().get_template("report/page.html.j2").render(
        reports=[{**_view(r), "title": name} for name, r in zip(titles(reports), reports, strict=True)],
        first=reports[0],
        several=len(reports) > 1,
        front=front(points(reports)),
    )  # fmt: skip


def render_difference(document: Mapping[str, Any]) -> str:
    """Findings, then per pair what changed."""
    pairs = [
        {"figures": changed_figures(p), "operators": changed_operators(p), "bars": _changes(p)}
        for p in document["pairs"]
    ]
    return _environment().get_template("report/changes.html.j2").render(pairs=pairs, findings=document["diagnostics"])


def _changes(pair: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Changes in percent as bars from the middle; twice as much or nothing is the whole half."""
    bars = []
    for f in pair["figures"]:
        change = f["change_pct"] or 0.0
        half = min(50.0, abs(change) / 2)
        better = (change > 0) == METRICS[f["name"]].more_is_better
        bars.append({"left": 50.0 if change > 0 else 50.0 - half, "width": half, "better": better})
    return [*bars, {"left": 50.0, "width": 0.0, "better": True}]


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    made.filters |= {"kib": kib, "decibels": decibels, "noise": noise, "shown": shown, "three": three, "colour": colour}
    return made


def _view(report: Report) -> Mapping[str, Any]:
    """What the template shows of one report, ready to be printed."""
    names = operator_labels(report)
    return {
        "report": report,
        "names": names,
        "figures": list(figures(report)),
        "advice": advice(report),
        "cards": _cards(report),
        "surely_in_time": _surely_in_time(report["latency"]),
        "formats": _formats(report),
        "regions": [_region(r, report) for r in report["regions"] if r["holds"]],
        "unused": [r for r in report["regions"] if not r["holds"]],
        "findings": [d for d in report["diagnostics"] if d["code"] not in SAID_BY_ADVICE],
        "held": HELD,
        "arena": arena(report),
        "bars": _bars(report),
        "scatter": scatter(report),
        "front": _front(report),
        "flow": flow(report),
        "cycles": max(1, report["latency"]["cycles"]),
        "slowest": max((o["cycles"] for o in report["operators"]), default=1) or 1,
        "weights": [_of_weights(w, names) for w in report["weights"]],
        "activations": [_of_activation(a, names) for a in report["activations"]],
        "worst_snr_db": worst_snr_db(report),
    }


def _front(report: Report) -> Markup:
    """This build among the plans that were explored; empty where none were."""
    own = [replace(p, name="this build") for p in points([report])]
    return front([*own, *explored(report["front"])]) if report.get("front") else Markup("")


def _surely_in_time(latency: Mapping[str, Any]) -> bool:
    """Whether even the upper end of the range is in time."""
    budget = latency["budget_ms"]
    return budget is not None and latency["ms"] * (1 + latency["error_pct"][1] / 100) <= budget


def _cards(report: Report) -> list[dict[str, Any]]:
    flash, ram = report["flash"], report["ram"]
    cards = [_size_card("Flash", flash), _size_card("RAM", ram), _time_card(report["latency"]), _quality_card(report)]
    energy = report["energy"] or {}
    cards += [_energy_card(energy)] if energy else []
    return [*cards, _battery_card(energy["battery"])] if "battery" in energy else cards


def _energy_card(energy: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": "Energy per frame",
        "value": f"{energy['mj']:.2g} mJ",
        "of": f"at {energy['active_mw']:.3g} mW",
        "meter": _range_meter(energy["low_mj"], energy["mj"], energy["high_mj"]),
        "note": f"{energy['low_mj']:.2g} to {energy['high_mj']:.2g} mJ, from published power",
        "bad": False,
    }


def _battery_card(found: Mapping[str, Any]) -> dict[str, Any]:
    low, typical, high = (lasting(found[k]) for k in ("low_hours", "hours", "high_hours"))
    return {
        "name": "Battery",
        "value": typical,
        "of": f"of {found['mah']:g} mAh at {found['volts']:g} V",
        "meter": _range_meter(found["low_hours"], found["hours"], found["high_hours"]),
        "note": f"{low} to {high}, listening {found['duty_pct']:g} % of the time, {found['sleep_ua']:g} µA otherwise",
        "bad": False,
    }


def _range_meter(low: float, typical: float, high: float) -> Markup:
    """A range, and the estimate in it, from nothing to a little more than the upper end."""
    full = 1.05 * high
    point = 100 * typical / full
    return _meter(100 * low / full, 100 * high / full, "range") + _meter(point - 0.4, point + 0.4, "point")


def _size_card(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    used = 100 * found["total_bytes"] / found["available_bytes"]
    return {
        "name": name,
        "value": kib(found["total_bytes"]),
        "of": f"of {kib(found['available_bytes'])} in {found['region']}",
        "meter": Markup("").join([_meter(0, min(100.0, used), "used" if used <= 100 else "over")]),
        "note": f"{used:.0f} % used, {found['origin']}",
        "bad": used > 100,
    }


def _meter(low: float, high: float, class_: str) -> Markup:
    return element("i", class_=class_, style=f"left:{low:.2f}%;width:{max(0.6, high - low):.2f}%")


def _time_card(latency: Mapping[str, Any]) -> dict[str, Any]:
    """The estimate, its range, and where the next frame begins."""
    low, high = (latency["ms"] * (1 + e / 100) for e in latency["error_pct"])
    budget = latency["budget_ms"]
    full = max(high, budget or 0.0, 1e-9) * 1.05
    parts = [
        _meter(100 * low / full, 100 * high / full, "range"),
        _meter(100 * latency["ms"] / full - 0.4, 100 * latency["ms"] / full + 0.4, "point"),
    ]
    if budget is not None:
        parts.append(_meter(100 * budget / full - 0.3, 100 * budget / full + 0.3, "limit"))
    return {
        "name": "Time per frame",
        "value": f"{three(latency['ms'])} ms",
        "of": "" if budget is None else f"of {three(budget)} ms until the next",
        "meter": Markup("").join(parts),
        "note": f"{three(low)} to {three(high)} ms, {latency['origin']}, {STATUS[latency['status']]}",
        "bad": budget is not None and latency["ms"] > budget,
    }


def _quality_card(report: Report) -> dict[str, Any]:
    """The worst output, drawn from 0 to 100 dB."""
    worst = worst_snr_db(report)
    if worst is None:
        return {"name": "Quality", "value": "not compared", "of": "", "meter": Markup(""), "note": "", "bad": False}
    accuracy = report["accuracy"]
    return {
        "name": "Quality",
        "value": decibels(worst),
        "of": "worst output or state",
        "meter": _meter(0, min(100.0, max(0.0, worst)), "used"),
        "note": f"against {accuracy['reference']}, {accuracy['frames']} frames",
        "bad": False,
    }


def _formats(report: Report) -> list[dict[str, Any]]:
    counts = {f: n for f, n in report["plan"]["formats"].items() if n}
    total = sum(counts.values()) or 1
    return [{"format": f, "operators": n, "percent": 100 * n / total} for f, n in counts.items()]


def _region(region: Mapping[str, Any], report: Report) -> dict[str, Any]:
    """A bank as a bar: what others take, what the model takes, what is left; beyond the end where it does not fit."""
    holds = [(what, region["holds"][what]) for what in HELD if region["holds"].get(what)]
    taken = region["reserved_bytes"] + sum(size for _, size in holds)
    full = max(region["bytes"], taken)
    parts, at = [], 100 * region["reserved_bytes"] / full
    if region["reserved_bytes"]:
        parts.append(_part(0, at, "reserved", f"reserved: {kib(region['reserved_bytes'])}"))
    for what, size in holds:
        width = 100 * size / full
        parts.append(_part(at, width, f"h-{what}", f"{HELD[what]}: {kib(size)}"))
        at += width
    end = 100 * region["bytes"] / full
    if end < 100:
        parts.append(_part(end - 0.2, 0.4, "limit", f"end of {region['name']}"))
    return {
        **region,
        "from": f"0x{region['address']:08X}",
        "bar": Markup("").join(parts),
        "holds": [(HELD[what], what, kib(size)) for what, size in holds],
        "free": kib(region["bytes"] - taken) if taken <= region["bytes"] else "",
        "missing": kib(taken - region["bytes"]) if taken > region["bytes"] else "",
        "width": 100.0 * (full / max(r["bytes"] for r in report["regions"])) ** 0.5,
    }


def _part(left: float, width: float, class_: str, words: str) -> Markup:
    # a title attribute, since this is HTML; pictures use SVG's <title>
    return element("i", class_=class_, style=f"left:{left:.2f}%;width:{max(width, 0.15):.2f}%", title=words)


def _bars(report: Report) -> list[dict[str, Any]]:
    """The slowest operators, the others together, and conversions that belong to none."""
    operators = sorted(report["operators"], key=lambda o: -o["cycles"])
    total = max(1, report["latency"]["cycles"])
    names = operator_labels(report)
    shown_, rest = operators[:BARS], operators[BARS:]
    rows = [_bar(o["name"], names[o["name"]], f"{o['op']} {o['format']}", o["format"], o) for o in shown_]
    if rest:
        together = {key: sum(o[key] for o in rest) for key in ("cycles", "convert_cycles")}
        rows.append(_bar("", f"{len(rest)} others", "", "", together))
    boundary = total - sum(r["cycles"] for r in rows)
    if boundary > 0:
        both = {"cycles": boundary, "convert_cycles": boundary}
        rows.append(_bar("", "inputs, outputs and states", "conversions", "", both))
    longest = max((r["cycles"] for r in rows if r["kind"]), default=1) or 1
    ms = 1e3 / report["latency"]["clock_hz"]
    return [
        {
            **r,
            # the others together are longer than any: only their share is said
            "compute": 100 * (r["cycles"] - r["convert"]) / longest if r["kind"] else 0.0,
            "conversion": 100 * r["convert"] / longest if r["kind"] else 0.0,
            "share": f"{100 * r['cycles'] / total:.1f} %",
            "ms": duration(r["cycles"] * ms),
        }
        for r in rows
    ]


def _bar(name: str, label: str, kind: str, fmt: str, spent: Mapping[str, int]) -> dict[str, Any]:
    own = {"cycles": spent["cycles"], "convert": spent["convert_cycles"]}
    return {"name": name, "label": label, "kind": kind, "format": fmt, **own}


def _of_weights(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": names.get(entry["operator"], entry["operator"]),
        "constant": entry["name"],
        "format": entry["format"],
        "about": f"{shown(entry['elements'])} numbers, {kib(entry['bytes'])}",
        "picture": histogram(entry, f"histogram of {entry['name']}"),
    }


def _of_activation(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    total = sum(int(n) for n in entry["counts"].split()) or 1
    full = 100 * entry["at_high"] / total
    when = "" if entry["scale_kind"] == "static" else f", scale per {entry['scale_kind']}"
    about = f"one step is {entry['scale']:.3g}{when}"
    if full >= 0.05:
        about += f"; {full:.1f} % at the upper end"
    return {
        "name": names.get(entry["operator"], entry["operator"]),
        "edge": entry["edge"],
        "format": entry["format"],
        "about": about,
        "picture": histogram(entry, f"histogram of {entry['edge']}"),
    }
