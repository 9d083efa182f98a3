"""ONNX's own node tests through the generated C: passed, refused with a reason, failed.

    python -m bench.conformance            # runs all, writes docs/conformance.md and bench/conformance.json
    python -m bench.conformance softmax    # runs those whose name contains the word, and prints them

Each test is a model with inputs and outputs. It runs through `mcu_quant.onnx_backend`: imported, optimised, lowered in
f32, and computed by the firmware's kernels on this machine. A test that the import refuses with a diagnostic is
refused; anything else that is not within the test's own tolerance has failed.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.numpy_helper
from onnx.backend.test.case.test_case import TestCase
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

from mcu_quant.diagnostics import CATALOGUE
from mcu_quant.onnx_backend import Prepared, Refused

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "conformance.md"
RECORD = ROOT / "bench" / "conformance.json"
INTEGER_RECORD = ROOT / "bench" / "conformance_integer.json"

_NAMES = """
Abs Add And ArgMax ArgMin Atan Attention AveragePool BatchNormalization BitShift BitwiseAnd BitwiseNot BitwiseOr
BitwiseXor BlackmanWindow Cast CausalConvWithState Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvInteger
ConvTranspose Cos CumSum DFT DepthToSpace DequantizeLinear Div Dropout DynamicQuantizeLinear Einsum Elu Equal Erf
Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool
Greater GreaterOrEqual GroupNormalization HammingWindow HannWindow HardSigmoid HardSwish Hardmax Identity If
InstanceNormalization IsInf IsNaN LSTM LayerNormalization LeakyRelu Less LessOrEqual LinearAttention Log LogSoftmax
Loop LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean MelWeightMatrix Min Mish Mod Mul Neg NonZero Not
OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1
ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
Reshape Resize ReverseSequence RotaryEmbedding Round STFT Scan Scatter ScatterElements ScatterND Selu Shape Shrink
Sigmoid Sign Sin Size Slice Softmax Softplus Softsign Split Sqrt Squeeze Sub Sum SwiGLU Swish Tanh TensorScatter
ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Upsample Where Xor
"""

#: Operators of the denoisers, voice activity detectors, keyword spotters, recognisers and language models that are
#: published as ONNX files: layers, attention and what it is spelled with, elementwise arithmetic, activations,
#: reductions, layout, comparisons and logic of masks, quantisation, and the spectral front ends that are part of some.
#: Left out: images (GridSample, RoiAlign, Col2Im, DeformConv, ...), training (losses, optimisers, random numbers),
#: strings, sequences and optionals, trees, and CastLike and the like, which occur in function bodies only.
AUDIO_AND_LANGUAGE = frozenset(_NAMES.split())

#: Operators whose outputs are sums of all inputs with signs: expected values of ONNX that are 0 in truth hold rounding
#: errors of f32, of the size that it resolves at the largest value, and above the smallest error that a test allows.
TRANSFORMS = ("DFT", "STFT")

PASSED, REFUSED, FAILED = "passed", "refused", "failed"


@dataclass(frozen=True)
class Result:
    """What became of one test. `code` and `reason` where it did not pass; `folded`: nothing was left for run time."""

    test: str
    operator: str
    status: str
    code: str = ""
    reason: str = ""
    folded: bool = False


# --- running ---------------------------------------------------------------------------------------------------------


def cases() -> list[TestCase]:
    """Every node test of the installed ONNX."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some tests overflow on purpose
        found: list[TestCase] = load_model_tests(kind="node")
    return found


def operators(tests: Sequence[TestCase]) -> dict[str, str]:
    """The operator that each test is about; a test of a function body is about the operator that it defines."""
    first = {t.name: next(n.op_type for n in t.model.graph.node) for t in tests}
    return {name: first.get(re.sub(r"_expanded.*$", "", name), kind) for name, kind in first.items()}


def run(test: TestCase, operator: str) -> Result:
    """One test with all its data."""
    prepared = Prepared(test.model)
    folded = True
    try:
        for inputs, outputs in test.data_sets:
            made = prepared.run([array_of(i) for i in inputs])
            expected = [array_of(o) for o in outputs]
            Runner.assert_similar_outputs(expected, list(made), test.rtol, tolerance(test, operator, expected))
            folded = folded and prepared.last is not None and not prepared.last.computes
    except Refused as refusal:
        said = refusal.diagnostics[0]
        return Result(test.name, operator, REFUSED, said.code, said.rule or said.message)
    except Exception as error:  # whatever it is, the test has failed, and the others go on
        return Result(test.name, operator, FAILED, type(error).__name__, " ".join(str(error).split())[:200])
    return Result(test.name, operator, PASSED, folded=folded)


def tolerance(test: TestCase, operator: str, expected: Sequence[Any]) -> float:
    """The error that is allowed of values near 0: the test's own, and of transforms what f32 resolves."""
    if operator not in TRANSFORMS:
        return float(test.atol)
    largest = max(float(np.abs(e).max()) for e in expected)
    return max(float(test.atol), float(np.finfo(np.float32).eps) * largest)


def array_of(value: Any) -> Any:
    """A value of a test's data; sequences and optionals as they are."""
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


def run_all(tests: Sequence[TestCase]) -> Iterator[Result]:
    about = operators(tests)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in tests:
            yield run(test, about[test.name])


# --- writing ---------------------------------------------------------------------------------------------------------


def counts(results: Iterable[Result]) -> dict[str, int]:
    found = Counter(r.status for r in results)
    return {status: found[status] for status in (PASSED, REFUSED, FAILED)}


def relevant(results: Iterable[Result]) -> list[Result]:
    return [r for r in results if r.operator in AUDIO_AND_LANGUAGE]


def record(results: Sequence[Result]) -> dict[str, Any]:
    """What bench/conformance.json holds: figures, and the status of every test."""
    return {
        "onnx": onnx.__version__,
        "all": counts(results),
        "audio_and_language": counts(relevant(results)),
        "computed_at_import": sum(r.folded for r in results),
        "tests": {r.test: r.status for r in sorted(results, key=lambda r: r.test)},
    }


def _general(result: Result) -> str:
    """A reason without the names and shapes of its test."""
    text = re.sub(r"'[^']*'", "…", result.reason)
    text = re.sub(r"\[[\d, ]*\]", "[…]", text)
    return re.sub(r"\(([A-Z]\w+) of .*?\) depends", r"(\1) depends", text).split(": /project")[0]


def _line(name: str, results: Sequence[Result]) -> str:
    found = counts(results)
    share = 100.0 * found[PASSED] / max(1, len(results))
    return f"| {name} | {len(results)} | {found[PASSED]} | {found[REFUSED]} | {found[FAILED]} | {share:.1f} % |"


#: Why a test is refused, in words, and what it then is: first its own name or operator, else its diagnostic, decides.
_KINDS: dict[str, tuple[str, ...]] = {
    "strings": ("String", "RegexFullMatch", "LabelEncoder", "TfIdfVectorizer", "_string"),
    "sequences and optional values": ("Sequence", "Optional", "_opt", "_seq"),
    "training and random numbers": (
        *("Adagrad", "Adam", "Momentum", "Gradient", "Bernoulli", "Random", "training"),
        *("Dropout", "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"),
    ),
    "shapes that depend on data": ("Compress", "NonMaxSuppression", "NonZero", "Unique"),
    "images": (
        *("AffineGrid", "Col2Im", "DeformConv", "GridSample", "ImageDecoder", "MaxUnpool", "RoiAlign"),
        *("convtranspose_3d", "maxpool_with_argmax"),
    ),
    "decision trees and other classical learning": ("ArrayFeatureExtractor", "Binarizer", "TreeEnsemble"),
    "float64": ("float64",),
    "a type that only holds scales of blocks": ("FLOAT8E8M0",),
    "numbers that ONNX and onnxruntime define differently": ("align_corners",),
    "operators of opset 8": ("test_scan_sum",),
}
_OTHER = "other"


def kind(result: Result) -> str:
    """What a refused test needs that has no place here."""
    said = f"{result.operator} {result.test}"
    return next((name for name, words in _KINDS.items() if any(w in said for w in words)), _OTHER)


def _kinds(results: Sequence[Result]) -> Iterator[str]:
    refused = [r for r in results if r.status == REFUSED]
    yield from ("## Refused, by reason", "", "| what the test needs | tests | of audio and language | operators |")
    yield "|---|---|---|---|"
    for name in (*_KINDS, _OTHER):
        if group := [r for r in refused if kind(r) == name]:
            operators = ", ".join(sorted({r.operator for r in group}))
            yield f"| {name} | {len(group)} | {len(relevant(group))} | {operators} |"


def _integer_kernels() -> Iterator[str]:
    """What `bench.conformance_integer` found."""
    found = json.loads(INTEGER_RECORD.read_text())
    yield from ("", "## Integer kernels on the shapes of these tests", "")
    yield "Each test runs again with its operators in every integer format and variant that they have, and every call"
    yield "of a kernel that is specified in integers is compared with its specification, to the bit"
    calls = f"{len(found['kernels'])} kernels, {len(found['differing'])} calls differ"
    yield f"(`python -m bench.conformance_integer`): {calls}. How many tests call each:"
    yield ""
    yield ", ".join(f"`{name}` {tests}" for name, tests in found["kernels"].items()) + "."
    yield ""
    yield "No node test reaches these; the operators' samples do (`tests/test_ops.py`):"
    yield ", ".join(f"`{name}`" for name in found["never"]) + "."


def page(results: Sequence[Result]) -> str:
    """docs/conformance.md."""
    lines = [
        "# Conformance",
        "",
        f"ONNX {onnx.__version__} has {len(results)} node tests. Each runs through the generated path in f32: it is",
        "imported, optimised, lowered, and computed by the compiled kernels. Made by `python -m bench.conformance`.",
        "",
        "| | tests | passed | refused | failed | passed of all |",
        "|---|---|---|---|---|---|",
        _line("all", results),
        _line("operators of audio and language models", relevant(results)),
        "",
        f"Of those passed, {sum(r.folded for r in results)} are computed at import: every input is a number that must",
        "be known when firmware is built.",
        "",
        "Inputs that must be known at build time (weights, axes, ...) are bound to the values of the test, as `--bind`",
        "and an initializer would; the first input is fed at run time. float64, float16 and bfloat16 are computed in",
        "f32, float8 and float4 are rounded where the model casts to them, int4 and int2 are held in 8 bits; all are",
        "compared with the test's own tolerance, near 0 of DFT and STFT with what f32 resolves of the largest value.",
        "Inputs and outputs without elements take no part.",
        "",
    ]
    lines += _kinds(results)
    lines += ["", "### By message", "", "| code | reason | tests | operators |", "|---|---|---|---|"]
    groups: dict[tuple[str, str], list[Result]] = {}
    for r in results:
        if r.status == REFUSED:
            groups.setdefault((r.code, _general(r)), []).append(r)
    for (code, reason), group in sorted(groups.items(), key=lambda g: (-len(g[1]), g[0])):
        kinds = ", ".join(sorted({r.operator for r in group}))
        lines.append(f"| {code} {CATALOGUE[code].title} | {reason.replace('|', '/')} | {len(group)} | {kinds} |")
    lines += _integer_kernels()
    lines += ["", "## By operator", "", "| operator | tests | passed | refused | failed | passed of all |"]
    lines += ["|---|---|---|---|---|---|"]
    for kind in sorted({r.operator for r in results}):
        mark = "" if kind in AUDIO_AND_LANGUAGE else " *"
        lines.append(_line(kind + mark, [r for r in results if r.operator == kind]))
    lines += [
        "",
        "\\* not in the set of audio and language models, which `bench/conformance.py` lists with its reasons.",
    ]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str]) -> int:
    """Run, print, and without words write the page and the record. Returns 1 if a test failed."""
    logging.disable(logging.CRITICAL)
    tests = [t for t in cases() if not words or any(w in t.name for w in words)]
    results = list(run_all(tests))
    for r in results:
        if words or r.status == FAILED:
            print(f"{r.status:8} {r.test} {r.code} {r.reason}".rstrip())
    print(_line("all", results), _line("audio and language", relevant(results)), sep="\n")
    if not words:
        PAGE.write_text(page(results))
        RECORD.write_text(json.dumps(record(results), indent=1) + "\n")
    return int(any(r.status == FAILED for r in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
