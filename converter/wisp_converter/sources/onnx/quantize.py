"""QuantizeLinear and DequantizeLinear of ONNX with one scale and zero point for the tensor."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .emit import Emit
from .registry import importer


def _parameters(emit: Emit, dtype: np.dtype) -> tuple[float, int]:
    scale = emit.require(1, "the scale")
    zero = emit.require(2, "the zero point") if emit.input(2) is not None else np.zeros((), dtype)
    if scale.size != 1 or zero.size != 1:
        raise emit.unsupported("more than one scale: only one for the whole tensor is supported here")
    if (scale.dtype != np.float32 or dtype not in (np.int8, np.uint8) or not np.isfinite(scale).all()
            or scale.min() < 1e-37):
        raise emit.unsupported(f"takes f32 and int8 or uint8 with a positive scale, not {scale.dtype} and {dtype}")
    return float(scale.reshape(())), int(zero.reshape(()))


def _dequantize_constant(emit: Emit, axis: int, block_size: int) -> None:
    """(x - zero point) * scale, with any number of scales; folded like every constant."""
    x, scale = emit.inputs[0], emit.require(1, "the scale").astype(np.float32)
    zero = emit.require(2, "the zero point") if emit.input(2) is not None else np.zeros_like(scale)
    zero, scale = (emit.constant(_along(emit, x.shape, a.astype(np.float32), axis, block_size)) for a in (zero, scale))
    real = emit.add("Cast", [x], shape=x.shape, dtype=np.float32)
    emit.add("Mul", [emit.add("Sub", [real, zero], shape=x.shape), scale], emit.out)


def _along(emit: Emit, shape: tuple[int, ...], array: np.ndarray, axis: int, block_size: int) -> np.ndarray:
    """One parameter, one for each index of `axis`, or one for each block along it,
    in a form that broadcasts to `shape`."""
    if array.size == 1:
        return array.reshape(())
    if not -len(shape) <= axis < len(shape):
        raise emit.unsupported(f"axis {axis} of a tensor with {len(shape)} axes")
    axis %= len(shape)
    blocks = tuple(-(-d // block_size) if block_size and i == axis else d for i, d in enumerate(shape))
    if array.shape != (blocks if block_size else (shape[axis],)):
        raise emit.unsupported(f"{list(array.shape)} scales or zero points do not fit {list(shape)} along axis {axis}")
    if block_size:
        return np.repeat(array, block_size, axis).take(np.arange(shape[axis]), axis)
    return array.reshape([array.size if i == axis else 1 for i in range(len(shape))])


@importer("QuantizeLinear")
def QuantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0,
                   saturate: int = 1) -> None:
    if emit.inputs[0].dtype != np.float32 or precision not in (0, 1):
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
    emit.out.scale, emit.out.zero_point = _parameters(emit, emit.out.dtype)
    emit.add("QuantizeLinear", [emit.inputs[0]], emit.out)


@importer("DequantizeLinear")
def DequantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0) -> None:
    x = emit.inputs[0]
    if emit.out.dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.out.dtype}")
    if emit.known(0) is not None:
        _dequantize_constant(emit, axis, block_size)
        return
    scale, zero = _parameters(emit, x.dtype)
    if (x.scale, x.zero_point) != (scale, zero):
        if x.scale:
            raise emit.unsupported("its scale or zero point is not the one the tensor was quantized with")
        x.scale, x.zero_point = scale, zero
    emit.add("DequantizeLinear", [x], emit.out)
