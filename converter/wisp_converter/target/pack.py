"""The last pass: weights into the layouts that the kernels read (format.h), by the pack rules of ops."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from .. import ops
from ..ir import Graph, all_graphs
from ..verify_graph import verify_graph


def pack(graph: Graph) -> None:
    """Replace plain weights by packed ones. Afterwards the graph can only be planned and written."""
    for one in all_graphs(graph):
        for node in one.nodes:
            function = ops.find("pack", node.op)
            if function is not None:
                function(one, node)
    verify_graph(graph, "pack")
