"""Refusals name causes: what only follows from one is counted there, what is wrong by itself is listed too."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from mcu_quant.diagnostics import Diagnostic, DiagnosticError
from mcu_quant.frontend import load
from mcu_quant.frontend.causes import root_causes
from mcu_quant.ir import Graph, Operator, TensorType
from tests.onnx_models import model, node, save

LOOPS = 12


def _step(i: int) -> object:
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [
            node("Identity", "go", f"on{i}", name=f"on{i}"),
            node("Mul", f"kept{i} half", f"next{i}", name=f"halve{i}"),
            node("Exp", f"kept{i}", f"e{i}", name=f"exp{i}"),
        ],
        "body",
        [
            value(f"i{i}", TensorProto.INT64, []),
            value("go", TensorProto.BOOL, []),
            value(f"kept{i}", TensorProto.FLOAT, [2]),
        ],
        [
            value(f"on{i}", TensorProto.BOOL, []),
            value(f"next{i}", TensorProto.FLOAT, [2]),
            value(f"e{i}", TensorProto.FLOAT, [None]),
        ],
    )


def _waiting_loops(tmp_path: Path) -> Path:
    """How often the first loop runs depends on data, how often each of the others on the one before."""
    nodes = [node("NonZero", "x", "x0", name="which")]
    for i in range(LOOPS):
        nodes += [
            node("Shape", f"x{i}", f"shape{i}", name=f"shape{i}"),
            node("Gather", f"shape{i} last", f"length{i}", name=f"length{i}"),
            node("Loop", f"length{i} yes x", f"last{i} x{i + 1}", body=_step(i), name=f"loop{i}"),
        ]
    nodes += [node("Magic", f"last{LOOPS - 1}", "m", domain="house", name="magic"), node("Relu", "m", "y", name="relu")]
    constants = {"last": np.array(-1, np.int64), "yes": np.array(True), "half": np.array(0.5, np.float32)}
    made = model(nodes, {"x": [2]}, {"y": [2]}, constants)
    made.opset_import.append(helper.make_opsetid("house", 1))
    return save(made, tmp_path)


def test_what_follows_from_a_loop_that_stays_is_counted_not_listed(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        load(_waiting_loops(tmp_path))
    found = {d.where: d for d in error.value.diagnostics}
    assert list(found) == ["which", "magic"]
    following = re.search(r"; (\d+) more problems follow from this one$", found["which"].message)
    assert following and int(following[1]) > LOOPS
    assert "Magic is not supported" in found["magic"].message and "follow" not in found["magic"].message


def _graph(*kinds: str) -> Graph:
    """A chain of operators a, b, c, ..."""
    names = "abcdefgh"[: len(kinds)]
    operators = [
        Operator(n, kind, (f"to_{n}",), (f"to_{chr(ord(n) + 1)}",)) for n, kind in zip(names, kinds, strict=True)
    ]
    return Graph("chain", ("to_a",), (operators[-1].outputs[0],), tuple(operators), {"to_a": TensorType((2,))}, {})


def _refusal(where: str, code: str = "MQ107") -> Diagnostic:
    return Diagnostic(code, where, "no")


@pytest.mark.parametrize(
    ("kinds", "refused", "left"),
    [
        (("Loop", "Shape", "Range"), "abc", {"a": 2}),
        (("Loop", "Relu", "Range"), "ac", {"a": 1}),  # through what is supported
        (("Loop", "Magic", "Range"), "abc", {"a": 1, "b": 0}),  # never supported: a cause of its own
        (("Relu", "Magic", "Loop"), "bc", {"b": 1}),
        (("Shape", "Relu", "Loop"), "c", {"c": 0}),
    ],
)
def test_causes_in_a_chain(kinds: tuple[str, ...], refused: str, left: dict[str, int]) -> None:
    found = root_causes(_graph(*kinds), [_refusal(where) for where in refused])
    assert {d.where: int(d.message.split()[1]) if "follow" in d.message else 0 for d in found} == left


def test_broken_rules_and_what_stands_beside_are_kept() -> None:
    graph = _graph("Loop", "Shape", "Relu")
    problems = [_refusal("a"), _refusal("b", "MQ108"), _refusal("c", "MQ112"), _refusal("somewhere", "MQ112")]
    assert [(d.code, d.where) for d in root_causes(graph, problems)] == [
        ("MQ107", "a"),
        ("MQ108", "b"),
        ("MQ112", "somewhere"),
    ]
