"""State the extents that ONNX's inference left open, where one prepare of the whole graph finds them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Sequence

from ..ir import Graph, Node, Value, bodies, captures
from .evaluate import find_shapes


def settle_shapes(graph: Graph, inputs: Sequence[Value] = (), before: Sequence[Node] = ()) -> None:
    """After: where all inputs are static, every extent that does not depend on data is stated, in bodies too.

    Of a body `inputs` and `before` are those of the graphs around it and their nodes before the owner: what it captures
    may say how its nodes are planned. One that captures is left alone without them.
    """
    inputs, nodes = [*inputs, *graph.inputs], [*before, *graph.nodes]
    whole = Graph(inputs, graph.outputs, nodes)
    unknown = [v for v in graph.values() if not v.is_static]
    if unknown and all(v.is_static for v in inputs) and not captures(whole):
        for value, shape in zip(unknown, find_shapes(whole, unknown)):
            value.shape = shape
    for index, node in enumerate(nodes[len(before):], len(before)):
        for body in bodies(node):
            settle_shapes(body, inputs, nodes[:index])
