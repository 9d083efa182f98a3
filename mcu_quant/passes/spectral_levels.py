"""Powers and magnitudes of a spectrum are made where it is: nothing of 2 values for each bin is stored.

Before: s = Spectrum(x, w), complex; pairs = views of s, [..., 2]; and one of the cases, cited in the code:
  1. y = ReduceSum(pairs * pairs) over the parts, or ReduceSumSquare.
  2. y = ReduceL2(pairs) over the parts.
  3. y = re * re + im * im, with re and im the two halves of pairs.
  4. s is already a power, and y = Sqrt(views of s).
After:  y = views of Spectrum(x, w), which gives powers (1, 3) or magnitudes (2, 4).

Views are Reshape and Transpose, as long as pairs stay together in the last axis. What is not stored need not fit: a
square of 16 bits spans more than 16 bits. Refused: where something else reads the spectrum, or its parts.
"""

from __future__ import annotations

from dataclasses import replace

from mcu_quant.ir import Graph, Operator, Shape
from mcu_quant.passes.edit import Editor, reshape

#: What a reduction over the parts of a spectrum makes of it.
_REDUCTIONS = {"sumsquare": "power", "l2": "magnitude"}


def recover_levels(graph: Graph) -> Graph:
    """Let a Spectrum give levels where nothing else is read of it."""
    edit = Editor(graph)
    for op in graph.operators:
        if op.op != "Spectrum" or op.attributes["logarithm"] or (op.output(1) and edit.readers(op.outputs[1])):
            continue
        found = _of_pairs(edit, op) if op.attributes["value"] == "complex" else _root(edit, op)
        if found is not None and edit.free(op, *found[2]):
            _replace(edit, op, *found)
    return edit.done()


def _views(edit: Editor, edge: str, pairs: bool) -> tuple[list[Operator], str]:
    """The views that are all that is read of an edge, in their order, and the last of them."""
    views = []
    while (view := edit.reader(edge, "Reshape", "Transpose")) is not None:
        if pairs and not _keeps_pairs(edit, view):
            break
        views.append(view)
        edge = view.outputs[0]
    return views, edge


def _keeps_pairs(edit: Editor, view: Operator) -> bool:
    if view.op == "Reshape":
        return edit.shape(view.outputs[0])[-1] == 2
    return bool(view.attributes["perm"][-1] == len(view.attributes["perm"]) - 1)


Found = tuple[str, list[Operator], list[Operator]]
"""The value that a Spectrum shall give, the views before it, and what is taken, the last of which makes the result."""


def _of_pairs(edit: Editor, op: Operator) -> Found | None:
    views, pairs = _views(edit, op.outputs[0], pairs=True)
    last = (len(edit.shape(pairs)) - 1,)
    reduction = edit.reader(pairs, "Reduce")
    if reduction is not None and reduction.attributes["axes"] == last:  # cases 1 and 2
        value = _REDUCTIONS.get(reduction.attributes["kind"])
        return (value, views, [*views, reduction]) if value else None
    square = edit.reader(pairs, "Mul")
    if square is not None and square.inputs == (pairs, pairs):  # case 1
        total = edit.reader(square.outputs[0], "Reduce")
        summed = total is not None and total.attributes["kind"] == "sum" and total.attributes["axes"] == last
        return ("power", views, [*views, square, total]) if total and summed else None
    halves = _halves(edit, pairs)
    return ("power", views, [*views, *halves]) if halves else None


def _halves(edit: Editor, pairs: str) -> list[Operator]:
    """Case 3: what cuts pairs, the squares of both halves, and their sum; nothing where they are used otherwise."""
    cuts, axis = list(edit.readers(pairs)), len(edit.shape(pairs)) - 1
    split = [(c.op, dict(c.attributes)) for c in cuts] == [("Split", {"axis": axis, "split": (1, 1)})]
    if not edit.private(pairs, *cuts) or not (split or sorted(_part(c, axis) for c in cuts) == [0, 1]):
        return []
    taken, sums = list(cuts), []
    for cut in (o for c in cuts for o in c.outputs):
        views, part = _views(edit, cut, pairs=False)
        square = edit.reader(part, "Mul")
        if square is None or square.inputs != (part, part):
            return []
        taken += [*views, square]
        sums.append(edit.reader(square.outputs[0], "Add"))
    total = sums[0]
    same = total is not None and sums[1] is not None and total.name == sums[1].name
    return [*taken, total] if total and same else []


def _part(cut: Operator, axis: int) -> int:
    """0 or 1 of a Slice that takes that part of pairs, -1 of anything else."""
    first = int(cut.attributes["starts"][0]) if cut.op == "Slice" else -1
    wanted = {"starts": [first], "ends": [first + 1], "axes": [axis], "steps": [1]}
    return first if {k: [*v] for k, v in cut.attributes.items() if k in wanted} == wanted else -1


def _root(edit: Editor, op: Operator) -> Found | None:
    """Case 4."""
    views, power = _views(edit, op.outputs[0], pairs=False)
    root = edit.reader(power, "Sqrt") if op.attributes["value"] == "power" and len(op.inputs) == 2 else None
    return ("magnitude", views, [*views, root]) if root else None


def _replace(edit: Editor, op: Operator, value: str, views: list[Operator], taken: list[Operator]) -> None:
    was_pairs, last = op.attributes["value"] == "complex", taken[-1]
    edge = edit.add_edge(f"{op.name}:{value}", edit.shape(op.outputs[0])[:2])
    attributes = {**op.attributes, "value": value}
    made = [replace(op, outputs=(edge, *op.outputs[1:]), attributes=attributes)]
    for view in views:
        made.append(_moved(edit, view, edge, was_pairs))
        edge = made[-1].outputs[0]
    y = last.outputs[0]
    made.append(reshape(last.name, edge, y, edit.shape(y)))
    edit.replace(last, made, "levels of a spectrum are made where it is", value, [op, *taken[:-1]])


def _moved(edit: Editor, view: Operator, source: str, was_pairs: bool) -> Operator:
    """A view of levels as it was of pairs."""
    shape: Shape = edit.shape(view.outputs[0])
    key = "shape" if view.op == "Reshape" else "perm"
    attributes = {key: view.attributes[key][:-1] if was_pairs else view.attributes[key]}
    edge = edit.add_edge(f"{view.name}:levels", shape[:-1] if was_pairs else shape)
    return Operator(edge, view.op, (source,), (edge,), attributes)
