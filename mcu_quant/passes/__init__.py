"""Graph-to-graph rewrites: one file each, run until nothing changes.

Every pass returns the graph itself where it finds nothing, keeps the names of inputs, outputs and states, and notes
what it did in `Graph.rewrites`. A pass says in its docstring what it turns into what, and when it refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from mcu_quant import ops
from mcu_quant.ir import Graph, check
from mcu_quant.passes.activations import fuse_activations
from mcu_quant.passes.affine import fold_affine
from mcu_quant.passes.affine_before import fold_affine_before
from mcu_quant.passes.affine_moved import move_affine
from mcu_quant.passes.arithmetic import simplify_arithmetic
from mcu_quant.passes.attention import split_attention
from mcu_quant.passes.constants import fold_constants, merge_constants
from mcu_quant.passes.cse import merge_common
from mcu_quant.passes.gru import recover_gru
from mcu_quant.passes.layer_norm import recover_layer_norm
from mcu_quant.passes.layout import simplify_layout
from mcu_quant.passes.loops import inline_loops
from mcu_quant.passes.lstm import recover_lstm
from mcu_quant.passes.masks import recover_masks
from mcu_quant.passes.quantised import pair_quantisation
from mcu_quant.passes.recurrent import merge_last_step
from mcu_quant.passes.rms_norm import recover_rms_norm
from mcu_quant.passes.rnn import recover_rnn
from mcu_quant.passes.scalar_functions import recover_functions
from mcu_quant.passes.spectra import recover_spectra
from mcu_quant.passes.spectral_levels import recover_levels
from mcu_quant.passes.unpack_states import place_states, unpack_states
from mcu_quant.passes.whole_conv import convolution_to_gemm

Pass = Callable[[Graph], Graph]

#: In this order: what recognises something comes after what brings it into one shape.
PASSES: tuple[Pass, ...] = (
    fold_constants,
    pair_quantisation,
    simplify_layout,
    simplify_arithmetic,
    merge_constants,
    merge_common,
    recover_layer_norm,
    recover_rms_norm,
    recover_lstm,
    recover_gru,
    recover_rnn,
    recover_functions,
    recover_masks,
    recover_spectra,
    recover_levels,
    fold_affine,
    move_affine,
    fold_affine_before,
    fuse_activations,
    convolution_to_gemm,
    merge_last_step,
    unpack_states,
    place_states,
)
_ROUNDS = 100


def optimise(graph: Graph, without: Collection[Pass] = ()) -> Graph:
    """Run all passes until none changes anything, then take loops apart. Deterministic: equal graphs give equal graphs.

    A graph whose loops are taken apart already is returned as it is. `without`: passes that are left out.

    Raises:
        AssertionError: if a pass broke an invariant of the graph or a rule of an operator, or if passes never come to
            rest.
    """
    passes = [p for p in PASSES if p not in without]
    for _ in range(0 if graph.loops else _ROUNDS):
        before = graph
        for rewrite in passes:
            graph = rewrite(graph)
        if graph is before:
            graph = inline_loops(split_attention(graph))
            problems = [*check(graph), *_broken_rules(graph)]
            if problems:
                raise AssertionError("passes made an invalid graph:\n" + "\n".join(problems))
            return graph
    if graph.loops:
        return graph
    raise AssertionError(f"passes do not come to rest: {graph.rewrites[-1]}")


def _broken_rules(graph: Graph) -> Iterator[str]:
    """What passes made of operators must be what those can do, as it is of a model's own."""
    for op in graph.operators:
        for constraint in ops.spec(op).constraints:
            if (wrong := constraint(op, graph)) is not None:
                yield f"{op.name}: {op.op}: {wrong}"
