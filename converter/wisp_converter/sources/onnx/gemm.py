"""Gemm and MatMul of ONNX. With constant weights both become Wisp's Gemm: y = x * W + bias over the last axis of x."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .registry import importer

NO_CLAMP = dict(min=-np.inf, max=np.inf)


PRODUCT_DTYPES = [np.dtype(n) for n in ("float32", "float64", "int32", "int64", "uint32", "uint64")]


def _check_dtype(emit: Emit) -> bool:
    """Whether a constant matrix can be packed for kernels."""
    if emit.out.dtype not in PRODUCT_DTYPES:
        raise emit.unsupported(f"elements of type {emit.out.dtype}")
    return emit.out.dtype == np.float32


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
    packs, dtype = _check_dtype(emit), emit.out.dtype.type
    if emit.out.dtype.kind in "iu" and not (alpha.is_integer() and beta.is_integer()):
        raise emit.unsupported(f"alpha={alpha:g} and beta={beta:g} with whole numbers")
    a, b, c = emit.inputs[0], emit.inputs[1], emit.input(2)
    if transA:
        a = emit.add("Transpose", [a], shape=a.shape[::-1], perm=(1, 0))
    matrix, addend = emit.known(1), emit.known(2)
    bias = None if addend is None or beta == 0 else np.float32(beta) * addend
    foldable = c is None or beta == 0 or bias is not None and _is_row(bias, emit.out.shape[1])
    if packs and matrix is not None and matrix.size:
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
            y = emit.add("Mul", [y, emit.constant(dtype(alpha), "alpha")], emit.out if plain else None,
                         shape=emit.out.shape)
        if plain:
            return
    if beta != 1:
        c = emit.add("Mul", [c, emit.constant(dtype(beta), "beta")], shape=c.shape)
    emit.add("Add", [y, c], emit.out, **(NO_CLAMP if packs else {}))


@importer("MatMul")
def MatMul(emit: Emit) -> None:
    packs = _check_dtype(emit)
    a, matrix = emit.inputs[0], emit.known(1)
    if packs and matrix is not None and matrix.ndim == 2 and matrix.size and len(a.shape) >= 1:
        emit.add("Gemm", [a, emit.constant(matrix.T, "weights"), None], emit.out, **NO_CLAMP)
    else:
        emit.add("MatMul", emit.inputs, emit.out)


@importer("MatMulInteger")
def MatMulInteger(emit: Emit) -> None:
    """Of 8-bit integers less their zero points, one for all, for each row of A or for each column of B."""
    a, b = (_centred(emit, i, i + 2) for i in (0, 1))
    emit.add("MatMul", [a, b], emit.out)


def _centred(emit: Emit, i: int, zero: int) -> Value:
    """Input i as s32, less its zero point, input `zero`, where there is one."""
    x, zero_point = emit.inputs[i], emit.input(zero)
    wide = emit.add("Cast", [x], shape=x.shape, dtype=np.int32)
    if zero_point is None:
        return wide
    z = emit.add("Cast", [zero_point], shape=zero_point.shape, dtype=np.int32)
    if i == 0 and zero_point.shape not in ((), (1,)):  # of rows
        z = emit.add("Unsqueeze", [z, emit.constant(np.int64([-1]), "axis")], shape=(*zero_point.shape, 1))
    return emit.add("Sub", [wide, z], shape=x.shape)
