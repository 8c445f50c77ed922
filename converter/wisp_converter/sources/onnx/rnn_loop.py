"""GRU, LSTM and RNN where the runtime has no kernel: computed weights, other activations, coupled gates. One direction
becomes a Loop over the steps, or a few steps one behind the other, of plain operators."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...ir import Dim, Graph, Value
from .control import CONDITION, ITERATION
from .emit import Emit

ALPHA, BETA = ("alpha",), ("alpha", "beta")
TAKES = {"Affine": BETA, "Elu": ALPHA, "HardSigmoid": BETA, "LeakyRelu": ALPHA, "Relu": (), "ScaledTanh": BETA,
         "Sigmoid": (), "Softplus": (), "Softsign": (), "Tanh": (), "ThresholdedRelu": ALPHA}
DEFAULTS = {"Affine": (1.0, 0.0), "ScaledTanh": (1.0, 1.0)}  # of the others, the operators of these names know
TYPE = np.dtype(np.float32)
UNROLLED = 4  # steps for which no loop is made: those of streaming models


@dataclass(frozen=True)
class Activation:
    name: str
    parameters: tuple[tuple[str, float], ...] = ()

    def __call__(self, emit: Emit, x: Value) -> Value:
        given = dict(zip(BETA, DEFAULTS.get(self.name, ()))) | dict(self.parameters)
        if self.name not in DEFAULTS:
            return emit.call(self.name, [x], shape=x.shape, **given)
        alpha, beta = (emit.constant(TYPE.type(given[p]), p) for p in BETA)
        if self.name == "Affine":
            return emit.add("Add", [emit.add("Mul", [x, alpha], shape=x.shape), beta], shape=x.shape)
        inner = emit.add("Tanh", [emit.add("Mul", [x, beta], shape=x.shape)], shape=x.shape)
        return emit.add("Mul", [inner, alpha], shape=x.shape)


def read_activations(emit: Emit, names: list[str], alphas: list[float], betas: list[float]) -> list[Activation]:
    """What a node states; alphas and betas go, in order, to those that take one."""
    known = {name.lower(): name for name in TAKES}
    left = {"alpha": list(alphas), "beta": list(betas)}
    found = []
    for name in names:
        if name.lower() not in known:
            raise emit.unsupported(f"activation {name!r} is not supported")
        name = known[name.lower()]
        found.append(Activation(name, tuple((p, left[p].pop(0)) for p in TAKES[name] if left[p])))
    return found


@dataclass
class Direction:
    """One direction of a node. x: (steps, batch, input); w: (rows, input), r: (rows, hidden), rows: gates * hidden in
    ONNX's order; b: (2 * rows) or None; initial: (1, batch, hidden) of h, and of c, or None; peepholes: (3 * hidden) or
    None; lengths: (batch) or None; clip: 0 for none."""

    x: Value
    w: Value
    r: Value
    b: Value | None
    lengths: Value | None
    initial: list[Value | None]
    peepholes: Value | None
    activations: list[Activation]
    hidden: int
    reverse: bool
    clip: float = 0.0
    linear_before_reset: int = 0
    input_forget: int = 0


def loop(emit: Emit, d: Direction, label: str) -> list[Value]:
    """Results as ONNX has them for one direction: all h (steps, 1, batch, hidden), then the last h (1, batch, hidden)
    and the last c."""
    steps, batch = d.x.shape[:2]
    shape, op = (batch, d.hidden), emit.op_type
    x = _reversed(emit, d.x, d.lengths) if d.reverse else d.x
    product = emit.call("MatMul", [x, _turned(emit, d.w)], shape=(steps, batch, d.w.shape[0]))
    groups = [2, 1] if op == "GRU" and not d.linear_before_reset else [d.w.shape[0] // d.hidden]
    bias = [None] * len(groups)
    if d.b is not None:
        wb, *bias = _split(emit, d.b, [sum(groups) * d.hidden, *(n * d.hidden for n in groups)], 0)
        product = emit.add("Add", [product, wb], shape=product.shape)
    recurrent = [_turned(emit, r) for r in _split(emit, d.r, [n * d.hidden for n in groups], 0)]
    first = [_start(emit, d.x, value, shape) for value in d.initial]
    peep = [None] * 3 if d.peepholes is None else _split(emit, d.peepholes, [d.hidden] * 3, 0)
    lengths = d.lengths and emit.add("Cast", [d.lengths], shape=(batch,), dtype=np.int64)
    lengths = lengths and emit.add("Unsqueeze", [lengths, emit.constant(np.int64([1]), "axis")], shape=(batch, 1))

    cell = _Cell(d, op, shape, recurrent, bias, peep, lengths)
    if isinstance(steps, int) and steps <= UNROLLED:
        last, rows = _unrolled(emit, cell, product, first, steps)
    else:
        last, rows = _looped(emit, cell, product, first, label)
    rows = _reversed(emit, rows, d.lengths) if d.reverse else rows
    return [_widened(emit, rows, 1), *(_widened(emit, v, 0) for v in last)]


def _unrolled(emit: Emit, cell: _Cell, product: Value, state: list[Value], steps: int) -> tuple[list[Value], Value]:
    rows = []
    for t in range(steps):
        state, y = cell.step(emit, product, emit.constant(np.int64(t), "time"), state)
        rows.append(_widened(emit, y, 0))
    if not rows:
        return state, emit.constant(np.zeros((0, *cell.shape), TYPE), "rows")
    return state, rows[0] if steps == 1 else emit.add("Concat", rows, shape=(steps, *cell.shape), axis=0)


def _looped(emit: Emit, cell: _Cell, product: Value, first: list[Value], label: str) -> tuple[list[Value], Value]:
    inner = replace(emit, nodes=[], outputs=[Value(f"{emit.out.name}.{label}", TYPE, cell.shape)])
    name = inner.out.name
    time, go, on = (Value(f"{name}.{n}", *t) for n, t in (("i", ITERATION), ("go", CONDITION), ("on", CONDITION)))
    state = [Value(f"{name}.{n}", TYPE, cell.shape) for n, _ in zip("hc", first)]
    after, y = cell.step(inner, product, time, state)
    inner.add("Identity", [go], on)
    y = inner.add("Identity", [y], shape=cell.shape)  # an output of its own
    body = Graph([time, go, *state], [on, *after, y], inner.nodes)
    trips = emit.add("Shape", [product], shape=(1,), dtype=np.int64, end=1)
    last = [Value(f"{v.name}.last", TYPE, cell.shape) for v in state]
    rows = Value(f"{name}.rows", TYPE, (None, *cell.shape))
    emit.add("Loop", [trips, None, *first], outputs=[*last, rows], body=body)
    return last, rows


@dataclass
class _Cell:
    """One step on values of `shape`, (batch, hidden). `recurrent`, `bias`: of each group of gates that reads the same;
    `peepholes`: i, o, f; `lengths`: s64 (batch, 1). x: products by W of all gates, their bias added."""

    d: Direction
    op_type: str
    shape: tuple[Dim, ...]
    recurrent: list[Value]
    bias: list[Value | None]
    peepholes: list[Value | None]
    lengths: Value | None
    emit: Emit | None = None

    def step(self, emit: Emit, product: Value, time: Value, state: list[Value]) -> tuple[list[Value], Value]:
        """The next state, and the output: 0 behind a sequence's end."""
        self.emit = emit
        x = emit.add("Gather", [product, time], shape=(self.shape[0], product.shape[2]), axis=0)
        after = {"GRU": self.gru, "LSTM": self.lstm, "RNN": self.rnn}[self.op_type](x, *state)
        if self.lengths is None:
            return after, after[0]
        alive = emit.add("Less", [time, self.lengths], shape=(self.shape[0], 1), dtype=bool)
        y = self.op("Where", alive, after[0], emit.constant(TYPE.type(0), "zero"), dtype=TYPE)
        return [self.op("Where", alive, a, s, dtype=TYPE) for a, s in zip(after, state)], y

    def rnn(self, x: Value, h: Value) -> list[Value]:
        return [self.activate(0, self.op("Add", x, *self.products(0, h)))]

    def gru(self, x: Value, h: Value) -> list[Value]:
        update, reset, candidate = self.gates(x)
        products = self.products(0, h)
        z = self.activate(0, self.op("Add", update, products[0]))
        r = self.activate(0, self.op("Add", reset, products[1]))
        if self.d.linear_before_reset:
            part = self.op("Mul", r, products[2])
        else:
            part = self.products(1, self.op("Mul", r, h))[0]
        new = self.activate(1, self.op("Add", candidate, part))
        return [self.op("Add", self.op("Mul", self.less(z), new), self.op("Mul", z, h))]

    def lstm(self, x: Value, h: Value, c: Value) -> list[Value]:
        peep = self.peepholes
        into, out, forget, new = (self.op("Add", a, b) for a, b in zip(self.gates(x), self.products(0, h)))
        i = self.activate(0, self.seen(into, peep[0], c))
        f = self.less(i) if self.d.input_forget else self.activate(0, self.seen(forget, peep[2], c))
        cell = self.op("Add", self.op("Mul", f, c), self.op("Mul", i, self.activate(1, new)))
        o = self.activate(0, self.seen(out, peep[1], cell))
        return [self.op("Mul", o, self.d.activations[2](self.emit, cell)), cell]

    def op(self, name: str, *inputs: Value, **attrs) -> Value:
        return self.emit.add(name, list(inputs), shape=self.shape, **attrs)

    def less(self, gate: Value) -> Value:
        return self.op("Sub", self.emit.constant(TYPE.type(1), "one"), gate)

    def seen(self, gate: Value, peephole: Value | None, cell: Value) -> Value:
        return gate if peephole is None else self.op("Add", gate, self.op("Mul", cell, peephole))

    def activate(self, k: int, x: Value) -> Value:
        if self.d.clip > 0:
            x = self.op("Clip", x, min=-self.d.clip, max=self.d.clip)
        return self.d.activations[k](self.emit, x)

    def gates(self, rows: Value) -> list[Value]:
        return _split(self.emit, rows, [self.d.hidden] * (rows.shape[1] // self.d.hidden), 1)

    def products(self, group: int, h: Value) -> list[Value]:
        """By the recurrent weights of a group of gates, for each of them."""
        shape = (self.shape[0], self.recurrent[group].shape[1])
        product = self.emit.call("MatMul", [h, self.recurrent[group]], shape=shape)
        if self.bias[group] is not None:
            product = self.emit.add("Add", [product, self.bias[group]], shape=shape)
        return self.gates(product)


def _split(emit: Emit, value: Value, sizes: list[int], axis: int) -> list[Value]:
    if len(sizes) == 1:
        return [value]
    name, shape = f"{emit.out.name}.{len(emit.nodes)}", value.shape
    parts = [Value(f"{name}.{i}", value.dtype, (*shape[:axis], n, *shape[axis + 1:])) for i, n in enumerate(sizes)]
    emit.add("Split", [value, emit.constant(np.int64(sizes), "sizes")], outputs=parts, axis=axis)
    return parts


def _turned(emit: Emit, value: Value) -> Value:
    return emit.add("Transpose", [value], shape=value.shape[::-1], perm=(1, 0))


def _widened(emit: Emit, value: Value, axis: int) -> Value:
    """With an axis for the direction."""
    shape = (*value.shape[:axis], 1, *value.shape[axis:])
    return emit.add("Unsqueeze", [value, emit.constant(np.int64([axis]), "axis")], shape=shape)


def _start(emit: Emit, x: Value, value: Value | None, shape: tuple[Dim, ...]) -> Value:
    """The initial state, (batch, hidden)."""
    if value is not None:
        return emit.add("Squeeze", [value, emit.constant(np.int64([0]), "axis")], shape=shape)
    batch = emit.add("Shape", [x], shape=(1,), dtype=np.int64, start=1, end=2)
    extents = emit.add("Concat", [batch, emit.constant(np.int64([shape[1]]), "hidden")], shape=(2,), axis=0)
    return emit.add("ConstantOfShape", [extents, emit.constant(np.zeros(1, TYPE), "zero")], shape=shape, dtype=TYPE)


def _reversed(emit: Emit, value: Value, lengths: Value | None) -> Value:
    """From the last step of each sequence on; steps past its end stay where they are."""
    if lengths is not None:
        lengths = emit.add("Cast", [lengths], shape=lengths.shape, dtype=np.int64)
        return emit.call("ReverseSequence", [value, lengths], shape=value.shape)
    bounds = [emit.constant(np.int64([n])) for n in (-1, np.iinfo(np.int64).min, 0, -1)]
    return emit.add("Slice", [value, *bounds], shape=value.shape)
