"""Patterns of nodes, written as expressions: "x * Sigmoid(alpha * x)".

A name stands for one value wherever it appears; those of NUMBERS for a number. `(m := ...)` names what is inside. Sums
and products match in every order and grouping: -, /, Neg, Reciprocal and small powers belong to them, their constants
are taken together. A call is a node: its operands, then its parameters, which are numbers. ReduceMean binds `axes`.
Of Reshape only what it reshapes is said: the shapes are for the one who asks.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..ir import Graph, Node, Value
from ..opcodes import DEFAULTS, opcodes
from .edit import clamp_range

NUMBERS = {"alpha", "epsilon"}
TOLERANCE = 1e-6  # relative, of numbers
NODES = ""  # key of what is bound: the nodes that were matched

Bound = dict[str, object]


@dataclass(frozen=True)
class Call:
    op: str
    operands: tuple


@dataclass(frozen=True)
class Named:
    name: str
    inside: object


@dataclass(frozen=True)
class Group:
    """A product (op Mul) or sum (Add) of a number, perhaps one that is to be bound, and parts or their inverses."""

    op: str
    number: float
    name: str | None
    parts: tuple


def parse(text: str):
    return _parsed(ast.parse(text.strip(), mode="eval").body)


def _parsed(tree: ast.expr):
    if isinstance(tree, ast.Name):
        return tree.id
    if isinstance(tree, ast.Constant):
        return float(tree.value)
    if isinstance(tree, ast.NamedExpr):
        return Named(tree.target.id, _parsed(tree.value))
    if isinstance(tree, ast.Call):
        return Call(tree.func.id, tuple(_parsed(a) for a in tree.args))
    if isinstance(tree, ast.UnaryOp):
        inside = _parsed(tree.operand)
        return -inside if isinstance(inside, float) else Group("Mul", -1.0, None, ((inside, False),))
    op = "Mul" if isinstance(tree.op, (ast.Mult, ast.Div, ast.Pow)) else "Add"
    number, name, parts = float(op == "Mul"), None, []
    for side, inverse in _sides(tree, op):
        part = _parsed(side)
        if isinstance(part, float):
            number = _joined(op, number, part, inverse)
        elif isinstance(part, str) and part in NUMBERS:
            name = part
        else:
            parts.append((part, inverse))
    return Group(op, number, name, tuple(parts))


def _sides(tree: ast.expr, op: str, inverse: bool = False) -> Iterator[tuple[ast.expr, bool]]:
    kinds = (ast.Mult, ast.Div) if op == "Mul" else (ast.Add, ast.Sub)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Pow):
        yield from [(tree.left, inverse)] * tree.right.value
    elif isinstance(tree, ast.BinOp) and isinstance(tree.op, kinds):
        yield from _sides(tree.left, op, inverse)
        yield from _sides(tree.right, op, inverse ^ isinstance(tree.op, (ast.Div, ast.Sub)))
    else:
        yield tree, inverse


def _joined(op: str, a: float, b: float, inverse: bool) -> float:
    if op == "Add":
        return a - b if inverse else a + b
    return a * b if not inverse else a / b if b else math.nan


def close(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= TOLERANCE * max(abs(a), abs(b))


def number_of(value: Value | None) -> float | None:
    """Of a constant with one element."""
    if value is None or value.data is None or value.data.size != 1 or value.data.dtype.kind not in "fiu":
        return None
    return float(value.data.reshape(()))


class Matcher:
    def __init__(self, graph: Graph) -> None:
        self.users, self.makers = graph.users(), graph.producers()
        self.outputs = set(graph.outputs)

    def match(self, pattern, node: Node) -> Bound | None:
        """What the names of a pattern stand for where it ends in this node; nothing else may read what is inside."""
        for bound in self.matches(pattern, node.outputs[0], {NODES: ()}):
            nodes = {id(n) for n in bound[NODES]}
            inner = [v for n in bound[NODES] if n is not node for v in n.outputs if v is not None]
            if all(v not in self.outputs and all(id(u) in nodes for u in self.users[v]) for v in inner):
                return bound
        return None

    def matches(self, pattern, value: Value | None, bound: Bound) -> Iterator[Bound]:
        """Every way to bind names so that `value` is what the pattern says."""
        if isinstance(pattern, str):
            if bound.get(pattern, value) is value and value is not None:
                yield {**bound, pattern: value}
        elif isinstance(pattern, float):
            number = number_of(value)
            if number is not None and close(number, pattern):
                yield bound
        elif isinstance(pattern, Named):
            for found in self.matches(pattern.inside, value, bound):
                if found.get(pattern.name, value) is value:
                    yield {**found, pattern.name: value}
        elif isinstance(pattern, Group):
            for number, parts, nodes in self.groupings(pattern.op, value):
                yield from self.assign(pattern, number, parts, {**bound, NODES: (*bound[NODES], *nodes)})
        else:
            yield from self.calls(pattern, value, bound)

    def calls(self, pattern: Call, value: Value | None, bound: Bound) -> Iterator[Bound]:
        node = self.makers.get(value)
        if node is None or node.op != pattern.op or len(node.outputs) != 1:
            return
        bound = {**bound, NODES: (*bound[NODES], node)}
        if node.op == "ReduceMean":
            axes = _axes(node)
            if axes is None or bound.get("axes", axes) != axes:
                return
            yield from self.matches(pattern.operands[0], node.inputs[0], {**bound, "axes": axes})
            return
        count = 1 if node.op == "Reshape" else sum(v is not None for v in node.inputs)
        names = [name for kind, name in opcodes()[node.op].params if kind in "IF"]
        numbers = [node.attrs.get(name, DEFAULTS.get(name, 0)) for name in names]
        wanted = pattern.operands[count:]
        if len(pattern.operands) < count or len(wanted) not in (0, len(numbers)):
            return
        bound = {**bound, **{w: n for n, w in zip(numbers, wanted) if isinstance(w, str)}}
        if all(isinstance(w, str) or close(float(n), w) for n, w in zip(numbers, wanted)):
            yield from self.all_match(list(zip(pattern.operands[:count], node.inputs)), bound)

    def all_match(self, pairs: list, bound: Bound) -> Iterator[Bound]:
        if not pairs:
            yield bound
            return
        for found in self.matches(*pairs[0], bound):
            yield from self.all_match(pairs[1:], found)

    def assign(self, pattern: Group, number: float, parts: list, bound: Bound) -> Iterator[Bound]:
        if len(parts) != len(pattern.parts):
            return
        if pattern.name is None and not close(number, pattern.number):
            return
        if pattern.name is not None:
            rest = _joined(pattern.op, number, pattern.number, True)
            if not close(bound.get(pattern.name, rest), rest):
                return
            bound = {**bound, pattern.name: rest}
        yield from self.permute(list(pattern.parts), parts, bound)

    def permute(self, wanted: list, parts: list, bound: Bound) -> Iterator[Bound]:
        if not wanted:
            yield bound
            return
        pattern, inverse = wanted[0]
        for i, (value, inverted) in enumerate(parts):
            if inverse == inverted:
                for found in self.matches(pattern, value, bound):
                    yield from self.permute(wanted[1:], parts[:i] + parts[i + 1:], found)

    def groupings(self, op: str, value: Value) -> Iterator[tuple[float, list, list]]:
        """A value as a number and parts: itself, or what its node joins."""
        number, parts, nodes = self.expand(op, value, False, True)
        if nodes:
            yield number, parts, nodes
        yield float(op == "Mul"), [(value, False)], []

    def expand(self, op: str, value: Value, inverse: bool, is_root: bool) -> tuple[float, list, list]:
        identity, number, node = float(op == "Mul"), number_of(value), self.makers.get(value)
        if number is not None:
            return _joined(op, identity, number, inverse), [], []
        alone = is_root or (len(self.users[value]) == 1 and value not in self.outputs)
        sides = _joined_sides(op, node) if alone and node is not None else None
        if sides is None:
            return identity, [(value, inverse)], []
        number, parts, nodes = identity, [], [node]
        if op == "Mul" and node.op == "Neg":
            number = -1.0
        for side, inverted in sides:
            more, inner, below = self.expand(op, side, inverse ^ inverted, False)
            number, parts, nodes = _joined(op, number, more, False), parts + inner, nodes + below
        return number, parts, nodes


def _joined_sides(op: str, node: Node) -> list[tuple[Value, bool]] | None:
    """What a node multiplies (or adds), and whether it is the inverse that counts; None for other nodes."""
    if clamp_range(node) != (-np.inf, np.inf):
        return None
    a = node.inputs[0] if node.inputs else None
    if node.op in (("Mul", "Div") if op == "Mul" else ("Add", "Sub")):
        return [(a, False), (node.inputs[1], node.op in ("Div", "Sub"))]
    if node.op == "Neg":
        return [(a, op == "Add")]
    if op == "Mul" and node.op == "Reciprocal":
        return [(a, True)]
    if op == "Mul" and node.op == "Pow" and number_of(node.inputs[1]) in (2, 3):
        return [(a, False)] * int(number_of(node.inputs[1]))
    return None


def _axes(node: Node) -> tuple[int, ...] | None:
    x, axes = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if x.shape is None or axes is None or axes.data is None or not axes.data.size or not node.attrs.get("keepdims"):
        return None
    return tuple(sorted(int(a) % len(x.shape) for a in axes.data.reshape(-1)))
