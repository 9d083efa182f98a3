"""Arrays in npz files: what a model reads, or should give, frame by frame along the first axis."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from mcu_quant.diagnostics import Diagnostic, did_you_mean
from mcu_quant.ir import Array, TensorType


def check(
    path: Path, inputs: Mapping[str, TensorType], outputs: Mapping[str, TensorType]
) -> tuple[list[Diagnostic], int, dict[str, TensorType]]:
    """What is wrong with an npz file, how many frames it holds, and which outputs it knows."""
    try:
        found = _read(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        text = f"is not an npz file that can be read: {error}"
        return [Diagnostic("MQ401", str(path), text, help="write it with numpy.savez(FILE, INPUT=array, ...)")], 0, {}
    problems = []
    labels = {n: t for n, t in outputs.items() if n in found and n not in inputs}
    read = {**inputs, **labels}
    for name, type_ in read.items():
        wanted = f"[frames, {', '.join(map(str, type_.shape))}]" if type_.shape else "[frames]"
        message = _problem(found.get(name), type_, wanted)
        if message:
            remedy = f"store {name!r} as {wanted} of {type_.dtype}"
            problems.append(Diagnostic("MQ401", f"{path}: {name}", message, help=remedy))
    for name in sorted(found.keys() - read.keys()):
        remedy = did_you_mean(name, inputs) or "states are carried from frame to frame and are not part of the data"
        problems.append(Diagnostic("MQ401", f"{path}: {name}", "the model has no such input", help=remedy))
    lengths = {name: found[name].shape[0] for name in read if name in found and found[name].ndim}
    if not problems and len(set(lengths.values())) > 1:
        text = ", ".join(f"{name} {count}" for name, count in lengths.items())
        problems.append(Diagnostic("MQ401", str(path), f"the inputs have different numbers of frames: {text}"))
    return problems, min(lengths.values(), default=0), labels


def _problem(array: Array | None, type_: TensorType, wanted: str) -> str | None:
    if array is None:
        return "is missing"
    if array.shape[1:] != type_.shape or array.ndim != len(type_.shape) + 1:
        return f"has shape {list(array.shape)}, not {wanted}"
    if array.shape[0] == 0:
        return "holds no frames"
    if array.dtype.kind not in "biuf":
        return f"holds {array.dtype}, not numbers"
    if not np.isfinite(array).all():
        return "holds NaN or infinity"
    return None


def _read(path: Path) -> dict[str, Array]:
    if not zipfile.is_zipfile(path):
        raise ValueError("it is no archive of arrays")
    with np.load(path, allow_pickle=False) as loaded:
        return {name: loaded[name] for name in loaded.files}


def frames(path: Path, wanted: Mapping[str, TensorType]) -> Iterator[dict[str, Array]]:
    """The arrays of those names, {name: array} frame by frame."""
    found = {n: np.asarray(a, wanted[n].dtype) for n, a in _read(path).items() if n in wanted}
    for index in range(len(next(iter(found.values())))):
        yield {name: array[index] for name, array in found.items()}
