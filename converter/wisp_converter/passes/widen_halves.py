"""Keep float16 and bfloat16 at inputs and outputs only: no rounding between. Not in PASSES: it changes results."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, all_graphs, reads
from ..target.format import HALF


def rounds(graph: Graph) -> bool:
    """Whether some number is rounded to float16 or bfloat16 and computed with afterwards."""
    return any(v.dtype in HALF and v.data is None for n in graph.nodes if n.op == "Cast" for v in n.inputs
               if v not in graph.inputs)


def widen_halves(graph: Graph) -> None:
    """After: only inputs and outputs of the model are float16 or bfloat16, and what reads their bits; everything else
    is float32. Numbers that were rounded between operators no longer are."""
    nodes = [n for g in all_graphs(graph) for n in g.nodes]
    if any(n.op == "BitCast" and {n.inputs[0].dtype, n.outputs[0].dtype} & {*HALF} for n in nodes):
        return
    halves = dict.fromkeys(v for n in nodes for v in (*reads(n), *n.outputs) if v is not None and v.dtype in HALF)
    halves |= dict.fromkeys(v for v in (*graph.inputs, *graph.outputs) if v.dtype in HALF)
    first, last = ([_replace(values, i) for i, v in enumerate(values) if v.dtype in HALF]
                   for values in (graph.inputs, graph.outputs))
    graph.nodes = [*(_cast(half, wide) for half, wide in first), *graph.nodes,
                   *(_cast(wide, half) for half, wide in last)]
    for value in halves:
        value.dtype = np.dtype(np.float32)
        if value.data is not None:
            value.data = value.data.astype(np.float32)
    for node in nodes:
        if node.op == "Cast" and node.inputs[0].dtype == node.outputs[0].dtype:
            node.op, node.attrs = "Identity", {}


def _replace(values: list[Value], i: int) -> tuple[Value, Value]:
    """Put a new value, which takes the name, in the place of one; both."""
    wide = values[i]
    values[i] = Value(wide.name, wide.dtype, wide.shape)
    wide.name += ".wide"
    return values[i], wide


def _cast(x: Value, y: Value) -> Node:
    return Node("Cast", [x], [y], {}, f"{y.name}.cast")
