"""Common subexpressions: equal constants become one value, equal nodes one node."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

from ..ir import Graph, Node, Value
from ..target.format import digest
from .edit import rename


def merge_common(graph: Graph) -> None:
    """After: no two constants are equal, no two nodes compute the same (unless both are graph outputs)."""
    _merge_constants(graph)
    seen: dict[tuple, Node] = {}
    renamed: dict[Value, Value] = {}
    kept = []
    for node in graph.nodes:
        rename(node, renamed)
        first = seen.setdefault(_key(node), node)
        pairs = [(a, b) for a, b in zip(node.outputs, first.outputs) if a is not None and b is not None]
        if first is node or len(pairs) < len(node.outputs) or not all(graph.may_replace(a, b) for a, b in pairs):
            kept.append(node)
            continue
        for old, new in pairs:
            renamed[old] = new
            if old in graph.outputs:
                graph.outputs = [new if v is old else v for v in graph.outputs]
                new.name = old.name
    graph.nodes = kept


def _merge_constants(graph: Graph) -> None:
    constants = {v for n in graph.nodes for v in n.inputs if v is not None and v.data is not None}
    alike = Counter(map(_look, constants))
    seen: dict[tuple, Value] = {}
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if value is not None and value.data is not None and alike[look := _look(value)] > 1:
                node.inputs[i] = seen.setdefault((look, digest(value.data)), value)


def _look(value: Value) -> tuple:
    """What equal constants share, without a look at all their data."""
    return (value.dtype.str, value.shape, value.scale, value.zero_point, value.layout, value.dims,
            value.data.flat[:16].tobytes())


def _key(node: Node) -> tuple:
    attrs = tuple(sorted((k, tuple(v) if isinstance(v, (list, tuple)) else v) for k, v in node.attrs.items()))
    results = tuple(None if v is None else (v.dtype.str, v.shape, v.scale, v.zero_point) for v in node.outputs)
    return node.op, tuple(None if v is None else id(v) for v in node.inputs), attrs, results
