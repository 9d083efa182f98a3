"""An hour of audio in blocks of random sizes through generated firmware in real time.

    python -m bench.hour [dtln gtcrn silero dscnn] [--seconds 3600] [--preset f32] [--output bench/hour.json]

A folder of `build --audio` is compiled with `bench/hour.c`: recordings that it was not calibrated on go round and
round through its real-time skeleton in blocks of random sizes, with a slow frame now and then, and beside that, frame
by frame, through the same model called directly. All outputs of all frames and all samples that come out are compared
to the bit; what is not played because a frame was slow must be what the counters say.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench import speech
from bench.pipelines import HERE, SHARED, build
from mcu_quant.audio.play import as_pcm
from mcu_quant.emulator.folder import read_interface

#: Largest block, in samples: a prime, so that blocks and frames do not fall into step.
BLOCK = 997
#: Blocks from one slow frame to the next, on average.
STALL = 100


def recordings(path: Path) -> Path:
    """Noisy speech and words, one recording after the other, as raw samples."""
    files = [*sorted((SHARED / "audio").glob("*/noisy/*.wav")), *sorted((SHARED / "audio" / "kws").glob("*.wav"))]
    np.concatenate([as_pcm(speech.read(f)) for f in files]).tofile(path)
    return path


def compile_(folder: Path, program: Path) -> None:
    """The program of bench/hour.c around a folder."""
    interface = read_interface(folder)
    prefix = interface["prefix"]
    text = (HERE / "hour.c").read_text().replace("MODEL_", f"{prefix.upper()}_").replace("model_", f"{prefix}_")
    outputs = " ".join(f"X({o['name']})" for o in interface["outputs"])
    source = program.with_suffix(".c")
    source.write_text(f"#define OUTPUTS(X) {outputs}\n{text}")
    command = ["gcc", "-std=c99", "-O3", "-march=native", "-ffp-contract=off", f"-I{folder}", str(source)]
    command += [f"-D{prefix.upper()}_STREAM_BLOCK={BLOCK}u", *map(str, folder.glob("*.c"))]
    subprocess.run([*command, *map(str, (folder / "mq").glob("*.c")), "-lm", "-o", str(program)], check=True)


def measured(name: str, preset: str, seconds: int, seed: int) -> dict[str, Any]:
    """One row: what was counted, and processor seconds of both ways of running the model together."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        compile_(build(name, preset, place / "firmware"), place / "hour")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        command = [place / "hour", recordings(place / "samples.raw"), str(seconds), str(seed), str(STALL)]
        done = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)
        spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    row = {"pipeline": name, "preset": preset, "seconds": seconds, "largest_block": BLOCK, "seed": seed}
    return row | json.loads(done.stdout) | {"passed": done.returncode == 0, "processor_seconds": round(spent)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pipelines", nargs="*", default=["dtln", "gtcrn", "silero"], metavar="PIPELINE")
    parser.add_argument("--preset", default="f32")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "hour.json")
    asked = parser.parse_args()
    rows = json.loads(asked.output.read_text()) if asked.output.is_file() else []
    passed = True
    for name in asked.pipelines:
        row = measured(name, asked.preset, asked.seconds, asked.seed)
        print(json.dumps(row), flush=True)
        passed = passed and row["passed"]
        same = (row["pipeline"], row["preset"])
        rows = [r for r in rows if (r["pipeline"], r["preset"]) != same] + [row]
        asked.output.write_text("[\n" + ",\n".join(f" {json.dumps(r)}" for r in rows) + "\n]\n")
    return 0 if passed else 1


if __name__ == "__main__":
    raise SystemExit(main())
