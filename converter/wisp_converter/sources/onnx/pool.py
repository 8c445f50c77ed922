"""MaxPool, AveragePool and their global forms of ONNX."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .emit import Emit
from .images import enter_nhwc, leave_nhwc, nhwc_shape, window_attrs
from .registry import importer


def _pool(emit: Emit, op: str, **attrs) -> None:
    x = emit.inputs[0]
    if x.dtype != np.float32:
        raise emit.unsupported(f"elements of type {x.dtype}")
    y = emit.add(op, [enter_nhwc(emit, x)], shape=nhwc_shape(emit.out.shape), **attrs)
    leave_nhwc(emit, y)


@importer("MaxPool")
def MaxPool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations=None, kernel_shape, pads=None,
            storage_order: int = 0, strides=None) -> None:
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        raise emit.unsupported("the output Indices is not supported")
    _pool(emit, "MaxPool", ceil_mode=ceil_mode,
          **window_attrs(emit, emit.inputs[0], list(kernel_shape), strides, dilations, auto_pad, pads))


@importer("AveragePool")
def AveragePool(emit: Emit, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
                dilations=None, kernel_shape, pads=None, strides=None) -> None:
    if any(d != 1 for d in dilations or ()):
        raise emit.unsupported("dilations other than 1")
    attrs = window_attrs(emit, emit.inputs[0], list(kernel_shape), strides, None, auto_pad, pads)
    del attrs["dilation_h"], attrs["dilation_w"]
    _pool(emit, "AveragePool", count_include_pad=count_include_pad, ceil_mode=ceil_mode, **attrs)


@importer("GlobalAveragePool")
def GlobalAveragePool(emit: Emit) -> None:
    _pool(emit, "AveragePool", **{"global": 1})


@importer("GlobalMaxPool")
def GlobalMaxPool(emit: Emit) -> None:
    spatial = emit.inputs[0].shape[2:]
    if not all(isinstance(d, int) for d in spatial):
        raise emit.unsupported("needs fixed spatial axes; bind them with shapes=")
    _pool(emit, "MaxPool", **window_attrs(emit, emit.inputs[0], list(spatial), None, None, "VALID", None))
