"""u64: unsigned whole numbers of 64 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("u64", "uint64_t", np.dtype(np.uint64), integer=False, exact=True)
