"""Conv: its int8 form and its layouts."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..quantize import arithmetic
from ..target.format import round_up
from ..ir import Graph, Node, constant
from ..target.layouts import PANEL, packed_bias, packed_channels, packed_depthwise, packed_gemm, pad_groups
from .rules import lower, pack

MAX_MR = 8
PATCH_CHANNELS = 16
"""Below this many input channels a tap wastes padding: the rows of a window are copied together instead."""


def is_depthwise(node: Node) -> bool:
    """One input channel for each output channel: the weights take a DW layout."""
    n, _, _, group_k = node.inputs[1].shape
    return node.attrs["group"] == n > 1 and group_k == 1


# ---- int8


@lower("Conv")
def lower_Conv(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    weights, bias = node.inputs[1].data, node.inputs[2].data if node.inputs[2] is not None else None
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    n = weights.shape[0]
    bias = np.zeros(n, np.float32) if bias is None else bias
    rows = weights.reshape(n, -1)
    scales = arithmetic.weight_scales(rows, bias, in_scale, out_scale)
    integers = arithmetic.quantize_weights(rows, scales)
    groups = 1 if is_depthwise(node) else node.attrs["group"]
    blocks = [arithmetic.channel_params(w, s, b, in_scale, in_zero, out_scale, out_zero)
              for w, s, b in zip(np.split(integers, groups), np.split(scales, groups), np.split(bias, groups))]
    lo, hi = arithmetic.clamp_range(node.attrs["min"], node.attrs["max"], out_scale, out_zero)
    padded = n if groups == 1 else groups * round_up(n // groups, PANEL)
    q.emit("Conv", [q.int8(x), constant(f"{node.inputs[1].name}.s8", integers.reshape(weights.shape)),
                    packed_channels(f"{y.name}.channels", np.concatenate(blocks), padded)],
           q.int8(y), **{**node.attrs, "lo": lo, "hi": hi})


# ---- layouts


@pack("Conv")
def pack_Conv(graph: Graph, node: Node) -> None:
    weights, third, group = node.inputs[1], node.inputs[2], node.attrs["group"]
    data = weights.data
    n, kernel_h, kernel_w, group_k = data.shape
    if data.dtype == np.float32:
        bias = np.zeros(n, np.float32) if third is None else third.data
        node.inputs[2] = packed_bias(f"{weights.name}.bias", bias if is_depthwise(node) else pad_groups(bias, group))
    if is_depthwise(node):
        node.inputs[1] = packed_depthwise(weights.name, np.ascontiguousarray(data.reshape(n, -1).T))
        return
    taps = kernel_h * kernel_w
    patch = taps > 1 and group_k < PATCH_CHANNELS
    filters = data.reshape((n, 1, taps * group_k) if patch else (n, taps, group_k))
    node.inputs[1] = packed_gemm(weights.name, filters, group)
