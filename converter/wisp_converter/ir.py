"""The converter's graph: values, nodes, and the shapes and dtypes between them.

Operators are those of ops.def, spelled as in ONNX; spatial ones already work on NHWC (the importer writes transposes
around them, a pass cancels them). Weights stay plain numpy arrays until the `pack` pass lays them out for the kernels.

A node may own graphs, its bodies: Graphs among its `attrs`. The nodes of a body read its inputs, each other's results,
constants, and what was computed before the owner in a graph around it: that is captured, and counts as read by the
owner.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from .opcodes import opcodes

Dim = int | str | None
"""An extent: a number, the name of a symbolic axis of an input, or None when only the runtime can tell."""


@dataclass(frozen=True)
class Quant:
    """How a value is to be stored: real = scale * (stored - zero_point). Numbers, or tuples of one for each index of
    `axis`, or for each `block` indices of it."""

    dtype: np.dtype
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...]
    axis: int | None = None
    block: int = 0


@dataclass(eq=False, slots=True)
class Value:
    """A tensor. `data` makes it a constant. `scale` 0 means not quantized; real = scale * (stored - zero_point)."""

    name: str
    dtype: np.dtype
    shape: tuple[Dim, ...] | None
    data: np.ndarray | None = None
    scale: float = 0.0
    zero_point: int = 0
    layout: int = 0  # a LAYOUT_* of target/format.py; other than plain only after the pack pass
    dims: tuple[int, ...] | None = None  # logical dims of a packed constant; None: shape
    range: tuple[float, float] | None = None  # (low, high) that was observed; see quantize/
    quant: Quant | None = None  # annotated by quantize/assign.py, gone after quantize/lower.py

    @property
    def is_static(self) -> bool:
        return self.shape is not None and all(isinstance(d, int) for d in self.shape)

    def __repr__(self) -> str:
        dims = "?" if self.shape is None else "x".join("?" if d is None else str(d) for d in self.shape)
        return f"{self.name}:{self.dtype}[{dims}]{'=' if self.data is not None else ''}"


@dataclass(eq=False, slots=True)
class Node:
    """One operator. `attrs` hold the parameters of its line in ops.def; missing ones are 0 (see opcodes.DEFAULTS)."""

    op: str
    inputs: list[Value | None]
    outputs: list[Value]
    attrs: dict = field(default_factory=dict)
    name: str = ""

    def __repr__(self) -> str:
        return f"{self.op} {self.name!r} {self.inputs} -> {self.outputs}"


@dataclass(eq=False, slots=True)
class Graph:
    """Nodes in execution order. Inputs and outputs keep the source's names, shapes, dtypes and order.

    Methods look at this graph alone, unless they say otherwise: what a body computes is not seen from outside it.
    """

    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    metadata: dict = field(default_factory=dict)

    def values(self) -> Iterator[Value]:
        """Every value once that the graph's own nodes read (captures of their bodies too) or compute: inputs, then in
        order of appearance. In a body this includes what it captures."""
        seen: set[int] = set()
        for value in [*self.inputs, *(v for n in self.nodes for v in (*reads(n), *n.outputs)), *self.outputs]:
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                yield value

    def users(self) -> dict[Value, list[Node]]:
        """For every value the nodes that read it (a node twice if it reads it twice, and once if its bodies do)."""
        users: dict[Value, list[Node]] = {v: [] for v in self.values()}
        for node in self.nodes:
            for value in reads(node):
                users[value].append(node)
        return users

    def producers(self) -> dict[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}

    def copy(self) -> tuple[Graph, dict[Value, Value]]:
        """An independent graph (constants' data shared), and by the original each value of it and all inside it."""
        twin = {v: replace(v) for v in dict.fromkeys(v for g in all_graphs(self) for v in g.values())}
        return _with_values(self, twin), twin

    def may_replace(self, old: Value, new: Value) -> bool:
        """Whether reading `new` for `old` keeps each graph output a value of its own:
        computed here, no other output."""
        if not any(v is old for v in self.outputs):
            return True
        return any(v is new for n in self.nodes for v in n.outputs) and not any(v is new for v in self.outputs)


def bodies(node: Node) -> list[Graph]:
    """The graphs a node owns, in the order of its parameters."""
    return [node.attrs[name] for name in opcodes()[node.op].graphs]


def all_graphs(graph: Graph) -> list[Graph]:
    """The graph and all graphs inside it; each comes behind the one that owns it."""
    found = [graph]
    for owner in found:  # grows on the way
        found += [body for node in owner.nodes for body in bodies(node)]
    return found


def captures(graph: Graph) -> list[Value]:
    """What a body reads from the graphs around it; each value once, no constants."""
    own = {*graph.inputs, *(v for n in graph.nodes for v in n.outputs)}
    return list(dict.fromkeys(v for n in graph.nodes for v in reads(n) if v.data is None and v not in own))


def captured(node: Node) -> list[Value]:
    """What the bodies of a node capture; each value once."""
    return list(dict.fromkeys(v for body in bodies(node) for v in captures(body)))


def reads(node: Node) -> list[Value]:
    """The operands of a node, without those left out, and what its bodies capture."""
    return [*(v for v in node.inputs if v is not None), *captured(node)]


def _with_values(graph: Graph, twin: dict[Value, Value]) -> Graph:
    """A copy of the graph on other values."""
    nodes = []
    for node in graph.nodes:
        attrs = {k: _with_values(a, twin) if isinstance(a, Graph) else a for k, a in node.attrs.items()}
        inputs, outputs = ([twin.get(v) for v in values] for values in (node.inputs, node.outputs))
        nodes.append(Node(node.op, inputs, outputs, attrs, node.name))
    return Graph([twin[v] for v in graph.inputs], [twin[v] for v in graph.outputs], nodes, dict(graph.metadata))


def constant(name: str, data: np.ndarray, **fields) -> Value:
    """A constant value with the dtype and shape of `data`, which is not copied: it may be a view of any strides."""
    data = np.asarray(data)
    return Value(name, data.dtype, tuple(data.shape), data, **fields)


def row_blocks(rows: np.ndarray, elements: int = 1 << 20) -> Iterator[slice]:
    """Parts of the first axis with about that many elements each, for work whose temporary arrays should stay small."""
    step = max(1, elements * len(rows) // max(rows.size, 1))
    return (slice(start, start + step) for start in range(0, len(rows), step))
