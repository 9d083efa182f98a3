"""s32: accumulators and biases at accumulator scale. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("s32", "int32_t", np.dtype(np.int32), integer=True, minimum=-(2**31), maximum=2**31 - 1)
