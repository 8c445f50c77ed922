"""What the runtime knows about a graph: shapes, and constants, the same bytes on every host."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Dim, Graph, Node, Value, all_graphs
from ..target.pack import pack
from ..target.plan import plan_memory
from ..runner import Runner
from .copy_shape_outputs import copy_shape_outputs
from .edit import copy_node


def evaluate(nodes: list[Node], wanted: list[Value]) -> list[np.ndarray]:
    """The data of `wanted`, distinct values that `nodes` (in order) compute from constants alone,
    in one file and one run.

    UnsupportedError, naming the node, where the runtime refuses.
    """
    results = _load(Graph([], wanted, nodes)).run({})
    return [results[str(i)] for i in range(len(wanted))]


def find_shapes(graph: Graph, values: list[Value]) -> list[tuple[Dim, ...]]:
    """The shapes of distinct values of a graph with static inputs; None for an extent that only a run can tell.

    UnsupportedError, naming the node, where an extent that the graph states is not the one the runtime finds.
    """
    shapes = _load(Graph(graph.inputs, values, graph.nodes)).output_shapes()
    return [shapes[str(i)] for i in range(len(values))]


def _load(graph: Graph) -> Runner:
    """A copy of the graph whose outputs are called by their numbers."""
    graph, _ = graph.copy()
    for body in all_graphs(graph)[1:]:
        copy_shape_outputs(body)  # as the last pass does, but before shapes are asked for
    for i, value in enumerate(graph.outputs):  # each a value of its own, so that others may read it at prepare
        graph.outputs[i] = Value(str(i), value.dtype, value.shape)
        graph.nodes.append(copy_node(value, graph.outputs[i]))
    pack(graph)
    # scalar kernels on one thread: every host gets the same bytes
    return Runner.of(graph, plan_memory(graph), cpu="scalar")
