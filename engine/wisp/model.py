"""wisp.load and Model: a .wisp file ready to run."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import mmap
import os
import threading
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from . import _library
from ._library import DTYPES, ffi, lib, text
from .errors import ArgumentError, BadFileError, DtypeError, ShapeError, check
from .session import NodeInfo, Pool, Session, TensorInfo, new_error

MAX_THREADS = 64
IDLE_SESSIONS = 4  # kept for the next run, whatever their shapes; more live only while as many threads run


def load(source: str | os.PathLike | bytes | mmap.mmap, threads: int = 1,
         shapes: Mapping[str, tuple[int, ...]] | None = None, cpu: str | None = None) -> Model:
    """Open a .wisp file.

    source: a path (the file is mapped, not read; do not change it while the model lives), or the file's bytes, or an
        mmap of it.
    threads: 1..64 threads for each run. Results do not depend on it.
    shapes: {input name: shape} binds dynamic axes now instead of by the first run's inputs.
    cpu: highest instruction set to use ("scalar", "avx2", ...); default: the environment's WISP_CPU, else all.

    Raises OSError if the file cannot be read, BadFileError, UnsupportedError, ShapeError, ArgumentError,
    OutOfMemoryError. A model with static shapes is prepared here, so a run cannot fail later for any of these reasons.
    """
    return Model(source, threads, shapes, cpu)


class Model:
    """An opened model; see `load`. Any number of Python threads may call it at once.

    inputs, outputs: lists of TensorInfo, in the source's order. metadata: what the converter wrote (labels,
    preprocessing, source hash, accuracy), a dict. Also a context manager that closes the model.
    """

    def __init__(self, source, threads: int = 1, shapes=None, cpu: str | None = None):
        if not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
            raise ArgumentError(f"threads is {threads!r}, expected 1..{MAX_THREADS}")
        self._threads, self._cpu = threads, _library.cpu_flags(cpu)
        self._data = _map(source)
        self._model = _open(self._data, _name(source))
        self._symbols = [text(lib.wisp_symbol_name(self._model, i)) for i in range(lib.wisp_symbol_count(self._model))]
        self.inputs = [self._info(lib.wisp_input_info, i) for i in range(lib.wisp_input_count(self._model))]
        self.outputs = [self._info(lib.wisp_output_info, i) for i in range(lib.wisp_output_count(self._model))]
        self.metadata: dict = self._read_metadata()
        self._forget_sessions()
        self._bound: tuple[int, ...] | None = None
        if shapes is not None or not self._symbols:
            self._bound = self._bind(dict(shapes or {}), partial=True)
            self._release(self._acquire(self._bound))

    def _info(self, info_of, index: int) -> TensorInfo:
        info = ffi.new("wisp_tensor_info *")
        check(info_of(self._model, index, info), "the library does not know its own tensors")
        return TensorInfo(text(info.name), DTYPES[info.dtype], self._shape(info, info_of is lib.wisp_input_info),
                          info.scale, info.zero_point)

    def _shape(self, info, is_input: bool) -> tuple[int | str | None, ...]:
        def axis(d: int) -> int | str | None:
            return d if d >= 0 else self._symbols[-1 - d] if is_input else None

        return tuple(axis(d) for d in info.dims[0 : info.rank])

    def _read_metadata(self) -> dict:
        size = ffi.new("uint64_t *")
        start = lib.wisp_metadata(self._model, size)
        raw = ffi.buffer(start, size[0])[:] if start and size[0] else b"{}"
        try:
            return json.loads(raw)
        except ValueError as error:
            raise BadFileError(f"metadata is not JSON: {error}") from None

    # ---- sessions

    def _forget_sessions(self) -> None:
        self._pid, self._lock = os.getpid(), threading.Lock()
        self._idle: list[Session] = []
        self._pool: Pool | None = Pool(self._threads) if self._threads > 1 else None

    def _acquire(self, symbols: tuple[int, ...]) -> Session:
        """A session for these extents: an idle one that has them, else one that is given them, else a new one. It is no
        longer among the idle ones."""
        if self._data is None:
            raise ArgumentError("the model is closed")
        if self._pid != os.getpid():  # after a fork: the pool's threads and perhaps the lock's holder are gone
            self._forget_sessions()
        with self._lock:
            for i in range(len(self._idle) - 1, -1, -1):
                if self._idle[i].symbols == symbols:
                    return self._idle.pop(i)
            idle, pool = self._idle.pop() if self._idle else None, self._pool
        if idle is not None:
            idle.resize(symbols)
            return idle
        return Session(self._model, self._data, symbols, self._threads, self._cpu, pool)

    def _release(self, session: Session) -> None:
        with self._lock:
            if self._data is not None:
                self._idle.append(session)
                del self._idle[:-IDLE_SESSIONS]

    def _bind(self, shapes: Mapping[str, tuple[int, ...]], partial: bool = False) -> tuple[int, ...]:
        """The extent of every symbolic axis from the inputs' shapes. `partial`: not every input has to be named."""
        names = [i.name for i in self.inputs]
        unknown = [n for n in shapes if n not in names]
        if unknown:
            raise ArgumentError(f"unknown input {unknown[0]!r}; the model has: {', '.join(map(repr, names))}")
        missing = [n for n in names if n not in shapes]
        if missing and not partial:
            raise ArgumentError(f"missing input {missing[0]!r}; the model needs: {', '.join(map(repr, names))}")
        found: dict[str, int] = {}
        for info in self.inputs:
            if info.name in shapes:
                _match(info, tuple(shapes[info.name]), found)
        unbound = [s for s in self._symbols if s not in found]
        if unbound:
            raise ShapeError(f"dynamic axis {unbound[0]!r} is left unbound; "
                             f"give the shape of {self._users(unbound[0])}")
        return tuple(found[s] for s in self._symbols)

    def _users(self, symbol: str) -> str:
        return next((f"input {i.name!r} {_text(i.shape)}" for i in self.inputs if symbol in i.shape), "an input")

    # ---- the public part

    def run(self, inputs: Mapping[str, np.ndarray] | np.ndarray) -> dict[str, np.ndarray]:
        """Outputs by name for inputs by name; a model with one input also takes the array alone.

        Arrays must have exactly the model's dtypes (DtypeError) and shapes (ShapeError); names are checked
        (ArgumentError). A symbolic axis takes its extent from the arrays; changing it has the model planned again. The
        arrays returned are the caller's. Raises InputIndexError if an index found in the data is out of range.
        """
        arrays, symbols = self._check(inputs)
        session = self._acquire(symbols)
        try:
            return session.run(arrays)
        finally:
            self._release(session)

    def reset(self) -> None:
        """States, which a model may carry from run to run, back to their initial values. Call and run a model that has
        states from one thread at a time: it has them once for each run that goes on."""
        self._ensure_open()
        with self._lock:
            for session in self._idle:
                session.reset()

    def profile(self, inputs: Mapping[str, np.ndarray] | np.ndarray, runs: int = 10) -> list[NodeInfo]:
        """The model's nodes in execution order, each with the median time of `runs` runs after one warm-up."""
        arrays, symbols = self._check(inputs)
        session = self._acquire(symbols)
        try:
            session.run(arrays)
            ticks = np.median([session.run_timed(arrays) for _ in range(max(1, runs))], axis=0)
            return [replace(n, microseconds=float(t) / 1e3) for n, t in zip(session.nodes(), ticks)]
        finally:
            self._release(session)

    def scratch_needs(self) -> tuple[int, int]:
        """Bytes of scratch the hungriest algorithms of any processor could use: of all threads together, of each. What
        the converter writes into a file as its budget. Dynamic axes must be bound."""
        session = self._acquire(self._require_bound())
        try:
            return session.scratch_needs()
        finally:
            self._release(session)

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The outputs' shapes as they follow from the inputs'; None for an extent that only a run can tell.
        Dynamic axes must be bound."""
        session = self._acquire(self._require_bound())
        try:
            return session.output_shapes()
        finally:
            self._release(session)

    def nodes(self) -> list[NodeInfo]:
        """The model's nodes in execution order, untimed. Dynamic axes must be bound, see `bind`."""
        session = self._acquire(self._require_bound())
        try:
            return session.nodes()
        finally:
            self._release(session)

    def kernel_slots(self) -> list[str]:
        """The inner loops the model calls, as `wisp ops` names them: what WISP_SLOTS of a build for it lists.
        Dynamic axes must be bound."""
        session = self._acquire(self._require_bound())
        try:
            return session.kernel_slots()
        finally:
            self._release(session)

    def zero_inputs(self) -> dict[str, np.ndarray]:
        """Zeros of the right dtype and shape for every input. Dynamic axes must be bound."""
        extents = dict(zip(self._symbols, self._require_bound()))
        return {i.name: np.zeros([extents.get(d, d) for d in i.shape], i.dtype) for i in self.inputs}

    def _check(self, inputs) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise ArgumentError(f"the model has {len(self.inputs)} inputs; pass a dict: "
                                    f"{', '.join(repr(i.name) for i in self.inputs)}")
            inputs = {self.inputs[0].name: inputs}
        arrays = {name: np.asarray(value) for name, value in inputs.items()}
        symbols = self._bind({name: a.shape for name, a in arrays.items()})
        for info in self.inputs:
            if arrays[info.name].dtype != info.dtype:
                raise DtypeError(f"input {info.name!r} is {arrays[info.name].dtype}, expected {info.dtype}; "
                                 f"convert it with .astype(numpy.{info.dtype})")
        self._bound = symbols
        return arrays, symbols

    def _require_bound(self) -> tuple[int, ...]:
        return self._bound if self._bound is not None else self._bind({}, partial=True)

    @property
    def session_bytes(self) -> int:
        """Bytes of one session besides its arena. Depends on the file only."""
        self._ensure_open()
        return lib.wisp_session_size(self._model)

    @property
    def arena_bytes(self) -> int:
        """Bytes of activations and scratch of one session, for this number of threads and the shapes bound last."""
        session = self._acquire(self._require_bound())
        self._release(session)
        return session.arena_bytes

    @property
    def threads(self) -> int:
        return self._threads

    def _ensure_open(self) -> None:
        if self._data is None:
            raise ArgumentError("the model is closed")

    def close(self) -> None:
        """Give memory, threads and the mapped file back; runs still going on elsewhere finish first. Idempotent."""
        with self._lock:
            self._data, self._pool, self._idle = None, None, []

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self) -> str:
        def side(tensors) -> str:
            return ", ".join(f"{t.name}: {t.dtype}{_text(t.shape)}" for t in tensors)

        return f"<wisp.Model {side(self.inputs)} -> {side(self.outputs)}>"


def session_size(source: str | os.PathLike | bytes) -> int:
    """Bytes of one session of a .wisp file besides its arena; nothing is prepared.
    Raises what `load` raises for bad files."""
    data = _map(source)
    return lib.wisp_session_size(_open(data, _name(source)))


def _open(data, name: str):
    """The library's model for a mapped file, which must stay alive."""
    model, error = ffi.new("wisp_model *"), new_error()
    check(lib.wisp_open(model, data, len(data), error), f"{name}{text(error.message)}")
    return model


def _map(source):
    """The file as a C buffer on a multiple of WISP_ALIGNMENT, which keeps itself alive."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        if not len(source):
            raise BadFileError("the file is empty")
        copy = _library.aligned(len(source))
        copy[:] = np.frombuffer(source, np.uint8)
        return ffi.from_buffer(copy)
    if isinstance(source, mmap.mmap):
        return ffi.from_buffer(source)
    with open(source, "rb") as file:
        if not os.path.isfile(source):  # a pipe, which can be read but not mapped
            return _map(file.read())
        if os.fstat(file.fileno()).st_size == 0:
            raise BadFileError(f"{os.fspath(source)} is empty")
        return ffi.from_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _name(source) -> str:
    """What an error message starts with: the file's name where there is one."""
    return "" if isinstance(source, (bytes, bytearray, memoryview, mmap.mmap)) else f"{os.fspath(source)}: "


def _match(info: TensorInfo, shape: tuple[int, ...], found: dict[str, int]) -> None:
    """Check a shape against an input's, and note the extents of its symbolic axes."""
    if len(shape) != len(info.shape):
        raise ShapeError(f"input {info.name!r} has shape {_text(shape)}, expected {_text(info.shape)}")
    for axis, (want, got) in enumerate(zip(info.shape, shape)):
        if isinstance(want, str):
            if found.setdefault(want, got) != got:
                raise ShapeError(f"input {info.name!r} has shape {_text(shape)}, "
                                 f"but axis {want!r} is {found[want]} elsewhere")
        elif want != got:
            raise ShapeError(f"input {info.name!r} has shape {_text(shape)}, expected {_text(info.shape)}: "
                             f"axis {axis} is {got}, not {want}")


def _text(shape) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in shape) + "]"
