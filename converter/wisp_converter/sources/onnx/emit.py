"""What an importer function sees: one ONNX node, and how to add Wisp nodes for it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import GraphProto

from ...errors import UnsupportedError
from ...ir import Dim, Graph, Node, Value, constant
from .registry import DEFAULT_DOMAIN, find

NEWEST = 24  # operator set of ONNX
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass
class Emit:
    """One ONNX node being imported.

    `inputs`: its values, None where optional ones are left out. `outputs`: its values, with the dtypes and shapes of
    ONNX's shape inference; an optional output left out is None. `opset`: of the node's domain.
    `compute`: the data of a value that depends on constants only, or None. `body`: the Graph of a graph attribute,
    given dtype and shape of each of its inputs. Each importer must
    produce every output that is not None, by passing it in `outputs=` of a call (or through `alias`).
    """

    name: str
    op_type: str
    opset: int
    inputs: list[Value | None]
    outputs: list[Value | None]
    compute: Callable[[Value], np.ndarray | None] = lambda value: value.data
    body: Callable[[GraphProto, list[tuple[np.dtype, tuple[Dim, ...]]]], Graph] | None = None
    metadata: dict = field(default_factory=dict)  # of the model, such as labels; goes into the file
    texts: frozenset[Value] = frozenset()  # inputs that are strings in the source
    nodes: list[Node] = field(default_factory=list)
    aliases: dict[Value, Value] = field(default_factory=dict)
    shapes_wrong: bool = False  # ONNX's inference is: what follows is not believed either

    @property
    def out(self) -> Value:
        """The first output that is not left out."""
        return next(o for o in self.outputs if o is not None)

    def input(self, i: int) -> Value | None:
        """Input i, or None when left out."""
        return self.inputs[i] if i < len(self.inputs) else None

    def known(self, i: int) -> np.ndarray | None:
        """The data of input i if it depends on constants only (then it is computed now), or None."""
        value = self.input(i)
        return None if value is None else self.compute(value)

    def require(self, i: int, what: str) -> np.ndarray:
        """The constant data of input i; an UnsupportedError naming `what` if it depends on the model's inputs."""
        data = self.known(i)
        if data is None:
            raise self.unsupported(f"{what} must be a constant")
        return data

    def state_rank(self, rank: int | None) -> None:
        """How many axes the outputs have, for those where ONNX's inference does not know;
        the runtime finds the extents."""
        for value in self.outputs:
            if rank is not None and value is not None and value.shape is None:
                value.shape = (None,) * rank

    def state_type(self, dtype, shape: tuple[Dim, ...] | None, output: int = 0) -> None:
        """Of an output whose type ONNX's inference does not know, as of operators that are not ONNX's own."""
        value = self.outputs[output] if output < len(self.outputs) else None
        if value is not None:
            value.dtype = value.dtype or np.dtype(dtype)
            value.shape = shape if value.shape is None else value.shape

    def keep_type(self, output: int = 0) -> None:
        """As `state_type`: the output is like input 0."""
        self.state_type(self.inputs[0].dtype, self.inputs[0].shape, output)

    def state_shape(self, shape: tuple[Dim, ...]) -> None:
        """What the first output's shape is, whatever ONNX's inference says; None where that may know better."""
        known = self.out.shape or (None,) * len(shape)
        self.shapes_wrong |= any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in zip(shape, known))
        self.out.shape = tuple(b if a is None else a for a, b in zip(shape, known))

    def keep_rank(self) -> None:
        """As `state_rank`: the outputs have as many axes as input 0."""
        self.state_rank(self.rank_of(0))

    def open_extents(self, i: int) -> None:
        """Where a run computes input i, which says how the operator is planned, no extent is known before, though
        ONNX's inference may know it: the memory of such a graph is planned in the run."""
        if self.input(i) is not None and self.known(i) is None:
            for value in self.outputs:
                if value is not None and value.shape is not None:
                    value.shape = (None,) * len(value.shape)

    def rank_of(self, i: int) -> int | None:
        """How many axes input i has, if that is known."""
        value = self.input(i)
        return None if value is None or value.shape is None else len(value.shape)

    def length_of(self, i: int) -> int | None:
        """How many elements input i, a vector, has, if that is known."""
        value = self.input(i)
        return math.prod(value.shape) if value is not None and value.is_static else None

    def add_ranks(self, *parts: int | None) -> None:
        """As `state_rank`: the outputs have the sum of these axes, if all are known."""
        self.state_rank(None if None in parts else sum(parts))

    def add(self, op: str, inputs: list[Value | None], output: Value | None = None, *,
            shape: tuple[Dim, ...] | None = None, dtype=None, outputs: list[Value | None] | None = None,
            **attrs) -> Value:
        """Append a node and return its (first) output. Without `output` a new value is made from shape and dtype
        (dtype defaults to that of the first input)."""
        if outputs is None:
            if output is None:
                like = next(v for v in inputs if v is not None)
                output = Value(f"{self.out.name}.{len(self.nodes)}", np.dtype(dtype or like.dtype), shape)
            outputs = [output]
        self.nodes.append(Node(op, list(inputs), outputs, attrs, self.name))
        return outputs[0]

    def call(self, op_type: str, inputs: list[Value | None], output: Value | None = None, *, dtype=None,
             shape: tuple[Dim, ...] | None = None, domain: str = DEFAULT_DOMAIN, **attributes) -> Value:
        """What the importer of another operator makes of these inputs, as of operator set NEWEST. Without `output` a
        new value of this shape and dtype (default: that of the first input)."""
        output = output or Value(f"{self.out.name}.{len(self.nodes)}", np.dtype(dtype or inputs[0].dtype), shape)
        inner = replace(self, op_type=op_type, opset=NEWEST, inputs=inputs, outputs=[output])  # nodes, aliases shared
        find(domain, op_type)(inner, **attributes)
        self.shapes_wrong |= inner.shapes_wrong
        return self.aliases.get(output, output)

    def constant(self, data: np.ndarray, label: str = "c") -> Value:
        """A new constant operand; strings become their indices."""
        if data.dtype == object:
            data = self.indices_of(data)
        return constant(f"{self.out.name}.{label}{len(self.nodes)}", data)

    def cast(self, value: Value, dtype: np.dtype) -> Value:
        """The value as elements of `dtype`."""
        if value.dtype == dtype:
            return value
        if value.data is not None:
            return self.constant(value.data.astype(dtype))
        return self.add("Cast", [value], shape=value.shape, dtype=dtype)

    def alias(self, value: Value, output: Value | None = None) -> None:
        """The output (default: the first) simply is `value`."""
        self.aliases[output if output is not None else self.out] = value

    def to_nhwc(self, value: Value) -> Value:
        """A transposed copy of a rank 4 NCHW value."""
        return self.add("Transpose", [value], shape=permute(value.shape, TO_NHWC), perm=TO_NHWC)

    def to_nchw(self, value: Value, output: Value | None = None) -> Value:
        """Transpose a rank 4 NHWC value back, by default into the node's first output."""
        return self.add("Transpose", [value], output or self.out, perm=TO_NCHW)

    def indices_of(self, strings) -> np.ndarray:
        """What stands for strings, int64: see `indices_of`."""
        return indices_of(strings, self.metadata)

    def unsupported(self, why: str) -> UnsupportedError:
        return UnsupportedError(f"{self.op_type} {self.name!r}: {why}")


def indices_of(strings, metadata: dict) -> np.ndarray:
    """What stands for strings, int64: their places in the list `strings` of the metadata, which gets new ones."""
    strings = np.asarray(strings, object)
    known = metadata.setdefault("strings", [])
    places = {text: i for i, text in enumerate(known)}
    indices = [places.setdefault(text, len(places)) for text in strings.reshape(-1)]
    known += list(places)[len(known):]
    return np.array(indices, np.int64).reshape(strings.shape)


def permute(shape: tuple[Dim, ...] | None, perm: tuple[int, ...]) -> tuple[Dim, ...] | None:
    return None if shape is None else tuple(shape[p] for p in perm)
