"""What is true of a graph between passes. Run after every pass: a broken pass is caught where it broke."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .ir import Graph, Value
from .opcodes import MAX_RANK, opcodes


class GraphError(AssertionError):
    """A pass left the graph inconsistent: a bug of the converter, never of the model."""


def verify_graph(graph: Graph, after: str = "import") -> None:
    """Raise GraphError unless the graph is well formed.

    Every value is an input, a constant or the output of exactly one node, and is computed before it is read; outputs
    are computed, distinct and neither inputs nor constants; dtypes and shapes of constants fit their data; operators
    are in ops.def and have only its parameters.
    """
    def fail(message: str) -> None:
        raise GraphError(f"after {after}: {message}")

    computed = {id(v) for v in graph.inputs}
    for node in graph.nodes:
        opcode = opcodes().get(node.op)
        if opcode is None:
            fail(f"{node!r}: no such operator")
        unknown = set(node.attrs) - {name for _, name in opcode.params}
        if unknown:
            fail(f"{node!r}: no such parameter: {', '.join(sorted(unknown))}")
        for value in node.inputs:
            if value is not None and value.data is None and id(value) not in computed:
                fail(f"{node!r} reads {value!r} before it is computed")
        for value in node.outputs:
            if value is None:
                continue
            if value.data is not None or id(value) in computed:
                fail(f"{node!r} computes {value!r} again")
            computed.add(id(value))
    inputs, outputs = {id(v) for v in graph.inputs}, [id(v) for v in graph.outputs]
    for value in graph.outputs:
        if id(value) not in computed or id(value) in inputs:
            fail(f"output {value!r} is not computed by a node")
    if len(set(outputs)) != len(outputs):
        fail("an output is listed twice")
    for value in graph.values():
        problem = _problem(value)
        if problem:
            fail(f"{value!r}: {problem}")


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
