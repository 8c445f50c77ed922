"""Operators of com.microsoft, which ONNX Runtime writes into graphs it optimized, made of importers of ONNX's own."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .ml_svm import squared_distances
from .registry import importer

MS = "com.microsoft"

ACTIVATIONS = {"HardSigmoid": ("alpha", "beta"), "LeakyRelu": ("alpha",), "Clip": ("min", "max")}
"""Names of the numbers that come with an activation; others have none."""


def _activate(emit: Emit, x: Value, name: str, numbers=()) -> None:
    """The node's output from x, by the activation called so; none for ''."""
    if not name:
        emit.alias(x)
    else:
        emit.call(name, [x], emit.out, **dict(zip(ACTIVATIONS.get(name, ()), numbers)))


def _with_bias(emit: Emit, x: Value, bias: Value | None) -> Value:
    return x if bias is None else emit.call("Add", [x, bias], shape=x.shape)


@importer("Gelu", "FastGelu", "BiasGelu", domain=MS)
def import_gelu(emit: Emit) -> None:
    """Of x, plus a bias along its last axis where there is one."""
    emit.keep_type()
    x = _with_bias(emit, emit.inputs[0], emit.input(1))
    emit.call("Gelu", [x], emit.out, approximate="tanh" if emit.op_type == "FastGelu" else "none")


@importer("QuickGelu", domain=MS)
def QuickGelu(emit: Emit, *, alpha: float = 1.702) -> None:
    emit.keep_type()
    emit.call("Swish", emit.inputs, emit.out, alpha=alpha)


@importer("FusedMatMul", domain=MS)
def FusedMatMul(emit: Emit, *, alpha: float = 1.0, transA: int = 0, transB: int = 0, transBatchA: int = 0,
                transBatchB: int = 0) -> None:
    """alpha * A B. transBatch: A comes as (rows, batch..., k), see ONNX Runtime's ContribOperators.md."""
    a, b = (_turned(emit, v, batch, turn) for v, batch, turn in
            zip(emit.inputs, (transBatchA, transBatchB), (transA, transB)))
    shape = None if a.shape is None or b.shape is None else (None,) * max(len(a.shape), len(b.shape))
    emit.state_type(a.dtype, shape)
    y = emit.call("MatMul", [a, b], emit.out if alpha == 1 else None, shape=shape)
    if alpha != 1:
        emit.call("Mul", [y, emit.constant(np.array(alpha, a.dtype), "alpha")], emit.out)


def _turned(emit: Emit, x: Value, batch: int, turn: int) -> Value:
    order = list(range(len(x.shape)))
    if batch and len(order) > 2:
        order = [*order[1:-1], order[0], order[-1]]
    if turn and len(order) > 1:
        order[-2:] = order[:-3:-1]
    if order == sorted(order):
        return x
    return emit.call("Transpose", [x], shape=tuple(x.shape[p] for p in order), perm=order)


@importer("FusedGemm", domain=MS)
def FusedGemm(emit: Emit, *, activation: str = "", activation_alpha: float = 0.0, activation_beta: float = 0.0,
              activation_gamma: float = 0.0, alpha: float = 1.0, beta: float = 1.0, transA: int = 0,
              transB: int = 0) -> None:
    emit.state_type(emit.inputs[0].dtype, (emit.inputs[0].shape[transA], emit.inputs[1].shape[1 - transB]))
    y = emit.call("Gemm", emit.inputs, shape=emit.out.shape, alpha=alpha, beta=beta, transA=transA, transB=transB)
    _activate(emit, y, activation, (activation_alpha, activation_beta, activation_gamma))


@importer("FusedConv", domain=MS)
def FusedConv(emit: Emit, *, activation: str = "", activation_params=(), **attributes) -> None:
    """Conv of the first three inputs, plus the fourth, then an activation."""
    x, weights = emit.inputs[:2]
    emit.state_type(x.dtype, (x.shape[0], weights.shape[0], *(None for _ in x.shape[2:])))
    y = emit.call("Conv", emit.inputs[:3], shape=emit.out.shape, **attributes)
    _activate(emit, _with_bias(emit, y, emit.input(3)), activation, activation_params)


@importer("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MS)
def import_skip_norm(emit: Emit, *, epsilon: float = 1e-12) -> None:
    """The normalization of input + skip + bias; the fourth output is that sum."""
    simplified = emit.op_type == "SkipSimplifiedLayerNormalization"
    x, skip, scale = emit.inputs[:3]
    beta, bias = (None, emit.input(3)) if simplified else (emit.input(3), emit.input(4))
    if any(v is not None for v in emit.outputs[1:3]):
        raise emit.unsupported("the outputs mean and inverse deviation")
    emit.keep_type()
    emit.keep_type(3)
    total = emit.outputs[3] if len(emit.outputs) > 3 else None
    y = emit.call("Add", [x, skip], total if bias is None else None, shape=x.shape)
    if bias is not None:
        y = emit.call("Add", [y, bias], total, shape=x.shape)
    if simplified:
        emit.call("RMSNormalization", [y, scale], emit.out, epsilon=epsilon)
    else:
        emit.call("LayerNormalization", [y, scale, beta], emit.out, epsilon=epsilon)


@importer("SimplifiedLayerNormalization")
def SimplifiedLayerNormalization(emit: Emit, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> None:
    """ONNX Runtime's own too, though it stands in ONNX's domain."""
    if any(v is not None for v in emit.outputs[1:]):
        raise emit.unsupported("the output inverse deviation")
    emit.keep_type()
    emit.call("RMSNormalization", emit.inputs, emit.out, axis=axis, epsilon=epsilon)


@importer("Trilu", domain=MS, any_dtype=True)
def Trilu(emit: Emit, *, upper: int = 1) -> None:
    emit.keep_type()
    emit.call("Trilu", emit.inputs, emit.out, upper=upper)


@importer("EmbedLayerNormalization", domain=MS)
def EmbedLayerNormalization(emit: Emit, *, epsilon: float = 1e-12, mask_index_type: int = 0) -> None:
    """Rows of the tables of words, positions and segments, summed (output 2) and normalized. Output 1: how many of each
    row's masks are 1; 0 without a mask."""
    ids, segments, words, positions, kinds, scale, bias, mask, position_ids = (emit.input(i) for i in range(9))
    shape = (*ids.shape, words.shape[1])
    emit.state_type(words.dtype, shape)
    emit.state_type(np.int32, ids.shape[:1], 1)
    emit.state_type(words.dtype, shape, 2)
    y = emit.call("Gather", [words, ids], shape=shape, axis=0)
    if position_ids is not None:
        place = emit.call("Gather", [positions, position_ids], shape=(None, None, shape[2]), axis=0)
    else:
        zero, length = emit.constant(np.int64([0])), emit.call("Shape", [ids], shape=(1,), dtype=np.int64, start=1)
        place = emit.call("Slice", [positions, zero, length, zero], shape=(None, shape[2]))
    total = emit.outputs[2] if len(emit.outputs) > 2 else None
    y = emit.call("Add", [y, place], total if segments is None else None, shape=shape)
    if segments is not None:
        kind = emit.call("Gather", [kinds, segments], shape=shape, axis=0)
        y = emit.call("Add", [y, kind], total, shape=shape)
    emit.call("LayerNormalization", [y, scale, bias], emit.outputs[0], epsilon=epsilon)
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        _count_ones(emit, ids if mask is None else mask, 0 if mask is None else 1, emit.outputs[1])


def _count_ones(emit: Emit, mask: Value, factor: int, output: Value) -> None:
    ones = emit.call("Equal", [mask, emit.constant(np.ones((), mask.dtype))], shape=mask.shape, dtype=np.bool_)
    numbers = emit.call("Cast", [ones], shape=mask.shape, dtype=np.int32, to=6)
    counted = emit.call("Mul", [numbers, emit.constant(np.int32(factor))], shape=mask.shape)
    emit.call("ReduceSum", [counted, emit.constant(np.int64([1]))], output, keepdims=0)


@importer("CDist", domain=MS)
def CDist(emit: Emit, *, metric: str = "sqeuclidean") -> None:
    """Distances of each row of the first input from each of the second."""
    if metric not in ("sqeuclidean", "euclidean"):
        raise emit.unsupported(f"metric {metric!r}")
    a, b = emit.inputs
    emit.state_type(a.dtype, (a.shape[0], b.shape[0]))
    far = squared_distances(emit, a, b, None if metric == "euclidean" else emit.out)
    if metric == "euclidean":
        emit.add("Sqrt", [far], emit.out)
