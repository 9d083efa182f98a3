"""f32: IEEE 754 binary32."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format("f32", "float", np.dtype(np.float32), integer=False, largest=float(np.finfo(np.float32).max))
