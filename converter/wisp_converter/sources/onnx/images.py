"""From N, C, (H,) W of ONNX to the NHWC of Wisp's spatial operators and back, and the windows that slide over it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Dim, Value
from .emit import Emit


def spatial_pads(emit: Emit, spatial: tuple[Dim, ...], kernel: list[int], strides: list[int], dilations: list[int],
                 auto_pad: str, pads: list[int] | None) -> list[int]:
    """Pads as ONNX lists them (all begins, then all ends), with auto_pad worked out."""
    if auto_pad in ("NOTSET", "VALID"):
        return list(pads) if pads and auto_pad == "NOTSET" else [0] * (2 * len(kernel))
    begins, ends = [], []
    for extent, k, s, d in zip(spatial, kernel, strides, dilations):
        if not isinstance(extent, int):
            raise emit.unsupported(f"auto_pad {auto_pad} needs fixed spatial axes; bind them with shapes=")
        total = max((-(-extent // s) - 1) * s + d * (k - 1) + 1 - extent, 0)
        small, large = total // 2, total - total // 2
        begins.append(large if auto_pad == "SAME_LOWER" else small)
        ends.append(small if auto_pad == "SAME_LOWER" else large)
    return begins + ends


def window_attrs(emit: Emit, x: Value, kernel: list[int], strides, dilations, auto_pad: str, pads) -> dict:
    """kernel_h .. pad_right of ops.def for a node whose x is N, C, then one or two spatial axes."""
    rank = len(kernel)
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    pads = spatial_pads(emit, x.shape[2:], kernel, strides, dilations, auto_pad, pads)
    if rank == 1:
        kernel, strides, dilations, pads = [1, *kernel], [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
    if min(pads, default=0) < 0:
        raise emit.unsupported("negative pads")
    return dict(kernel_h=kernel[0], kernel_w=kernel[1], stride_h=strides[0], stride_w=strides[1],
                dilation_h=dilations[0], dilation_w=dilations[1],
                pad_top=pads[0], pad_left=pads[1], pad_bottom=pads[2], pad_right=pads[3])


def enter_nhwc(emit: Emit, x: Value) -> Value:
    """N, C, (H,) W to NHWC; one spatial axis gets H = 1."""
    if x.shape is None or len(x.shape) not in (3, 4):
        raise emit.unsupported("takes one or two spatial axes, "
                               f"not {'unknown' if x.shape is None else len(x.shape) - 2}")
    if len(x.shape) == 4:
        return emit.to_nhwc(x)
    moved = emit.add("Transpose", [x], shape=(x.shape[0], x.shape[2], x.shape[1]), perm=(0, 2, 1))
    return _reshape(emit, moved, (x.shape[0], 1, x.shape[2], x.shape[1]), unsqueeze=True)


def leave_nhwc(emit: Emit, y: Value) -> None:
    """The way back into the node's first output."""
    if len(emit.out.shape) == 4:
        emit.to_nchw(y)
        return
    flat = _reshape(emit, y, (y.shape[0], y.shape[2], y.shape[3]), unsqueeze=False)
    emit.add("Transpose", [flat], emit.out, perm=(0, 2, 1))


def nhwc_shape(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Shape of the NHWC form of an output with one or two spatial axes."""
    return (shape[0], *shape[2:], shape[1]) if len(shape) == 4 else (shape[0], 1, shape[2], shape[1])


def _reshape(emit: Emit, x: Value, shape: tuple[Dim, ...], *, unsqueeze: bool) -> Value:
    if all(isinstance(d, int) for d in shape):
        return emit.add("Reshape", [x], shape=shape)
    axes = emit.constant(np.array([1], np.int64), "axes")
    return emit.add("Unsqueeze" if unsqueeze else "Squeeze", [x, axes], shape=shape)
