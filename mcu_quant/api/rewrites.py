"""Whether importing and rewriting left a model what it was: the float graph beside onnxruntime on the original file.

    found = verify(model, data)

Every rewrite is exact up to rounding, so anything below `SNR_DB` is a defect of mcu-quant, and an error. A model in
half precision is rounded by onnxruntime at every operator, where the float graph is not: less is asked of it. A
quantised model is compared with what its operators say one by one, without onnxruntime's own fused kernels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcu_quant import data, qdq
from mcu_quant.api import stages
from mcu_quant.api.stages import Model
from mcu_quant.compare import Accuracy, accuracy
from mcu_quant.diagnostics import Diagnostic, raise_errors
from mcu_quant.frontend.contributed import UNROUNDED
from mcu_quant.interpret import Stream
from mcu_quant.ir import Array, Graph

#: What every output and state must reach over all frames: float32 keeps about 130 dB per operation.
SNR_DB = 90.0
#: The same of models that compute in half precision themselves: 11 or 8 bits per number, a hundred operators deep.
HALF_SNR_DB = {"float16": 40.0, "bfloat16": 20.0}
#: The same of models with scales of their own: what lies between two steps may fall either way, layer after layer.
QUANTISED_SNR_DB = 25.0
#: The same where onnxruntime rounds to 8 bits at run time what the graph does not.
UNROUNDED_SNR_DB = 20.0
#: The same where samples are rounded to 16 bits on the way: one that falls the other way is a whole step, 50 dB below
#: speech 45 dB below full scale.
SAMPLES_SNR_DB = 50.0
#: Frames per kind of signal: fewer of models that take long.
FRAMES = 40
_MACS = 2_000_000_000


class GraphSession:
    """The float graph as `compare.accuracy` wants it."""

    def __init__(self, graph: Graph) -> None:
        self._stream = Stream(graph)
        self._found: dict[str, Array] = {}

    def reset(self) -> None:
        """Back to the first frame."""
        self._stream.reset()

    def run(self, output_names: Sequence[str] | None, feeds: Mapping[str, Array], /) -> list[Array]:
        """One frame: outputs by name."""
        self._found = self._stream.run(feeds)
        return [self._found[n] for n in output_names or self._stream.graph.outputs]

    def states(self) -> dict[str, Array]:
        """State outputs after the last run."""
        return {s.output: self._found[s.output] for s in self._stream.graph.states}

    def tap(self, edge: str, /) -> Array:
        """Only outputs and states are kept."""
        return self._found[edge]


@dataclass(frozen=True, eq=False)
class Checked:
    """How far the graph is from the original on one kind of signal."""

    signal: str
    accuracy: Accuracy


def verify(model: Model, source: Path | None, most: int = FRAMES) -> tuple[Checked, ...]:
    """Compare on noise, and on data (speech that is made up, where the model has a pipeline but no data is given).

    At most `most` frames of each.

    Raises:
        DiagnosticError: MQ115 for every output and state below `least_snr_db`; MQ401, MQ403 of the data.
    """
    inputs = {name: model.graph.types[name] for name in model.graph.inputs}
    signals = [data.load(None, None, inputs)]
    if source is not None or model.pipeline is not None:
        signals.append(stages.clips(model, source))
    frames = min(most, max(2, _MACS // max(1, model.macs)))
    session = GraphSession(model.graph)
    reference = model.reference(optimised=not qdq.is_quantised(model.graph))
    found = tuple(Checked(c.provenance, accuracy(model.graph, session, reference, c, frames)) for c in signals)
    raise_errors(problems(found, least_snr_db(model.graph)))
    return found


def least_snr_db(graph: Graph) -> float:
    """What the float graph must reach, given the type of numbers the model computed in."""
    rules = {r.rule for r in graph.rewrites}
    less = [snr_db for name, snr_db in HALF_SNR_DB.items() if f"float32 instead of {name}" in rules]
    less += [UNROUNDED_SNR_DB] if UNROUNDED in rules else []
    less += [QUANTISED_SNR_DB] if qdq.is_quantised(graph) else []
    less += [SAMPLES_SNR_DB] if any(op.op == "ToPcm" for op in graph.operators) else []
    return min(less, default=SNR_DB)


def problems(found: Sequence[Checked], least: float = SNR_DB) -> list[Diagnostic]:
    """MQ115 for every output and state below `least` dB."""
    return [
        Diagnostic(
            "MQ115",
            name,
            f"{d.snr_db:.1f} dB against {check.accuracy.reference} on {check.signal}; rewrites must keep {least:g} dB",
            help="report this with the model: it is a defect of mcu-quant",
        )
        for check in found
        for name, d in {**check.accuracy.outputs, **check.accuracy.states}.items()
        if not d.snr_db >= least
    ]
