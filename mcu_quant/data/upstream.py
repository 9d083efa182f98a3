"""A model in front of the model: its mask is laid over the spectrum of each block, as DTLN's first stage does.

X = rfft(block);  mask = model(front end(block), state);  block' = irfft(mask * X)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mcu_quant.data.audio import FrontEnd
from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.ir import Array
from mcu_quant.pipelines import Upstream

Floats = NDArray[np.float64]


class MaskingModel:
    """The upstream model in onnxruntime."""

    def __init__(self, path: Path, upstream: Upstream) -> None:
        import onnxruntime

        self._upstream = upstream
        self._pipeline = upstream.fed
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has no common base class for what a bad file raises
            raise DiagnosticError(_unusable(path, str(error).splitlines()[0])) from error
        self._check(path)
        length, rate_hz = self._pipeline.block.length, self._pipeline.rate_hz
        self._fronts = {e.name: (FrontEnd(e.stages, length, rate_hz), e.shape) for e in self._pipeline.inputs}

    def stream(self) -> Callable[[Floats], Floats]:
        """A fresh stream: call it with the blocks of one clip in order, and it gives what the mask leaves of each."""
        shapes = {i.name: i.shape for i in self._session.get_inputs()}
        state: dict[str, Array] = {name: np.zeros(shapes[name], np.float32) for name in self._upstream.state.values()}

        def mask(block: Floats) -> Floats:
            feeds = {name: front(block).reshape(shape) for name, (front, shape) in self._fronts.items()}
            names = [self._upstream.mask, *self._upstream.state]
            factors, *caches = self._session.run(names, {**feeds, **state})
            state.update(zip(self._upstream.state.values(), caches, strict=True))
            spectrum = np.fft.rfft(block) * np.asarray(factors, np.float64).ravel()
            return np.asarray(np.fft.irfft(spectrum, block.size))

        return mask

    def _check(self, path: Path) -> None:
        inputs = {i.name for i in self._session.get_inputs()}
        outputs = {o.name for o in self._session.get_outputs()}
        needed = {e.name for e in self._pipeline.inputs} | set(self._upstream.state.values())
        given = {self._upstream.mask, *self._upstream.state}
        missing = sorted(needed ^ inputs) + sorted(given - outputs)
        if missing:
            text = f"its inputs and outputs are not those the pipeline names: {', '.join(missing)}"
            raise DiagnosticError(_unusable(path, text))


def _unusable(path: Path, why: str) -> Diagnostic:
    return Diagnostic(
        "MQ401", str(path), f"cannot be run in front of the model: {why}", help="check or remove that file"
    )
