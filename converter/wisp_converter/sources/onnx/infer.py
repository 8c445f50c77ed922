"""ONNX's own inference of dtypes and shapes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import onnx
from onnx import shape_inference

from ...errors import ModelError


def infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with ONNX's inference of dtypes and shapes."""
    try:
        return shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=True)
    except Exception as error:  # onnx raises several unrelated classes here
        raise ModelError(f"shapes do not fit together: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
