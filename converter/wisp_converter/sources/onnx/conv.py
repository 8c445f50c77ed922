"""Conv of ONNX: one or two spatial axes, any groups."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .emit import Emit
from .images import enter_nhwc, leave_nhwc, nhwc_shape, window_attrs
from .registry import importer


@importer("Conv")
def Conv(emit: Emit, *, auto_pad: str = "NOTSET", dilations=None, group: int = 1, kernel_shape=None, pads=None,
         strides=None) -> None:
    x, weights = emit.inputs[0], emit.require(1, "the weights")
    bias = emit.require(2, "the bias") if emit.input(2) is not None else None
    if x.dtype != np.float32:
        raise emit.unsupported(f"elements of type {x.dtype}")
    kernel = list(weights.shape[2:])
    if len(kernel) not in (1, 2):
        raise emit.unsupported(f"takes one or two spatial axes, not {len(kernel)}")
    attrs = window_attrs(emit, x, kernel, strides, dilations, auto_pad, pads)
    taps_last = weights.reshape(*weights.shape[:2], attrs["kernel_h"], attrs["kernel_w"]).transpose(0, 2, 3, 1)
    y = emit.add("Conv", [enter_nhwc(emit, x), emit.constant(taps_last, "weights"),
                          None if bias is None else emit.constant(bias, "bias")],
                 shape=nhwc_shape(emit.out.shape), group=group, min=-np.inf, max=np.inf, **attrs)
    leave_nhwc(emit, y)
