"""What the operators of ai.onnx.ml share: rows of features, classes from scores, the transforms of scores."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Dim, Value
from .emit import Emit

ML = "ai.onnx.ml"


def rows_of(emit: Emit, x: Value) -> Value:
    """x as (rows, features); one row may come as a vector."""
    if len(x.shape) == 2:
        return x
    return emit.add("Reshape", [x, emit.constant(np.int64([1, -1]), "row")], shape=(1, *x.shape)[-2:])


def floats_of(emit: Emit, x: Value) -> Value:
    """x as float32: what these operators compute in, whatever numbers they take."""
    return x if x.dtype == np.float32 else emit.add("Cast", [x], shape=x.shape, dtype=np.float32)


def apply(emit: Emit, op: str, *operands: Value | np.ndarray, output: Value | None = None, dtype=None) -> Value:
    """An element-wise operator; arrays become constants. All operands broadcast."""
    values = [v if isinstance(v, Value) else emit.constant(np.asarray(v), "k") for v in operands]
    dtype = values[0].dtype if dtype is None else dtype
    return emit.add(op, values, output, shape=broadcast(*(v.shape for v in values)), dtype=dtype)


def broadcast(*shapes: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """The shape of an element-wise result."""
    rank = max(map(len, shapes))
    columns = zip(*((1,) * (rank - len(s)) + tuple(s) for s in shapes))
    return tuple(next((d for d in column if d != 1), 1) for column in columns)


def reduce(emit: Emit, op: str, x: Value, output: Value | None = None, keepdims: int = 1) -> Value:
    """Along the last axis."""
    shape = (*x.shape[:-1], 1) if keepdims else x.shape[:-1]
    return emit.add(op, [x, emit.constant(np.int64([-1]), "last")], output, shape=shape, keepdims=keepdims)


def classify(emit: Emit, scores: Value, labels: list, transform: str, positive: bool, alone: bool = False) -> None:
    """Outputs 0, the class, and 1, the transformed scores. One score decides between two classes, from 0.5 on where all
    that adds up to it is `positive`, else from 0 on; the other class has its opposite, or 0 where it stands `alone`.
    Labels that are strings become indices; `labels` in the file's metadata names the scores."""
    one = scores.shape[1] == 1
    if one:
        index = second_class(emit, scores, 0.5 if positive else 0)
        scores = two_scores(emit, scores, scores if alone else np.float32(1 if positive else 0))
    else:
        index = emit.add("ArgMax", [scores], shape=scores.shape[:1], dtype=np.int64, axis=1)
    name_classes(emit, index, labels)
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        known = one and positive and not alone and transform == "LOGISTIC"
        finish_scores(emit, scores, "NONE" if known else transform, emit.outputs[1])


def second_class(emit: Emit, scores: Value, limit: float) -> Value:
    """Of two classes the index, (rows,): 1 where the only score (rows, 1) is above the limit."""
    above = apply(emit, "Greater", scores, np.float32(limit), dtype=bool)
    index = emit.add("Cast", [above], shape=scores.shape, dtype=np.int64)
    return emit.add("Reshape", [index, emit.constant(np.int64([-1]), "flat")], shape=scores.shape[:1])


def two_scores(emit: Emit, scores: Value, whole: Value | np.ndarray) -> Value:
    """The only score (rows, 1) and, before it, what it lacks to the whole."""
    return emit.add("Concat", [apply(emit, "Sub", whole, scores), scores], shape=(scores.shape[0], 2), axis=1)


def name_classes(emit: Emit, index: Value, labels: list) -> None:
    """Output 0: the labels of classes, by their index (rows,)."""
    emit.state_type(np.int64, index.shape)
    if emit.outputs[0] is not None:
        emit.outputs[0].dtype = np.dtype(np.int64)
        if isinstance(labels[0], str):
            emit.metadata["labels"] = list(labels)
        numbers = emit.indices_of(labels) if isinstance(labels[0], str) else np.int64(labels)
        if np.array_equal(numbers, np.arange(len(labels))):
            emit.alias(index, emit.outputs[0])
        else:
            emit.add("Gather", [emit.constant(numbers, "labels"), index], emit.outputs[0])


def finish_scores(emit: Emit, scores: Value, transform: str, output: Value) -> None:
    """The output from scores (rows, targets)."""
    shape = scores.shape
    if output.dtype is not None and output.dtype != scores.dtype:
        wide = output
        output = Value(f"{wide.name}.scores", scores.dtype, shape)
        finish_scores(emit, scores, transform, output)
        emit.add("Cast", [emit.aliases.pop(output, output)], wide)
        return
    output.dtype, output.shape = scores.dtype, shape if output.shape is None else output.shape
    if transform == "NONE":
        emit.alias(scores, output)
    elif transform == "SOFTMAX":
        emit.add("Softmax", [scores], output, axis=-1)
    elif transform == "LOGISTIC":
        emit.add("Sigmoid", [scores], output)
    elif transform == "SOFTMAX_ZERO":
        _softmax_zero(emit, scores, output)
    elif transform == "PROBIT":
        # sqrt(2) * inverse of erf at 2 x - 1, by Winitzki's formula: as ONNX Runtime has it
        def compute(op: str, *operands: Value | float) -> Value:
            return apply(emit, op, *(np.float32(v) if isinstance(v, float) else v for v in operands))
        a = 0.147
        z = compute("Sub", compute("Mul", scores, 2.0), 1.0)
        log = compute("Log", compute("Mul", compute("Sub", 1.0, z), compute("Add", 1.0, z)))
        half = compute("Add", compute("Mul", log, 0.5), 2 / (math.pi * a))
        root = compute("Sqrt", compute("Sub", compute("Mul", half, half), compute("Mul", log, 1 / a)))
        size = compute("Sqrt", compute("Sub", root, half))
        apply(emit, "Mul", compute("Mul", compute("Sign", z), size), np.float32(math.sqrt(2)), output=output)
    else:
        raise emit.unsupported(f"post_transform {transform!r}")


def _softmax_zero(emit: Emit, scores: Value, output: Value) -> None:
    """Softmax of the scores that are not 0; the others keep 0."""
    shape, axes = scores.shape, emit.constant(np.int64([1]), "axes")
    one = (shape[0], 1)
    top = emit.add("ReduceMax", [scores, axes], shape=one, keepdims=1)
    power = emit.add("Exp", [emit.add("Sub", [scores, top], shape=shape)], shape=shape)
    size = emit.add("Abs", [scores], shape=shape)
    counts = emit.add("Greater", [size, emit.constant(np.float32(1e-7), "tiny")], shape=shape, dtype=bool)
    power = emit.add("Where", [counts, power, emit.constant(np.float32(0), "zero")], shape=shape, dtype=np.float32)
    total = emit.add("ReduceSum", [power, axes], shape=one, keepdims=1)
    emit.add("Div", [power, total], output)
