"""Operators of ONNX that read images at positions which the data states: GridSample, AffineGrid, DeformConv, RoiAlign,
MaxRoiPool; and Col2Im, the way back from blocks."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit, permute
from .registry import importer

MODES = {"nearest": 0, "linear": 1, "bilinear": 1, "cubic": 2, "bicubic": 2}
PADDING = {"zeros": 0, "border": 1, "reflection": 2}
IN_PIXELS = 2  # parameter `align` of GridSample


def _need_f32(emit: Emit, *values: Value) -> None:
    for value in values:
        if value.dtype != np.float32:
            raise emit.unsupported(f"elements of type {value.dtype}")
        if value.shape is None:
            raise emit.unsupported("the number of axes is not known")


def _channels_last(emit: Emit, x: Value) -> Value:
    order = (0, *range(2, len(x.shape)), 1)
    return emit.add("Transpose", [x], shape=permute(x.shape, order), perm=order)


def _channels_first(emit: Emit, y: Value) -> None:
    rank = len(y.shape)
    emit.add("Transpose", [y], emit.out, perm=(0, rank - 1, *range(1, rank - 1)))


@importer("GridSample")
def GridSample(emit: Emit, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros") -> None:
    x, grid = emit.inputs
    _need_f32(emit, x, grid)
    emit.keep_rank()
    if mode not in MODES or padding_mode not in PADDING:
        raise emit.unsupported(f"mode {mode!r} with padding {padding_mode!r} is not supported")
    if not 3 <= len(x.shape) <= 5:
        raise emit.unsupported(f"takes one to three spatial axes, not {len(x.shape) - 2}")
    y = emit.add("GridSample", [_channels_last(emit, x), grid], shape=(x.shape[0], *grid.shape[1:-1], x.shape[1]),
                 mode=MODES[mode], padding=PADDING[padding_mode], align=int(align_corners))
    _channels_first(emit, y)


@importer("RoiAlign")
def RoiAlign(emit: Emit, *, coordinate_transformation_mode: str | None = None, mode: str = "avg",
             output_height: int = 1, output_width: int = 1, sampling_ratio: int = 0,
             spatial_scale: float = 1.0) -> None:
    """Before opset 16 coordinates were not shifted by half a pixel."""
    x, rois, batch = emit.inputs
    _need_f32(emit, x, rois)
    emit.state_rank(4)
    modes = {"avg": 0, "max": 1}
    shift = coordinate_transformation_mode or ("half_pixel" if emit.opset >= 16 else "output_half_pixel")
    if mode not in modes or shift not in ("half_pixel", "output_half_pixel"):
        raise emit.unsupported(f"mode {mode!r} of {shift!r} is not supported")
    y = emit.add("RoiAlign", [_channels_last(emit, x), rois, batch],
                 shape=(rois.shape[0], output_height, output_width, x.shape[1]), mode=modes[mode],
                 output_height=output_height, output_width=output_width, sampling_ratio=sampling_ratio,
                 half_pixel=int(shift == "half_pixel"), spatial_scale=spatial_scale)
    _channels_first(emit, y)


@importer("MaxRoiPool")
def MaxRoiPool(emit: Emit, *, pooled_shape, spatial_scale: float = 1.0) -> None:
    x, rois = emit.inputs
    _need_f32(emit, x, rois)
    emit.state_rank(4)
    height, width = pooled_shape
    y = emit.add("MaxRoiPool", [_channels_last(emit, x), rois], shape=(rois.shape[0], height, width, x.shape[1]),
                 output_height=height, output_width=width, spatial_scale=spatial_scale)
    _channels_first(emit, y)


@importer("Col2Im")
def Col2Im(emit: Emit, *, dilations=None, pads=None, strides=None) -> None:
    x, image = emit.inputs[:2]
    _need_f32(emit, x)
    axes = image.shape[0] if image.shape else None
    if not isinstance(axes, int):
        raise emit.unsupported("the number of axes is not known")
    emit.state_rank(2 + axes)
    emit.add("Col2Im", emit.inputs, emit.out, strides=list(strides or [1] * axes),
             dilations=list(dilations or [1] * axes), pads=list(pads or [0] * 2 * axes))


# ---- AffineGrid: theta times the positions of the pixels, axis by axis


@importer("AffineGrid")
def AffineGrid(emit: Emit, *, align_corners: int = 0) -> None:
    theta, size = emit.inputs
    _need_f32(emit, theta)
    emit.known(1)
    axes = theta.shape[1]
    if axes not in (2, 3):
        raise emit.unsupported("theta must be (n, 2, 3) or (n, 3, 4)")
    emit.state_rank(axes + 2)
    wide = (theta.shape[0], *[1] * axes, axes)
    grid = None
    for column in range(axes + 1):  # of theta: x, y, (z,) 1
        factor = _column(emit, theta, column, wide)
        if column < axes:
            where = [None if i == column else 1 for i in reversed(range(axes))]
            at = _positions(emit, size, 2 + axes - 1 - column, align_corners)
            at = emit.add("Reshape", [at, _ints(emit, [-1 if w is None else 1 for w in (*where, 1)])],
                          shape=(*where, 1))
            factor = emit.add("Mul", [factor, at], shape=(theta.shape[0], *where, axes))
        if grid is None:
            grid = factor
        else:
            last = column == axes
            grid = emit.add("Add", [grid, factor], emit.out if last else None,
                            shape=(theta.shape[0], *[None] * axes, axes))


def _column(emit: Emit, theta: Value, column: int, shape: tuple) -> Value:
    picked = emit.add("Gather", [theta, _ints(emit, [column])], shape=(*theta.shape[:2], 1), axis=2)
    return emit.add("Reshape", [picked, _ints(emit, [0, *[1] * (len(shape) - 2), shape[-1]])], shape=shape)


def _positions(emit: Emit, size: Value, axis: int, align_corners: int) -> Value:
    """Of the pixels along an axis, f32 (n,): -1 and 1 are the centres of the outer ones, or the outer edges."""
    extent = emit.add("Gather", [size, emit.constant(np.array(axis), "axis")], shape=(), axis=0)
    zero, one = (emit.constant(np.array(v, extent.dtype), "n") for v in (0, 1))
    steps = emit.add("Cast", [emit.add("Range", [zero, extent, one], shape=(None,))], shape=(None,), dtype=np.float32)
    length = emit.add("Cast", [extent], shape=(), dtype=np.float32)
    two, unit = (emit.constant(np.float32(v), "f") for v in (2, 1))
    steps = emit.add("Mul", [steps, two], shape=(None,))
    if align_corners:
        length = emit.add("Max", [emit.add("Sub", [length, unit], shape=()), unit], shape=())
    else:
        steps = emit.add("Add", [steps, unit], shape=(None,))
    return emit.add("Sub", [emit.add("Div", [steps, length], shape=(None,)), unit], shape=(None,))


def _ints(emit: Emit, values) -> Value:
    return emit.constant(np.array(values, np.int64), "n")


# ---- DeformConv: GridSample at the taps of every window, then a product


@importer("DeformConv")
def DeformConv(emit: Emit, *, dilations=None, group: int = 1, kernel_shape=None, offset_group: int = 1, pads=None,
               strides=None) -> None:
    x, weights, offset = emit.inputs[:3]
    bias, mask = emit.input(3), emit.input(4)
    _need_f32(emit, x, weights, offset)
    if len(x.shape) != 4 or not all(v.is_static for v in (x, weights, offset)):
        raise emit.unsupported("needs images of fixed extents; bind them with shapes=")
    (n, c, _, _), (m, _, kh, kw), (oh, ow) = x.shape, weights.shape, offset.shape[2:]
    taps, parts = kh * kw, n * offset_group
    pads, strides, dilations = pads or [0] * 4, strides or [1, 1], dilations or [1, 1]
    # positions (n * offset_group, oh, ow, taps, 2), H before W: those of the window plus the offsets
    rows = np.arange(oh)[:, None] * strides[0] - pads[0] + np.repeat(np.arange(kh) * dilations[0], kw)
    columns = np.arange(ow)[:, None] * strides[1] - pads[1] + np.tile(np.arange(kw) * dilations[1], kh)
    base = np.stack(np.broadcast_arrays(columns[None], rows[:, None]), -1).astype(np.float32)
    split = emit.add("Reshape", [offset], shape=(parts, taps, 2, oh, ow))
    swapped = emit.add("Gather", [split, _ints(emit, [1, 0])], shape=split.shape, axis=2)  # W first
    moved = emit.add("Transpose", [swapped], shape=(parts, oh, ow, taps, 2), perm=(0, 3, 4, 1, 2))
    grid = emit.add("Add", [moved, emit.constant(base, "base")], shape=moved.shape)
    grid = emit.add("Reshape", [grid], shape=(parts, oh, ow * taps, 2))
    images = emit.add("Reshape", [x], shape=(parts, c // offset_group, *x.shape[2:]))
    read = emit.add("GridSample", [_channels_last(emit, images), grid],
                    shape=(parts, oh, ow * taps, c // offset_group), mode=MODES["linear"], padding=PADDING["zeros"],
                    align=IN_PIXELS)
    read = emit.add("Reshape", [read], shape=(n, offset_group, oh, ow, taps, c // offset_group))
    if mask is not None:
        split = emit.add("Reshape", [mask], shape=(n, offset_group, taps, oh, ow, 1))
        factor = emit.add("Transpose", [split], shape=(n, offset_group, oh, ow, taps, 1), perm=(0, 1, 3, 4, 2, 5))
        read = emit.add("Mul", [read, factor], shape=read.shape)
    # a matrix for each image and group: (oh * ow, taps * channels of a group) times (the same, outputs of a group)
    moved = emit.add("Transpose", [read], shape=(n, oh, ow, taps, offset_group, c // offset_group),
                     perm=(0, 2, 3, 4, 1, 5))
    split = emit.add("Reshape", [moved], shape=(n, oh * ow, taps, group, c // group))
    left = emit.add("Transpose", [split], shape=(n, group, oh * ow, taps, c // group), perm=(0, 3, 1, 2, 4))
    left = emit.add("Reshape", [left], shape=(n, group, oh * ow, taps * (c // group)))
    split = emit.add("Reshape", [weights], shape=(group, m // group, c // group, taps))
    right = emit.add("Transpose", [split], shape=(group, taps, c // group, m // group), perm=(0, 3, 2, 1))
    right = emit.add("Reshape", [right], shape=(group, taps * (c // group), m // group))
    product = emit.add("MatMul", [left, right], shape=(n, group, oh * ow, m // group))
    first = emit.add("Transpose", [product], shape=(n, group, m // group, oh * ow), perm=(0, 1, 3, 2))
    y = emit.add("Reshape", [first], None if bias is not None else emit.out, shape=(n, m, oh, ow))
    if bias is not None:
        emit.add("Add", [y, emit.add("Reshape", [bias], shape=(1, m, 1, 1))], emit.out)
    emit.out.shape = (n, m, oh, ow)
