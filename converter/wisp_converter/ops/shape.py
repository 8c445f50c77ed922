"""Operators that move, cut or repeat values, in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..errors import UnsupportedError
from ..ir import Graph, Node, constant
from .rules import accepts, lower, pack

CONSTANT = 0  # the mode of Pad with a value of its own


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
