"""f16: IEEE 754 binary16. Arithmetic where the core has it, otherwise storage with f32 arithmetic."""

import numpy as np

from mcu_quant.formats import Format

FORMAT = Format(
    "f16", "mq_f16", np.dtype(np.float16), integer=False, largest=float(np.finfo(np.float16).max), needs_fpu=True
)
