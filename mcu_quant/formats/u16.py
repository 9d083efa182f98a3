"""u16: unsigned whole numbers of 16 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("u16", "uint16_t", np.dtype(np.uint16), integer=False, exact=True)
