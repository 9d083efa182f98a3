"""i64: whole numbers of 64 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("i64", "int64_t", np.dtype(np.int64), integer=False, exact=True)
