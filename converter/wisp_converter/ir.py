"""The converter's graph: values, nodes, and the shapes and dtypes between them.

Operators are those of ops.def, spelled as in ONNX; spatial ones already work on NHWC (the importer writes transposes
around them, a pass cancels them). Weights stay plain numpy arrays until the `pack` pass lays them out for the kernels.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

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
    layout: int = 0  # a LAYOUT_* of format.py; other than plain only after the pack pass
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
    """Nodes in execution order. Inputs and outputs keep the source's names, shapes, dtypes and order."""

    inputs: list[Value]
    outputs: list[Value]
    nodes: list[Node]
    metadata: dict = field(default_factory=dict)

    def values(self) -> Iterator[Value]:
        """Every value once: inputs, then in order of appearance."""
        seen: set[int] = set()
        for value in [*self.inputs, *(v for n in self.nodes for v in (*n.inputs, *n.outputs)), *self.outputs]:
            if value is not None and id(value) not in seen:
                seen.add(id(value))
                yield value

    def users(self) -> dict[Value, list[Node]]:
        """For every value the nodes that read it (a node twice if it reads it twice)."""
        users: dict[Value, list[Node]] = {v: [] for v in self.values()}
        for node in self.nodes:
            for value in node.inputs:
                if value is not None:
                    users[value].append(node)
        return users

    def producers(self) -> dict[Value, Node]:
        return {value: node for node in self.nodes for value in node.outputs}

    def copy(self) -> tuple[Graph, dict[Value, Value]]:
        """An independent graph (constants' data shared), and each of its values by the original."""
        twin = {v: replace(v) for v in self.values()}
        nodes = [Node(n.op, [twin.get(v) for v in n.inputs], [twin.get(v) for v in n.outputs], dict(n.attrs), n.name)
                 for n in self.nodes]
        graph = Graph([twin[v] for v in self.inputs], [twin[v] for v in self.outputs], nodes, dict(self.metadata))
        return graph, twin

    def may_replace(self, old: Value, new: Value) -> bool:
        """Whether reading `new` for `old` keeps every graph output a value of its own (no input,
        constant or other output)."""
        if not any(v is old for v in self.outputs):
            return True
        return new.data is None and not any(v is new for v in (*self.inputs, *self.outputs))


def constant(name: str, data: np.ndarray, **fields) -> Value:
    """A constant value with the dtype and shape of `data`."""
    data = np.asarray(data, order="C")  # ascontiguousarray would give a scalar an axis
    return Value(name, data.dtype, tuple(data.shape), data, **fields)
