"""The passes, in order. Each is one function on a Graph in a module named after it; the graph is verified after each."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable

from ..ir import Graph
from ..verify_graph import verify_graph

PASSES: list[Callable[[Graph], None]] = []


def run_passes(graph: Graph, passes: list[Callable[[Graph], None]] | None = None) -> None:
    """Run the passes on the graph, in place, verifying it after each one."""
    verify_graph(graph)
    for function in PASSES if passes is None else passes:
        function(graph)
        verify_graph(graph, function.__name__)
