"""Weight matrices as the kernels of an instruction set read them.

firmware/include/mq_rows.h (dsp) and mq_mve_rows.h (mve) have the mathematics and the order in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from mcu_quant.ir import Array

#: What `Kernel.pack` holds: a [groups * rows, columns] matrix and the number of groups to what lies in flash.
Pack = Callable[[Array, int], Array]


def paired_rows(matrix: Array, groups: int, order: tuple[int, int, int, int], pairs: int = 2) -> Array:
    """Pairs of s8 rows in halfwords 256 a + (b + 128), `pairs` after `pairs`; [groups, bytes of one group] in s8.

    `order`: which of four columns are the halfwords of two words.
    """
    rows, columns = len(matrix) // groups, matrix.shape[1]
    padded = np.zeros((groups, rows + rows % 2, -(-columns // 4) * 4), np.int64)
    padded[:, :rows, :columns] = matrix.reshape(groups, rows, columns)
    halves = (256 * padded[:, 0::2] + padded[:, 1::2] + 128).astype("<i2")
    #: [groups, pairs, fours of columns, 4]
    fours = halves.reshape(groups, halves.shape[1], -1, 4)[..., order]
    blocks = [fours[:, i : i + pairs].swapaxes(1, 2).reshape(groups, -1) for i in range(0, fours.shape[1], pairs)]
    return np.ascontiguousarray(np.concatenate(blocks, axis=1)).view(np.int8)


#: For kernels that read x in s8: SXTB16 makes columns 0 2 and 1 3 of four bytes.
ROWS_FOR_S8: Pack = partial(paired_rows, order=(0, 2, 1, 3))
#: For kernels that read x in s16.
ROWS_FOR_S16: Pack = partial(paired_rows, order=(0, 1, 2, 3))
#: For kernels that multiply a pair of rows with several vectors at once; firmware/include/mq_tile.h.
PAIRS_FOR_S16: Pack = partial(paired_rows, order=(0, 1, 2, 3), pairs=1)


def half_rows(matrix: Array, groups: int) -> Array:
    """Rows of f16 in blocks of eight, two columns after two; firmware/include/mq_half_rows.h. [groups, rows, columns].

    The rows that are left follow one by one.
    """
    rows, columns = len(matrix) // groups, matrix.shape[1]
    pairs = -(-columns // 2)
    padded = np.zeros((groups, rows, pairs * 2), matrix.dtype)
    padded[..., :columns] = matrix.reshape(groups, rows, columns)
    eights = rows // 8 * 8
    blocks = padded[:, :eights].reshape(groups, rows // 8, 8, pairs, 2).swapaxes(2, 3).reshape(groups, -1)
    return np.concatenate([blocks, padded[:, eights:].reshape(groups, -1)], axis=1)


#: For kernels in f16 on cores that compute in f32.
HALF_ROWS: Pack = half_rows


def chunked_width(columns: int, chunk: int) -> int:
    """Bytes of a row of `chunked_rows`: up to three columns behind the last chunk are filled up to four."""
    return max(columns, columns // chunk * chunk + 4) if columns % chunk else columns


def chunked_rows(matrix: Array, groups: int, chunk: int, slack: int = 16) -> Array:
    """Blocks of four s8 rows, `chunk` columns of each after those of the one before; [bytes].

    Rows have the width that `chunked_width` says; those behind the last block lie one by one.
    Behind all groups come `slack` zeros, so that whole vectors can be read anywhere.
    """
    rows, columns = len(matrix) // groups, matrix.shape[1]
    width = chunked_width(columns, chunk)
    padded = np.zeros((groups, rows, width), matrix.dtype)
    padded[..., :columns] = matrix.reshape(groups, rows, columns)
    whole, wide = rows - rows % 4, columns - columns % chunk
    blocks = padded[:, :whole].reshape(groups, whole // 4, 4, width)
    chunks = blocks[..., :wide].reshape(groups, whole // 4, 4, wide // chunk, chunk).swapaxes(2, 3)
    parts = (
        chunks.reshape(groups, whole // 4, 4 * wide),
        blocks[..., wide:].reshape(groups, whole // 4, 4 * (width - wide)),
    )
    packed = (
        np.concatenate(parts, axis=2).reshape(groups, whole * width),
        padded[:, whole:].reshape(groups, (rows - whole) * width),
    )
    return np.append(np.concatenate(packed, axis=1), np.zeros(slack, matrix.dtype))


#: For kernels that read x in s8, sixteen columns at a time.
CHUNKS_FOR_S8: Pack = partial(chunked_rows, chunk=16)
#: For kernels that read x in s16, eight columns at a time.
CHUNKS_FOR_S16: Pack = partial(chunked_rows, chunk=8)


def half_lanes(matrix: Array, groups: int, lanes: int = 32) -> Array:
    """Rows of f16 in blocks of `lanes`, column after column (mq_mve_half.h); [groups, rows * columns]."""
    every = matrix.reshape(groups, -1, matrix.shape[1])
    blocks = [every[:, i : i + lanes].swapaxes(1, 2).reshape(groups, -1) for i in range(0, every.shape[1], lanes)]
    return np.concatenate(blocks, axis=1)


#: For kernels in f16 on Helium.
HALF_LANES: Pack = half_lanes


def half_outputs(matrix: Array, groups: int) -> Array:
    """Rows of f16 in fours, column after column, the rows that are left one by one (mq_mve_half_maps.h)."""
    every = matrix.reshape(groups, -1, matrix.shape[1])
    fours = every.shape[1] // 4 * 4
    together = every[:, :fours].reshape(groups, -1, 4, matrix.shape[1]).swapaxes(2, 3)
    return np.concatenate([together.reshape(groups, -1), every[:, fours:].reshape(groups, -1)], axis=1)


#: For convolutions in f16 on Helium.
HALF_OUTPUTS: Pack = half_outputs
