"""Conv: 1D and 2D, any groups, float and int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import qmath
from ..emit import Emit
from ..format import round_up
from ..ir import Dim, Graph, Node, Value, constant
from ..layouts import PANEL, packed_bias, packed_channels, packed_depthwise, packed_gemm

MAX_MR = 8
PATCH_CHANNELS = 16
"""Below this many input channels a tap wastes padding: the rows of a window are copied together instead."""


def spatial_pads(emit: Emit, spatial: tuple[Dim, ...], kernel: list[int], strides: list[int], dilations: list[int], auto_pad: str,
                 pads: list[int] | None) -> list[int]:
    """Pads as ONNX lists them (all begins, then all ends), with auto_pad worked out."""
    if auto_pad in ("NOTSET", "VALID"):
        return list(pads) if pads and auto_pad == "NOTSET" else [0] * (2 * len(kernel))
    begins, ends = [], []
    for extent, k, s, d in zip(spatial, kernel, strides, dilations):
        if not isinstance(extent, int):
            raise emit.unsupported(f"auto_pad {auto_pad} needs fixed spatial axes; bind them with shapes=")
        total = max((-(-extent // s) - 1) * s + d * (k - 1) + 1 - extent, 0)
        small, large = total // 2, total - total // 2
        begins.append(large if auto_pad == "SAME_LOWER" else small)
        ends.append(small if auto_pad == "SAME_LOWER" else large)
    return begins + ends


def window_attrs(emit: Emit, x: Value, kernel: list[int], strides, dilations, auto_pad: str, pads) -> dict:
    """kernel_h .. pad_right of ops.def for a node whose x is N, C, then one or two spatial axes."""
    rank = len(kernel)
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    pads = spatial_pads(emit, x.shape[2:], kernel, strides, dilations, auto_pad, pads)
    if rank == 1:
        kernel, strides, dilations, pads = [1, *kernel], [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
    if min(pads, default=0) < 0:
        raise emit.unsupported("negative pads")
    return dict(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0], stride_w=strides[1], dilation_h=dilations[0],
                dilation_w=dilations[1], pad_top=pads[0], pad_left=pads[1], pad_bottom=pads[2], pad_right=pads[3])


def enter_nhwc(emit: Emit, x: Value) -> Value:
    """N, C, (H,) W to NHWC; one spatial axis gets H = 1."""
    if x.shape is None or len(x.shape) not in (3, 4):
        raise emit.unsupported(f"takes one or two spatial axes, not {'unknown' if x.shape is None else len(x.shape) - 2}")
    if len(x.shape) == 4:
        return emit.to_nhwc(x)
    moved = emit.add("Transpose", [x], shape=(x.shape[0], x.shape[2], x.shape[1]), perm=(0, 2, 1))
    return _reshape(emit, moved, (x.shape[0], 1, x.shape[2], x.shape[1]), unsqueeze=True)


def leave_nhwc(emit: Emit, y: Value) -> None:
    """The way back into the node's first output."""
    if len(emit.out.shape) == 4:
        emit.to_nchw(y)
        return
    flat = _reshape(emit, y, (y.shape[0], y.shape[2], y.shape[3]), unsqueeze=False)
    emit.add("Transpose", [flat], emit.out, perm=(0, 2, 1))


def nhwc_shape(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Shape of the NHWC form of an output with one or two spatial axes."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else (shape[0], 1, shape[2], shape[1])


def _reshape(emit: Emit, x: Value, shape: tuple[Dim, ...], *, unsqueeze: bool) -> Value:
    if all(isinstance(d, int) for d in shape):
        return emit.add("Reshape", [x], shape=shape)
    axes = emit.constant(np.array([1], np.int64), "axes")
    return emit.add("Unsqueeze" if unsqueeze else "Squeeze", [x, axes], shape=shape)


def Conv(emit: Emit, *, auto_pad: str = "NOTSET", dilations=None, group: int = 1, kernel_shape=None, pads=None, strides=None) -> None:
    x, weights = emit.inputs[0], emit.require(1, "the weights")
    bias = emit.require(2, "the bias") if emit.input(2) is not None else None
    if x.dtype != np.float32:
        raise emit.unsupported(f"elements of type {x.dtype}")
    kernel = list(weights.shape[2:])
    if len(kernel) not in (1, 2):
        raise emit.unsupported(f"takes one or two spatial axes, not {len(kernel)}")
    attrs = window_attrs(emit, x, kernel, strides, dilations, auto_pad, pads)
    taps_last = weights.reshape(*weights.shape[:2], attrs["kernel_h"], attrs["kernel_w"]).transpose(0, 2, 3, 1)
    y = emit.add("Conv", [enter_nhwc(emit, x), emit.constant(taps_last, "weights"), None if bias is None else emit.constant(bias, "bias")],
                 shape=nhwc_shape(emit.out.shape), group=group, min=-np.inf, max=np.inf, **attrs)
    leave_nhwc(emit, y)


def is_depthwise(node: Node) -> bool:
    """One input channel for each output channel: the weights take a DW layout."""
    n, _, _, group_k = node.inputs[1].shape
    return node.attrs["group"] == n > 1 and group_k == 1


# ---- int8


def quantize_Conv(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    weights, bias = node.inputs[1].data, node.inputs[2].data if node.inputs[2] is not None else None
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    n = weights.shape[0]
    bias = np.zeros(n, np.float32) if bias is None else bias
    rows = weights.reshape(n, -1)
    scales = qmath.weight_scales(rows, bias, in_scale, out_scale)
    integers = qmath.quantize_weights(rows, scales)
    groups = 1 if is_depthwise(node) else node.attrs["group"]
    blocks = [qmath.channel_params(w, s, b, in_scale, in_zero, out_scale, out_zero)
              for w, s, b in zip(np.split(integers, groups), np.split(scales, groups), np.split(bias, groups))]
    lo, hi = qmath.clamp_range(node.attrs["min"], node.attrs["max"], out_scale, out_zero)
    padded = n if groups == 1 else groups * round_up(n // groups, PANEL)
    q.emit("Conv", [q.int8(x), constant(f"{node.inputs[1].name}.s8", integers.reshape(weights.shape)),
                    packed_channels(f"{y.name}.channels", np.concatenate(blocks), padded)], q.int8(y), **{**node.attrs, "lo": lo, "hi": hi})


# ---- layouts


def pack_Conv(graph: Graph, node: Node) -> None:
    weights, third, group = node.inputs[1], node.inputs[2], node.attrs["group"]
    data = weights.data
    n, kernel_h, kernel_w, group_k = data.shape
    if data.dtype == np.float32:
        bias = np.zeros(n, np.float32) if third is None else third.data
        node.inputs[2] = packed_bias(f"{weights.name}.bias", bias if is_depthwise(node) else _pad_groups(bias, group))
    if is_depthwise(node):
        node.inputs[1] = packed_depthwise(weights.name, np.ascontiguousarray(data.reshape(n, -1).T))
        return
    taps = kernel_h * kernel_w
    patch = taps > 1 and group_k < PATCH_CHANNELS
    node.inputs[1] = packed_gemm(weights.name, _pad_groups(data.reshape((n, 1, taps * group_k) if patch else (n, taps, group_k)), group))


def _pad_groups(array: np.ndarray, group: int) -> np.ndarray:
    """Zeros behind the outputs of each group, so that its panels are its own."""
    if group == 1:
        return array
    parts = array.reshape(group, -1, *array.shape[1:])
    filled = np.pad(parts, [(0, 0), (0, round_up(parts.shape[1], PANEL) - parts.shape[1])] + [(0, 0)] * (array.ndim - 1))
    return filled.reshape(-1, *array.shape[1:])


# ---- scratch, the formulas of matrix.c and conv.c


def matrix_scratch(x: Value, k: int, taps: int, group_k: int, *, pointwise: bool, patch: bool) -> int:
    """Bytes of scratch of a packed product, per thread."""
    unit = x.dtype.itemsize
    kernel = 64 + 2 * MAX_MR * taps * round_up(k, 4) if x.dtype == np.int8 else 0
    pieces = (kernel, 8 * MAX_MR * taps, 0 if pointwise else group_k * unit, MAX_MR * k * unit + 16 if patch else 0)
    return sum(round_up(p, 64) for p in pieces)


def window_columns(node: Node) -> int:
    """Pointers that one output row needs for one kernel row."""
    a = node.attrs
    return (node.outputs[0].shape[2] - 1) * a["stride_w"] + (a["kernel_w"] - 1) * a.get("dilation_w", 1) + 1


def scratch_Conv(node: Node) -> int:
    x, weights, a = node.inputs[0], node.inputs[1], node.attrs
    kernel = a["kernel_h"] * a["kernel_w"]
    if len(weights.dims) == 2:
        pieces = (8 * a["kernel_h"] * window_columns(node), 4 * kernel, x.shape[3] * x.dtype.itemsize)
        return sum(round_up(p, 64) for p in pieces)
    _, taps, k = weights.dims
    pads = any(a[p] for p in ("pad_top", "pad_left", "pad_bottom", "pad_right"))
    pointwise = kernel == 1 and a["stride_h"] == a["stride_w"] == 1 and not pads
    return matrix_scratch(x, k, taps, x.shape[3] // a["group"], pointwise=pointwise, patch=taps == 1 < kernel)
