"""Direct measurement: one operator in one format, everything else in f32, clips streamed with the state carried.

The score is the noise this leaves in the model's outputs, as a share of their power. It is exact to second order
(facts of the method: the squared error is the quadratic form of the Hessian of the distillation loss), needs no
gradients and no labels, and runs on the kernels that ship.
"""

from __future__ import annotations

import time

from mcu_quant.precision.repeats import losses_alone
from mcu_quant.precision.sensitivity import Request, Sensitivity, Table
from mcu_quant.precision.strategies import About


def score(request: Request) -> Table:
    """Noise of the outputs per operator and way."""
    trial = request.trial
    assert trial is not None, "direct needs clips"
    began = time.monotonic()
    wanted = [(op, way) for op, ways in request.ways.items() for way in ways]
    changed = [(op, way) for op, way in wanted if way.line != trial.start.operators[op]]
    found = losses_alone(trial, [{op: w.line} for op, w in changed], request.jobs, request.progress, "single operators")
    scores = {(op, way.name): 0.0 for op, way in wanted}  # of a plan that is the one to compare with
    scores |= {(op, way.name): loss for (op, way), loss in zip(changed, found, strict=True)}
    return Table(scores, time.monotonic() - began)


STRATEGY = Sensitivity(
    About(
        "direct",
        "one operator in one format, measured at the model's outputs with the state carried",
        needs=("clips",),
        default=True,
    ),
    score,
    exact=True,
)
