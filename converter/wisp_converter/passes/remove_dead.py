"""Drop nodes whose results nobody reads."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph, reads


def remove_dead(graph: Graph) -> None:
    """After: every node computes a graph output or something a later node reads. Inputs stay, used or not."""
    live, kept = set(graph.outputs), []
    for node in reversed(graph.nodes):
        if any(v in live for v in node.outputs if v is not None):
            live.update(reads(node))
            kept.append(node)
    graph.nodes = kept[::-1]
