"""Which nodes get an integer form: those that compute, then the cheap ones between them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import ops
from ..ir import Graph, Node, Value
from ..opcodes import has_trait

FLOAT = np.dtype(np.float32)


class Choice:
    """The nodes chosen, and for each that stays float why: `reasons`."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.reasons = graph, {}
        self.users, self.producers, self.outputs = graph.users(), graph.producers(), set(graph.outputs)
        self.nodes: set[Node] = set()

    def choose(self) -> None:
        """Choose anew; nodes with a reason are left out."""
        self.nodes = {n for n in self.graph.nodes if self.possible(n) and not is_follower(n)}
        changed = True
        while changed:
            changed = False
            for node in (*self.graph.nodes, *reversed(self.graph.nodes)):
                if node not in self.nodes and is_follower(node) and self.possible(node) and self.pays(node):
                    self.nodes.add(node)
                    changed = True

    def refuse(self, node: Node, reason: str) -> None:
        """The node stays float."""
        self.reasons[node] = reason
        self.nodes.discard(node)

    def possible(self, node: Node) -> bool:
        """Whether the node has an int8 form and its activations have ranges; else notes the reason."""
        if node in self.reasons:
            return False
        reason = None
        activations = [v for v in (*data_inputs(node), *node.outputs) if v is not None]
        if not any(v.dtype == FLOAT for v in node.outputs if v is not None):
            reason = "its result is not f32"
        elif not (ops.find("lower", node.op) or has_trait(node.op, "MOVES") or node.op in ops.tables()):
            reason = "the operator has no int8 form"
        elif any(v.dtype != FLOAT for v in activations):
            reason = "an operand is not f32"
        elif any(range_of(v) is None for v in activations):
            reason = "an activation is not finite, or was never computed in calibration"
        if reason:
            self.reasons[node] = reason
        return reason is None

    def pays(self, node: Node) -> bool:
        """A cheap node follows its neighbours: when all inputs come in int8, or all readers want it so and moving it
        costs nothing."""
        sources = [self.producers.get(v) for v in data_inputs(node) if v.data is None]
        if sources and all(s in self.nodes for s in sources):
            return True
        readers = [r for v in node.outputs for r in self.users.get(v, ())]
        wanted = (bool(readers) and all(r in self.nodes for r in readers)
                  and not any(v in self.outputs for v in node.outputs))
        return wanted and (has_trait(node.op, "MOVES") or any(s in self.nodes for s in sources))


def is_follower(node: Node) -> bool:
    """Not worth an int8 form by itself."""
    return has_trait(node.op, "MOVES") or has_trait(node.op, "ELEMENTWISE") or node.op in ops.tables()


def data_inputs(node: Node) -> list[Value]:
    """The inputs that would be int8: of operators that join and element-wise ones all, of others the first."""
    every = has_trait(node.op, "JOINS") or has_trait(node.op, "ELEMENTWISE")
    return [v for v in (node.inputs if every else node.inputs[:1]) if v is not None]


def range_of(value: Value) -> tuple[float, float] | None:
    """(low, high) of an activation, as observed, or of a constant; None where it is not finite."""
    if value.data is None:
        return value.range
    if value.data.dtype != FLOAT or not value.data.size or not np.isfinite(value.data).all():
        return None
    return float(value.data.min()), float(value.data.max())
