"""Constants computed by the runtime: by scalar kernels on one thread, so that every host gets the same bytes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from . import format as fmt
from .ir import Graph, Node, Value, copy_node
from .pack import pack
from .plan import plan_memory
from .runner import Runner


def evaluate(nodes: list[Node], wanted: list[Value]) -> list[np.ndarray]:
    """The data of `wanted`, distinct values that `nodes` (in order) compute from constants alone, in one file and one run.

    UnsupportedError, naming the node, where the runtime refuses.
    """
    graph, _ = Graph([], wanted, nodes).copy()
    for i, value in enumerate(graph.outputs):  # each a value of its own, so that others may read it at prepare
        graph.outputs[i] = Value(str(i), value.dtype, value.shape)
        graph.nodes.append(copy_node(value, graph.outputs[i]))
    pack(graph)
    results = Runner(fmt.write(graph, plan_memory(graph)), cpu="scalar").run({})
    return [results[value.name] for value in graph.outputs]
