"""Constant additions become biases: MatMul by a constant becomes Gemm, and an Add after Conv or Gemm goes into it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, constant
from .edit import channel_vector, only_user

FLOAT = np.dtype(np.float32)


def fuse_bias_add(graph: Graph) -> None:
    """Before: Conv and Gemm hold plain weights. After: no f32 MatMul has a constant matrix [k, n] on the right, and no
    Conv or Gemm without clamp is read only by an Add of a constant that varies along the last axis only."""
    for node in graph.nodes:
        if node.op == "MatMul":
            _to_gemm(node)
    users = graph.users()
    removed = set()
    for node in graph.nodes:
        if node.op not in ("Conv", "Gemm") or node.outputs[0].dtype != FLOAT or "min" in node.attrs or "max" in node.attrs:
            continue
        add = only_user(graph, users, node)
        while add is not None and add.op == "Add" and not ("min" in add.attrs or "max" in add.attrs):
            vector = channel_vector(add, node.outputs[0])
            if vector is None:
                break
            bias = node.inputs[2].data if len(node.inputs) > 2 and node.inputs[2] is not None else np.float32(0)
            node.inputs = [*node.inputs[:2], constant(f"{node.outputs[0].name}.bias", (bias + vector).astype(FLOAT))]
            node.outputs = add.outputs
            removed.add(id(add))
            add = only_user(graph, users, node)
    graph.nodes = [n for n in graph.nodes if id(n) not in removed]


def _to_gemm(node: Node) -> None:
    x, matrix = node.inputs
    if matrix.data is None or x.data is not None or matrix.dtype != FLOAT or len(matrix.shape) != 2:
        return
    if not x.shape or not all(matrix.shape):
        return
    node.op = "Gemm"
    node.inputs = [x, constant(matrix.name, matrix.data.T), None]
