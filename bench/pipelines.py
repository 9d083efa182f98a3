"""Whole pipelines in generated C on unseen noisy speech, beside onnxruntime with the authors' own loop around it.

    python -m bench.pipelines [dtln gtcrn] [--preset f32 ...] [--clips N] [--seconds N]

Folders are built with `--audio` from the calibration clips alone and judged on the pairs of `audio/valentini`: means of
PESQ-WB, STOI and SI-SDR, and the SNR of the C's samples against the authors' loop. With --seconds, that much audio (the
recordings one after the other) goes through each folder, and through it again in one call after another without a reset
at their ends: real-time factor on this machine, and whether anything depends on what came hours before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench import speech
from bench.quality import SHARED, setup
from mcu_quant import api
from mcu_quant.api import listen
from mcu_quant.audio.judge import judge
from mcu_quant.audio.play import as_pcm

BOARD = "nucleo_h743zi2"
MODELS = {"dtln": ("dtln_stage1", "dtln_stage2"), "gtcrn": ("gtcrn_stream",)}
LOOPS: dict[str, speech.Enhance] = {"dtln": speech.dtln, "gtcrn": speech.gtcrn}
Enhance = Callable[[np.ndarray], np.ndarray]


def pairs(clips: int | None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clean and noisy samples of 16 bits."""
    folder = SHARED / "audio" / "valentini"
    found = sorted((folder / "noisy").glob("*.wav"))[:clips]
    return [(as_pcm(speech.read(folder / "clean" / p.name)), as_pcm(speech.read(p))) for p in found]


def authors(name: str) -> Enhance:
    """onnxruntime in the loop that the authors publish."""
    steps = [setup(m).reference() for m in MODELS[name]]
    return lambda x: as_pcm(LOOPS[name](steps, (x / 32768.0).astype(np.float32)))


def folder(name: str, preset: str, where: Path) -> Path:
    """The firmware of a pipeline."""
    model = SHARED / "models" / f"{MODELS[name][-1]}.onnx"
    precision = api.PrecisionRequest(preset)
    made = where / f"{name}-{preset}"
    api.build(api.BuildRequest(api.Source(model, audio=True), BOARD, made, precision, SHARED / "audio/calibration"))
    return made


def through(path: Path) -> Enhance:
    """The folder's C."""

    def run(x: np.ndarray) -> np.ndarray:
        audio = listen.through(path, x).audio
        assert audio is not None
        return audio

    return run


def row(name: str, data: list[tuple[np.ndarray, np.ndarray]], out: list[np.ndarray], wanted: list[np.ndarray]) -> str:
    """Means over the clips."""
    found = [judge(clean, made, speech.RATE_HZ) for (clean, _), made in zip(data, out, strict=True)]
    pesq, stoi, sdr = (np.mean([getattr(q, n) for q in found]) for n in ("pesq", "stoi", "si_sdr_db"))
    snr = np.mean([min(speech.snr(a, b), 99.0) for a, b in zip(wanted, out, strict=True)])
    return f"{name:32} {pesq:6.3f} {stoi:7.4f} {sdr:8.2f} {snr:10.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pipelines", nargs="*", default=list(MODELS))
    parser.add_argument("--preset", action="append")
    parser.add_argument("--clips", type=int)
    parser.add_argument("--seconds", type=float)
    asked = parser.parse_args()
    data = pairs(asked.clips)
    print(f"{len(data)} clips{'':24} {'PESQ':>6} {'STOI':>7} {'SI-SDR':>8} {'SNR dB':>10}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.pipelines:
            loop = authors(name)
            wanted = [loop(noisy) for _, noisy in data]
            print(row("noisy", data, [noisy for _, noisy in data], wanted))
            print(row(f"{name}, onnxruntime, own loop", data, wanted, wanted))
            for preset in asked.preset or ["f32", "tinydenoiser"]:
                path = folder(name, preset, Path(scratch))
                enhance = through(path)
                out = [enhance(noisy) for _, noisy in data]
                print(row(f"{name}, generated C, {preset}", data, out, wanted), flush=True)
                if asked.seconds:
                    long(path, data, asked.seconds)


def long(path: Path, data: list[tuple[np.ndarray, np.ndarray]], seconds: float) -> None:
    """A long stream: time, and the difference from the first pass where the recordings come round again."""
    once = np.concatenate([noisy for _, noisy in data])
    hop = listen.pipeline_in(path).stream_hop
    once = once[: once.size // hop * hop]
    samples = np.resize(once, int(seconds * speech.RATE_HZ))
    started = time.perf_counter()
    out = through(path)(samples)
    spent = time.perf_counter() - started
    first, last = out[once.size : 2 * once.size], out[(out.size // once.size - 1) * once.size :][: once.size]
    print(f"  {seconds:g} s in {spent:.0f} s; second pass against last: {speech.snr(first, last):.1f} dB")


if __name__ == "__main__":
    main()
