"""Whole pipelines in generated C on unseen noisy speech, beside onnxruntime with the authors' own loop around it.

    python -m bench.pipelines [dtln gtcrn] [--preset f32 ...] [--clips N] [--output bench/pipelines.json]

Folders are built with `--audio` from the calibration clips alone and judged on the pairs of `audio/valentini`: means of
PESQ-WB, STOI and SI-SDR, and the SNR of the C's samples against the authors' loop. "planner" is what `build --data`
makes: a plan for the whole pipeline, front and back end included, within 30 dB of float.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench import speech
from bench.quality import BOARD, HERE, SHARED, setup
from mcu_quant import api
from mcu_quant.api import listen
from mcu_quant.audio.judge import judge
from mcu_quant.audio.play import as_pcm

#: Models of a pipeline, in the order in which they run.
MODELS = {
    "dtln": ("dtln_stage1", "dtln_stage2"),
    "gtcrn": ("gtcrn_stream",),
    "silero": ("silero_vad_16k",),
    "dscnn": ("mlperf_tiny_dscnn",),
}
LOOPS: dict[str, speech.Enhance] = {"dtln": speech.dtln, "gtcrn": speech.gtcrn}
#: Formats of the table.
PRESETS = ("f32", "f16", "planner", "tinydenoiser", "s8")

Pcm = np.ndarray
Pairs = Sequence[tuple[Pcm, Pcm]]
Enhance = Callable[[Pcm], Pcm]


def pairs(clips: int | None) -> Pairs:
    """Clean and noisy samples of 16 bits."""
    folder = SHARED / "audio" / "valentini"
    found = sorted((folder / "noisy").glob("*.wav"))[:clips]
    return [(as_pcm(speech.read(folder / "clean" / p.name)), as_pcm(speech.read(p))) for p in found]


def authors(name: str) -> Enhance:
    """onnxruntime in the loop that the authors publish."""
    steps = [setup(m).reference() for m in MODELS[name]]
    return lambda x: as_pcm(LOOPS[name](steps, (x / 32768.0).astype(np.float32)))


def build(name: str, preset: str, folder: Path) -> Path:
    """The firmware of a pipeline, with a preset's formats or the planner's."""
    model = SHARED / "models" / f"{MODELS[name][-1]}.onnx"
    precision = api.PrecisionRequest(None if preset == "planner" else preset)
    source = api.Source(model, audio=True)
    api.build(api.BuildRequest(source, BOARD, folder, precision, SHARED / "audio" / "calibration"))
    return folder


def through(folder: Path) -> Enhance:
    """The folder's C."""

    def run(x: Pcm) -> Pcm:
        audio = listen.through(folder, x).audio
        assert audio is not None
        return audio

    return run


def row(name: str, way: str, data: Pairs, out: Sequence[Pcm], wanted: Sequence[Pcm]) -> dict[str, Any]:
    """Means over the clips."""
    found = [judge(clean, made, speech.RATE_HZ) for (clean, _), made in zip(data, out, strict=True)]
    means = {n: float(np.mean([getattr(q, n) for q in found])) for n in ("pesq", "stoi", "si_sdr_db")}
    snr = float(np.mean([min(speech.snr(a, b), 99.0) for a, b in zip(wanted, out, strict=True)]))
    figures = {k: round(v, 4) for k, v in {**means, "snr_db": snr}.items()}
    return {"pipeline": name, "way": way, "clips": len(data), **figures}


def rows(name: str, presets: Sequence[str], data: Pairs, scratch: Path) -> list[dict[str, Any]]:
    """What came in, the authors' way, and the C in every kind of formats."""
    loop = authors(name)
    wanted = [loop(noisy) for _, noisy in data]
    made = [
        row(name, "noisy", data, [noisy for _, noisy in data], wanted),
        row(name, "onnxruntime, the authors' loop", data, wanted, wanted),
    ]
    print(line(made[0]), line(made[1]), sep="\n", flush=True)
    for preset in presets:
        enhance = through(build(name, preset, scratch / f"{name}-{preset}"))
        made.append(row(name, f"generated C, {preset}", data, [enhance(noisy) for _, noisy in data], wanted))
        print(line(made[-1]), flush=True)
    return made


def line(found: dict[str, Any]) -> str:
    """A row for people."""
    figures = f"{found['pesq']:6.3f} {found['stoi']:7.4f} {found['si_sdr_db']:8.2f} {found['snr_db']:10.1f}"
    return f"{found['pipeline']:8} {found['way']:32} {figures}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipelines", nargs="*", default=list(LOOPS), metavar="PIPELINE")
    parser.add_argument("--preset", action="append", choices=PRESETS)
    parser.add_argument("--clips", type=int, help="only the first so many clips; nothing is written then")
    parser.add_argument("--output", type=Path, default=HERE / "pipelines.json")
    asked = parser.parse_args()
    data = pairs(asked.clips)
    print(f"{len(data):3} clips {'':32} {'PESQ':>6} {'STOI':>7} {'SI-SDR':>8} {'SNR dB':>10}")
    known = json.loads(asked.output.read_text()) if asked.output.is_file() else []
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.pipelines:
            found = rows(name, asked.preset or PRESETS, data, Path(scratch))
            measured = {(r["pipeline"], r["way"]) for r in found}
            known = [r for r in known if (r["pipeline"], r["way"]) not in measured] + found
    if asked.clips is None:
        asked.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in known) + "\n]\n")


if __name__ == "__main__":
    main()
