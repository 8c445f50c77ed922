"""A prepared session of the library: its memory, its thread pool, and numpy views of its inputs and outputs."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import os
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ._library import DTYPES, aligned, ffi, lib, pointer, text
from .errors import OutOfMemoryError, UnsupportedError, check


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    `shape`: an int for each axis, or the name of a symbolic axis, or None where only a run can tell.
    `scale`: 0 unless the tensor is quantized; then real = scale * (stored - zero_point).
    """

    name: str
    dtype: np.dtype
    shape: tuple[int | str | None, ...]
    scale: float
    zero_point: int

    def quantize(self, real: np.ndarray) -> np.ndarray:
        """What this quantized tensor stores for real numbers, rounded as the runtime would (halves to even, NaN gives
        the zero point), clamped to its dtype."""
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.asarray(real, np.float32) * (np.float32(1) / np.float32(self.scale)))
        steps = np.nan_to_num(np.clip(steps, -65536, 65536), nan=0.0)
        return np.clip(steps + self.zero_point, limits.min, limits.max).astype(self.dtype)

    def dequantize(self, stored: np.ndarray) -> np.ndarray:
        """The real numbers, f32, that this quantized tensor's values stand for."""
        return (np.asarray(stored).astype(np.int32) - self.zero_point).astype(np.float32) * np.float32(self.scale)


@dataclass(frozen=True)
class NodeInfo:
    """One operator of a prepared model.

    `kernel`: the inner loop it got, or "portable". `macs`: multiply-accumulates. `bytes`: read and written, weights
    included. `dtype`, `shape`: of the first output. `microseconds`: median of one run; 0 unless profiled.
    """

    name: str
    operator: str
    kernel: str
    macs: int
    bytes: int
    dtype: np.dtype
    shape: tuple[int, ...]
    microseconds: float = 0.0


def new_error():
    return ffi.new("wisp_error *")


def raise_for(status: int, error) -> None:
    """Raise what `status` stands for, with the library's message."""
    if status:
        check(status, text(error.message) or text(lib.wisp_status_name(status)))


class Pool:
    """The library's worker threads. They stop when the last session using them is gone, or at exit."""

    def __init__(self, threads: int):
        memory = aligned(lib.wisp_pool_size(threads))
        self.handle = ffi.cast("wisp_pool *", memory.ctypes.data)
        status = lib.wisp_pool_start(self.handle, threads)
        if status == lib.WISP_UNSUPPORTED:
            raise UnsupportedError("this build of libwisp has no threads; use threads=1")
        check(status, f"cannot start {threads - 1} threads")
        weakref.finalize(self, _stop_pool, self.handle, memory, os.getpid())


def _stop_pool(handle, _memory, pid: int) -> None:
    if os.getpid() == pid:  # in a forked child the workers do not exist
        lib.wisp_pool_stop(handle)


class Session:
    """One prepared session. Belongs to one thread at a time.

    `owner` is kept alive as long as the session: whatever holds the model's bytes.
    """

    def __init__(self, model, owner, symbols: tuple[int, ...], threads: int, cpu: int, pool: Pool | None):
        self.symbols = symbols
        self._keep = (model, owner, pool)
        extents = ffi.new("int32_t[]", list(symbols) or [0])
        options = ffi.new("wisp_options *", {"symbols": extents, "symbol_count": len(symbols), "threads": threads,
                                             "cpu_mask": cpu, "pool": pool.handle if pool else ffi.NULL})
        self._memory = aligned(lib.wisp_session_size(model))
        self._error = new_error()
        handle = ffi.new("wisp_session **")
        raise_for(lib.wisp_prepare(model, options, pointer(self._memory), self._memory.size, handle, self._error),
                  self._error)
        self._handle = handle[0]
        self._options = (options, extents)
        self._node_count = lib.wisp_node_count(model)
        self._arena: np.ndarray | None = None
        self._settle()

    def resize(self, symbols: tuple[int, ...]) -> None:
        """Other extents for the symbolic axes; costs less than a new session.
        After an error the session is of no use."""
        extents = ffi.new("int32_t[]", list(symbols) or [0])
        raise_for(lib.wisp_resize(self._handle, extents, len(symbols), self._error), self._error)
        self.symbols = symbols
        self._settle()

    def scratch_needs(self) -> tuple[int, int]:
        """Bytes the hungriest algorithms of any processor could use: of all threads together, of each."""
        info = ffi.new("wisp_scratch_info *")
        check(lib.wisp_scratch_needs(self._handle, info), "the session does not know its scratch")
        return info.could_shared, info.could_each

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """None for an extent that only a run can tell."""
        shapes, info = {}, ffi.new("wisp_tensor_info *")
        for i in range(lib.wisp_output_count(self._keep[0])):
            check(lib.wisp_session_output_info(self._handle, i, info), "the session does not know its own tensors")
            shapes[text(info.name)] = tuple(d if d >= 0 else None for d in info.dims[0 : info.rank])
        return shapes

    def reset(self) -> None:
        """States back to their initial values."""
        raise_for(lib.wisp_reset(self._handle, self._error), self._error)

    def _settle(self) -> None:
        """After extents changed: whether the outputs' are known before a run, then memory for all."""
        info, self._outputs_known = ffi.new("wisp_tensor_info *"), True
        for i in range(lib.wisp_output_count(self._keep[0])):
            check(lib.wisp_session_output_info(self._handle, i, info), "the session does not know its own tensors")
            dims = info.dims[0 : info.rank]
            self._outputs_known &= (min(dims, default=0) >= 0
                                    and info.size == math.prod(dims) * DTYPES[info.dtype].itemsize)
        self._place()

    def _place(self) -> None:
        """A larger arena if the one at hand is too small, and views of where inputs and outputs are now."""
        self.arena_bytes = lib.wisp_arena_size(self._handle)
        if self._arena is None or self._arena.size < self.arena_bytes:
            if self.arena_bytes >= 1 << 47:
                raise OutOfMemoryError(f"these shapes need {self.arena_bytes} bytes of activations")
            arena = aligned(self.arena_bytes)  # states are copied over from the old one, which lives until then
            raise_for(lib.wisp_bind(self._handle, pointer(arena), arena.size, self._error), self._error)
            self._arena = arena
        self.inputs = self._views(lib.wisp_input_count(self._keep[0]), lib.wisp_session_input_info, lib.wisp_input_data)
        self.outputs = self._output_views() if self._outputs_known else {}

    def _output_views(self) -> dict[str, np.ndarray]:
        return self._views(lib.wisp_output_count(self._keep[0]), lib.wisp_session_output_info, lib.wisp_output_data)

    def _views(self, count: int, info_of, data_of) -> dict[str, np.ndarray]:
        views, info = {}, ffi.new("wisp_tensor_info *")
        for i in range(count):
            check(info_of(self._handle, i, info), "the session does not know its own tensors")
            dtype, shape = DTYPES[info.dtype], tuple(info.dims[0 : info.rank])
            if info.size == 0:
                views[text(info.name)] = np.empty(shape, dtype)
                continue
            buffer = ffi.buffer(ffi.cast("char *", data_of(self._handle, i)), info.size)
            views[text(info.name)] = np.frombuffer(buffer, dtype).reshape(shape)
        return views

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Fresh outputs for inputs whose names, dtypes and shapes were checked. Other Python threads run meanwhile."""
        self._run(inputs, lambda: lib.wisp_run(self._handle, self._error))
        outputs = self.outputs if self._outputs_known else self._output_views()
        return {name: view.copy() for name, view in outputs.items()}

    def run_timed(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Nanoseconds of each node, from one run."""
        ticks = np.zeros(self._node_count, np.uint64)
        clock = ffi.cast("uint64_t (*)(void)", lib.wisp_clock)
        address = ffi.cast("uint64_t *", ticks.ctypes.data)
        self._run(inputs, lambda: lib.wisp_run_timed(self._handle, clock, address, self._error))
        return ticks

    def _run(self, inputs: dict[str, np.ndarray], run: Callable[[], int]) -> None:
        """Fill the inputs and run; once more in a larger arena as long as the run finds out that it needs one."""
        while True:
            for name, view in self.inputs.items():
                np.copyto(view, inputs[name])
            status = run()
            if status != lib.WISP_NO_MEMORY or lib.wisp_arena_size(self._handle) <= self._arena.size:
                break
            self._place()
        raise_for(status, self._error)

    def nodes(self) -> list[NodeInfo]:
        info, nodes = ffi.new("wisp_node_info *"), []
        for i in range(self._node_count):
            check(lib.wisp_session_node_info(self._handle, i, info), "the session does not know its own nodes")
            nodes.append(NodeInfo(text(info.name), text(info.operator_name), text(info.kernel), info.macs, info.bytes,
                                  DTYPES[info.output_dtype], tuple(info.output_dims[0 : info.output_rank])))
        return nodes

    def kernel_slots(self) -> list[str]:
        names = []
        while name := text(lib.wisp_slot_name(len(names))):
            names.append(name)
        return [name for i, name in enumerate(names) if lib.wisp_session_uses(self._handle, i)]
