"""QuantizeLinear and DequantizeLinear of ONNX: scales and zero points for the tensor, an axis or blocks."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Value
from ...target.format import DTYPES, HALF
from .emit import Emit
from .microsoft import MS
from .registry import importer

F32 = np.dtype(np.float32)


@importer("QuantizeLinear", any_dtype=True)
@importer("QuantizeLinear", domain=MS, any_dtype=True)
def QuantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0,
                   saturate: int = 1) -> None:
    """x / scale is computed in the dtype that `precision` states, else in the scale's."""
    x, scale = emit.inputs[:2]
    emit.state_type(emit.inputs[2].dtype if emit.input(2) else np.uint8, x.shape)
    emit.keep_rank()
    dtype = next((d for d in HALF if DTYPES[d] == precision or (not precision and d == scale.dtype)), F32)
    x, scale = (emit.cast(emit.cast(v, dtype), F32) for v in (x, scale))
    emit.add("Quantize", [x, scale, *emit.inputs[2:]], emit.out, axis=axis, block=block_size, precision=DTYPES[dtype],
             unsaturated=int(not saturate))


@importer("DequantizeLinear", any_dtype=True)
@importer("DequantizeLinear", domain=MS, any_dtype=True)
def DequantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0) -> None:
    """Computed in float32, then rounded to the dtype of the output."""
    x, scale = emit.inputs[:2]
    emit.state_type(scale.dtype, x.shape)
    emit.keep_rank()
    inputs, rounds = [x, emit.cast(scale, F32), *emit.inputs[2:]], emit.out.dtype != F32
    real = emit.add("Dequantize", inputs, None if rounds else emit.out, shape=x.shape, dtype=F32, axis=axis,
                    block=block_size)
    if rounds:
        emit.add("Cast", [real], emit.out)


# ---- operators on integers, in their float form


def _real(emit: Emit, first: int, axis: int = 0) -> Value:
    """Input `first` with the scale and the zero point behind it, as numbers."""
    x, scale, zero_point = emit.inputs[first:first + 3]
    return emit.call("DequantizeLinear", [x, scale, zero_point], shape=x.shape, dtype=F32, axis=axis)


@importer("QLinearMatMul")
def QLinearMatMul(emit: Emit) -> None:
    """Scales for the tensor, for rows of A, or for columns of B."""
    a, b = _real(emit, 0, -2), _real(emit, 3, -1)
    emit.state_rank(max(len(a.shape), len(b.shape)))
    product = emit.call("MatMul", [a, b], shape=emit.out.shape)
    emit.call("QuantizeLinear", [product, *emit.inputs[6:8]], emit.out, axis=-1)


@importer("QLinearConv")
def QLinearConv(emit: Emit, **attributes) -> None:
    """The bias counts products of the scales of x and of the weights."""
    x, weights, bias = _real(emit, 0), _real(emit, 3), emit.input(8)
    if bias is not None:
        scale = emit.call("Mul", [emit.inputs[1], emit.inputs[4]], shape=emit.inputs[4].shape)
        real = emit.call("Cast", [bias], shape=bias.shape, dtype=F32, to=DTYPES[F32])
        bias = emit.call("Mul", [real, scale], shape=bias.shape)
    y = emit.call("Conv", [x, weights, bias], shape=emit.out.shape, **attributes)
    emit.call("QuantizeLinear", [y, *emit.inputs[6:8]], emit.out)


@importer("ConvInteger")
def ConvInteger(emit: Emit, **attributes) -> None:
    """By the convolution of floats, which is exact while no sum leaves the 24 bits of their significands."""
    x, weights = (_centred(emit, i, i + 2) for i in (0, 1))
    known = emit.compute(weights)
    if known is None:
        largest = 255 * math.prod(weights.shape[1:]) if weights.is_static else 1 << 24
    else:
        largest = np.abs(known).reshape(len(known), -1).sum(1).max(initial=0)
    if 255 * largest >= 1 << 24:
        raise emit.unsupported("its sums may need more than 24 bits; use the QDQ format of quantized models instead")
    y = emit.call("Conv", [x, weights], shape=emit.out.shape, dtype=F32, **attributes)
    emit.call("Cast", [y], emit.out, to=DTYPES[emit.out.dtype])


def _centred(emit: Emit, i: int, zero: int) -> Value:
    """Input i less its zero point, input `zero`: one, or of weights one for each output."""
    x, zero_point = emit.inputs[i], emit.input(zero)
    value = emit.call("Cast", [x], shape=x.shape, dtype=F32, to=DTYPES[F32])
    if zero_point is None:
        return value
    z = emit.call("Cast", [zero_point], shape=zero_point.shape, dtype=F32, to=DTYPES[F32])
    if zero_point.shape not in ((), (1,)):
        shape = (zero_point.shape[0], *[1] * (len(x.shape) - 1))
        z = emit.add("Reshape", [z, emit.constant(np.int64([-1, *shape[1:]]), "column")], shape=shape)
    return emit.call("Sub", [value, z], shape=x.shape)
