"""The masked softmax: every format against its definition, integers against their specification to the bit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant.emulator.program import ProgramSession
from mcu_quant.ir import Graph, Operator, TensorType
from mcu_quant.ops.masked_softmax import period
from tests.one_operator import program_of

#: Largest error of a probability: of f16 rounded twice; of integers a step or two of the output, where the input has
#: its own steps of 1/16 (s8) or 1/4096 (s16), which e^x turns into as much again of the probability.
LARGEST = {"f32": 1e-6, "f16": 1e-3, "s16": 4e-4, "s8": 6e-2}


def graph_of(shape, keep, empty):
    op = Operator("op", "MaskedSoftmax", ("x", "keep"), ("y",), {"empty": empty})
    types = {"x": TensorType(shape), "keep": TensorType(tuple(keep.shape), "bool"), "y": TensorType(shape)}
    return Graph("test", ("x",), ("y",), (op,), types, {"keep": keep})


@pytest.mark.parametrize("fmt", list(LARGEST))
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_mask(fmt, data):
    leading = data.draw(st.lists(st.integers(1, 4), max_size=2))
    rows, count = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 33))
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    keep = random.random((rows, count)) < data.draw(st.sampled_from([0.0, 0.2, 0.7, 1.0]))
    empty = data.draw(st.sampled_from([0.0, 1.0 / count]))
    shape = (*leading, rows, count)
    x = random.uniform(-8, 7.9, shape).astype(np.float32)
    graph = graph_of(shape, keep, empty)
    session = ProgramSession(program_of(graph, fmt, {"x": (-8.0, 7.9375), "y": (0.0, 1.0)}), verify=True)
    y = session.run(None, {"x": x})[0].reshape(shape)
    assert session.mismatches == []
    exp = np.where(keep, np.exp(x.astype(np.float64)), 0)
    total = exp.sum(axis=-1, keepdims=True)
    want = np.where(total > 0, exp / np.where(total > 0, total, 1), empty)
    assert np.abs(y - want).max() <= LARGEST[fmt]
    assert (y[np.broadcast_to(~keep & keep.any(axis=-1, keepdims=True), shape)] == 0).all()


def test_what_is_not_kept_may_be_infinite():
    keep = np.array([[True, False, True, False]])
    session = ProgramSession(program_of(graph_of((1, 4), keep, 0.0), "f32", {}), verify=True)
    y = session.run(None, {"x": np.array([[1.0, np.inf, 1.0, -np.inf]], np.float32)})[0]
    assert np.array_equal(np.ravel(y), [0.5, 0, 0.5, 0])


def test_rows_over_which_a_mask_repeats():
    assert period((2, 3, 4, 5), (4, 5)) == 4
    assert period((2, 3, 4, 5), (1, 3, 4, 5)) == 12
    assert period((2, 3, 4, 5), (5,)) == 1
    assert period((2, 1, 5), (1, 1, 5)) == 1
    assert period((2, 3, 4, 5), (3, 1, 5)) is None
    assert period((4, 5), (4, 1)) is None
