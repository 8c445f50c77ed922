"""Zero padding goes into the Conv after it, and into pools where that keeps every value."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value
from .edit import only_user
from .permute import inverse, sink


def fuse_pad(graph: Graph) -> None:
    """Before: spatial operators read NHWC. After: no constant zero Pad of height and width is read by Convs only, by an
    AveragePool that counts its padding, or (with -infinity) by a MaxPool only."""
    _pad_after_transposing(graph)
    producers, users = graph.producers(), graph.users()
    for node in graph.nodes:
        if node.op not in ("Conv", "AveragePool", "MaxPool"):
            continue
        pad = producers.get(node.inputs[0])
        if pad is None or pad.op != "Pad" or any(v is pad.outputs[0] for v in graph.outputs):
            continue
        amounts = _spatial_pads(pad)
        if amounts is not None and all(_takes(user, pad) for user in users[pad.outputs[0]]):
            _add(node, pad.inputs[0], amounts)
            if node.op == "AveragePool":  # sums may count zeros or not
                node.attrs["count"] = max(node.attrs.get("count", 0), 1)


def _pad_after_transposing(graph: Graph) -> None:
    """Transpose(Pad(x)) becomes Pad(Transpose(x)), so that the Pad stands right before its reader."""
    producers, users = graph.producers(), graph.users()
    for index, node in enumerate(graph.nodes):
        pad = producers.get(node.inputs[0]) if node.op == "Transpose" else None
        if pad is None or pad.op != "Pad" or only_user(graph, users, pad) is not node:
            continue
        perm = tuple(node.attrs["perm"][:len(pad.inputs[0].shape or ())])
        moved = sink(pad, inverse(perm))
        if moved is None or pad.inputs[0].shape is None:
            continue
        x = pad.inputs[0]
        transposed = Value(f"{x.name}.moved", x.dtype, tuple(x.shape[p] for p in perm), scale=x.scale,
                           zero_point=x.zero_point)
        result = node.outputs[0]
        graph.nodes[index] = Node("Pad", [transposed, *moved.inputs[1:]], [result], moved.attrs, pad.name)
        graph.nodes[graph.nodes.index(pad)] = Node("Transpose", [x], [transposed], {"perm": perm}, node.name)
        producers, users = graph.producers(), graph.users()


def _spatial_pads(pad: Node) -> dict[str, int] | None:
    """The pads by parameter name, or None if any is negative, on another axis, or the mode is not constant."""
    pads, axes = pad.inputs[1], pad.inputs[3] if len(pad.inputs) > 3 else None
    rank = len(pad.inputs[0].shape or ())
    if pad.attrs.get("mode", 0) != 0 or rank != 4 or pads.data is None or (axes is not None and axes.data is None):
        return None
    listed = list(range(rank)) if axes is None else [int(a) % rank for a in axes.data.ravel()]
    full = np.zeros((2, rank), np.int64)
    full[:, listed] = pads.data.reshape(2, len(listed))
    if (full < 0).any() or full[:, [0, 3]].any():
        return None
    return {"pad_top": int(full[0, 1]), "pad_left": int(full[0, 2]), "pad_bottom": int(full[1, 1]),
            "pad_right": int(full[1, 2])}


def _fill(pad: Node) -> float | None:
    """The value of the padding; None if it is not a constant."""
    value: Value | None = pad.inputs[2] if len(pad.inputs) > 2 else None
    if value is None:
        return 0.0
    return None if value.data is None or value.data.size != 1 else float(value.data.ravel()[0])


def _takes(user: Node, pad: Node) -> bool:
    """Whether a reader of the padded value can pad by itself and compute the same."""
    fill, own = _fill(pad), any(user.attrs.get(p, 0) for p in ("pad_top", "pad_left", "pad_bottom", "pad_right"))
    if user.inputs[0] is not pad.outputs[0] or user.attrs.get("same", 0):
        return False
    if user.op == "Conv":
        return fill == 0
    if user.op == "AveragePool":  # without padding of its own every window counts kernel_h * kernel_w values
        return (fill == 0 and not user.attrs.get("global", 0)
                and (not own or user.attrs.get("count", 0) > 0))
    if user.op == "MaxPool":
        return fill == -np.inf
    return False


def _add(node: Node, source: Value, amounts: dict[str, int]) -> None:
    node.inputs[0] = source
    for name, amount in amounts.items():
        node.attrs[name] = node.attrs.get(name, 0) + amount
