"""Compute what depends on constants only, and what selects the known extents of shapes that are partly known."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..target.format import tensor_size
from ..ir import Graph, Node, Value, constant, reads
from .evaluate import evaluate

MAX_RESULT = 64 << 20
"""Bytes above which a computed constant is not worth its place in the file."""
MAX_RUN = 32 << 20
"""Bytes that one run reads and computes, unless a single node has more: they are in memory several times."""

# Operators that only move elements: run on a mask as well, they tell which results are known.
MOVES = frozenset({"Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast",
                   "Flatten", "Transpose"})


def fold_constants(graph: Graph, also: Iterable[Value] = ()) -> None:
    """After: no node reads constants only, but those that compute a graph output or more than MAX_RESULT bytes, and
    none selects only known extents of a Shape. `also`: values that are wanted though no node reads them."""
    kept = set(graph.outputs)
    depends: set[Value] = set()  # on constants only
    nodes = []
    for node in graph.nodes:
        results = [v for v in node.outputs if v is not None]
        if all(v.data is not None or v in depends for v in reads(node)) and \
                not any(v in kept or tensor_size(v) > MAX_RESULT for v in results):
            depends.update(results)
            nodes.append(node)
    inner = set(map(id, nodes))
    read = {v for node in graph.nodes if id(node) not in inner for v in reads(node)}.union(also)
    compute(nodes, [v for node in nodes for v in node.outputs if v in read])
    _fold_shapes(graph)
    graph.nodes = [n for n in graph.nodes if id(n) not in inner and not is_computed(n)]


def is_computed(node: Node) -> bool:
    """Whether all results of a node have become constants."""
    return all(v is None or v.data is not None for v in node.outputs)


def compute(nodes: list[Node], wanted: Iterable[Value]) -> None:
    """Make `wanted` constants, in place. `nodes`, in order, compute them from constants. One run, and one more for each
    time an operator needs integers from the run before: shapes, axes and the like must be known at prepare; and for
    every MAX_RUN bytes."""
    wanted = set(wanted)
    while nodes := [n for n in nodes if not is_computed(n)]:
        produced: set[Value] = set()
        ready, rest, size = [], [], 0
        for node in nodes:
            inputs = [v for v in reads(node) if v.data is None]
            more = sum(tensor_size(v) for v in (*reads(node), *node.outputs) if v is not None)
            if all(v in produced and not _may_be_shape(v) for v in inputs) and (not ready or size + more <= MAX_RUN):
                ready.append(node)
                size += more
                produced.update(v for v in node.outputs if v is not None)
            else:
                rest.append(node)
        needed = wanted.union(*map(reads, rest))
        values = [v for n in ready for v in n.outputs if v in needed and v is not None]
        if not ready:
            return
        for value, data in zip(values, evaluate(ready, values) if values else ()):
            set_data(value, data)
        nodes = rest


def _may_be_shape(value: Value) -> bool:
    return value.dtype.kind in "iu" and (value.shape is None or len(value.shape) <= 1)


def set_data(value: Value, data: np.ndarray) -> None:
    value.data, value.shape = np.asarray(data, order="C"), tuple(data.shape)


def _fold_shapes(graph: Graph) -> None:
    """A movement of partly known integers is known if all that it selects is: it is run on the values and on a mask."""
    forms: tuple[dict[Value, Value], ...] = ({}, {})  # of a partly known value: its values, and 1 where they are known
    nodes, moved = [], []
    outputs = set(graph.outputs)
    for node in graph.nodes:
        output = node.outputs[0]
        if node.op == "Shape" and node.inputs[0].shape is not None:
            dims = node.inputs[0].shape[slice(node.attrs.get("start", 0), node.attrs.get("end", None))]
            for form, fill in zip(forms, (lambda d: d if isinstance(d, int) else 0, lambda d: int(isinstance(d, int)))):
                form[output] = constant(output.name, np.array([fill(d) for d in dims], np.int64))
        elif node.op in MOVES and output not in outputs and _moves_shapes(node, forms[0]):
            for k, form in enumerate(forms):
                form[output] = Value(output.name, output.dtype, output.shape)
                inputs = [v if v is None else form.get(v) or _form(node, v, k) for v in node.inputs]
                nodes.append(Node(node.op, inputs, [form[output]], node.attrs, node.name))
            moved.append(output)
    if moved:
        wanted = [form[v] for v in moved for form in forms]
        compute(nodes, wanted)
        for value in moved:
            if forms[1][value].data.all():
                set_data(value, forms[0][value].data)


def _moves_shapes(node: Node, partial: dict[Value, Value]) -> bool:
    data, others = (node.inputs, []) if node.op == "Concat" else (node.inputs[:1], node.inputs[1:])
    return any(v in partial for v in data) and all(v in partial or v.data is not None for v in data) and \
        all(v is None or v.data is not None for v in others)


def _form(node: Node, value: Value, mask: int) -> Value:
    """A constant operand: where its elements are moved too, the mask says that all are known."""
    return constant(value.name, np.ones_like(value.data)) if mask and node.op == "Concat" else value
