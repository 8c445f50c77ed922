"""What a transposition of its inputs means to an operator: op(T(u)) = T'(op'(u)).

A permutation p stands for y = Transpose(u, p): y.shape[i] = u.shape[p[i]]; axis i of y is axis p[i] of u.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..ir import Node, Value, constant
from ..opcodes import has_trait
from .edit import is_known_one

Perm = tuple[int, ...]

_ELEMENT_BY_ELEMENT = {"Identity", "Cast", "BitCast", "QuantizeLinear", "DequantizeLinear", "IsNaN", "IsInf"}


@dataclass
class Sunk:
    """A node rewritten to read the untransposed input: `inputs[0]` is to be replaced by it; output i of the original
    is output i of this, transposed by `perms[i]`."""

    attrs: dict
    inputs: list[Value | None]
    perms: list[Perm]


def inverse(perm: Perm) -> Perm:
    return tuple(int(i) for i in np.argsort(perm))


def compose(first: Perm, second: Perm) -> Perm:
    """Transpose(Transpose(u, first), second) = Transpose(u, this)."""
    return tuple(first[i] for i in second)


def is_identity(perm: Perm) -> bool:
    return perm == tuple(range(len(perm)))


def moves_only_ones(shape, perm: Perm) -> bool:
    """Whether transposing a tensor of this shape leaves the order of its elements alone."""
    order = [p for p in perm if shape is None or not is_known_one(shape[p])]
    return shape is not None and order == sorted(order)


def is_elementwise(node: Node) -> bool:
    """Operators on elements at the same place, with numpy's broadcasting."""
    return has_trait(node.op, "ELEMENTWISE") or has_trait(node.op, "UNARY") or node.op in _ELEMENT_BY_ELEMENT


def sink(node: Node, perm: Perm) -> Sunk | None:
    """How a node with one data input (its first) reads u instead of Transpose(u, perm), or None if it cannot."""
    if is_elementwise(node) and len(node.inputs) == 1:
        return Sunk(dict(node.attrs), list(node.inputs), [perm])
    rule = _RULES.get(node.op)
    return rule(node, perm) if rule else None


def _axis(node: Node, perm: Perm) -> int:
    return perm[node.attrs.get("axis", 0) % len(perm)]


def _keep_axis(node: Node, perm: Perm) -> Sunk:
    return Sunk({**node.attrs, "axis": _axis(node, perm)}, list(node.inputs), [perm] * len(node.outputs))


def _arg_extreme(node: Node, perm: Perm) -> Sunk:
    out = perm if node.attrs.get("keepdims", 0) else _without(perm, {node.attrs.get("axis", 0) % len(perm)})
    return Sunk({**node.attrs, "axis": _axis(node, perm)}, list(node.inputs), [out])


def _reduce(node: Node, perm: Perm) -> Sunk | None:
    axes = node.inputs[1] if len(node.inputs) > 1 else None
    if axes is None or (axes.data is not None and axes.data.size == 0):
        if node.attrs.get("noop_with_empty_axes", 0):
            return Sunk(dict(node.attrs), list(node.inputs), [perm])
        return Sunk(dict(node.attrs), list(node.inputs), [perm if node.attrs.get("keepdims", 0) else ()])
    if axes.data is None:
        return None
    gone = {int(a) % len(perm) for a in axes.data.ravel()}
    moved = constant(axes.name, np.array(sorted(perm[a] for a in gone), axes.dtype))
    out = perm if node.attrs.get("keepdims", 0) else _without(perm, gone)
    return Sunk(dict(node.attrs), [node.inputs[0], moved], [out])


def _without(perm: Perm, gone: set[int]) -> Perm:
    """The permutation that is left when axes `gone` of y disappear from y and from u."""
    kept = [perm[i] for i in range(len(perm)) if i not in gone]
    return tuple(sorted(kept).index(p) for p in kept)


def _cumulative(node: Node, perm: Perm) -> Sunk | None:
    axis = node.inputs[1]
    if axis is None or axis.data is None:
        return None
    moved = constant(axis.name, np.full(axis.shape, perm[int(axis.data.ravel()[0]) % len(perm)], axis.dtype))
    return Sunk(dict(node.attrs), [node.inputs[0], moved], [perm])


def _pad(node: Node, perm: Perm) -> Sunk | None:
    pads, axes = node.inputs[1], node.inputs[3] if len(node.inputs) > 3 else None
    if pads.data is None or (axes is not None and axes.data is None):
        return None
    rank = len(perm)
    listed = range(rank) if axes is None else [int(a) % rank for a in axes.data.ravel()]
    count, moved = len(listed), np.zeros(2 * rank, np.int64)
    for i, axis in enumerate(listed):
        moved[perm[axis]], moved[rank + perm[axis]] = pads.data.ravel()[i], pads.data.ravel()[count + i]
    return Sunk(dict(node.attrs), [node.inputs[0], constant(pads.name, moved), *node.inputs[2:3]], [perm])


def _slice(node: Node, perm: Perm) -> Sunk | None:
    starts, axes = node.inputs[1], node.inputs[3] if len(node.inputs) > 3 else None
    if axes is not None and axes.data is None or not starts.is_static:
        return None
    listed = range(starts.shape[0]) if axes is None else [int(a) for a in axes.data.ravel()]
    moved = constant(f"{starts.name}.axes", np.array([perm[a % len(perm)] for a in listed], np.int64))
    return Sunk(dict(node.attrs), [*node.inputs[:3], moved, *node.inputs[4:]], [perm])


def _scaled(node: Node, perm: Perm) -> Sunk | None:
    """With one scale the axis means nothing."""
    axis = node.attrs.get("axis", 0)
    if node.attrs.get("block", 0):
        return None
    moved = perm[axis] if -len(perm) <= axis < len(perm) else axis
    return Sunk({**node.attrs, "axis": moved}, list(node.inputs), [perm])


_RULES = {
    **dict.fromkeys(("Quantize", "Dequantize"), _scaled),
    **dict.fromkeys(("Softmax", "LogSoftmax", "Split", "Lookup"), _keep_axis),
    **dict.fromkeys(("ArgMax", "ArgMin"), _arg_extreme),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
                     "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare"), _reduce),
    **dict.fromkeys(("CumSum", "CumProd"), _cumulative),
    "Pad": _pad,
    "Slice": _slice,
}
