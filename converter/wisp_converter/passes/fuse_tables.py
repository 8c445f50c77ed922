"""Bytes that stand for numbers, stored as bytes again: one table says what becomes of each byte."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, constant
from ..ops.quantize import bytes_of_table
from ..quantize.arithmetic import dequantize_linear, quantize_linear
from .edit import copy_node, only_user


def fuse_tables(graph: Graph) -> None:
    """After: no QuantizeLinear reads a DequantizeLinear or a Lookup, and no Lookup a Lookup that nothing else reads
    (unless each has tables along an axis). The bytes are the same."""
    producers, users = graph.producers(), graph.users()
    for i, node in enumerate(graph.nodes):
        made = producers.get((node.inputs or [None])[0])
        fused = None
        if made is not None and node.op == "QuantizeLinear":
            fused = _quantized(node, made)
        elif made is not None and node.op == made.op == "Lookup" and only_user(graph, users, made) is node:
            fused = _looked_up(node, made)
        if fused is not None:
            graph.nodes[i] = producers[node.outputs[0]] = fused


def _quantized(node: Node, made: Node) -> Node | None:
    x, stored = made.inputs[0], node.outputs[0]
    if made.op == "Lookup":
        return _lookup(node, made, quantize_linear(made.inputs[1].data, stored.scale, stored.zero_point, stored.dtype))
    if made.op != "DequantizeLinear":
        return None
    if (x.dtype, x.scale, x.zero_point) == (stored.dtype, stored.scale, stored.zero_point):
        return copy_node(x, stored)
    real = dequantize_linear(bytes_of_table(x.dtype), x.scale, x.zero_point)
    return _lookup(node, made, quantize_linear(real, stored.scale, stored.zero_point, stored.dtype))


def _looked_up(node: Node, made: Node) -> Node | None:
    first, second = made.inputs[1].data, node.inputs[1].data
    return _lookup(node, made, second[first.view(np.uint8) ^ 0x80]) if second.ndim == 1 else None


def _lookup(node: Node, made: Node, table: np.ndarray) -> Node:
    y: Value = node.outputs[0]
    attrs = dict(made.attrs) if table.ndim > 1 else {}
    return Node("Lookup", [made.inputs[0], constant(f"{y.name}.table", table)], [y], attrs, node.name)
