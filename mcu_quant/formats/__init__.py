"""Number formats: one file each. `real = scale * (stored - zero_point)`, everywhere.

A file defines a `Format` called `FORMAT`; it is found by being in this folder. The order of precision is never assumed:
f16, s16 and s8 are incomparable, and which one serves a tensor best is measured.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from types import MappingProxyType

import numpy as np

from mcu_quant.ir import Array


class ScaleKind(StrEnum):
    """When a scale is found: once, from calibration, or anew for every frame from that frame's largest value."""

    STATIC = "static"
    FRAME = "frame"
    FRAME_POW2 = "frame-pow2"


@dataclass(frozen=True)
class QuantParams:
    """`real = scale * (stored - zero_point)`. With a run-time kind, `scale` is the largest that calibration saw."""

    scale: float
    zero_point: int = 0
    kind: ScaleKind = ScaleKind.STATIC

    def __str__(self) -> str:
        zero = f", zero point {self.zero_point}" if self.zero_point else ""
        when = "" if self.kind is ScaleKind.STATIC else f", {self.kind}"
        return f"scale {self.scale:.6g}{zero}{when}"


@dataclass(frozen=True)
class Format:
    """How numbers are stored: name in plans and kernels, C type, size, and the integer range if there is one."""

    name: str
    c_type: str
    dtype: np.dtype[np.generic]
    integer: bool
    minimum: int = 0
    maximum: int = 0
    #: largest magnitude that does not overflow, for float formats
    largest: float = 0.0
    needs_fpu: bool = False
    #: 8-bit activations use the whole range with a zero point; 16 bits need none
    asymmetric: bool = False
    #: whole numbers and truth values as they are, without a scale: no choice of a plan
    exact: bool = False

    @property
    def bytes(self) -> int:
        """Bytes of one stored value."""
        return int(self.dtype.itemsize)

    @property
    def bits(self) -> int:
        """Bits that a value needs, however it is stored."""
        return (self.maximum - self.minimum).bit_length() if self.integer else 8 * self.bytes

    @property
    def narrow(self) -> bool:
        """Whole numbers of at most 8 bits: what products are fastest in, and what rounding hurts."""
        return self.integer and self.bits <= 8

    @property
    def type_code(self) -> int:
        """How kernels on whole numbers name a type: bytes of an element, negative where it is unsigned."""
        return self.bytes if self.dtype.kind == "i" else -self.bytes

    def params(self, low: float, high: float) -> QuantParams | None:
        """Scale and zero point that cover [low, high] (real values), or None for a float format.

        Zero is always representable exactly. A range of zero width gets a scale of one step at 1.0.
        """
        if not self.integer:
            return None
        low, high = min(float(low), 0.0), max(float(high), 0.0)
        if not self.asymmetric:
            return self.symmetric(max(-low, high))
        if high - low == 0.0:
            return QuantParams(1.0 / self.maximum)
        scale = (high - low) / (self.maximum - self.minimum)
        zero_point = int(np.clip(round(self.minimum - low / scale), self.minimum, self.maximum))
        return QuantParams(scale, zero_point)

    def symmetric(self, magnitude: float) -> QuantParams:
        """Scale for [-magnitude, magnitude], zero point 0, both ends representable."""
        return QuantParams((float(magnitude) or 1.0) / self.maximum)

    def quantise(self, real: Array, quant: QuantParams | None) -> Array:
        """Nearest stored value, saturated. Round half to even on the exact quotient (numpy's rint)."""
        if self.exact:
            return np.asarray(real).astype(self.dtype)
        if not self.integer:
            with np.errstate(over="ignore"):
                return np.asarray(real, np.float32).astype(self.dtype)
        assert quant is not None
        with np.errstate(over="ignore"):  # what overflows saturates
            steps = np.rint(np.asarray(real, np.float64) / quant.scale) + quant.zero_point
        stored: Array = np.clip(steps, self.minimum, self.maximum).astype(self.dtype)
        return stored

    def dequantise(self, stored: Array, quant: QuantParams | None) -> Array:
        """Real values as float32; exact ones as they are."""
        if self.exact:
            return np.array(stored)
        if not self.integer:
            return np.asarray(stored).astype(np.float32)
        assert quant is not None
        return ((np.asarray(stored, np.float64) - quant.zero_point) * quant.scale).astype(np.float32)


@cache
def formats() -> Mapping[str, Format]:
    """All formats by name, in alphabetical order."""
    found = {}
    for module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
        fmt: Format = importlib.import_module(f"{__name__}.{module}").FORMAT
        found[fmt.name] = fmt
    return MappingProxyType(found)


def get(name: str) -> Format:
    """The format of that name.

    Raises:
        KeyError: if there is none.
    """
    return formats()[name]


def natural(dtype: str) -> Format:
    """How a value of the graph is stored where no plan says otherwise: reals in f32, everything else as it is.

    Raises:
        KeyError: if no format has this dtype (a string, a complex number).
    """
    if np.dtype(dtype).kind == "f":
        return get("f32")
    found = next((f for f in formats().values() if f.exact and f.dtype == np.dtype(dtype)), None)
    if found is None:
        raise KeyError(dtype)
    return found
