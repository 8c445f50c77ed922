"""A prepared session of the library: its memory, and numpy views of its inputs and outputs."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
from numpy import ndarray
from numpy.typing import NDArray

from ._library import DTYPES, aligned, ffi, lib, new_error, pointer, text
from .errors import ArgumentError, DtypeError, OutOfMemoryError, ShapeError, check
from .pool import Pool

log = logging.getLogger("wisp")


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a model.

    `shape`: an int for each axis, or the name of a symbolic axis, or None where only a run can tell.
    `scale`: 0 unless the tensor is quantized; then real = scale * (stored - zero_point).
    `element_type`: "" unless numpy lacks the type of the elements (bfloat16, float8_e4m3fn, int4, ...). Then it is the
    type's name in the package ml_dtypes, and `dtype` that of its bits: `array.view(ml_dtypes.bfloat16)`. Elements below
    8 bits have a byte each.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]
    scale: float
    zero_point: int
    element_type: str = ""

    def quantize(self, real: NDArray[Any]) -> NDArray[Any]:
        """What this quantized tensor stores for real numbers, rounded as the runtime would (halves to even, NaN gives
        the zero point), clamped to its dtype."""
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.asarray(real, np.float32) * (np.float32(1) / np.float32(self.scale)))
        steps = np.nan_to_num(np.clip(steps, -65536, 65536), nan=0.0)
        return np.asarray(np.clip(steps + self.zero_point, limits.min, limits.max), self.dtype)

    def dequantize(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """The real numbers, f32, that `stored`, values of this quantized tensor, stand for."""
        steps = np.asarray(stored).astype(np.int32) - self.zero_point
        return np.asarray(steps.astype(np.float32) * np.float32(self.scale))


@dataclass(frozen=True)
class NodeInfo:
    """One operator of a prepared model.

    `kernel`: the inner loop it got, or "portable". `macs`: multiply-accumulates. `bytes`: read and written, weights
    included. `dtype`, `shape`: of the first output.
    """

    name: str
    operator: str
    kernel: str
    macs: int
    bytes: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]


def raise_for(status: int, error: Any) -> None:
    """Raise what `status` stands for, with the library's message."""
    if status:
        check(status, text(error.message) or text(lib.wisp_status_name(status)))


class Session:
    """One set of extents, ready to run in memory of its own; made by `Model.session`.

        session = model.session()
        x, y = session.inputs["x"], session.outputs["y"]
        for frame in camera:
            x[...] = frame
            session.run()
            use(y)

    `inputs`, `outputs`: {name: array}, the places in memory that a run reads and writes; nothing is copied, nothing
    allocated. They stay the same arrays until `resize`. Write every input before every run: a run may use its memory
    for other values. Outputs cannot be written, and hold until the next run. Where extents depend on data, an output is
    in `outputs` after a run, and another array after each.

    A session belongs to one thread at a time; make one for each. It may outlive its model, and its arrays outlive it.
    """

    inputs: dict[str, NDArray[Any]]
    outputs: dict[str, NDArray[Any]]
    symbols: tuple[int, ...]
    _slots: list[tuple[str, NDArray[Any], np.dtype[Any], tuple[int, ...]]]
    arena_bytes: int
    """Bytes of activations and scratch, states included."""

    def __init__(self, model: Any, data: NDArray[np.uint8], symbols: tuple[int, ...], threads: int, cpu: int,
                 pool: Pool | None) -> None:
        start = time.perf_counter()
        self._model, self._data, self._pool = model, data, pool
        self._busy = threading.Lock()
        self._memory = aligned(lib.wisp_session_size(model))
        self._error, self._info = new_error(), ffi.new("wisp_tensor_info *")
        self._arena: NDArray[np.uint8] | None = None
        self._wisp_run: Callable[[Any, Any], int] = pool.run if pool else lib.wisp_run
        extents, handle = ffi.new("int32_t[]", list(symbols) or [0]), ffi.new("wisp_session **")
        options = ffi.new("wisp_options *", {"symbols": extents, "symbol_count": len(symbols), "threads": threads,
                                             "cpu_mask": cpu, "pool": pool.handle if pool else ffi.NULL})
        raise_for(lib.wisp_prepare(model, options, pointer(self._memory), self._memory.size, handle, self._error),
                  self._error)
        self._handle = handle[0]
        self._settle(symbols)
        log.debug("session: extents %s, %d bytes, arena %d bytes, %d thread(s), %.2f ms", symbols, self._memory.size,
                  self.arena_bytes, threads, (time.perf_counter() - start) * 1e3)

    # ---- memory

    def resize(self, symbols: tuple[int, ...]) -> None:
        """Other extents of the model's symbolic axes, in the file's order; costs less than a new session. `inputs` and
        `outputs` get other arrays, states keep their values. After an error the session can only be resized again."""
        start = time.perf_counter()
        extents = ffi.new("int32_t[]", list(symbols) or [0])
        self.symbols = ()  # it fits no inputs until it is settled
        self._slots = []
        raise_for(lib.wisp_resize(self._handle, extents, len(symbols), self._error), self._error)
        self._settle(symbols)
        log.debug("resize: extents %s, arena %d bytes, %.2f ms", symbols, self.arena_bytes,
                  (time.perf_counter() - start) * 1e3)

    def _settle(self, symbols: tuple[int, ...]) -> None:
        """After extents changed: memory and views."""
        self.symbols = symbols
        self._fixed = bool(lib.wisp_session_is_fixed(self._handle))
        self._place()
        self.inputs = views = self._views(lib.wisp_input_count, lib.wisp_session_input_info, lib.wisp_input_data)
        if not self._fixed:  # a run may begin again elsewhere, so inputs are kept apart
            self.inputs = {name: np.empty_like(view) for name, view in views.items()}
        self._slots = [(name, view, view.dtype, view.shape) for name, view in self.inputs.items()]
        self.outputs = self._output_views()
        self._targets = {name: (view, view.dtype, view.shape) for name, view in self.outputs.items()}

    def _place(self) -> None:
        """An arena for the bytes that the session needs now: the one at hand if it is large enough."""
        self.arena_bytes = lib.wisp_arena_size(self._handle)
        if self._arena is not None and self._arena.size >= self.arena_bytes:
            arena = self._arena
        elif self.arena_bytes >= 1 << 47:
            raise OutOfMemoryError(f"these shapes need {self.arena_bytes} bytes of activations")
        else:
            arena = aligned(self.arena_bytes)
        # states are copied over from the arena bound before, which lives until then
        raise_for(lib.wisp_bind(self._handle, pointer(arena), arena.size, self._error), self._error)
        self._arena = arena

    def _output_views(self) -> dict[str, NDArray[Any]]:
        views = self._views(lib.wisp_output_count, lib.wisp_session_output_info, lib.wisp_output_data)
        for view in views.values():
            view.flags.writeable = False
        return views

    def _views(self, count: Callable[[Any], int], info_of: Callable[[Any, int, Any], int],
               data_of: Callable[[Any, int], Any]) -> dict[str, NDArray[Any]]:
        """Those tensors whose extents are known."""
        views, info = {}, self._info
        for i in range(count(self._model)):
            check(info_of(self._handle, i, info), "the session does not know its own tensors")
            dtype, shape = DTYPES[info.dtype], tuple(info.dims[0 : info.rank])
            if min(shape, default=0) < 0 or info.size != math.prod(shape) * dtype.itemsize:
                continue
            place = self._bytes(int(ffi.cast("uintptr_t", data_of(self._handle, i))), info.size)
            views[text(info.name)] = place.view(dtype).reshape(shape)
        return views

    def _bytes(self, address: int, size: int) -> NDArray[np.uint8]:
        """Memory of session, arena or file, as an array that keeps it alive."""
        for memory in (self._arena, self._memory, self._data):
            if memory is not None and 0 <= (start := address - memory.ctypes.data) <= memory.size - size and size:
                return memory[start : start + size]
        return np.empty(size, np.uint8)  # of no bytes

    # ---- run

    def run(self) -> None:
        """Outputs from inputs, in place. Other Python threads run meanwhile.

        Raises InputIndexError if an index found in the data is out of range, and what `load` raises for extents that
        only a run can tell.
        """
        if not self._busy.acquire(False):
            raise ArgumentError("the session is running in another thread; make one for each thread")
        try:
            self._start()
        finally:
            self._busy.release()

    def _start(self) -> None:
        """As run, for a caller who has the session alone."""
        if not self._fixed:
            self._run_open(self._wisp_run)
        elif status := self._wisp_run(self._handle, self._error):
            raise_for(status, self._error)

    def _run_open(self, run: Callable[[Any, Any], int]) -> None:
        """A run that may find out extents: once more in a larger arena as long as it needs one."""
        while True:
            places = self._views(lib.wisp_input_count, lib.wisp_session_input_info, lib.wisp_input_data)
            for name, place in places.items():
                np.copyto(place, self.inputs[name])
            status = run(self._handle, self._error)
            if status != lib.WISP_NO_MEMORY or lib.wisp_arena_size(self._handle) <= self.arena_bytes:
                break
            self._place()
            log.debug("arena: %d bytes for extents found in the run", self.arena_bytes)
        raise_for(status, self._error)
        self.arena_bytes = lib.wisp_arena_size(self._handle)
        self.outputs = self._output_views()

    def run_timed(self) -> NDArray[np.uint64]:
        """As run. Returns the nanoseconds of each node."""
        ticks = np.zeros(lib.wisp_node_count(self._model), np.uint64)
        clock, address = ffi.cast("uint64_t (*)(void)", lib.wisp_clock), ffi.cast("uint64_t *", ticks.ctypes.data)
        if self._pool:
            self._pool.ensure()

        def run(handle: Any, error: Any) -> int:
            return int(lib.wisp_run_timed(handle, clock, address, error))

        if self._fixed:
            raise_for(run(self._handle, self._error), self._error)
        else:
            self._run_open(run)
        return ticks

    def reset(self) -> None:
        """States, which a model may carry from run to run, back to their initial values."""
        raise_for(lib.wisp_reset(self._handle, self._error), self._error)

    # ---- arrays of the caller

    def _fill(self, arrays: Mapping[str, Any]) -> bool:
        """Copy arrays into the inputs if they are just what the session takes. False, and nothing promised, if not."""
        if len(arrays) != len(self._slots):
            return False
        for name, view, dtype, shape in self._slots:
            array = arrays.get(name)
            if type(array) is not ndarray or array.dtype is not dtype or array.shape != shape:
                return False
            view[...] = array
        return True

    def _run_into(self, out: Mapping[str, NDArray[Any]], names: list[str]) -> None:
        """As _start, and the outputs into arrays of the caller. `names`: of all outputs."""
        pairs = []
        for name, array in out.items():
            if target := self._targets.get(name):
                view, dtype, shape = target
                pairs.append((array, view))
                if type(array) is ndarray and array.dtype is dtype and array.shape == shape and array.flags.writeable:
                    continue
            if name not in names:
                raise ArgumentError(f"out names {name!r}; the model's outputs are: {', '.join(map(repr, names))}")
            _check_array(name, array, self.outputs.get(name))
        if len(out) > 1 and len({id(array) for array in out.values()}) < len(out):
            raise ArgumentError("out has one array for two outputs")
        self._start()
        if not self._fixed:
            pairs = [(array, self.outputs[name]) for name, array in out.items()]
            for name, array in out.items():
                _check_array(name, array, self.outputs[name])
        for array, view in pairs:
            array[...] = view

    def _copy_outputs(self) -> dict[str, NDArray[Any]]:
        """Outputs by name, in arrays that are the caller's."""
        return {name: view.copy() for name, view in self.outputs.items()}

    # ---- questions

    def scratch_needs(self) -> tuple[int, int]:
        """Bytes the hungriest algorithms of any processor could use: of all threads together, of each."""
        info = ffi.new("wisp_scratch_info *")
        check(lib.wisp_scratch_needs(self._handle, info), "the session does not know its scratch")
        return info.could_shared, info.could_each

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """None for an extent that only a run can tell."""
        shapes, info = {}, self._info
        for i in range(lib.wisp_output_count(self._model)):
            check(lib.wisp_session_output_info(self._handle, i, info), "the session does not know its own tensors")
            shapes[text(info.name)] = tuple(d if d >= 0 else None for d in info.dims[0 : info.rank])
        return shapes

    def nodes(self) -> list[NodeInfo]:
        """The operators in execution order."""
        info, nodes = ffi.new("wisp_node_info *"), []
        for i in range(lib.wisp_node_count(self._model)):
            check(lib.wisp_session_node_info(self._handle, i, info), "the session does not know its own nodes")
            nodes.append(NodeInfo(text(info.name), text(info.operator_name), text(info.kernel), info.macs, info.bytes,
                                  DTYPES[info.output_dtype], tuple(info.output_dims[0 : info.output_rank])))
        return nodes

    def kernel_slots(self) -> list[str]:
        """The inner loops the session calls."""
        names: list[str] = []
        while name := text(lib.wisp_slot_name(len(names))):
            names.append(name)
        return [name for i, name in enumerate(names) if lib.wisp_session_uses(self._handle, i)]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a session cannot be pickled or copied; pickle the model and make a session where it is used")


def _check_array(name: str, array: Any, view: NDArray[Any] | None) -> None:
    """Whether an array of the caller can take an output, of which `view` is None while its shape is unknown."""
    if not isinstance(array, np.ndarray):
        raise DtypeError(f"out[{name!r}] is {type(array).__name__}, expected a numpy array")
    if not array.flags.writeable:
        raise ArgumentError(f"out[{name!r}] is read-only")
    if view is not None and array.dtype != view.dtype:
        raise DtypeError(f"out[{name!r}] is {array.dtype}, expected {view.dtype}")
    if view is not None and array.shape != view.shape:
        raise ShapeError(f"out[{name!r}] has shape {list(array.shape)}, expected {list(view.shape)}")
