"""s64: biases of wide accumulators (s16 inputs and s16 weights). Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("s64", "int64_t", np.dtype(np.int64), integer=True, minimum=-(2**63), maximum=2**63 - 1)
