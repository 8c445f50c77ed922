"""Operators that move, cut or repeat values: their int8 forms, and what their integer operands mean."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..errors import UnsupportedError
from ..ir import Graph, Node, Value, constant
from .rules import Whole, accepts, lower, pack, takes

CONSTANT = 0  # the mode of Pad with a value of its own


def transpose_node(x: Value, y: Value, perm: tuple[int, ...]) -> Node:
    """Axis i of y is axis perm[i] of x."""
    return Node("Transpose", [x], [y], {"perm": perm}, y.name)


@accepts("Pad")
def accepts_Pad(node: Node) -> str | None:
    value = node.inputs[2] if len(node.inputs) > 2 and node.attrs["mode"] == CONSTANT else None
    return "the pad value is computed by the graph" if value is not None and value.data is None else None


@lower("Pad")
def lower_Pad(q, node: Node) -> None:
    """One scale for input and output; the padding becomes the stored value of its real one."""
    x, pads, value, axes = [*node.inputs, None, None][:4]
    y, fill = node.outputs[0], 0.0
    if value is not None and node.attrs["mode"] == CONSTANT:
        fill = float(value.data.reshape(()))
    scale, zero = q.scale(y)
    stored = constant(f"{y.name}.pad", np.array(np.clip(np.rint(fill / scale) + zero, -128, 127), np.int8))
    q.emit("Pad", [q.int8(x), pads, stored, axes], q.int8(y), **node.attrs)


@pack("Reshape")
def pack_Reshape(graph: Graph, node: Node) -> None:
    """Without a shape operand the file states the output's shape, of which one extent may be open."""
    shape = node.outputs[0].shape
    if len(node.inputs) > 1:
        return
    dims = None if shape is None else [d if isinstance(d, int) else -1 for d in shape]
    if dims is None or dims.count(-1) > 1 or -1 in dims and 0 in dims:
        raise UnsupportedError(f"Reshape {node.name!r}: more than one extent of its result is not known; "
                               "bind them with shapes=")
    node.attrs.update(shape=tuple(dims), allowzero=int(0 in dims))


@takes("Cast")
def takes_Cast(node: Node) -> dict[int, Value]:
    return {0: node.outputs[0]}


@takes("Gather", "GatherElements", "ScatterElements")
def takes_indices(node: Node) -> dict[int, Whole]:
    shape = node.inputs[0].shape
    return {} if shape is None else {1: Whole(shape[node.attrs.get("axis", 0)])}


@takes("GatherND", "ScatterND")
def takes_positions(node: Node) -> dict[int, Whole]:
    """Each position has a number for each of several axes: what all of these have room for."""
    shape, indices = node.inputs[0].shape, node.inputs[1].shape
    if shape is None or not indices or not isinstance(indices[-1], int):
        return {}
    start = node.attrs.get("batch_dims", 0)
    axes = shape[start:start + indices[-1]]
    known = [d for d in axes if isinstance(d, int)]
    return {1: Whole(min(known) if len(known) == len(axes) and known else 1)}


@takes("OneHot")
def takes_OneHot(node: Node) -> dict[int, Whole]:
    depth = node.inputs[1].data
    return {0: Whole(10 if depth is None else int(depth.reshape(()))), 1: Whole(first=10)}


@takes("Reshape")
def takes_Reshape(node: Node) -> dict[int, Whole]:
    rank = node.inputs[1].shape if len(node.inputs) > 1 else None
    return {1: Whole(values=(-1, *(1,) * (rank[0] - 1)))} if rank and isinstance(rank[0], int) and rank[0] else {}


@takes("Expand", "Tile")
def takes_extents(node: Node) -> dict[int, Whole]:
    return {1: Whole(first=1)}


@takes("ConstantOfShape")
def takes_ConstantOfShape(node: Node) -> dict[int, Whole]:
    return {0: Whole(first=2)}


@takes("Range")
def takes_Range(node: Node) -> dict[int, Whole]:
    return {0: Whole(), 1: Whole(first=8), 2: Whole(first=1)}


@takes("Slice")
def takes_Slice(node: Node) -> dict[int, Whole]:
    """From the first to the last: whatever reads the result has something to read."""
    return {1: Whole(), 2: Whole(first=2 ** 31 - 1), 4: Whole(first=1)}


@takes("Pad", "CumSum")
def takes_zeros(node: Node) -> dict[int, Whole]:
    return {1: Whole()}
