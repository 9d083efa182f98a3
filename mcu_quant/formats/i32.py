"""i32: whole numbers of 32 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("i32", "int32_t", np.dtype(np.int32), integer=False, exact=True)
