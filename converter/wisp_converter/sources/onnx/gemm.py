"""Gemm and MatMul of ONNX. With constant weights both become Wisp's Gemm: y = x * W + bias over the last axis of x."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .emit import Emit
from .registry import importer

NO_CLAMP = dict(min=-np.inf, max=np.inf)


def _needs_f32(emit: Emit) -> None:
    if emit.out.dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.out.dtype}")


def _is_row(bias: np.ndarray, n) -> bool:
    """Whether a bias adds the same to every row of the product, which has n columns."""
    if bias.ndim == 0:
        return True
    if bias.shape[-1] != bias.size:  # it varies along the rows
        return False
    return bias.size in (1, n)


@importer("Gemm")
def Gemm(emit: Emit, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
         broadcast: int = 1) -> None:
    _needs_f32(emit)
    a, b, c = emit.inputs[0], emit.inputs[1], emit.input(2)
    if transA:
        a = emit.add("Transpose", [a], shape=a.shape[::-1], perm=(1, 0))
    matrix, addend = emit.known(1), emit.known(2)
    bias = None if addend is None or beta == 0 else np.float32(beta) * addend
    foldable = c is None or beta == 0 or bias is not None and _is_row(bias, emit.out.shape[1])
    if matrix is not None and matrix.size:
        matrix = matrix if transB else matrix.T
        weights = emit.constant(matrix if alpha == 1 else np.float32(alpha) * matrix, "weights")
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
            y = emit.add("Mul", [y, emit.constant(np.float32(alpha), "alpha")], emit.out if plain else None,
                         shape=emit.out.shape)
        if plain:
            return
    if beta != 1:
        c = emit.add("Mul", [c, emit.constant(np.float32(beta), "beta")], shape=c.shape)
    emit.add("Add", [y, c], emit.out, **NO_CLAMP)


@importer("MatMul")
def MatMul(emit: Emit) -> None:
    _needs_f32(emit)
    a, matrix = emit.inputs[0], emit.known(1)
    if matrix is not None and matrix.ndim == 2 and matrix.size and len(a.shape) >= 1:
        emit.add("Gemm", [a, emit.constant(matrix.T, "weights"), None], emit.out, **NO_CLAMP)
    else:
        emit.add("MatMul", emit.inputs, emit.out)
