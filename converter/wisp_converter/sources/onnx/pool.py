"""Pools of ONNX: maxima and where they are, averages, norms, their global forms, and the way back from a maximum."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Value
from .emit import Emit
from .images import enter_nhwc, leave_nhwc, nhwc_shape, state_windows, window_attrs
from .registry import importer

AS_IS, WITH_PADS, SUM = range(3)  # parameter `count` of AveragePool


def _pool(emit: Emit, op: str, x: Value, **attrs) -> Value:
    return emit.add(op, [enter_nhwc(emit, x)], shape=nhwc_shape(emit.out.shape), **attrs)


def _window(emit: Emit, kernel_shape, strides, dilations, auto_pad: str, pads, ceil_mode: int) -> dict:
    attrs = window_attrs(emit, emit.inputs[0], list(kernel_shape), strides, dilations, auto_pad, pads)
    state_windows(emit, attrs, ceil_mode)
    return {**attrs, "ceil_mode": ceil_mode}


def _check_dtype(emit: Emit, *allowed) -> None:
    emit.keep_rank()
    if emit.inputs[0].dtype not in allowed:
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")


@importer("MaxPool")
def MaxPool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations=None, kernel_shape, pads=None,
            storage_order: int = 0, strides=None) -> None:
    _check_dtype(emit, np.float32, np.int8, np.uint8)
    x, indices = emit.inputs[0], emit.outputs[1] if len(emit.outputs) > 1 else None
    attrs = _window(emit, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    if indices is not None:
        indices.shape = emit.out.shape
    shape = nhwc_shape(emit.out.shape)
    outputs = [Value(f"{v.name}.last", v.dtype, shape) for v in emit.outputs if v is not None]
    if emit.outputs[0] is None:
        outputs.insert(0, Value(f"{emit.name}.unused", x.dtype, shape))
    emit.add("MaxPool", [enter_nhwc(emit, x)], outputs=outputs, column_major=storage_order, **attrs)
    for value, output in zip(outputs, (emit.outputs[0], indices)):
        if output is not None:
            leave_nhwc(emit, value, output)


@importer("AveragePool")
def AveragePool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
                dilations=None, kernel_shape, pads=None, strides=None) -> None:
    _check_dtype(emit, np.float32)
    x = emit.inputs[0]
    attrs = _window(emit, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    leave_nhwc(emit, _pool(emit, "AveragePool", x, count=WITH_PADS if count_include_pad else AS_IS,
                           **attrs))


@importer("LpPool")
def LpPool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations=None, kernel_shape, p=2, pads=None,
           strides=None) -> None:
    """The root of a sum of powers."""
    _check_dtype(emit, np.float32)
    attrs = _window(emit, kernel_shape, strides, dilations, auto_pad, pads, ceil_mode)
    sums = _pool(emit, "AveragePool", _power(emit, p), count=SUM, **attrs)
    leave_nhwc(emit, _root(emit, sums, p))


def _power(emit: Emit, p: float) -> Value:
    """|x| ** p"""
    x = emit.inputs[0]
    if p == 2:
        return emit.add("Mul", [x, x], shape=x.shape)
    y = emit.add("Abs", [x], shape=x.shape)
    return y if p == 1 else emit.add("Pow", [y, emit.constant(np.float32(p), "p")], shape=x.shape)


def _root(emit: Emit, sums: Value, p: float) -> Value:
    if p == 1:
        return sums
    if p == 2:
        return emit.add("Sqrt", [sums], shape=sums.shape)
    return emit.add("Pow", [sums, emit.constant(np.float32(1 / p), "p")], shape=sums.shape)


# ---- global


@importer("GlobalAveragePool")
def GlobalAveragePool(emit: Emit) -> None:
    _check_dtype(emit, np.float32)
    leave_nhwc(emit, _pool(emit, "AveragePool", emit.inputs[0], **{"global": 1}))


@importer("GlobalMaxPool")
def GlobalMaxPool(emit: Emit) -> None:
    _check_dtype(emit, np.float32)
    emit.add("ReduceMax", [emit.inputs[0], _spatial_axes(emit)], emit.out, keepdims=1)


@importer("GlobalLpPool")
def GlobalLpPool(emit: Emit, *, p=2) -> None:
    _check_dtype(emit, np.float32)
    sums = emit.add("ReduceSum", [_power(emit, p), _spatial_axes(emit)], shape=emit.out.shape, keepdims=1)
    emit.add("Identity", [_root(emit, sums, p)], emit.out)


def _spatial_axes(emit: Emit) -> Value:
    shape = emit.inputs[0].shape
    if shape is None:
        raise emit.unsupported("the number of axes is not known")
    return emit.constant(np.arange(2, len(shape), dtype=np.int64), "axes")


# ---- the way back


@importer("MaxUnpool")
def MaxUnpool(emit: Emit, *, kernel_shape, pads=None, strides=None) -> None:
    """Indices are into the extents that follow from the window; a larger output_shape adds zeros behind."""
    x, indices, wanted = emit.inputs[0], emit.inputs[1], emit.input(2)
    rank = len(kernel_shape)
    if not x.is_static:
        raise emit.unsupported("needs fixed extents; bind them with shapes=")
    strides, pads = strides or [1] * rank, pads or [0] * (2 * rank)
    extents = [(d - 1) * s - pads[i] - pads[rank + i] + k
               for i, (d, s, k) in enumerate(zip(x.shape[2:], strides, kernel_shape))]
    shape = (*x.shape[:2], *extents)
    count, size = math.prod(x.shape), math.prod(shape)
    zeros = emit.add("ConstantOfShape", [emit.constant(np.array([size]), "size"),
                                         emit.constant(np.zeros(1, x.dtype), "zero")], shape=(size,), dtype=x.dtype)
    flat = [emit.add("Reshape", [v], shape=(count,)) for v in (indices, x)]
    y = emit.add("ScatterElements", [zeros, *flat], shape=(size,), axis=0)
    if wanted is None:
        emit.add("Reshape", [y], emit.out if emit.out.is_static else _stated(emit, shape))
        return
    y = emit.add("Reshape", [y], shape=shape)
    emit.keep_rank()
    more = emit.add("Sub", [wanted, emit.constant(np.array(shape), "shape")], shape=(rank + 2,), dtype=np.int64)
    none = emit.constant(np.zeros(rank + 2, np.int64), "none")
    emit.add("Pad", [y, emit.add("Concat", [none, more], shape=(2 * rank + 4,), axis=0)], emit.out)


def _stated(emit: Emit, shape: tuple[int, ...]) -> Value:
    emit.out.shape = shape
    return emit.out
