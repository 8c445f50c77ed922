"""GRU, LSTM and RNN of ONNX: one Gemm for the products of all inputs, one recurrent operator for each direction."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...target.format import round_up
from ...ir import Value
from ...target.layouts import PANEL
from .emit import Emit
from .registry import importer

DEFAULT_ACTIVATIONS = {"GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"], "RNN": ["Tanh"]}
DIRECTIONS = {"forward": (0,), "reverse": (1,), "bidirectional": (0, 1)}


@importer("GRU")
def GRU(emit: Emit, *, activation_alpha=None, activation_beta=None, activations=None, clip: float = 0.0,
        direction: str = "forward", hidden_size: int | None = None, layout: int = 0,
        linear_before_reset: int = 0) -> None:
    _check_activations(emit, activations)
    _recurrent(emit, direction, layout, {"clip": clip, "linear_before_reset": int(linear_before_reset != 0)}, states=1)


@importer("LSTM")
def LSTM(emit: Emit, *, activation_alpha=None, activation_beta=None, activations=None, clip: float = 0.0,
         direction: str = "forward", hidden_size: int | None = None, input_forget: int = 0, layout: int = 0) -> None:
    _check_activations(emit, activations)
    if input_forget:
        raise emit.unsupported("input_forget is not supported")
    _recurrent(emit, direction, layout, {"clip": clip}, states=2)


@importer("RNN")
def RNN(emit: Emit, *, activation_alpha=None, activation_beta=None, activations=None, clip: float = 0.0,
        direction: str = "forward", hidden_size: int | None = None, layout: int = 0) -> None:
    relu = bool(activations) and all(a == "Relu" for a in activations)
    if not relu:
        _check_activations(emit, activations)
    _recurrent(emit, direction, layout, {"clip": clip, "relu": int(relu)}, states=1)


def _check_activations(emit: Emit, activations) -> None:
    default = DEFAULT_ACTIVATIONS[emit.op_type]
    for i, name in enumerate(activations or ()):
        if name != default[i % len(default)]:
            raise emit.unsupported(f"activation {name!r} instead of {default[i % len(default)]} is not supported")


def _recurrent(emit: Emit, direction: str, layout: int, attrs: dict, states: int) -> None:
    """x (steps, batch, input) by each direction, the results side by side. `states`: 1 for h, 2 for h and c."""
    w, r = emit.require(1, "the weights W"), emit.require(2, "the weights R")
    b = np.zeros((len(w), 2 * w.shape[1]), np.float32) if emit.input(3) is None else emit.require(3, "the bias B")
    if emit.inputs[0].dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
    if direction not in DIRECTIONS:
        raise emit.unsupported(f"direction {direction!r} is not supported")
    x = emit.inputs[0] if not layout else _permute(emit, emit.inputs[0], (1, 0, 2))
    initial = [_initial(emit, 5 + i, layout, len(w)) for i in range(states)]
    peepholes = emit.input(7) if states == 2 else None
    if peepholes is not None:
        peepholes = emit.require(7, "the peepholes P")
    parts = []
    for d, reverse in enumerate(DIRECTIONS[direction]):
        inputs = _products(emit, x, w[d], r[d], b[d]) + [emit.input(4)] + [None if i is None else i[d] for i in initial]
        if peepholes is not None:
            inputs.append(emit.constant(_wide_gates(peepholes[d], r.shape[2]), "peepholes"))
        parts.append(_direction(emit, x, inputs, r.shape[2], {**attrs, "reverse": reverse}, states))
    _join(emit, parts, layout)


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
