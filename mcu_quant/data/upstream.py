"""A model in front of the model, in onnxruntime: what it gives for the frames of a clip.

Its mask may be laid over the spectrum of each block, as DTLN's first stage does:

    X = rfft(block);  mask = model(front end(block), state);  block' = irfft(mask * X)

or inputs of the model hold the last rows of features that it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcu_quant.data.audio import FrontEnd, applied
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array, TensorType
from mcu_quant.pipelines import Input, Upstream

Floats = NDArray[np.float64]
Run = Callable[[Mapping[str, Array]], dict[str, Array]]


class UpstreamModel:
    """The upstream model."""

    def __init__(self, path: Path, upstream: Upstream) -> None:
        import onnxruntime

        self._path, self._upstream = path, upstream
        self._pipeline = upstream.fed
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base class for what a bad file raises
            raise DiagnosticError(_unusable(path, str(error).splitlines()[0])) from error
        self._outputs = [o.name for o in self._session.get_outputs()]
        self._check()

    @property
    def inputs(self) -> dict[str, TensorType]:
        """What a frame of it holds."""
        return {e.name: TensorType(e.shape) for e in self._pipeline.inputs}

    def stream(self) -> Run:
        """A fresh stream: call it with the frames of one clip in order, and it gives all outputs of each."""
        shapes = {i.name: [n if isinstance(n, int) else 1 for n in i.shape] for i in self._session.get_inputs()}
        state: dict[str, Array] = {n: np.zeros(shapes[n], np.float32) for n in self._upstream.state.values()}
        kinds = {i.name: np.int64 if "int64" in i.type else np.float32 for i in self._session.get_inputs()}
        bound = {n: np.full(shapes[n], v, kinds[n]) for n, v in self._pipeline.bind.items() if n in shapes}

        def run(frame: Mapping[str, Array]) -> dict[str, Array]:
            made = self._session.run(self._outputs, {**bound, **frame, **state})
            found = dict(zip(self._outputs, made, strict=True))
            state.update({after: found[before] for before, after in self._upstream.state.items()})
            return found

        return run

    def masking(self) -> Callable[[Floats], Floats]:
        """A fresh stream of blocks: what the mask leaves of each."""
        length, rate_hz = self._pipeline.block.length, self._pipeline.rate_hz
        fronts = {e.name: (FrontEnd(e.stages, length, rate_hz), e.shape) for e in self._pipeline.inputs}
        run = self.stream()

        def mask(block: Floats) -> Floats:
            found = run({name: front(block).reshape(shape) for name, (front, shape) in fronts.items()})
            factors = np.asarray(found[str(self._upstream.mask)], np.float64).ravel()
            return np.asarray(np.fft.irfft(np.fft.rfft(block) * factors, block.size))

        return mask

    def _check(self) -> None:
        inputs = {i.name for i in self._session.get_inputs()}
        needed = {e.name for e in self._pipeline.inputs} | set(self._upstream.state.values())
        given = {*self._upstream.state, *filter(None, [self._upstream.mask])}
        missing = sorted(needed ^ (inputs - self._pipeline.bind.keys())) + sorted(given - {*self._outputs})
        whole = [o.name for o in self._session.get_outputs() if "float" not in o.type]
        if not self._upstream.mask and whole:
            text = f"it gives whole numbers on a scale of its own ({', '.join(whole)}); build with --audio"
            raise DiagnosticError(_unusable(self._path, text))
        if missing:
            text = f"its inputs and outputs are not those the pipeline names: {', '.join(missing)}"
            raise DiagnosticError(_unusable(self._path, text))


class Rows:
    """The last rows of what the upstream model gives, as an input holds them."""

    def __init__(self, entry: Input) -> None:
        self._entry = entry
        self._values = np.full(prod(entry.shape), applied(entry.stages.affine, np.array(entry.initial)))
        self._row = 1

    def push(self, found: Mapping[str, Array]) -> None:
        """What one run of it gave."""
        new = np.asarray(found[str(self._entry.source)], np.float64)
        self._row = self._entry.row or (new.shape[-1] if new.ndim else 1)
        kept = np.concatenate([self._values, applied(self._entry.stages.affine, new.ravel())])
        self._values = kept[-prod(self._entry.shape) :]

    def values(self) -> Floats:
        """In the shape of the input."""
        rows = self._values.reshape(-1, self._row)
        return (rows.T if self._entry.stages.bins_first else rows).reshape(self._entry.shape)


def _unusable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        "MQ401", str(path), f"cannot be run in front of the model: {why}", help="check or remove that file"
    )
