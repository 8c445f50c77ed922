"""Move transposes down through the graph until they meet their inverses and vanish.

One walk from inputs to outputs keeps every transposition pending as long as operators allow it: a value is then known
as (u, p), meaning Transpose(u, p). Pending transpositions compose; a Transpose node is written only where something
insists on the value itself. That can duplicate a transpose that sinks into several branches, so several strategies are
tried on copies of the nodes and the cheapest result is kept, never one with more transposes than before.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math


from ..ir import Graph, Node, Value, captured, constant
from .edit import is_known_one, reshape_node
from .permute import Perm, compose, inverse, is_elementwise, is_identity, moves_only_ones, sink


def cancel_transposes(graph: Graph) -> None:
    """After: no Transpose reads a Transpose, is the identity, or moves extents of 1 only; there are at most as many
    Transpose nodes as before."""
    if count_transposes(graph) == 0:
        return
    tries = [_Walk(graph, careful, lift).run() for careful in (False, True) for lift in (False, True)]
    best = min(tries, key=_cost)
    # At equal cost the sunk transposes win: Conv then meets the Mul, Add or Relu that follows it.
    if _cost(best) <= _cost(graph.nodes):
        graph.nodes = best


def _cost(nodes: list[Node]) -> tuple[int, float]:
    """Transposes, and the elements they move."""
    moved = [v for n in nodes if n.op == "Transpose" for v in n.outputs]
    return len(moved), sum(_elements(v) for v in moved)


def _elements(value: Value) -> float:
    return math.prod(d if isinstance(d, int) else 100 for d in value.shape or (1000,))


class _Walk:
    """`careful`: sink only what has no other reader, so that nothing is ever duplicated. `lift`: where a pending value
    meets an ordinary one, transpose the ordinary one rather than the pending one."""

    def __init__(self, graph: Graph, careful: bool, lift: bool) -> None:
        self.graph, self.careful, self.lift = graph, careful, lift
        self.users = graph.users()
        self.outputs = {*graph.outputs, *(v for n in graph.nodes for v in captured(n))}  # and what bodies insist on
        self.pending: dict[Value, tuple[Value, Perm]] = {}
        self.moved: dict[tuple[int, Perm], Value] = {}
        self.written: set[Value] = set()
        self.alive: list[Value] = []  # keeps the ids in `moved` valid
        self.nodes: list[Node] = []

    def run(self) -> list[Node]:
        for node in self.graph.nodes:
            if not self.sink_node(node):
                self.nodes.append(Node(node.op, [self.actual(v) for v in node.inputs], node.outputs,
                                       dict(node.attrs), node.name))
            for value in node.outputs:
                if value in self.outputs:
                    self.actual(value)
        return self.nodes

    # ---- values

    def actual(self, value: Value | None) -> Value | None:
        """The value itself: writes the pending transposition now, unless that was done before."""
        if value is None or value not in self.pending:
            return value
        u, perm = self.pending[value]
        if value in self.written:
            return value
        if is_identity(perm) and value not in self.outputs:
            return u
        known = self.moved.get((id(u), perm))
        if known is None or (known is not value and value in self.outputs):
            self.write_transpose(u, perm, value)
            known = value
        return known

    def write_transpose(self, u: Value, perm: Perm, value: Value) -> None:
        node = None
        if moves_only_ones(u.shape, perm):
            node = Node("Identity", [u], [value], {}, value.name) if is_identity(perm) and value in self.outputs \
                else reshape_node(u, value, value.name)
        self.nodes.append(node or Node("Transpose", [u], [value], {"perm": perm}, value.name))
        self.written.add(value)
        self.moved[id(u), perm] = value
        self.alive.append(u)

    def resolve(self, value: Value) -> tuple[Value, Perm]:
        """(u, perm) of any value; the identity for an ordinary one."""
        return self.pending.get(value) or (value, tuple(range(len(value.shape or ()))))

    def is_pending(self, value: Value | None) -> bool:
        return value is not None and value in self.pending and not is_identity(self.pending[value][1])

    def moved_to(self, value: Value, perm: Perm) -> Value:
        """Transpose(value, perm) as an actual value: computed now for a constant, written (once) otherwise."""
        key = id(value), perm
        if key not in self.moved:
            self.alive.append(value)
            if value.data is not None:
                self.moved[key] = constant(value.name, value.data.transpose(perm))
            else:
                result = Value(f"{value.name}.moved", value.dtype, tuple(value.shape[p] for p in perm),
                               scale=value.scale, zero_point=value.zero_point)
                self.write_transpose(value, perm, result)
        return self.moved[key]

    def may_sink(self, value: Value) -> bool:
        return not self.careful or (len(self.users.get(value, ())) == 1 and value not in self.outputs)

    # ---- nodes

    def sink_node(self, node: Node) -> bool:
        """Handle a node without writing its transposes; False if it insists on its inputs as they are."""
        if node.op == "Transpose":
            u, perm = self.resolve(node.inputs[0])
            return self.finish(node, node.outputs[0], u, compose(perm, tuple(node.attrs["perm"][:len(u.shape or ())])))
        pending = [v for v in node.inputs if self.is_pending(v)]
        if not pending or not all(self.may_sink(v) for v in pending) or any(v is None for v in node.outputs):
            return False
        if node.op == "Concat" or (is_elementwise(node) and len(node.inputs) > 1):
            return self.sink_many(node, self.pending[pending[0]][1])
        if pending != [node.inputs[0]]:
            return False
        u, perm = self.pending[node.inputs[0]]
        if node.op == "Reshape":
            return self.sink_reshape(node, u, perm)
        sunk = sink(node, perm)
        if sunk is None:
            return False
        self.emit(node, [u, *map(self.actual, sunk.inputs[1:])], sunk.attrs, sunk.perms)
        return True

    def finish(self, node: Node, output: Value, u: Value, perm: Perm) -> bool:
        if u.shape is None:
            return False
        self.pending[output] = u, perm
        return True

    def emit(self, node: Node, inputs: list[Value | None], attrs: dict, perms: list[Perm]) -> None:
        """Write the node in u's layout; its outputs become pending."""
        results = []
        for output, perm in zip(node.outputs, perms):
            if output.shape is None:
                shape = None
            else:
                back = inverse(perm)
                shape = tuple(output.shape[p] for p in back)
            result = Value(output.name, output.dtype, shape, scale=output.scale, zero_point=output.zero_point)
            results.append(result)
            self.pending[output] = result, perm
        self.nodes.append(Node(node.op, inputs, results, attrs, node.name))

    def sink_many(self, node: Node, perm: Perm) -> bool:
        """Element-wise with broadcasting, and Concat: all inputs must come in one layout."""
        rank = len(perm)
        if (any(v is None or v.shape is None for v in (*node.inputs, *node.outputs))
                or len(node.outputs[0].shape) != rank):
            return False
        plans = [self.plan_input(v, perm) for v in node.inputs]
        if any(p is None for p in plans):
            return False
        attrs = dict(node.attrs)
        if node.op == "Concat":
            attrs["axis"] = perm[attrs.get("axis", 0) % rank]
        self.emit(node, [p() for p in plans], attrs, [perm])
        return True

    def plan_input(self, value: Value, perm: Perm):
        """A function that gives `value` as the sunk node wants it, or None where that costs a transpose too many."""
        back = inverse(perm)
        u, own = self.resolve(value)
        if own == perm and len(value.shape) == len(perm):
            return lambda: u
        if all(is_known_one(d) for d in value.shape) and len(value.shape) <= len(perm) and not self.is_pending(value):
            return lambda: value  # broadcasts alike in every layout
        if len(value.shape) != len(perm):
            if value.data is None:
                return None
            wide = constant(value.name, value.data.reshape((1,) * (len(perm) - value.data.ndim) + value.data.shape))
            return lambda: self.moved_to(wide, back)
        total = compose(own, back)
        free = value.data is not None or moves_only_ones(u.shape, total) or (id(u), total) in self.moved
        return (lambda: self.moved_to(u, total)) if free or self.lift else None

    def sink_reshape(self, node: Node, u: Value, perm: Perm) -> bool:
        """A Reshape that only adds or drops extents of 1 commutes with a transposition of the others."""
        x, y = node.inputs[0], node.outputs[0]
        if not (x.is_static and y.is_static):
            return False
        kept_x = [i for i, d in enumerate(x.shape) if d != 1]
        kept_y = [j for j, d in enumerate(y.shape) if d != 1]
        if [x.shape[i] for i in kept_x] != [y.shape[j] for j in kept_y]:
            return False
        # The axes of y in u's order; where the 1s go does not matter, they move for free.
        rank_in_u = dict(zip(kept_y, (perm[i] for i in kept_x)))
        order = list(range(len(y.shape)))
        for j, k in zip(kept_y, sorted(kept_y, key=rank_in_u.get)):
            order[j] = k
        result = Value(y.name, y.dtype, tuple(y.shape[k] for k in order), scale=y.scale, zero_point=y.zero_point)
        self.nodes.append(Node("Reshape", [u], [result], {}, node.name))
        self.pending[y] = result, inverse(tuple(order))
        return True


def count_transposes(graph: Graph) -> int:
    return sum(n.op == "Transpose" for n in graph.nodes)
