"""`make demo`: firmware for a real voice activity detector, from the ONNX file to a tested folder.

Takes Silero VAD and recorded speech out of a Python package (see demo_speech.py), builds firmware for a board, streams
speech that it was not calibrated on through the generated C with the state carried, and says what came out.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

from rich.console import Console

from examples import demo_speech
from mcu_quant import api
from mcu_quant.diagnostics import DiagnosticError
from mcu_quant.report import summary

BOARD = "nucleo_h743zi2"
FRAMES = 1000
ROOT = Path("build")


def main() -> int:
    """Run the demo; exit status 0 if the firmware fits and the test passes."""
    err = Console(stderr=True, highlight=False)
    folder = ROOT / f"demo-{BOARD}"
    try:
        with err.status("fetching a trained model and recorded speech") as status:

            def progress(what: str) -> None:
                status.update(what)

            demo = demo_speech.prepare(ROOT / "demo-data")
            source = api.Source(demo.model)
            request = api.BuildRequest(source, BOARD, folder, data=demo.calibration)
            built = api.build(request, progress)
            test = api.TestRequest(folder, data=demo.test, frames=FRAMES)
            tested = api.test_folder(test, progress)
    except DiagnosticError as error:
        err.print(str(error), markup=False)
        return error.exit_status
    print(_summary(built, tested, demo.recorded))
    return max(built.exit_status, tested.exit_status)


#: What of the report's figures a newcomer needs first; the rest is in `mcu-quant report`.
SHOWN = ("Board", "Fits", "Flash", "RAM", "Time per frame", "Calibrated on")


def _summary(built: api.BuildResult, tested: api.TestResult, recorded: bool) -> str:
    report, accuracy = built.report, tested.accuracy
    speech = "recorded speech" if recorded else "made-up speech (no recordings could be fetched)"
    figures = dict(summary.figures(report))
    lines = [f"{report['model']}: a voice activity detector, from ONNX to C firmware", ""]
    lines += [_row(label, figures[label]) for label in SHOWN]
    differences = [
        f"{n}: SNR {d.snr_db:.1f} dB, largest difference {d.max_abs:.2g}" for n, d in accuracy.outputs.items()
    ]
    lines += [
        _row(
            "Tested",
            f"{accuracy.frames} frames of {speech} that was not used for calibration, streamed through the generated C "
            "on this machine with the state carried, address and undefined-behaviour sanitizers on",
        ),
        _row("Quality", f"{', '.join(differences)} against {accuracy.reference}"),
        _row("Integers", f"{len(tested.mismatches)} edges differ from their integer specification"),
    ]
    for fmt, count in report["plan"]["formats"].items():
        if count:
            kinds = [op["op"] for op in report["operators"] if op["format"] == fmt]
            lines.append(_row(f"In {fmt}", ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(kinds))))
    return "\n".join([*lines, "", _next_steps(built.folder, report["model"])])


def _row(label: str, text: str) -> str:
    return textwrap.fill(text, 100, initial_indent=f"  {label:16}", subsequent_indent=" " * 18)


def _next_steps(folder: Path, model: str) -> str:
    command = ".venv/bin/mcu-quant"
    return f"""Firmware: {folder}/
  README.md says how to call it, {model}.h is the interface, {model}.c the schedule.

What next:
  {command} report {folder}
      every operator: format, time, bytes, quality
  {command} build YOUR_MODEL.onnx --board {BOARD} --data FOLDER_OF_WAVS
      your own model; `{command} boards` lists the boards
  edit {folder}/plan.toml and build again with --plan
      other formats for single operators"""


if __name__ == "__main__":
    sys.exit(main())
