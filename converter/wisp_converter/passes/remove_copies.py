"""Drop nodes that change nothing, and join chains of Reshape."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Graph, Node, Value
from .edit import rename


def remove_copies(graph: Graph) -> None:
    """After: no Identity, no Reshape or Cast to what its input already is (except where a graph output must be a value
    of its own), and no Reshape of a Reshape."""
    producers = graph.producers()
    kept: list[Node] = []
    renamed: dict[Value, Value] = {}
    for node in graph.nodes:
        rename(node, renamed)
        if node.op == "Reshape":
            _skip_reshapes(node, producers)
        source, result = (node.inputs or [None])[0], node.outputs[0]
        if _is_copy(node) and graph.may_replace(result, source):
            renamed[result] = source
            if any(v is result for v in graph.outputs):
                graph.outputs = [source if v is result else v for v in graph.outputs]
                source.name = result.name
        else:
            kept.append(node)
    graph.nodes = kept


def _skip_reshapes(node: Node, producers: dict[Value, Node]) -> None:
    """Read what the Reshape before read: only the last shape counts. (A shape that copies extents by 0 looks at its
    input's, so only shapes stated by the file qualify.)"""
    before = producers.get(node.inputs[0])
    while len(node.inputs) == 1 and before is not None and before.op in ("Reshape", "Identity", "Squeeze",
                                                                         "Unsqueeze", "Flatten"):
        node.inputs = [before.inputs[0]]
        before = producers.get(node.inputs[0])


def _is_copy(node: Node) -> bool:
    if node.op == "Identity":
        return True
    if node.op not in ("Reshape", "Cast", "Expand", "Squeeze", "Unsqueeze") or node.inputs[0] is None:
        return False
    source, result = node.inputs[0], node.outputs[0]
    return (source.is_static and source.shape == result.shape and source.dtype == result.dtype
            and source.scale == result.scale)
