"""u32: unsigned whole numbers of 32 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("u32", "uint32_t", np.dtype(np.uint32), integer=False, exact=True)
