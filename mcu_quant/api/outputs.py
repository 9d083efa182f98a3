"""What comes out of a streamed folder, as a file: arrays per frame, or audio where an output is audio."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from mcu_quant.api.folder import write_file
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array
from mcu_quant.pipelines import Pipeline


def check(path: Path, outputs: Sequence[Mapping[str, Any]], pipeline: Pipeline | None) -> None:
    """Whether these outputs (name and shape) can be written as such a file: asked before long work begins.

    Raises:
        DiagnosticError: MQ401 for another suffix, or .wav where no output is audio.
    """
    if path.suffix.lower() == ".npz":
        return
    if path.suffix.lower() != ".wav":
        raise DiagnosticError(
            Diagnostic("MQ401", str(path), "is neither .npz nor .wav", help="-o OUT.npz or -o OUT.wav")
        )
    if pipeline is None or _audio({o["name"]: prod(o["shape"]) for o in outputs}, pipeline) is None:
        shapes = ", ".join(f"{o['name']} {list(o['shape'])}" for o in outputs)
        message = f"no output is a stretch of samples ({shapes})"
        raise DiagnosticError(Diagnostic("MQ401", str(path), message, help="write arrays: -o OUT.npz"))


def _audio(sizes: Mapping[str, int], pipeline: Pipeline) -> str | None:
    """The output that holds samples: as many per frame as are new, or as a block is long."""
    block = pipeline.block
    return next((n for n, size in sizes.items() if size in (block.hop, block.length)), None)


def write(path: Path, outputs: Mapping[str, Array], pipeline: Pipeline | None) -> None:
    """Write outputs, each [frames, *shape]. Blocks longer than their hop are added where they overlap.

    Raises:
        DiagnosticError: MQ701.
    """
    buffer = io.BytesIO()
    if path.suffix.lower() == ".npz":
        arrays: dict[str, Any] = dict(outputs)
        np.savez(buffer, **arrays)
    else:
        assert pipeline is not None
        name = _audio({n: a[0].size for n, a in outputs.items()}, pipeline)
        assert name is not None
        blocks = outputs[name].reshape(len(outputs[name]), -1)
        samples = overlap_add(blocks, pipeline.block.hop) / pipeline.full_scale
        wavfile.write(buffer, pipeline.rate_hz, np.asarray(samples, np.float32))
    write_file(path, buffer.getvalue())


def overlap_add(blocks: Array, hop: int) -> Array:
    """Blocks [frames, length], each `hop` samples after the one before, summed: [(frames - 1) * hop + length]."""
    frames, length = blocks.shape
    samples = np.zeros((frames - 1) * hop + length, np.float64)
    for i, block in enumerate(blocks):
        samples[i * hop : i * hop + length] += block
    return samples
