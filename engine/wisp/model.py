"""wisp.load and Model: a .wisp file ready to run."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import html
import json
import logging
import operator
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _library, arrays
from ._library import DTYPES, ELEMENT_TYPES, ffi, lib, text
from .errors import ArgumentError, BadFileError, ShapeError, check
from .pool import Pool
from .session import NodeInfo, Session, TensorInfo
from .source import Source, lasting_path, map_file, open_model

if TYPE_CHECKING:
    from .profile import Profile

Shapes = Mapping[str, Sequence[int]]
Out = TypeVar("Out", bound=Mapping[str, NDArray[Any]])
Answer = TypeVar("Answer")

MAX_THREADS = 64
IDLE_SESSIONS = 4  # kept for the next run, whatever their shapes; more live only while as many threads run

log = logging.getLogger("wisp")


def load(source: Source, threads: int = 1, shapes: Shapes | None = None, cpu: str | None = None) -> Model:
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
    """An opened model; see `load`. Any number of Python threads may call it at once. With states they take turns, so
    that each run begins where the one before it ended.

        model = wisp.load("mobilenet.wisp", threads=2)
        scores = model(picture)                                # one output: an array; several: a dict
        outputs = model.run({"ids": ids, "mask": mask})        # always a dict
        model.run({"x": x}, out={"y": y})                      # into arrays of yours
        session = model.session()                              # for a loop over frames: nothing is copied

    A context manager that closes the model. It can be pickled, copied and sent to other processes, started by fork or
    spawn: a model from a path is opened again from there, one from bytes takes them along; states begin anew.
    """

    inputs: list[TensorInfo]
    """The inputs, in the source's order."""
    outputs: list[TensorInfo]
    """The outputs, in the source's order."""
    states: list[TensorInfo]
    """What a run leaves to the next one (`wisp convert --state`); see `reset`. A stream of its own is a session."""
    metadata: dict[str, Any]
    """What the converter wrote: labels, preprocessing, source hash, accuracy."""
    threads: int
    """Threads for each run, this one included."""

    def __init__(self, source: Source, threads: int = 1, shapes: Shapes | None = None, cpu: str | None = None) -> None:
        start = time.perf_counter()
        self.threads = _integer("threads", threads)
        if not 1 <= self.threads <= MAX_THREADS:
            raise ArgumentError(f"threads is {threads!r}, expected 1..{MAX_THREADS}")
        self._cpu, self._cpu_name = _library.cpu_flags(cpu), cpu
        self._path = lasting_path(source)
        self._data: NDArray[np.uint8] | None = map_file(source)
        self._model = open_model(self._data, source)
        self._symbols = [text(lib.wisp_symbol_name(self._model, i)) for i in range(lib.wisp_symbol_count(self._model))]
        self.inputs = [self._describe(lib.wisp_input_info, i) for i in range(lib.wisp_input_count(self._model))]
        self.outputs = [self._describe(lib.wisp_output_info, i) for i in range(lib.wisp_output_count(self._model))]
        self.states = [self._describe(lib.wisp_state_info, i) for i in range(lib.wisp_state_count(self._model))]
        self._turn = threading.Lock() if self.states else None  # whose holder uses the one session that has the states
        self._first = self.inputs[0].name if self.inputs else ""
        self._output_names = [o.name for o in self.outputs]
        self.metadata = self._read_metadata()
        self._idle: list[Session] = []  # its pop and append are atomic: no lock is needed
        self._pool = Pool(self.threads) if self.threads > 1 else None
        self._shapes = {name: _shape(name, shape) for name, shape in (shapes or {}).items()}
        self._bound: tuple[int, ...] | None = None
        log.debug("load: %s, %d bytes, %d thread(s), %.2f ms", self._path or "from memory", self._data.size,
                  self.threads, (time.perf_counter() - start) * 1e3)
        if shapes is not None or not self._symbols:
            self._bound = self._bind(self._shapes, partial=True)
            self._ask(lambda session: None)

    def _describe(self, info_of: Callable[[Any, int, Any], int], index: int) -> TensorInfo:
        info = ffi.new("wisp_tensor_info *")
        check(info_of(self._model, index, info), "the library does not know its own tensors")
        symbols = self._symbols if info_of is lib.wisp_input_info else []
        dims = (d if d >= 0 else symbols[-1 - d] if symbols else None for d in info.dims[0 : info.rank])
        return TensorInfo(text(info.name), DTYPES[info.dtype], tuple(dims), info.scale, info.zero_point,
                          ELEMENT_TYPES.get(info.dtype, ""))

    def _read_metadata(self) -> dict[str, Any]:
        size = ffi.new("uint64_t *")
        start = lib.wisp_metadata(self._model, size)
        raw = ffi.buffer(start, size[0])[:] if start and size[0] else b"{}"
        try:
            return dict(json.loads(raw))
        except (ValueError, TypeError) as error:
            raise BadFileError(f"metadata is not JSON: {error}") from None

    # ---- sessions

    def _acquire(self, symbols: tuple[int, ...]) -> Session:
        """A session for these extents: an idle one that has them, else one that is given them, else a new one. It is no
        longer among the idle ones."""
        idle, data = self._idle, self._open_data()
        passed: list[Session] = []
        while True:
            try:
                session = idle.pop()
            except IndexError:
                break
            if session.symbols == symbols:
                idle.extend(reversed(passed))
                return session
            passed.append(session)
        if not passed:
            return Session(self._model, data, symbols, self.threads, self._cpu, self._pool)
        session = passed.pop()  # that waited longest
        idle.extend(reversed(passed))
        try:
            session.resize(symbols)
        except BaseException:  # its states may be wanted; other extents bring it back
            idle.append(session)
            raise
        return session

    def _ask(self, question: Callable[[Session], Answer]) -> Answer:
        """The answer of a session for the extents bound."""
        with self._turn or contextlib.nullcontext():
            idle, session = self._idle, self._acquire(self._require_bound())
            try:
                return question(session)
            finally:
                idle.append(session)

    def _open_data(self) -> NDArray[np.uint8]:
        if self._data is None:
            raise ArgumentError("the model is closed")
        return self._data

    def _require_bound(self) -> tuple[int, ...]:
        return self._bound if self._bound is not None else self._bind({}, partial=True)

    def _bind(self, shapes: Mapping[str, tuple[int, ...]], partial: bool = False) -> tuple[int, ...]:
        """The extent of every symbolic axis from the inputs' shapes. `partial`: not every input has to be named."""
        self._check_names(shapes, partial)
        found: dict[str, int] = {}
        for info in self.inputs:
            if info.name in shapes:
                _match(info, shapes[info.name], found)
        unbound = [s for s in self._symbols if s not in found]
        if unbound:
            raise ShapeError(f"dynamic axis {unbound[0]!r} is left unbound; "
                             f"give the shape of {self._users(unbound[0])}")
        return tuple(found[s] for s in self._symbols)

    def _check_names(self, given: Mapping[str, Any], partial: bool) -> None:
        names = [i.name for i in self.inputs]
        unknown = [n for n in given if n not in names]
        if unknown:
            raise ArgumentError(f"unknown input {unknown[0]!r}; the model has: {', '.join(map(repr, names))}")
        missing = [n for n in names if n not in given]
        if missing and not partial:
            raise ArgumentError(f"missing input {missing[0]!r}; the model needs: {', '.join(map(repr, names))}")

    def _users(self, symbol: str) -> str:
        return next((f"input {i.name!r} {_text(i.shape)}" for i in self.inputs if symbol in i.shape), "an input")

    # ---- running

    @overload
    def run(self, inputs: Mapping[str, ArrayLike] | ArrayLike, out: None = None) -> dict[str, NDArray[Any]]: ...

    @overload
    def run(self, inputs: Mapping[str, ArrayLike] | ArrayLike, out: Out) -> Out: ...

    def run(self, inputs: Mapping[str, ArrayLike] | ArrayLike,
            out: Out | None = None) -> dict[str, NDArray[Any]] | Out:
        """Outputs by name for inputs by name; a model with one input also takes the array alone.

        inputs: arrays, or what numpy makes one of, of the model's shapes. Another dtype is converted where no value
        changes; floats of Python lists are rounded. A symbolic axis takes its extent from the arrays; changing it has
        the model planned again.
        out: {output name: array of exactly its dtype and shape}: filled and returned instead of new arrays. Outputs
        that it does not name are left out.

        Raises ArgumentError for names, DtypeError and ShapeError for arrays that do not fit, InputIndexError if an
        index found in the data is out of range; `out` and states are then as they were. Other Python threads run
        meanwhile.
        """
        if self._turn is None:
            return self._run(inputs, out)
        with self._turn:
            return self._run(inputs, out)

    def _run(self, inputs: Any, out: Out | None) -> dict[str, NDArray[Any]] | Out:
        idle = self._idle
        try:
            session: Session | None = idle.pop()
        except IndexError:
            session = None
        named: dict[str, Any] = inputs if type(inputs) is dict else {self._first: inputs}
        if session is not None and not session._fill(named):
            idle.append(session)
            session = None
        if session is None:
            session = self._fill_any(inputs)
        self._bound = session.symbols
        try:
            if out is None:
                session._start()
                return session._copy_outputs()
            session._run_into(out, self._output_names)
            return out
        finally:
            idle.append(session)
            if len(idle) > IDLE_SESSIONS:
                del idle[:-IDLE_SESSIONS]

    def __call__(self, *inputs: Any, **named: ArrayLike) -> Any:
        """`model(x)`: as run, with the inputs in the model's order or by keyword, or all of them in one dict. Returns
        the array where the model has one output, else a dict of arrays."""
        if len(inputs) == 1 and not named and (len(self.inputs) == 1 or isinstance(inputs[0], Mapping)):
            outputs = self.run(inputs[0])
        else:
            if len(inputs) > len(self.inputs):
                raise ArgumentError(f"{len(inputs)} inputs given; the model has {len(self.inputs)}")
            given = {info.name: x for info, x in zip(self.inputs, inputs)}
            twice = [name for name in named if name in given]
            if twice:
                raise ArgumentError(f"input {twice[0]!r} is given twice")
            outputs = self.run({**given, **named})
        return outputs[self._output_names[0]] if len(self._output_names) == 1 else outputs

    def _convert(self, inputs: Any) -> dict[str, NDArray[Any]]:
        """Arrays of the model's dtypes by name."""
        if not isinstance(inputs, Mapping):
            if len(self.inputs) != 1:
                raise ArgumentError(f"the model has {len(self.inputs)} inputs; pass a dict: "
                                    f"{', '.join(repr(i.name) for i in self.inputs)}")
            inputs = {self._first: inputs}
        self._check_names(inputs, partial=False)
        return {i.name: arrays.convert(i.name, inputs[i.name], i.dtype, i.element_type) for i in self.inputs}

    def _fill_any(self, inputs: Any) -> Session:
        """A session that has these inputs, whatever they are."""
        converted = self._convert(inputs)
        session = self._acquire(self._bind({name: array.shape for name, array in converted.items()}))
        for name, array in converted.items():
            session.inputs[name][...] = array
        return session

    def session(self, shapes: Shapes | None = None) -> Session:
        """A session of its own for a loop over frames: its inputs and outputs are arrays in the model's memory, so that
        a run copies and allocates nothing. One thread uses it at a time; make as many as there are threads.

        shapes: {input name: shape} for dynamic axes; without, the extents bound last. Raises what `load` raises.
        """
        bound = None if shapes is None else {name: _shape(name, shape) for name, shape in shapes.items()}
        data = self._open_data()
        symbols = self._require_bound() if bound is None else self._bind(bound, partial=True)
        return Session(self._model, data, symbols, self.threads, self._cpu, self._pool)

    def reset(self) -> None:
        """States back to their initial values, as before the first run. Sessions from `session` have their own."""
        self._open_data()
        with self._turn or contextlib.nullcontext():
            for session in list(self._idle):
                session.reset()

    # ---- questions

    def profile(self, inputs: Mapping[str, ArrayLike] | ArrayLike | None = None, runs: int | None = None,
                seconds: float = 2.0) -> Profile:
        """Where the time goes: what `wisp bench` prints, as data; print it for the table.

        inputs: as for run; without, random ones of the shapes bound. runs: number of timed runs; without, as many as
        fit into `seconds`. Takes half a second more for the machine's peak. Raises what run raises.
        """
        from .profile import inputs_for, measure

        count = None if runs is None else _integer("runs", runs)
        return measure(self, inputs_for(self) if inputs is None else self._convert(inputs), count, seconds)

    def scratch_needs(self) -> tuple[int, int]:
        """Bytes of scratch the hungriest algorithms of any processor could use: of all threads together, of each. What
        the converter writes into a file as its budget. Dynamic axes must be bound."""
        return self._ask(Session.scratch_needs)

    def output_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """The outputs' shapes as they follow from the inputs'; None for an extent that only a run can tell.
        Dynamic axes must be bound."""
        return self._ask(Session.output_shapes)

    def nodes(self) -> list[NodeInfo]:
        """The model's operators in execution order. Dynamic axes must be bound, by `load` or by a run."""
        return self._ask(Session.nodes)

    def kernel_slots(self) -> list[str]:
        """The inner loops the model calls, as `wisp ops` names them: what WISP_SLOTS of a build for it lists.
        Dynamic axes must be bound."""
        return self._ask(Session.kernel_slots)

    def zero_inputs(self) -> dict[str, NDArray[Any]]:
        """Zeros of the right dtype and shape for every input. Dynamic axes must be bound."""
        return self._ask(lambda session: {name: np.zeros_like(view) for name, view in session.inputs.items()})

    @property
    def session_bytes(self) -> int:
        """Bytes of one session besides its arena. Depends on the file only."""
        self._open_data()
        return int(lib.wisp_session_size(self._model))

    @property
    def arena_bytes(self) -> int:
        """Bytes of activations and scratch of one session, for this number of threads and the shapes bound last."""
        return self._ask(lambda session: session.arena_bytes)

    # ---- life

    def close(self) -> None:
        """Give memory, threads and the mapped file back; runs still going on elsewhere finish first, and sessions go on
        as long as they are used. Idempotent."""
        idle, self._idle = self._idle, []
        self._data, self._pool = None, None
        idle.clear()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        source = self._path or self._open_data().tobytes()
        return load, (source, self.threads, self._shapes or None, self._cpu_name)

    def _facts(self) -> dict[str, str]:
        """What repr and notebooks show besides inputs and outputs."""
        if self._data is None:
            return {"closed": "yes"}
        facts = {"file": f"{os.path.basename(self._path)} {self._data.size:,} bytes".strip(),
                 "threads": str(self.threads)}
        if self.states:
            facts["states"] = ", ".join(map(_tensor_text, self.states))
        if self._bound is None:
            return {**facts, "arena": "known when the dynamic axes are bound"}
        counts = Counter(n.operator for n in self.nodes()).most_common()
        return {**facts, "arena": f"{self.arena_bytes:,} bytes", "session": f"{self.session_bytes:,} bytes",
                "operators": ", ".join(f"{count} {name}" for name, count in counts)}

    def __repr__(self) -> str:
        facts = self._facts()
        facts.pop("operators", None)
        return (f"<wisp.Model {', '.join(map(_tensor_text, self.inputs))} -> "
                f"{', '.join(map(_tensor_text, self.outputs))}; {', '.join(f'{k} {v}' for k, v in facts.items())}>")

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = [("input", i) for i in map(_tensor_text, self.inputs)]
        rows += [("output", o) for o in map(_tensor_text, self.outputs)]
        rows += list(self._facts().items())
        cells = (f"<tr><th>{html.escape(key)}</th><td>{html.escape(value)}</td></tr>" for key, value in rows)
        return f"<table>{''.join(cells)}</table>"


def _integer(what: str, value: Any) -> int:
    """An int or a numpy integer."""
    try:
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f"{what} is {value!r}, expected an integer") from None


def _shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    try:
        dims = tuple(shape)
    except TypeError:
        raise ArgumentError(f"the shape of {name!r} is {shape!r}, expected a tuple of integers") from None
    dims = tuple(_integer(f"an extent of {name!r}", d) for d in dims)
    if not all(0 <= d < 1 << 31 for d in dims):
        raise ShapeError(f"the shape of {name!r} is {_text(dims)}, expected extents from 0 to {(1 << 31) - 1}")
    return dims


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


def _text(shape: Sequence[int | str | None]) -> str:
    return "[" + ",".join("?" if d is None else str(d) for d in shape) + "]"


def _tensor_text(info: TensorInfo) -> str:
    return f"{info.name}: {info.element_type or info.dtype}{_text(info.shape)}"
