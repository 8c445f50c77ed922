"""Gemm and MatMul. With constant weights both become the runtime's Gemm: y = x * W + bias over the last axis of x."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import qmath
from ..emit import Emit
from ..format import round_up
from ..ir import Graph, Node, constant
from ..layouts import packed_bias, packed_channels, packed_gemm
from .conv import matrix_scratch

NO_CLAMP = dict(min=-np.inf, max=np.inf)


def _needs_f32(emit: Emit) -> None:
    if emit.out.dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.out.dtype}")


def Gemm(emit: Emit, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0, broadcast: int = 1) -> None:
    _needs_f32(emit)
    a, b, c = emit.inputs[0], emit.inputs[1], emit.input(2)
    if transA:
        a = emit.add("Transpose", [a], shape=a.shape[::-1], perm=(1, 0))
    bias = None if c is None or c.data is None or beta == 0 else np.float32(beta) * c.data
    foldable = c is None or beta == 0 or (bias is not None and bias.size in (1, emit.out.shape[1]) and bias.shape[-1:] == (bias.size,) or
                                          bias is not None and bias.ndim == 0)
    if b.data is not None and b.data.size:
        weights = emit.constant(np.float32(alpha) * (b.data if transB else b.data.T), "weights")
        folded = np.broadcast_to(bias.reshape(-1), (weights.shape[0],)) if foldable and bias is not None else None
        product = [a, weights, None if folded is None else emit.constant(folded, "bias")]
        if foldable:
            emit.add("Gemm", product, emit.out, **NO_CLAMP)
            return
        y = emit.add("Gemm", product, shape=emit.out.shape, **NO_CLAMP)
    else:
        if transB:
            b = emit.add("Transpose", [b], shape=b.shape[::-1], perm=(1, 0))
        plain = c is None or beta == 0
        y = emit.add("MatMul", [a, b], emit.out if plain and alpha == 1 else None, shape=emit.out.shape)
        if alpha != 1:
            y = emit.add("Mul", [y, emit.constant(np.float32(alpha), "alpha")], emit.out if plain else None, shape=emit.out.shape)
        if plain:
            return
    if beta != 1:
        c = emit.add("Mul", [c, emit.constant(np.float32(beta), "beta")], shape=c.shape)
    emit.add("Add", [y, c], emit.out, **NO_CLAMP)


def MatMul(emit: Emit) -> None:
    _needs_f32(emit)
    a, b = emit.inputs
    if b.data is not None and b.data.ndim == 2 and b.data.size and len(a.shape) >= 1:
        emit.add("Gemm", [a, emit.constant(np.ascontiguousarray(b.data.T), "weights"), None], emit.out, **NO_CLAMP)
    else:
        emit.add("MatMul", [a, b], emit.out)


def quantize_Gemm(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    weights, bias = node.inputs[1].data, node.inputs[2].data if node.inputs[2] is not None else None
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    scales = qmath.weight_scales(weights, bias, in_scale, out_scale)
    integers = qmath.quantize_weights(weights, scales)
    blocks = qmath.channel_params(integers, scales, bias, in_scale, in_zero, out_scale, out_zero)
    lo, hi = qmath.clamp_range(node.attrs["min"], node.attrs["max"], out_scale, out_zero)
    q.emit("Gemm", [q.int8(x), constant(f"{node.inputs[1].name}.s8", integers), packed_channels(f"{y.name}.channels", blocks, len(weights))],
           q.int8(y), **{**node.attrs, "lo": lo, "hi": hi})


def pack_Gemm(graph: Graph, node: Node) -> None:
    weights, third = node.inputs[1], node.inputs[2]
    n, k = weights.data.shape
    if weights.dtype == np.float32:
        node.inputs[2] = packed_bias(f"{weights.name}.bias", np.zeros(n, np.float32) if third is None else third.data)
    node.inputs[1] = packed_gemm(weights.name, weights.data.reshape(n, 1, k))


def scratch_Gemm(node: Node) -> int:
    _, taps, k = node.inputs[1].dims
    return matrix_scratch(node.inputs[0], k, taps, k, pointwise=True, patch=False)


def scratch_MatMul(node: Node) -> int:
    a = node.inputs[0]
    return matrix_scratch(a, a.shape[-1], 1, a.shape[-1], pointwise=True, patch=False)


def shared_MatMul(node: Node) -> int:
    """The second operand packed in panels of 16 columns; s8: sums of columns and of the first operand's rows. As in matmul.c."""
    a, b = node.inputs[:2]
    k, n = a.shape[-1], b.shape[-1] if len(b.shape) > 1 else 1
    panels = round_up(n, 16) // 16
    count = int(np.prod(b.shape[:-2], dtype=np.int64)) * panels
    if a.dtype == np.int8:
        rows = int(np.prod(a.shape[:-1], dtype=np.int64))
        pieces = (count * 16 * round_up(k, 4), count * 256, panels * 64, count, rows * 4)
    else:
        pieces = (count * 64 * k, count * 64)
    return sum(round_up(p, 64) for p in pieces)
