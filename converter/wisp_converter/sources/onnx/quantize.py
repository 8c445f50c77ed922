"""QuantizeLinear and DequantizeLinear of ONNX: scales and zero points for the tensor, an axis or blocks."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from ...target.format import DTYPES, HALF
from .emit import Emit
from .microsoft import MS
from .registry import importer

F32 = np.dtype(np.float32)


def _cast(emit: Emit, value: Value, dtype: np.dtype) -> Value:
    if value.dtype == dtype:
        return value
    if value.data is not None:
        return emit.constant(value.data.astype(dtype))
    return emit.add("Cast", [value], shape=value.shape, dtype=dtype)


@importer("QuantizeLinear", any_dtype=True)
@importer("QuantizeLinear", domain=MS, any_dtype=True)
def QuantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0,
                   saturate: int = 1) -> None:
    """x / scale is computed in the dtype that `precision` states, else in the scale's."""
    x, scale = emit.inputs[:2]
    emit.state_type(emit.inputs[2].dtype if emit.input(2) else np.uint8, x.shape)
    emit.keep_rank()
    dtype = next((d for d in HALF if DTYPES[d] == precision or (not precision and d == scale.dtype)), F32)
    x, scale = (_cast(emit, _cast(emit, v, dtype), F32) for v in (x, scale))
    emit.add("Quantize", [x, scale, *emit.inputs[2:]], emit.out, axis=axis, block=block_size, precision=DTYPES[dtype],
             unsaturated=int(not saturate))


@importer("DequantizeLinear", any_dtype=True)
@importer("DequantizeLinear", domain=MS, any_dtype=True)
def DequantizeLinear(emit: Emit, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0) -> None:
    """Computed in float32, then rounded to the dtype of the output."""
    x, scale = emit.inputs[:2]
    emit.state_type(scale.dtype, x.shape)
    emit.keep_rank()
    inputs, rounds = [x, _cast(emit, scale, F32), *emit.inputs[2:]], emit.out.dtype != F32
    real = emit.add("Dequantize", inputs, None if rounds else emit.out, shape=x.shape, dtype=F32, axis=axis,
                    block=block_size)
    if rounds:
        emit.add("Cast", [real], emit.out)
