"""Values known at prepare live in session memory; a graph output must be in the arena: it becomes a copy."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph, Value
from ..target.plan import shape_values
from .edit import copy_node


def copy_shape_outputs(graph: Graph) -> None:
    """After: no graph output that other nodes read could be computed at prepare.
    Later passes must not remove copies."""
    users = graph.users()
    for value in shape_values(graph, keep=()):
        if value not in graph.outputs or not users[value]:
            continue
        copy = Value(value.name, value.dtype, value.shape)
        value.name = f"{value.name}.known"
        graph.outputs = [copy if v is value else v for v in graph.outputs]
        graph.nodes.append(copy_node(value, copy))
