"""What is true of a graph between passes. Run after every pass: a broken pass is caught where it broke."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .ir import Graph, Node, Value, all_graphs, bodies
from .opcodes import MAX_DEPTH, MAX_RANK, opcodes


class GraphError(AssertionError):
    """A pass left the graph inconsistent: a bug of the converter, never of the model."""


def verify_graph(graph: Graph, after: str = "import") -> None:
    """Raise GraphError unless the graph and all inside it are well formed.

    A graph has one owner. Every value is an input, a constant or the output of exactly one node of one graph. A node
    reads constants, what is an input of its graph or computed there before it, and what its graph's owner may read.
    Outputs of a graph are computed by its nodes and distinct. Graphs are at most MAX_DEPTH deep. Operators are in
    ops.def and have only its parameters; those of kind G hold a graph, others none. dtypes and shapes of constants fit
    their data.
    """
    try:
        _check_graph(graph, set(), set(), 1)
        for value in (v for g in all_graphs(graph) for v in g.values()):
            if problem := _problem(value):
                raise GraphError(f"{value!r}: {problem}")
    except GraphError as error:
        raise GraphError(f"after {after}: {error}") from None


def _check_graph(graph: Graph, known: set[Value], made: set[Value | Graph], depth: int) -> None:
    """`known`: what graphs around compute before the owner. `made`: all graphs and values met so far; added to."""
    if depth > MAX_DEPTH:
        raise GraphError(f"graphs inside graphs, deeper than {MAX_DEPTH}")
    if graph in made:
        raise GraphError("a graph has two owners")
    made.add(graph)
    known, own = {*known, *graph.inputs}, set()
    _make(graph.inputs, made, "an input")
    for node in graph.nodes:
        _check_parameters(node)
        for value in node.inputs:
            if value is not None and value.data is None and value not in known:
                raise GraphError(f"{node!r} reads {value!r} before it is computed")
        for body in bodies(node):
            _check_graph(body, known, made, depth + 1)
        results = [v for v in node.outputs if v is not None]
        _make(results, made, repr(node))
        known.update(results)
        own.update(results)
    for value in graph.outputs:
        if value not in own:
            raise GraphError(f"output {value!r} is not computed by a node of its graph")
    if len(set(graph.outputs)) != len(graph.outputs):
        raise GraphError("an output is listed twice")


def _make(values: list[Value], made: set[Value | Graph], by: str) -> None:
    for value in values:
        if value.data is not None or value in made:
            raise GraphError(f"{by} computes {value!r} again")
        made.add(value)


def _check_parameters(node: Node) -> None:
    opcode = opcodes().get(node.op)
    if opcode is None:
        raise GraphError(f"{node!r}: no such operator")
    unknown = set(node.attrs) - {name for _, name in opcode.params}
    if unknown:
        raise GraphError(f"{node!r}: no such parameter: {', '.join(sorted(unknown))}")
    for kind, name in opcode.params:
        if isinstance(node.attrs.get(name), Graph) != (kind == "G"):
            raise GraphError(f"{node!r}: parameter {name} must {'' if kind == 'G' else 'not '}be a graph")


def _problem(value: Value) -> str | None:
    if not isinstance(value.dtype, np.dtype):
        return "dtype is no numpy dtype"
    if value.shape is not None and len(value.shape) > MAX_RANK:
        return f"rank {len(value.shape)} is above {MAX_RANK}"
    if value.data is not None and value.layout == 0:
        if value.data.dtype != value.dtype or tuple(value.data.shape) != value.shape:
            return "dtype or shape differ from the data's"
    if value.scale and value.dtype.kind not in "iu":
        return "a scale on a value that is no integer"
    return None
