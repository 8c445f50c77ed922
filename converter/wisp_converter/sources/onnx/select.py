"""Operators of ONNX that pick elements by their values: TopK, NonZero, Unique, NonMaxSuppression and their like."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .registry import importer
from .shape import TO_THE_END


@importer("TopK")
def TopK(emit: Emit, *, axis: int = -1, largest: int = 1, sorted: int = 1, k: int | None = None) -> None:
    """`sorted` or not, the result is in order. Before operator set 10 k was an attribute."""
    emit.keep_rank()
    count = emit.inputs[1] if k is None else emit.constant(np.int64([k]), "k")
    emit.add("TopK", [emit.inputs[0], count], outputs=_all(emit, 2), axis=axis, largest=largest)


@importer("NonZero")
def NonZero(emit: Emit) -> None:
    emit.state_rank(2)
    emit.add("NonZero", emit.inputs, emit.out)


@importer("Unique")
def Unique(emit: Emit, *, axis: int | None = None, sorted: int = 1) -> None:
    x = emit.inputs[0]
    for i, output in enumerate(emit.outputs):
        if output is not None and output.shape is None:
            output.shape = (None,) * (1 if i or axis is None or x.shape is None else len(x.shape))
    emit.add("Unique", [x], outputs=_all(emit, 4), has_axis=axis is not None, axis=axis or 0, sorted=sorted)


@importer("NonMaxSuppression")
def NonMaxSuppression(emit: Emit, *, center_point_box: int = 0) -> None:
    emit.state_rank(2)
    emit.add("NonMaxSuppression", emit.inputs, emit.out, center_point_box=center_point_box)


@importer("Compress")
def Compress(emit: Emit, *, axis: int | None = None) -> None:
    """What a condition, as long as the axis or shorter, picks: Gather by the indices of its ones."""
    x, condition = emit.inputs
    index = emit.add("NonZero", [condition], shape=(1, None), dtype=np.int64)
    index = emit.add("Reshape", [index, _flat(emit)], shape=(None,))
    if axis is None:
        x = emit.add("Reshape", [x, _flat(emit)], shape=(None,))
        emit.state_rank(1)
    emit.keep_rank()
    emit.add("Gather", [x, index], emit.out, axis=axis or 0)


@importer("Hardmax")
def Hardmax(emit: Emit, *, axis: int | None = None) -> None:
    """1 at the first of the largest values, else 0. Before operator set 13 axes from `axis` on counted as one."""
    x = emit.inputs[0]
    rank = len(x.shape or ())
    emit.keep_rank()
    axis = (1 if emit.opset < 13 else -1) if axis is None else axis
    rows = x
    if emit.opset < 13:
        rows = emit.add("Flatten", [x], shape=(None, None), axis=axis)
        axis, rank = 1, 2
    axis %= rank
    best = emit.add("ArgMax", [rows], shape=(None,) * (rank - 1), dtype=np.int64, axis=axis)
    depth = emit.add("Shape", [rows], shape=(1,), dtype=np.int64, start=axis, end=axis + 1)
    values = emit.constant(np.array([0, 1], x.dtype), "values")
    if rows is x:
        emit.add("OneHot", [best, depth, values], emit.out, axis=axis)
        return
    ones = emit.add("OneHot", [best, depth, values], shape=(None, None), dtype=x.dtype, axis=axis)
    shape = emit.add("Shape", [x], shape=(len(x.shape or ()),), dtype=np.int64, end=TO_THE_END)
    emit.add("Reshape", [ones, shape], emit.out)


def _flat(emit: Emit) -> Value:
    return emit.constant(np.int64([-1]), "flat")


def _all(emit: Emit, count: int) -> list[Value | None]:
    return [*emit.outputs, *[None] * (count - len(emit.outputs))]
