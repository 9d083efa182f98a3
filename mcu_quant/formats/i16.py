"""i16: whole numbers of 16 bits, as the model has them. Not a choice of a plan."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("i16", "int16_t", np.dtype(np.int16), integer=False, exact=True)
