"""b8: truth values, 0 or 1 in a byte, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("b8", "uint8_t", np.dtype(np.bool_), integer=False, exact=True)
