"""Random graphs with branches, and what numpy makes of them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from wisp_converter.ir import Graph, Node, Value, constant

F32, BOOL = np.dtype(np.float32), np.dtype(bool)


class Drawn:
    """A random graph of views, in-place operators, joins, branches and others on (1, extent, 6) and (1, 1, 6)."""

    def __init__(self, seed: int, extent) -> None:
        self.draw, self.extent, self.count = np.random.default_rng(seed), extent, 0
        self.condition, x = Value("c", BOOL, ()), Value("x", F32, (1, extent, 6))
        nodes, known = self.nodes([x], int(self.draw.integers(8, 30)), 0)
        read_by = {v for n in nodes for v in n.inputs}
        self.graph = Graph([x, self.condition], [v for v in known if v not in read_by], nodes)

    def value(self, shape) -> Value:
        self.count += 1
        return Value(f"v{self.count}", F32, shape)

    def nodes(self, around: list[Value], count: int, depth: int) -> tuple[list[Node], list[Value]]:
        """Nodes that read each other and `around`, and what they compute."""
        nodes, made = [], []
        kinds = [k for k in NUMPY if k != "If" or depth < 2]
        for _ in range(count):
            known = around + made
            near = known[-4:] if self.draw.random() < 0.8 else known
            a, b = (near[int(self.draw.integers(len(near)))] for _ in range(2))
            kind = str(self.draw.choice(kinds))
            nodes += (self.add_if if kind == "If" else self.add)(kind, a, b, known, depth)
            made.append(nodes[-1].outputs[0])
        return nodes, made

    def add(self, kind: str, a: Value, b: Value, known: list[Value], depth: int) -> list[Node]:
        wide = a if a.shape[1] == self.extent else b
        inputs, attrs, shape = {
            "Add": ([a, b], {}, wide.shape),
            "Mul": ([a, b], {}, wide.shape),
            "Where": ([constant("mask", self.draw.random((1, 1, 6)) < 0.5), a, b], {}, wide.shape),
            "ReduceMax": ([a, constant("axes", np.int64([1]))], {"keepdims": 1}, (1, 1, 6)),
            "LayerNormalization": ([a, constant("scale", self.draw.random(6).astype(np.float32) + 1)],
                                   {"axis": -1, "epsilon": 1e-3}, a.shape),
            "Transpose": ([a], {"perm": (0, 2, 1)}, (1, 6, a.shape[1])),
            "Reshape": ([a], {"shape": (1, -1, 6)}, a.shape),
            "Concat": ([a, b], {"axis": 1},
                       (1, sum(v.shape[1] for v in (a, b)) if isinstance(self.extent, int) else None, 6)),
        }.get(kind, ([a], {}, a.shape))
        y = self.value(shape)
        nodes = [Node(kind, inputs, [y], attrs, y.name)]
        if kind == "Concat":  # the result has an extent of its own: back to one that goes with the others
            short = self.value((1, 1, 6))
            nodes.append(Node("ReduceMax", [y, constant("axes", np.int64([1]))], [short], {"keepdims": 1}, short.name))
        if kind == "Transpose":  # there and back, with something between
            turned, back = self.value(y.shape), self.value(a.shape)
            nodes += [Node("Relu", [y], [turned], {}, turned.name),
                      Node("Transpose", [turned], [back], attrs, back.name)]
        return nodes

    def add_if(self, kind: str, a: Value, b: Value, known: list[Value], depth: int) -> list[Node]:
        """Both branches compute something, and the node gives (1, 1, 6)."""
        y, bodies = self.value((1, 1, 6)), []
        for _ in range(2):
            nodes, made = self.nodes(known, int(self.draw.integers(1, 6)), depth + 1)
            last = self.value((1, 1, 6))
            nodes.append(Node("ReduceMax", [made[-1], constant("axes", np.int64([1]))], [last],
                              {"keepdims": 1}, last.name))
            bodies.append(Graph([], [last], nodes))
        return [Node("If", [self.condition], [y], {"then_branch": bodies[0], "else_branch": bodies[1]}, y.name)]

    def compute(self, x: np.ndarray, c: bool) -> dict[str, np.ndarray]:
        """What numpy makes of it."""
        values = {self.graph.inputs[0]: x}

        def run(graph: Graph) -> np.ndarray:
            for node in graph.nodes:
                if node.op == "If":
                    values[node.outputs[0]] = run(node.attrs["then_branch" if c else "else_branch"])
                else:
                    operands = (values[v] if v.data is None else v.data for v in node.inputs)
                    values[node.outputs[0]] = NUMPY[node.op](*operands)
            return values[graph.outputs[0]]

        run(self.graph)
        return {v.name: values[v] for v in self.graph.outputs}


def layer_norm(x, scale):
    wide = x.astype(np.float64)
    centred, deviation = wide - wide.mean(-1, keepdims=True), np.sqrt(wide.var(-1, keepdims=True) + 1e-3)
    return (centred / deviation * scale).astype(np.float32)


NUMPY = {"Relu": lambda x: np.maximum(x, 0), "Neg": np.negative, "Add": np.add, "Mul": np.multiply,
         "Reshape": lambda x: x, "Identity": lambda x: x, "Transpose": lambda x: x.transpose(0, 2, 1),
         "ReduceMax": lambda x, axes: x.max(axis=1, keepdims=True),
         "Concat": lambda a, b: np.concatenate([a, b], axis=1), "LayerNormalization": layer_norm,
         "Where": np.where, "If": None}
