"""Relu and Clip go into the Conv, ConvTranspose, Gemm or Add before them, as its clamp."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..ir import Graph, Node
from .edit import clamp_range, only_user

INTO = {"Conv", "ConvTranspose", "Gemm", "Add"}


def fuse_activation(graph: Graph) -> None:
    """After: no f32 Conv, ConvTranspose, Gemm or Add is read only by a Relu or a Clip."""
    users, removed = graph.users(), set()
    for node in graph.nodes:
        while node.op in INTO and node.outputs[0].dtype == np.float32:
            after = only_user(graph, users, node)
            bounds = None if after is None else _bounds(after)
            if bounds is None:
                break
            # clamp(clamp(x, a, b), c, d) = clamp(x, clamp(a, c, d), clamp(b, c, d)), also where c > d gives d
            low, high = (min(max(v, bounds[0]), bounds[1]) for v in clamp_range(node))
            node.attrs = {**node.attrs, "min": low, "max": high}
            node.outputs = after.outputs
            removed.add(id(after))
    graph.nodes = [n for n in graph.nodes if id(n) not in removed]


def _bounds(node: Node) -> tuple[float, float] | None:
    if node.op == "Relu":
        return 0.0, math.inf
    if node.op == "Clip" and len(node.inputs) == 1:
        return clamp_range(node)
    return None
