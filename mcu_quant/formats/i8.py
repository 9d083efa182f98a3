"""i8: whole numbers of 8 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("i8", "int8_t", np.dtype(np.int8), integer=False, exact=True)
