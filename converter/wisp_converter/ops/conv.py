"""Conv and ConvTranspose: their int8 forms and their layouts."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from ..quantize import arithmetic
from ..target.format import round_up
from ..ir import Graph, Node, Value, constant
from ..opcodes import layouts
from ..target.layouts import (PANEL, Packed, gemm, packed_bias, packed_channels, packed_depthwise, packed_gemm,
                              pad_groups)
from .rules import accepts, lower, pack

MAX_MR = 8
PATCH_CHANNELS = 16
"""Below this many input channels a tap wastes padding: the rows of a window are copied together instead."""


def is_depthwise(node: Node) -> bool:
    """One input channel for each output channel: the weights take a DW layout."""
    shape = node.inputs[1].shape
    return node.attrs["group"] == shape[0] > 1 and shape[-1] == 1


def is_computed(node: Node) -> bool:
    """Whether weights or bias come from the run: they stay plain, the runtime packs them."""
    return any(v is not None and v.data is None for v in node.inputs[1:])


# ---- int8


@accepts("Conv", "ConvTranspose")
def accepts_Conv(node: Node) -> str | None:
    return "its weights are computed in the run" if is_computed(node) else None


@lower("Conv")
def lower_Conv(q, node: Node) -> None:
    groups = 1 if is_depthwise(node) else node.attrs["group"]
    _lower(q, node, [slice(None)], groups)


@lower("ConvTranspose")
def lower_ConvTranspose(q, node: Node) -> None:
    """As Conv; the taps of a phase make its sums, so each has channels of its own."""
    _lower(q, node, [f.taps for f in phases(node)], node.attrs["group"], pad=True)


def _lower(q, node: Node, parts: list, groups: int, pad: bool = False) -> None:
    """parts: for each kind of output which taps it is made of, as an index of (outputs, taps, inputs)."""
    x, y = node.inputs[0], node.outputs[0]
    weights, bias = node.inputs[1].data, node.inputs[2].data if node.inputs[2] is not None else None
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    n = weights.shape[0]
    bias = np.zeros(n, np.float32) if bias is None else bias
    scales = arithmetic.weight_scales(weights.reshape(n, -1), bias, in_scale, out_scale)
    integers = arithmetic.quantize_weights(weights.reshape(n, -1), scales)
    blocks = [arithmetic.channel_params(w.reshape(len(w), -1), s, b, in_scale, in_zero, out_scale, out_zero)
              for taps in parts
              for w, s, b in zip(np.split(integers.reshape(n, -1, weights.shape[-1])[:, taps], groups),
                                 np.split(scales, groups), np.split(bias, groups))]
    lo, hi = arithmetic.clamp_range(node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf), out_scale, out_zero)
    padded = n if groups == 1 and not pad else len(parts) * groups * round_up(n // groups, PANEL)
    q.emit(node.op, [q.int8(x), constant(f"{node.inputs[1].name}.s8", integers.reshape(weights.shape)),
                     packed_channels(f"{y.name}.channels", np.concatenate(blocks), padded)],
           q.int8(y), **{**node.attrs, "lo": lo, "hi": hi})


# ---- layouts


@pack("Conv")
def pack_Conv(graph: Graph, node: Node) -> None:
    if is_computed(node):
        return
    weights, group = node.inputs[1], node.attrs["group"]
    n, *kernel, group_k = weights.data.shape
    taps = int(np.prod(kernel))
    _pack_bias(node, 1 if is_depthwise(node) else group)
    if is_depthwise(node):
        node.inputs[1] = packed_depthwise(weights.name, np.ascontiguousarray(weights.data.reshape(n, -1).T))
        return
    patch = taps > 1 and group_k < PATCH_CHANNELS
    filters = weights.data.reshape((n, 1, taps * group_k) if patch else (n, taps, group_k))
    node.inputs[1] = packed_gemm(weights.name, filters, group)


@pack("ConvTranspose")
def pack_ConvTranspose(graph: Graph, node: Node) -> None:
    if is_computed(node):
        return
    weights, group = node.inputs[1], node.attrs["group"]
    n, group_k = weights.data.shape[0], weights.data.shape[-1]
    _pack_bias(node, group)
    parts = [f.taps_with_zeros for f in phases(node)]
    taps, steps = sum(map(len, parts)), gemm(np.zeros((1, 1, group_k), weights.dtype)).size
    dims = (group * round_up(n // group, PANEL), taps, group_k)

    def make() -> np.ndarray:
        filters = np.concatenate([weights.data.reshape(n, -1, group_k), np.zeros((n, 1, group_k), weights.dtype)], 1)
        return np.concatenate([gemm(pad_groups(filters[:, part], group)).ravel() for part in parts])

    layout = layouts()["GEMM_S8" if weights.dtype == np.int8 else "GEMM_F32"]
    data = Packed(make, (dims[0] // PANEL * taps * steps,), weights.dtype)
    node.inputs[1] = Value(weights.name, data.dtype, data.shape, data, layout=layout, dims=dims)


def _pack_bias(node: Node, group: int) -> None:
    weights, bias = node.inputs[1], node.inputs[2]
    if weights.dtype == np.float32:
        bias = np.zeros(len(weights.data), np.float32) if bias is None else bias.data
        node.inputs[2] = packed_bias(f"{weights.name}.bias", pad_groups(bias, group))


# ---- phases of ConvTranspose, see ops.def


@dataclass
class Phase:
    """Which taps of the flattened kernel its outputs are made of, as the window meets them; -1 stands for zeros."""

    taps_with_zeros: list[int]

    @property
    def taps(self) -> list[int]:
        return [t for t in self.taps_with_zeros if t >= 0]


def phases(node: Node) -> list[Phase]:
    a, kernel = node.attrs, node.inputs[1].shape[1:-1]
    axes = []
    for letter, extent in zip("dhw"[-len(kernel):], kernel):
        stride, dilation = a[f"stride_{letter}"], a[f"dilation_{letter}"]
        axes.append([[k for k in reversed(range(extent)) if k * dilation % stride == p] or [-1] for p in range(stride)])
    found = []
    for taps in product(*axes):
        points = product(*taps)
        found.append(Phase([-1 if -1 in p else int(np.ravel_multi_index(p, kernel)) for p in points]))
    return found
