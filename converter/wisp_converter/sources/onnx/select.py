"""Operators of ONNX that pick elements by values: TopK, NonZero, Unique, NonMaxSuppression, Compress and their like."""
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
    """Of a scalar ONNX's inference says no rows; there is one."""
    rank = emit.rank_of(0)
    emit.state_shape((None if rank is None else max(rank, 1), None))
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


@importer("ReverseSequence")
def ReverseSequence(emit: Emit, *, batch_axis: int = 1, time_axis: int = 0) -> None:
    """y[t, b] = x[t < length ? length - 1 - t : t, b], as pairs of indices for GatherND."""
    x, lengths = emit.inputs
    extents = x.shape[:2]
    steps, batch = (emit.add("Unsqueeze", [_counting(emit, x, a), emit.constant(np.int64([1 - a]), "axis")],
                             shape=tuple(extents[a] if d == a else 1 for d in (0, 1))) for a in (time_axis, batch_axis))
    shape = tuple(extents[batch_axis] if d == batch_axis else 1 for d in (0, 1))
    lengths = emit.add("Unsqueeze", [lengths, emit.constant(np.int64([time_axis]), "axis")], shape=shape)
    last = emit.add("Sub", [lengths, emit.constant(np.int64(1), "one")], shape=shape)
    back = emit.add("Sub", [last, steps], shape=extents)
    within = emit.add("Less", [steps, lengths], shape=extents, dtype=bool)
    steps = emit.add("Where", [within, back, steps], shape=extents, dtype=np.int64)
    nothing = emit.add("Mul", [steps, emit.constant(np.int64(0), "zero")], shape=extents)
    batch = emit.add("Add", [batch, nothing], shape=extents)
    pair = [emit.add("Unsqueeze", [v, emit.constant(np.int64([2]), "axis")], shape=(*extents, 1))
            for v in ((steps, batch) if time_axis == 0 else (batch, steps))]
    emit.keep_rank()
    emit.add("GatherND", [x, emit.add("Concat", pair, shape=(*extents, 2), axis=2)], emit.out)


def _counting(emit: Emit, x: Value, axis: int) -> Value:
    """0, 1, ... along an axis."""
    extent = x.shape[axis]
    if isinstance(extent, int):
        return emit.constant(np.arange(extent), "count")
    end = emit.add("Shape", [x], shape=(1,), dtype=np.int64, start=axis, end=axis + 1)
    end = emit.add("Reshape", [end, emit.constant(np.zeros(0, np.int64), "scalar")], shape=())
    bounds = [emit.constant(np.int64(0), "start"), end, emit.constant(np.int64(1), "step")]
    return emit.add("Range", bounds, shape=(extent,))


def _flat(emit: Emit) -> Value:
    return emit.constant(np.int64([-1]), "flat")


def _all(emit: Emit, count: int) -> list[Value | None]:
    return [*emit.outputs, *[None] * (count - len(emit.outputs))]
