"""GRU, LSTM and RNN of ONNX: one Gemm for the products of all inputs, one recurrent operator for each direction;
rnn_loop.py does what these cannot."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...errors import ModelError
from ...ir import Value
from ...target.format import round_up
from ...target.layouts import PANEL
from .emit import Emit
from .registry import importer
from .rnn_loop import Activation, Direction, loop, read_activations

DEFAULT_ACTIVATIONS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}
DIRECTIONS = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}


@importer("GRU")
def GRU(emit: Emit, *, activation_alpha=(), activation_beta=(), activations=(), clip: float = 0.0,
        direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
        linear_before_reset: int = 0) -> None:
    stated = read_activations(emit, activations, activation_alpha, activation_beta)
    attrs = {"clip": clip, "linear_before_reset": int(linear_before_reset != 0)}
    _recurrent(emit, direction, layout, stated, attrs, states=1)


@importer("LSTM")
def LSTM(emit: Emit, *, activation_alpha=(), activation_beta=(), activations=(), clip: float = 0.0,
         direction: str = "forward", hidden_size: int | None = None, input_forget: int = 0, layout: int = 0) -> None:
    stated = read_activations(emit, activations, activation_alpha, activation_beta)
    attrs = {"clip": clip, **({"input_forget": 1} if input_forget else {})}
    _recurrent(emit, direction, layout, stated, attrs, states=2)


@importer("RNN")
def RNN(emit: Emit, *, activation_alpha=(), activation_beta=(), activations=(), clip: float = 0.0,
        direction: str = "forward", hidden_size: int | None = None, layout: int = 0) -> None:
    stated = read_activations(emit, activations, activation_alpha, activation_beta)
    _recurrent(emit, direction, layout, stated, {"clip": clip}, states=1)


def _recurrent(emit: Emit, direction: str, layout: int, stated: list[Activation], attrs: dict, states: int) -> None:
    """x (steps, batch, input) by each direction, the results side by side. `states`: 1 for h, 2 for h and c."""
    if emit.inputs[0].dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
    if direction not in DIRECTIONS:
        raise emit.unsupported(f"direction {direction!r} is not supported")
    turns = DIRECTIONS[direction]
    x = emit.inputs[0] if not layout else _permute(emit, emit.inputs[0], (1, 0, 2))
    initial = [_initial(emit, 5 + i, layout, len(turns)) for i in range(states)]
    activations = _by_direction(emit, stated, len(turns))
    make = _kernels if _has_kernel(emit, activations, attrs, states) else _loops
    _join(emit, make(emit, x, initial, turns, activations, attrs), layout)


def _by_direction(emit: Emit, stated: list[Activation], directions: int) -> list[list[Activation]]:
    default = [Activation(name) for name in DEFAULT_ACTIVATIONS[emit.op_type]]
    each = len(default)
    if len(stated) not in (0, each, each * directions):
        raise ModelError(f"it has {len(stated)} activations, expected {each} for each direction")
    return [stated[d * each:(d + 1) * each] or stated or default for d in range(directions)]


def _has_kernel(emit: Emit, activations: list[list[Activation]], attrs: dict, states: int) -> bool:
    """Whether the runtime's operators of these names do: constant weights, the default activations, or RNN's Relu."""
    names = [[a.name for a in each] for each in activations]
    default = DEFAULT_ACTIVATIONS[emit.op_type]
    usual = all(each == default or emit.op_type == "RNN" and each == ["Relu"] for each in names)
    weights = (1, 2, 3, 7) if states == 2 else (1, 2, 3)
    return usual and "input_forget" not in attrs and all(emit.input(i) is None or emit.known(i) is not None
                                                         for i in weights)


def _kernels(emit: Emit, x: Value, initial: list, turns: tuple[int, ...], activations: list[list[Activation]],
             attrs: dict) -> list[list[Value | None]]:
    w, r, b = emit.known(1), emit.known(2), emit.known(3)
    b = np.zeros((len(w), 2 * w.shape[1]), np.float32) if b is None else b
    peepholes = emit.known(7)
    parts = []
    for d, reverse in enumerate(turns):
        inputs = _products(emit, x, w[d], r[d], b[d]) + [emit.input(4)] + [None if i is None else i[d] for i in initial]
        if peepholes is not None:
            inputs.append(emit.constant(_wide_gates(peepholes[d], r.shape[2]), "peepholes"))
        relu = {"relu": int(activations[d][0].name == "Relu")} if emit.op_type == "RNN" else {}
        parts.append(_direction(emit, x, inputs, r.shape[2], {**attrs, **relu, "reverse": reverse}, len(initial)))
    return parts


def _loops(emit: Emit, x: Value, initial: list, turns: tuple[int, ...], activations: list[list[Activation]],
           attrs: dict) -> list[list[Value]]:
    weights = [_each_direction(emit, i, len(turns)) for i in (1, 2, 3, 7)]
    hidden = weights[1][0].shape[1]
    if not all(isinstance(n, int) for v in (weights[0][0], weights[1][0]) for n in v.shape):
        raise emit.unsupported("the shapes of the weights W and R must be known; bind them with shapes=")
    return [loop(emit, Direction(x, w, r, b, emit.input(4), [None if i is None else i[d] for i in initial], p,
                                 activations[d], hidden, bool(reverse), **attrs), f"{d}")
            for d, (reverse, w, r, b, p) in enumerate(zip(turns, *weights))]


def _each_direction(emit: Emit, i: int, directions: int) -> list[Value | None]:
    """Weights of each direction, without that axis."""
    value = emit.input(i)
    if value is None:
        return [None] * directions
    shape = value.shape[1:]
    return [emit.add("Gather", [value, emit.constant(np.int64(d), "direction")], shape=shape, axis=0)
            for d in range(directions)]


def _permute(emit: Emit, value: Value, perm: tuple[int, ...], output: Value | None = None) -> Value:
    return emit.add("Transpose", [value], output, shape=tuple(value.shape[p] for p in perm), perm=perm)


def _initial(emit: Emit, i: int, layout: int, directions: int) -> list[Value] | None:
    """The initial state for each direction, (1, batch, hidden)."""
    value = emit.input(i)
    if value is None:
        return None
    if layout:
        value = _permute(emit, value, (1, 0, 2))
    if directions == 1:
        return [value]
    parts = [Value(f"{emit.name}.initial{i}.{d}", value.dtype, (1, *value.shape[1:])) for d in range(directions)]
    emit.add("Split", [value], outputs=parts, axis=0)
    return parts


def _wide_gates(array: np.ndarray, hidden: int) -> np.ndarray:
    """Zeros behind the rows of each gate, up to whole panels."""
    parts = array.reshape(-1, hidden, *array.shape[1:]).astype(np.float32)
    padding = [(0, 0), (0, round_up(hidden, PANEL) - hidden)] + [(0, 0)] * (array.ndim - 1)
    return np.pad(parts, padding).reshape(-1, *array.shape[1:])


def _products(emit: Emit, x: Value, w: np.ndarray, r: np.ndarray, b: np.ndarray) -> list[Value]:
    """x * W + Wb of all steps, then R and Rb."""
    hidden = r.shape[1]
    w, r, from_input, from_state = (_wide_gates(a, hidden) for a in (w, r, *np.split(b, 2)))
    product = emit.add("Gemm", [x, emit.constant(w, "w"), emit.constant(from_input, "bias")],
                       shape=(*x.shape[:2], len(w)), min=-np.inf, max=np.inf)
    return [product, emit.constant(r, "r"), emit.constant(from_state, "bias")]


def _direction(emit: Emit, x: Value, inputs: list[Value | None], hidden: int, attrs: dict,
               states: int) -> list[Value | None]:
    steps, batch = x.shape[:2]
    shapes = [(steps, 1, batch, hidden)] + [(1, batch, hidden)] * states
    wanted = [i < len(emit.outputs) and emit.outputs[i] is not None for i in range(1 + states)]
    if not any(wanted):
        wanted[0] = True
    outputs = [Value(f"{emit.name}.y{len(emit.nodes)}.{i}", np.dtype(np.float32), s) if w else None
               for i, (s, w) in enumerate(zip(shapes, wanted))]
    emit.add(emit.op_type, inputs, outputs=outputs, **attrs)
    return outputs


def _join(emit: Emit, parts: list[list[Value | None]], layout: int) -> None:
    """Both directions into the node's outputs; layout 1 has the batch first."""
    for i, output in enumerate(emit.outputs):
        if output is None:
            continue
        axis, perm = (1, (2, 0, 1, 3)) if i == 0 else (0, (1, 0, 2))
        value = parts[0][i]
        if len(parts) == 2:
            shape = tuple(2 if k == axis else d for k, d in enumerate(value.shape))
            value = emit.add("Concat", [p[i] for p in parts], None if layout else output, shape=shape, axis=axis)
        if layout:
            _permute(emit, value, perm, output)
        elif len(parts) == 1:
            emit.alias(value, output)
