"""Small questions and steps that several passes share."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Dim, Graph, Node, Value, bodies, constant

Shape = tuple[Dim, ...]


def only_user(graph: Graph, users: dict[Value, list[Node]], node: Node) -> Node | None:
    """The node that alone reads the (single) output of `node`, or None. A graph output is also read by the caller."""
    if len(node.outputs) != 1 or any(v is node.outputs[0] for v in graph.outputs):
        return None
    readers = users.get(node.outputs[0], [])
    return readers[0] if len(readers) == 1 else None


def channel_vector(node: Node, value: Value) -> np.ndarray | None:
    """For a binary `node` of `value` and a constant: the constant as a vector along the last axis of `value`, or None
    if it varies along others, or if broadcasting changes the shape of `value`."""
    others = [v for v in node.inputs if v is not value]
    if len(node.inputs) != 2 or len(others) != 1 or others[0].data is None or not value.shape:
        return None
    data, channels = others[0].data, value.shape[-1]
    if data.ndim > len(value.shape) or not isinstance(channels, int):
        return None
    if any(d != 1 for d in data.shape[:-1]) or (data.ndim and data.shape[-1] not in (1, channels)):
        return None
    return np.broadcast_to(data.reshape(-1), (channels,)).copy()


def is_known_one(dim: Dim) -> bool:
    return isinstance(dim, int) and dim == 1


def reshape_node(value: Value, output: Value, name: str) -> Node | None:
    """A Reshape of `value` to the shape of `output`; None if more than one extent of it is unknown."""
    if output.is_static:
        return Node("Reshape", [value], [output], {}, name)
    if output.shape is None or sum(not isinstance(d, int) for d in output.shape) != 1 or 0 in output.shape:
        return None
    dims = np.array([d if isinstance(d, int) else -1 for d in output.shape], np.int64)
    return Node("Reshape", [value, constant(f"{output.name}.shape", dims)], [output], {}, name)


def clamp_range(node: Node) -> tuple[float, float]:
    """The clamp a node applies to its f32 result."""
    return node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf)


def copy_node(value: Value, copy: Value) -> Node:
    """A node that copies a value."""
    return Node("Identity", [value], [copy], name=copy.name)


def rename(node: Node, renamed: dict[Value, Value]) -> None:
    """Read other values for these, also in the node's bodies."""
    node.inputs = [renamed.get(v, v) for v in node.inputs]
    for body in bodies(node):
        for inner in body.nodes:
            rename(inner, renamed)
