"""u8: unsigned whole numbers of 8 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("u8", "uint8_t", np.dtype(np.uint8), integer=False, exact=True)
