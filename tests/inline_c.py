"""The `static inline` primitives of the firmware's headers, callable from tests over whole arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI
from numpy.typing import DTypeLike, NDArray

from mcu_quant.emulator.library import WARNINGS, compile_shared
from mcu_quant.paths import firmware

C_TYPES = {
    "float": np.float32,
    "int16_t": np.int16,
    "int32_t": np.int32,
    "int64_t": np.int64,
    "uint16_t": np.uint16,
    "uint64_t": np.uint64,
}


class Inlines:
    """Each primitive becomes a function over arrays: `inlines["mq_rshr"](x, shift)` by its prototype.

    `own` is C code before the wrappers; with `checked`, contracts are checked and `own` says what happens if one is
    broken.
    """

    def __init__(
        self, header: str, prototypes: Sequence[str], folder: Path, own: str = "", checked: bool = False
    ) -> None:
        parts = [self._parse(p) for p in prototypes]
        source = folder / "inlines.c"
        wrappers = "\n".join(self._wrapper(*p) for p in parts)
        source.write_text(f'#include "{header}"\n{own}\n{wrappers}')
        library = folder / "inlines.so"
        flags = (*WARNINGS, *(["-DMQ_CHECKED"] if checked else []))
        compile_shared([source], [firmware() / "include"], library, flags)
        self._ffi = FFI()
        self._ffi.cdef("\n".join(f"void each_{n}(const void *const *in, void *out, size_t n);" for _, n, _ in parts))
        self._library = self._ffi.dlopen(str(library))
        self._types = {name: (result, arguments) for result, name, arguments in parts}

    @staticmethod
    def _parse(prototype: str) -> tuple[str, str, list[str]]:
        match = re.fullmatch(r"(\w+) (\w+)\((.*)\)", prototype)
        assert match, prototype
        return match[1], match[2], [a.strip() for a in match[3].split(",")]

    @staticmethod
    def _wrapper(result: str, name: str, arguments: list[str]) -> str:
        """An argument `const T *` is one array for all elements, any other has one value per element."""
        values = [
            f"(({a})in[{i}])" if a.endswith("*") else f"((const {a} *)in[{i}])[k]" for i, a in enumerate(arguments)
        ]
        return (
            f"void each_{name}(const void *const *in, void *out, size_t n);\n"
            f"void each_{name}(const void *const *in, void *out, size_t n) {{\n"
            f"    for (size_t k = 0; k < n; k++) {{ (({result} *)out)[k] = {name}({', '.join(values)}); }}\n}}\n"
        )

    def __getitem__(self, name: str) -> Callable[..., NDArray[Any]]:
        result, types = self._types[name]

        def each(*arrays: object) -> NDArray[Any]:
            whole = [np.ascontiguousarray(a, self._dtype(t)) for a, t in zip(arrays, types, strict=True)]
            streams = [i for i, t in enumerate(types) if not t.endswith("*")]
            spread = np.broadcast_arrays(*(whole[i] for i in streams))
            for i, array in zip(streams, spread, strict=True):
                whole[i] = np.ascontiguousarray(array)
            out = np.empty(spread[0].shape, self._dtype(result))
            pointers = self._ffi.new("const void *[]", [self._ffi.cast("const void *", a.ctypes.data) for a in whole])
            getattr(self._library, f"each_{name}")(pointers, self._ffi.cast("void *", out.ctypes.data), out.size)
            return out

        return each

    @staticmethod
    def _dtype(c_type: str) -> DTypeLike:
        return C_TYPES[c_type.replace("const", "").replace("*", "").strip()]
