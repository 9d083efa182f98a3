"""s16: 16-bit two's complement, symmetric. Weights of an s16 operator are s8 unless the plan says s16."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("s16", "int16_t", np.dtype(np.int16), integer=True, minimum=-32768, maximum=32767)
