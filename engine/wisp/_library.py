"""Finds and opens libwisp. cffi knows no types: what comes from `ffi` and `lib` is Any."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ArgumentError, OutOfMemoryError, UnsupportedError

FILE_NAMES = ("libwisp.so", "libwisp.dylib", "wisp.dll", "libwisp.dll")

DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    4: np.dtype(np.uint16),
    5: np.dtype(np.int16),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    9: np.dtype(np.bool_),
    10: np.dtype(np.float16),
    11: np.dtype(np.float64),
    12: np.dtype(np.uint32),
    13: np.dtype(np.uint64),
    16: np.dtype(np.uint16),
    **dict.fromkeys(range(17, 27), np.dtype(np.uint8)),
}
"""numpy's type for each wisp_dtype, or that of its bits."""

ELEMENT_TYPES = {16: "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz",
                 21: "uint4", 22: "int4", 23: "float4_e2m1fn", 24: "float8_e8m0fnu", 25: "uint2", 26: "int2"}
"""Of a wisp_dtype that numpy lacks: its name in the package ml_dtypes."""


def library_path() -> Path:
    """The library: WISP_LIBRARY if set, otherwise the one installed in this package (in an editable install it lies
    on another entry of the package's path than the .py files)."""
    if "WISP_LIBRARY" in os.environ:
        return Path(os.environ["WISP_LIBRARY"])
    for folder in import_module("wisp").__path__:
        for name in FILE_NAMES:
            if (Path(folder) / name).exists():
                return Path(folder) / name
    raise ImportError("libwisp is not installed beside the wisp package; install it with pip, "
                      "or set WISP_LIBRARY to its path")


def _open() -> tuple[Any, Any]:
    try:
        ffi = import_module("wisp._wisp_cffi").ffi
    except ModuleNotFoundError as error:
        raise ImportError(f"the wisp package was not built: {error}; install it with pip") from error
    return ffi, ffi.dlopen(str(library_path()))


ffi, lib = _open()

ALIGNMENT: int = lib.WISP_ALIGNMENT


def version() -> str:
    """The library's version."""
    return text(lib.wisp_version())


def text(pointer: Any) -> str:
    """A zero-terminated UTF-8 string of the library; "" for null."""
    return str(ffi.string(pointer), "utf-8", "replace") if pointer else ""


def new_error() -> Any:
    return ffi.new("wisp_error *")


def aligned(size: int) -> NDArray[np.uint8]:
    """`size` bytes of uninitialized memory on a multiple of WISP_ALIGNMENT."""
    try:
        memory = np.empty(size + ALIGNMENT, np.uint8)
    except (MemoryError, ValueError):
        raise OutOfMemoryError(f"no memory for {size} bytes") from None
    start = -memory.ctypes.data % ALIGNMENT
    return memory[start : start + max(size, 1)]  # an empty slice would lose its address


def pointer(memory: NDArray[Any]) -> Any:
    """void * to the first byte. The array must outlive what uses it."""
    return ffi.cast("void *", memory.ctypes.data)


def instruction_sets() -> list[str]:
    """Every instruction set this library knows, in bit order: "scalar" first, then oldest first."""
    names: list[str] = []
    while name := text(lib.wisp_cpu_name(len(names))):
        names.append(name)
    return names


def cpu_flags(cap: str | None = None) -> int:
    """The mask of instruction sets to use: those the CPU has, up to and including `cap` ("scalar", "avx2", ...).

    Without `cap` the environment variable WISP_CPU decides; if that is unset too, all. Raises ArgumentError for an
    unknown name and UnsupportedError if this CPU or build lacks `cap`.
    """
    flags: int = lib.wisp_cpu_flags()
    cap = cap or os.environ.get("WISP_CPU")
    if not cap:
        return flags
    names = instruction_sets()
    if cap not in names:
        raise ArgumentError(f"unknown instruction set {cap!r}; known: {', '.join(names)}")
    bit = names.index(cap)
    if not flags >> bit & 1:
        has = [name for i, name in enumerate(names) if flags >> i & 1]
        raise UnsupportedError(f"this machine does not have {cap!r}; it has: {', '.join(has)}")
    return flags & (2 << bit) - 1
