"""s8: 8-bit two's complement. Activations have a zero point; weights are symmetric per row in [-127, 127]."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("s8", "int8_t", np.dtype(np.int8), integer=True, minimum=-128, maximum=127, asymmetric=True)
