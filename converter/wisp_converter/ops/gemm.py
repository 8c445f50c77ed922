"""Gemm: its int8 form and its layouts."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..quantize import arithmetic
from ..ir import Graph, Node, constant
from ..target.layouts import packed_bias, packed_channels, packed_gemm
from .rules import lower, pack


@lower("Gemm")
def lower_Gemm(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    weights, bias = node.inputs[1].data, node.inputs[2].data if node.inputs[2] is not None else None
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    scales = arithmetic.weight_scales(weights, bias, in_scale, out_scale)
    integers = arithmetic.quantize_weights(weights, scales)
    blocks = arithmetic.channel_params(integers, scales, bias, in_scale, in_zero, out_scale, out_zero)
    lo, hi = arithmetic.clamp_range(node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf), out_scale, out_zero)
    q.emit("Gemm", [q.int8(x), constant(f"{node.inputs[1].name}.s8", integers),
                    packed_channels(f"{y.name}.channels", blocks, len(weights))],
           q.int8(y), **{**node.attrs, "lo": lo, "hi": hi})


@pack("Gemm")
def pack_Gemm(graph: Graph, node: Node) -> None:
    weights, third = node.inputs[1], node.inputs[2]
    n, k = weights.data.shape
    if weights.dtype == np.float32:
        node.inputs[2] = packed_bias(f"{weights.name}.bias", np.zeros(n, np.float32) if third is None else third.data)
    node.inputs[1] = packed_gemm(weights.name, weights.data.reshape(n, 1, k))
