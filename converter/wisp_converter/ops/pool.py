"""MaxPool, AveragePool and their global forms."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import qmath
from ..emit import Emit
from ..format import round_up
from ..ir import Node, constant
from .conv import enter_nhwc, leave_nhwc, nhwc_shape, window_attrs, window_columns


def _pool(emit: Emit, op: str, **attrs) -> None:
    x = emit.inputs[0]
    if x.dtype != np.float32:
        raise emit.unsupported(f"elements of type {x.dtype}")
    y = emit.add(op, [enter_nhwc(emit, x)], shape=nhwc_shape(emit.out.shape), **attrs)
    leave_nhwc(emit, y)


def MaxPool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations=None, kernel_shape, pads=None, storage_order: int = 0,
            strides=None) -> None:
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        raise emit.unsupported("the output Indices is not supported")
    _pool(emit, "MaxPool", ceil_mode=ceil_mode, **window_attrs(emit, emit.inputs[0], list(kernel_shape), strides, dilations, auto_pad, pads))


def AveragePool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0, dilations=None, kernel_shape,
                pads=None, strides=None) -> None:
    if any(d != 1 for d in dilations or ()):
        raise emit.unsupported("dilations other than 1")
    attrs = window_attrs(emit, emit.inputs[0], list(kernel_shape), strides, None, auto_pad, pads)
    del attrs["dilation_h"], attrs["dilation_w"]
    _pool(emit, "AveragePool", count_include_pad=count_include_pad, ceil_mode=ceil_mode, **attrs)


def GlobalAveragePool(emit: Emit) -> None:
    _pool(emit, "AveragePool", **{"global": 1})


def GlobalMaxPool(emit: Emit) -> None:
    spatial = emit.inputs[0].shape[2:]
    if not all(isinstance(d, int) for d in spatial):
        raise emit.unsupported("needs fixed spatial axes; bind them with shapes=")
    _pool(emit, "MaxPool", **window_attrs(emit, emit.inputs[0], list(spatial), None, None, "VALID", None))


def quantize_AveragePool(q, node: Node) -> None:
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    whole = bool(a.get("global"))
    if whole and not all(isinstance(d, int) for d in x.shape[1:3]):
        q.refuse("the image size is dynamic")
        return
    taps = x.shape[1] * x.shape[2] if whole else a["kernel_h"] * a["kernel_w"]
    padded = any(a.get(p) for p in ("pad_top", "pad_left", "pad_bottom", "pad_right"))
    exact = whole or not padded and not _overhangs(node)
    counts = [taps] if exact else range(1, taps + 1)
    table = [qmath.rescale_row(in_scale / (count * out_scale), in_zero, out_zero, count) for count in counts]
    q.emit("AveragePool", [q.int8(x), constant(f"{y.name}.table", np.array(table, np.int32))], q.int8(y), **{**a, "lo": -128, "hi": 127})


def _overhangs(node: Node) -> bool:
    """May the last window reach past the image?"""
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    if not a.get("ceil_mode"):
        return False
    return any(not isinstance(x.shape[d], int) or (y.shape[d] - 1) * a[f"stride_{axis}"] + a[f"kernel_{axis}"] > x.shape[d]
               for d, axis in ((1, "h"), (2, "w")))


def _taps(node: Node) -> int:
    whole = node.attrs.get("global")
    return node.inputs[0].shape[1] * node.inputs[0].shape[2] if whole else node.attrs["kernel_h"] * node.attrs["kernel_w"]


def scratch_MaxPool(node: Node) -> int:
    x = node.inputs[0]
    height, columns = (x.shape[1], x.shape[2]) if node.attrs.get("global") else (node.attrs["kernel_h"], window_columns(node))
    sums = x.shape[3] if node.op == "AveragePool" and x.dtype == np.int8 else 0
    return sum(round_up(p, 64) for p in (8 * height * columns, 8 * _taps(node), 4 * sums))


scratch_AveragePool = scratch_MaxPool


def shared_MaxPool(node: Node) -> int:
    return 4 * _taps(node)


shared_AveragePool = shared_MaxPool
