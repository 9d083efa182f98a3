"""Layout operators: from constant maps to loops and tables, and the kernels that carry them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcu_quant import ops
from mcu_quant.emulator.library import library
from mcu_quant.ir import Array
from mcu_quant.ops.common import layout

# --- maps to loops ---------------------------------------------------------------------------------------------------


@st.composite
def selections(draw: st.DrawFn) -> tuple[Array, Array]:
    """Positions of a small array, and a selection of them: transposed, and each axis indexed at will."""
    shape = draw(st.lists(st.integers(1, 4), max_size=5))
    whole = layout.positions(tuple(shape))
    taken = whole.transpose(draw(st.permutations(range(len(shape)))))
    for axis, size in enumerate(taken.shape):
        index = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=5))
        taken = np.take(taken, index, axis)
    return whole, taken


@settings(max_examples=200, deadline=None)
@given(selections())
def test_tables_visit_the_positions(selection: tuple[Array, Array]) -> None:
    _, taken = selection
    t = layout.tables(taken)
    assert min(t.outer.min(), t.middle.min(), t.inner.min()) >= 0, "a partial sum would point before x"
    visited = np.add.outer(np.add.outer(np.add.outer(t.outer, t.middle), t.inner), np.arange(t.run))
    np.testing.assert_array_equal(visited.ravel(), taken.ravel())


@settings(max_examples=200, deadline=None)
@given(selections())
def test_walk_visits_the_positions(selection: tuple[Array, Array]) -> None:
    _, taken = selection
    found = layout.walk(taken, np.arange(taken.size))
    if found is not None:
        p = found.padded()
        grid = np.indices(p.shape).reshape(len(p.shape), -1)
        np.testing.assert_array_equal(p.x_start + np.array(p.x_step) @ grid, taken.ravel())
        np.testing.assert_array_equal(p.y_start + np.array(p.y_step) @ grid, np.arange(taken.size))


@settings(max_examples=200, deadline=None)
@given(st.data(), st.lists(st.integers(1, 4), max_size=6))
def test_steps_and_permutations_are_always_loops(data: st.DataObject, shape: list[int]) -> None:
    taken = layout.positions(tuple(shape)).transpose(data.draw(st.permutations(range(len(shape)))))
    steps = [data.draw(st.sampled_from([1, 2, -1, -3])) for _ in shape]
    taken = taken[tuple(slice(None, None, s) for s in steps)]
    found = layout.walk(taken, np.arange(taken.size))
    assert found is not None
    assert len(found.shape) <= sum(n > 1 for n in taken.shape)


def test_walk_refuses_what_is_irregular_or_too_deep() -> None:
    assert layout.walk(np.array([0, 1, 3]), np.arange(3)) is None
    assert layout.walk(np.array([0, 1, 3, 5]), np.arange(4)) is None
    deep = layout.positions((2,) * 7).transpose()
    assert layout.walk(deep, np.arange(deep.size)) is None


def _regions(axis: int, mode: str) -> Array:
    """Positions that a Pad of one axis takes."""
    around = [(0, 0)] * 3
    around[axis] = (2, 1)
    return np.pad(layout.positions((2, 3, 4)), around, mode)  # type: ignore[call-overload]


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize(("mode", "parts"), [("reflect", 3), ("edge", 3), ("wrap", 3)])
def test_what_is_padded_with_itself_is_a_walk_in_a_few_pieces(axis: int, mode: str, parts: int) -> None:
    taken = _regions(axis, mode)
    found = layout.pieces(taken)
    assert found is not None and len(found) <= parts
    made = np.full(taken.size, -1)
    for source, target in found:
        assert layout.walk(source, target) is not None and (made[target] == -1).all()
        made[target] = source
    np.testing.assert_array_equal(made, taken.ravel())


@settings(max_examples=60, deadline=None)
@given(selections())
def test_pieces_visit_every_position_once(selection: tuple[Array, Array]) -> None:
    _, taken = selection
    for source, target in layout.pieces(taken) or []:
        assert layout.walk(source, target) is not None
        np.testing.assert_array_equal(taken.ravel()[target], source)
    parts = layout.pieces(taken)
    if parts is not None:
        assert sorted(np.concatenate([target for _, target in parts])) == list(range(taken.size))


# --- kernels ---------------------------------------------------------------------------------------------------------

DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


def _call(name: str, x: Array, y: Array, struct: str, fields: Mapping[str, Any]) -> None:
    """Call a layout function; arrays among the fields become pointers."""
    lib = library()
    p = lib.ffi.new(f"{struct} *")
    for field, value in fields.items():
        pointer = isinstance(value, np.ndarray)
        setattr(p, field, lib.ffi.cast("int32_t *", value.ctypes.data) if pointer else value)
    lib.function(name)(lib.ffi.cast("void *", x.ctypes.data), lib.ffi.cast("void *", y.ctypes.data), p)


def _guarded(size: int, dtype: Any) -> tuple[Array, Array]:
    """Room for an output with guards before and after it: the whole, and the middle."""
    whole = np.arange(size + 16).astype(dtype)
    return whole, whole[8 : 8 + size]


@pytest.mark.parametrize("bits", DTYPES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_strided_copy_is_exact_and_stays_inside(bits: int, data: st.DataObject) -> None:
    x = np.random.default_rng(1).integers(0, 200, (2, 3, 4, 5)).astype(DTYPES[bits])
    source = layout.positions(x.shape).transpose(data.draw(st.permutations(range(4))))
    source = source[tuple(slice(None, None, data.draw(st.sampled_from([1, -1, 2]))) for _ in range(4))]
    room = layout.positions(tuple(n + 1 for n in source.shape))
    target = room[tuple(slice(1, None) if data.draw(st.booleans()) else slice(None, -1) for _ in range(4))]
    found = layout.walk(source, target)
    assert found is not None
    p = vars(found.padded())
    whole, y = _guarded(room.size, x.dtype)
    before = whole.copy()
    wanted = ops.kernels()[f"mq_strided_copy_{bits}"].exact(x=x, y=y.copy(), p=p)
    _call(f"mq_strided_copy_{bits}", x, y, "mq_strided_copy_params", p)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(y[target.ravel()], x.ravel()[source.ravel()])
    np.testing.assert_array_equal(np.delete(whole, 8 + target.ravel()), np.delete(before, 8 + target.ravel()))


@pytest.mark.parametrize("bits", DTYPES)
@settings(max_examples=60, deadline=None)
@given(selections())
def test_gather_is_exact_and_stays_inside(bits: int, selection: tuple[Array, Array]) -> None:
    whole, taken = selection
    x = np.random.default_rng(2).integers(0, 200, whole.size).astype(DTYPES[bits])
    t = layout.tables(taken)
    p = {
        "outer_count": len(t.outer),
        "middle_count": len(t.middle),
        "inner_count": len(t.inner),
        "run": t.run,
        **{n: np.ascontiguousarray(getattr(t, n), np.int32) for n in ("outer", "middle", "inner")},
    }
    room, y = _guarded(taken.size, x.dtype)
    before = room.copy()
    _call(f"mq_gather_{bits}", x, y, "mq_gather_params", p)
    np.testing.assert_array_equal(y, ops.kernels()[f"mq_gather_{bits}"].exact(x=x, p=p))
    np.testing.assert_array_equal(y, x[taken.ravel()])
    np.testing.assert_array_equal(room[:8], before[:8])
    np.testing.assert_array_equal(room[-8:], before[-8:])


@pytest.mark.parametrize("bits", DTYPES)
@pytest.mark.parametrize("target", [[3], [5, 0, 9], [4, 5, 0, 1, 8, 9], [7, 8, 9]])
def test_scatter_is_exact_and_stays_inside(bits: int, target: list[int]) -> None:
    run, starts = layout.blocks(np.array(target))
    x = np.arange(100, 100 + len(target)).astype(DTYPES[bits])
    room, y = _guarded(10, x.dtype)
    before = room.copy()
    p = {"count": len(starts), "run": run, "offset": np.ascontiguousarray(starts, np.int32)}
    wanted = ops.kernels()[f"mq_scatter_{bits}"].exact(x=x, y=y.copy(), p=p)
    _call(f"mq_scatter_{bits}", x, y, "mq_scatter_params", p)
    np.testing.assert_array_equal(y, wanted)
    before[8:18][target] = x
    np.testing.assert_array_equal(room, before)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([np.int8, np.int16]),
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=4),
    st.data(),
)
def test_integer_interpolation_stays_between(dtype: Any, weights: list[float], data: st.DataObject) -> None:
    info = np.iinfo(dtype)
    values = st.sampled_from([info.min, info.max, 0, -1]) | st.integers(info.min, info.max)
    x = np.array([[data.draw(values) for _ in range(3)] for _ in range(2)], dtype)
    p = {
        "outer": 1,
        "x_count": 2,
        "y_count": len(weights),
        "inner": 3,
        "low": np.zeros(len(weights), np.int32),
        "weight": np.rint(np.array(weights) * 2.0**15).astype(np.int32),
    }
    y = ops.kernels()[f"mq_interpolate_s{info.bits}"].exact(x=x, p=p)
    assert (y >= x.min(axis=0)).all()
    assert (y <= x.max(axis=0)).all()
