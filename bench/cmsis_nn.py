"""Executed instructions of CMSIS-NN for the same shapes, in the same emulator: what `--cmsis-nn DIR` adds.

DIR is a checkout of https://github.com/ARM-software/CMSIS-NN. It is compiled here with -O3 and called through its
public functions, whole call included; what a user would do once per model (sums of weights, sizes of scratch buffers)
is not counted. Data is noise and scales are ordinary ones: neither changes the count by more than the odd branch.
"""

from __future__ import annotations

import math
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from mcu_quant.emulator import qemu
from mcu_quant.emulator.qemu import Machine, QemuTarget

#: As the figures that we compare with were made; our own kernels are compiled with -O2.
FLAGS = ("-O3", "-ffunction-sections", "-fdata-sections", "-w")
HALF_PRECISION = "-DARM_NN_ENABLE_F16=1"
FOLDERS = (
    "ActivationFunctions",
    "BasicMathFunctions",
    "ConvolutionFunctions",
    "FullyConnectedFunctions",
    "LSTMFunctions",
    "NNSupportFunctions",
    "SoftmaxFunctions",
    "TransposeFunctions",
)
#: Room for each vector load to read beyond an array, as the library says it may.
SLACK = 64
_MULTIPLIER, _SHIFT = 1 << 30, -8


@dataclass
class Library:
    """A machine with CMSIS-NN on it. Reads noise from everything that is allocated."""

    machine: Machine

    def call(self, function: str, *arguments: int) -> int:
        """Executed instructions of a call.

        Raises:
            ValueError: if the library refuses the arguments.
        """
        called = self.machine.call(function, arguments)
        if called.value & 0x80000000 and not function.startswith("arm_softmax_s8"):
            raise ValueError(f"{function} returned {called.value - (1 << 32)}")
        return called.instructions

    def value(self, function: str, *arguments: int) -> int:
        """Result of a call."""
        return self.machine.call(function, arguments).value

    def noise(self, count: int, dtype: str = "int8") -> int:
        """Address of an array of seeded noise; of zeros for wide integers, which are biases and scratch."""
        array = np.zeros(count + SLACK, dtype)
        if array.dtype.kind == "f":
            array[:] = np.random.default_rng(count).uniform(-0.5, 0.5, array.size)
        elif array.itemsize < 4:
            limit = 127 if array.itemsize == 1 else 32767
            array[:] = np.random.default_rng(count).integers(-limit, limit, array.size, endpoint=True)
        return self.bytes(array.tobytes())

    def bytes(self, data: bytes) -> int:
        """Address of some bytes."""
        address = self.machine.allocate(len(data))
        self.machine.write(address, data)
        return address

    def struct(self, *words: int) -> int:
        """Address of a struct of words: integers and pointers."""
        return self.bytes(struct.pack(f"<{len(words)}I", *(w & 0xFFFFFFFF for w in words)))

    def scratch(self, size: int) -> int:
        """Address of a cmsis_nn_context."""
        return self.struct(self.noise(size + 4, "int32"), size)


Shape = Sequence[int]

# --- one function per kernel: set up, call, count -------------------------------------------------------------------


def _fully_connected(lib: Library, shape: Shape, bits: int) -> int:
    inputs, outputs = shape
    dtype, offset = f"int{bits}", 1 if bits == 8 else 0
    weights = lib.noise(inputs * outputs)
    filter_ = lib.struct(inputs, 0, 0, outputs)
    bias = lib.noise(outputs, "int32" if bits == 8 else "int64")
    context = lib.scratch(lib.value(f"arm_fully_connected_s{bits}_get_buffer_size", filter_))
    sums = struct.unpack("<I", lib.machine.read(context, 4))[0]
    if bits == 8:
        lib.call("arm_vector_sum_s8", sums, inputs, outputs, weights, offset, 0, bias)
    limit = (1 << (bits - 1)) - 1
    return lib.call(
        f"arm_fully_connected_s{bits}",
        context,
        lib.struct(offset, 0, offset, -limit - 1, limit),
        lib.struct(_MULTIPLIER, _SHIFT),
        lib.struct(1, 1, 1, inputs),
        lib.noise(inputs, dtype),
        filter_,
        weights,
        lib.struct(1, 1, 1, outputs),
        bias,
        lib.struct(1, 1, 1, outputs),
        lib.noise(outputs, dtype),
    )


def _fully_connected_f16(lib: Library, shape: Shape) -> int:
    inputs, outputs = shape
    parameters = lib.bytes(struct.pack("<eexxxx", -65504.0, 65504.0))
    dims = [lib.struct(*d) for d in ((1, 1, 1, inputs), (inputs, 1, 1, outputs), (1, 1, 1, outputs))]
    size = lib.value("arm_fully_connected_f16_get_buffer_size", parameters, *dims, 0)
    x, w, bias, y = (lib.noise(n, "float16") for n in (inputs, inputs * outputs, outputs, outputs))
    return lib.call(
        "arm_fully_connected_f16", lib.scratch(size), parameters, dims[0], x, dims[1], w, dims[2], bias, dims[2], y, 0
    )


def _lstm(lib: Library, shape: Shape, bits: int) -> int:
    inputs, units = shape
    dtype, bias = f"int{bits}", "int32" if bits == 8 else "int64"

    def gate(activation: int) -> list[int]:
        weights = (lib.noise(inputs * units), lib.noise(units, bias))
        hidden = (lib.noise(units * units), lib.noise(units, bias))
        scale = (_MULTIPLIER, _SHIFT)
        return [*scale, *weights, *scale, *hidden, lib.noise(units, bias), activation]

    sigmoid, tanh = 0, 1
    sizes = [1, 1, 1, inputs, units, 0]
    scales = [_MULTIPLIER, -14, _MULTIPLIER, -14, 32767, -12, _MULTIPLIER, -14 if bits == 16 else -22, 0]
    gates = [*gate(sigmoid), *gate(sigmoid), *gate(tanh), *gate(sigmoid)]
    buffers = lib.struct(*(lib.noise(units, "int16") for _ in range(3)), lib.noise(units, dtype))
    x, y = lib.noise(inputs, dtype), lib.noise(units, dtype)
    return lib.call(f"arm_lstm_unidirectional_s{bits}", x, y, lib.struct(*sizes, *scales, *gates), buffers)


def _lstm_f16(lib: Library, shape: Shape) -> int:
    """Its hidden state is the output of the step before, so it takes two steps to see one with a hidden state."""
    inputs, units = shape

    def gate(activation: int) -> list[int]:
        return [*(lib.noise(n * units, "float16") for n in (inputs, units, 1)), activation]

    sigmoid, tanh, no_clip = 33, 34, 0
    gates = [*gate(sigmoid), *gate(sigmoid), *gate(tanh), *gate(sigmoid)]
    buffers = lib.struct(*(lib.noise(4 * units, "float16") for _ in range(3)))

    def steps(count: int) -> int:
        x, y = lib.noise(count * inputs, "float16"), lib.noise(count * units, "float16")
        parameters = lib.struct(1, 1, count, inputs, units, no_clip, *gates)
        return lib.call("arm_lstm_unidirectional_f16", x, y, parameters, buffers)

    return steps(2) - steps(1)


@dataclass(frozen=True)
class _Window:
    """A convolution's shape, with the output's and the padding of SAME_UPPER."""

    height: int
    width: int
    channels: int
    outputs: int
    rows: int
    columns: int
    stride: int

    @property
    def out(self) -> tuple[int, int]:
        return -(-self.height // self.stride), -(-self.width // self.stride)

    @property
    def padding(self) -> tuple[int, int]:
        """Left, top."""
        needed = [
            max(0, (o - 1) * self.stride + k - i)
            for o, k, i in zip(self.out, (self.rows, self.columns), (self.height, self.width), strict=True)
        ]
        return needed[1] // 2, needed[0] // 2


def _convolve(lib: Library, w: _Window, bits: int, depthwise: bool = False) -> int:
    dtype, limit, offset = f"int{bits}", (1 << (bits - 1)) - 1, 1 if bits == 8 else 0
    window = (w.stride, w.stride, *w.padding, 1, 1, -limit - 1, limit)
    parameters = lib.struct(offset, offset, *([1] if depthwise else []), *window)
    scales = [lib.bytes(np.full(w.outputs, v, np.int32).tobytes()) for v in (_MULTIPLIER, _SHIFT)]
    inner = 1 if depthwise else w.channels
    in_dims = lib.struct(1, w.height, w.width, w.channels)
    filter_ = lib.struct(*((1, w.rows, w.columns, w.outputs) if depthwise else (w.outputs, w.rows, w.columns, inner)))
    out_dims = lib.struct(1, *w.out, w.outputs)
    name = f"arm_{'depthwise_conv' if depthwise else 'convolve'}_wrapper_s{bits}"
    size = lib.value(f"{name}_get_buffer_size", parameters, in_dims, filter_, out_dims)
    bias = lib.noise(w.outputs, "int32" if bits == 8 else "int64")
    if bits == 16 and not depthwise:
        bias = lib.struct(bias, 0)  # cmsis_nn_bias_data: 64 bits
    return lib.call(
        name,
        lib.scratch(size),
        parameters,
        lib.struct(*scales),
        in_dims,
        lib.noise(w.height * w.width * w.channels, dtype),
        filter_,
        lib.noise(w.rows * w.columns * inner * w.outputs),
        lib.struct(1, 1, 1, w.outputs),
        bias,
        out_dims,
        lib.noise(w.out[0] * w.out[1] * w.outputs, dtype),
    )


def _pointwise(lib: Library, shape: Shape, bits: int) -> int:
    height, width, channels, outputs = shape
    return _convolve(lib, _Window(height, width, channels, outputs, 1, 1, 1), bits)


def _conv(lib: Library, shape: Shape, bits: int) -> int:
    return _convolve(lib, _Window(*shape), bits)


def _depthwise(lib: Library, shape: Shape, bits: int) -> int:
    height, width, channels, rows, columns = shape
    return _convolve(lib, _Window(height, width, channels, channels, rows, columns, 1), bits, depthwise=True)


def _matmul(lib: Library, shape: Shape, bits: int) -> int:
    """The right matrix is given transposed, as the library wants it."""
    rows, inner, columns = shape
    dtype, limit, offset = f"int{bits}", (1 << (bits - 1)) - 1, 1 if bits == 8 else 0
    return lib.call(
        f"arm_batch_matmul_s{bits}",
        lib.scratch(4 * columns),
        lib.struct(0, offset, 0 if bits == 16 else 2, offset, -limit - 1, limit),
        lib.struct(_MULTIPLIER, _SHIFT),
        lib.struct(1, 1, rows, inner),
        lib.noise(rows * inner, dtype),
        lib.struct(1, 1, columns, inner),
        lib.noise(columns * inner, dtype),
        lib.struct(1, 1, rows, columns),
        lib.noise(rows * columns, dtype),
    )


def _softmax_s8(lib: Library, shape: Shape) -> int:
    rows, columns = shape
    factor = 8.0 / 255.0 * (1 << 26)  # scale of [-4, 4) in 8 bits, 5 integer bits as TensorFlow Lite takes them
    fraction, shift = math.frexp(factor)
    multiplier = round(fraction * (1 << 31))
    least = -math.floor(31.0 * (1 << 26) / (1 << shift))
    size = rows * columns
    return lib.call("arm_softmax_s8", lib.noise(size), rows, columns, multiplier, shift, least, lib.noise(size))


def _softmax_s16(lib: Library, shape: Shape) -> int:
    rows, columns = shape
    fraction, shift = math.frexp(8.0 / 65535.0 / (10.0 / 65535.0))
    x = np.linspace(-10.0, 0.0, 513)
    exponential = np.minimum(np.round(np.exp(x) * 32768), 32767).astype(np.int16)
    inverse = np.minimum(np.round(32768 / (1 + np.linspace(0.0, 1.0, 513))), 32767).astype(np.int16)
    tables = lib.struct(lib.bytes(exponential.tobytes()), lib.bytes(inverse.tobytes()))
    size = rows * columns
    x_, y = lib.noise(size, "int16"), lib.noise(size, "int16")
    return lib.call("arm_softmax_s16", x_, rows, columns, round(fraction * (1 << 31)), shift, tables, y)


def _add(lib: Library, shape: Shape, bits: int) -> int:
    dtype, limit, offset = f"int{bits}", (1 << (bits - 1)) - 1, 1 if bits == 8 else 0
    a, b, y = (lib.noise(shape[0], dtype) for _ in range(3))
    operand = (offset, _MULTIPLIER, 0)
    left = 20 if bits == 8 else 14
    result = (y, offset, _MULTIPLIER, -left, -limit - 1, limit)
    return lib.call(f"arm_elementwise_add_s{bits}", a, b, *operand, *operand, left, *result, shape[0])


def _mul(lib: Library, shape: Shape, bits: int) -> int:
    dtype, limit, offset = f"int{bits}", (1 << (bits - 1)) - 1, 1 if bits == 8 else 0
    a, b, y = (lib.noise(shape[0], dtype) for _ in range(3))
    result = (y, offset, _MULTIPLIER, -6, -limit - 1, limit)
    return lib.call(f"arm_elementwise_mul_s{bits}", a, b, offset, offset, *result, shape[0])


#: By our kernel's name, what the library has for it: of those with a width, in both.
_INTEGER: Mapping[str, Callable[[Library, Shape, int], int]] = {
    "fully_connected": _fully_connected,
    "lstm": _lstm,
    "pointwise_conv": _pointwise,
    "conv": _conv,
    "depthwise_conv": _depthwise,
    "matmul": _matmul,
    "add": _add,
    "mul": _mul,
}
_OTHERS: Mapping[str, Callable[[Library, Shape], int]] = {
    "fully_connected_f16": _fully_connected_f16,
    "lstm_f16": _lstm_f16,
    "softmax_s8": _softmax_s8,
    "softmax_s16": _softmax_s16,
}
KERNELS = (*_OTHERS, *(f"{name}_s{bits}" for name in _INTEGER for bits in (8, 16)))


def _executed(lib: Library, kernel: str, shape: Shape) -> int:
    if kernel in _OTHERS:
        return _OTHERS[kernel](lib, shape)
    name, _, bits = kernel.rpartition("_s")
    return _INTEGER[name](lib, shape, int(bits))


# --- compiling and counting -----------------------------------------------------------------------------------------


def _layout(checkout: Path) -> tuple[Path, list[Path]]:
    """The library and its headers: in a repository of its own, or, until 2022, as a part of CMSIS 5."""
    whole = checkout / "CMSIS"
    if whole.is_dir():
        return whole / "NN", [whole / part / "Include" for part in ("NN", "DSP", "Core")]
    return checkout, [checkout / "Include", checkout / "Include" / "Internal"]


@cache
def _program(checkout: Path, target: QemuTarget, half_precision: bool) -> Path:
    library, include = _layout(checkout)
    found = sorted(s for folder in FOLDERS for s in (library / "Source" / folder).glob("*.c"))
    off = ("f32",) if half_precision else ("f32", "f16")
    sources = [s for s in found if not any(fmt in s.stem for fmt in off)]
    flags = [*FLAGS, HALF_PRECISION] if half_precision else FLAGS
    return qemu.link(target, qemu.compile_objects(target, sources, include, flags))


def count(checkout: Path, target: QemuTarget, kernel: str, shape: Shape) -> int | None:
    """Instructions that CMSIS-NN executes for a kernel of ours; None where it has nothing for it on this core.

    Raises:
        DiagnosticError: MQ602 if it does not compile.
    """
    # what it has in half precision is for Helium, and GCC 12 does not link it
    half_precision = target.core == "cortex-m55" and bool(target.clang)
    if kernel not in KERNELS or target.riscv or (kernel.endswith("_f16") and not half_precision):
        return None
    with Machine(target, _program(checkout, target, half_precision), count=True) as machine:
        return _executed(Library(machine), kernel, shape)


def version(checkout: Path) -> str:
    """The commit of a checkout, or what its pack description says where it is no git repository."""
    done = subprocess.run(
        ["git", "-C", str(checkout), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown commit"
