"""What the operators of ai.onnx.ml share: rows of features, classes from scores, the transforms of scores."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Value
from .emit import Emit

ML = "ai.onnx.ml"


def rows_of(emit: Emit, x: Value) -> Value:
    """x as (rows, features); one row may come as a vector."""
    if len(x.shape) == 2:
        return x
    return emit.add("Reshape", [x, emit.constant(np.int64([1, -1]), "row")], shape=(1, *x.shape)[-2:])


def classify(emit: Emit, scores: Value, labels: list, transform: str, positive: bool, alone: bool = False) -> None:
    """Outputs 0, the class, and 1, the transformed scores. One score decides between two classes, from 0.5 on where all
    that adds up to it is `positive`, else from 0 on; the other class has its opposite, or 0 where it stands `alone`.
    Labels that are strings become their index: the file's metadata have them."""
    one = scores.shape[1] == 1
    if one:
        limit = emit.constant(np.float32([0.5 if positive else 0]), "limit")
        above = emit.add("Greater", [scores, limit], shape=scores.shape, dtype=bool)
        index = emit.add("Cast", [above], shape=scores.shape, dtype=np.int64)
        index = emit.add("Reshape", [index, emit.constant(np.int64([-1]), "flat")], shape=scores.shape[:1])
        whole = scores if alone else emit.constant(np.float32([1 if positive else 0]), "whole")
        other = emit.add("Sub", [whole, scores], shape=scores.shape)
        scores = emit.add("Concat", [other, scores], shape=(scores.shape[0], 2), axis=1)
    else:
        index = emit.add("ArgMax", [scores], shape=scores.shape[:1], dtype=np.int64, axis=1)
    emit.state_type(np.int64, index.shape)
    if emit.outputs[0] is not None:
        emit.outputs[0].dtype = np.dtype(np.int64)
        if isinstance(labels[0], str):
            emit.metadata["labels"] = list(labels)
            emit.alias(index, emit.outputs[0])
        else:
            emit.add("Gather", [emit.constant(np.int64(labels), "labels"), index], emit.outputs[0])
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        known = one and positive and not alone and transform == "LOGISTIC"
        finish_scores(emit, scores, "NONE" if known else transform, emit.outputs[1])


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
        def apply(op: str, *operands) -> Value:
            values = [emit.constant(np.float32(v), "k") if isinstance(v, float) else v for v in operands]
            return emit.add(op, values, shape=shape)
        a = 0.147
        z = apply("Sub", apply("Mul", scores, 2.0), 1.0)
        log = apply("Log", apply("Sub", 1.0, apply("Mul", z, z)))
        half = apply("Add", apply("Mul", log, 0.5), 2 / (math.pi * a))
        root = apply("Sqrt", apply("Sub", apply("Mul", half, half), apply("Mul", log, 1 / a)))
        size = apply("Sqrt", apply("Sub", root, half))
        signed = apply("Mul", apply("Sign", z), size)
        emit.add("Mul", [signed, emit.constant(np.float32(math.sqrt(2)), "k")], output)
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
