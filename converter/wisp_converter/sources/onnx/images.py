"""From N, C, (D,) (H,) W of ONNX to the channels-last form of Wisp's spatial operators and back, and the windows that
slide over it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Dim, Value
from .emit import Emit, permute

SAME = {"SAME_UPPER": 1, "SAME_LOWER": 2}
PADS = {"d": ("pad_front", "pad_back"), "h": ("pad_top", "pad_bottom"), "w": ("pad_left", "pad_right")}


def window_attrs(emit: Emit, x: Value, kernel: list[int], strides, dilations, auto_pad: str, pads) -> dict:
    """kernel_d .. pad_right and same of ops.def for a node whose x is N, C, then one to three spatial axes."""
    rank = len(kernel)
    strides, dilations = list(strides or [1] * rank), list(dilations or [1] * rank)
    same = SAME.get(auto_pad, 0)
    if same and all(isinstance(d, int) for d in x.shape[2:]):
        pads, same = _same_pads(x.shape[2:], kernel, strides, dilations, same), 0
    elif auto_pad != "NOTSET" or not pads:
        pads = [0] * (2 * rank)
    if min(pads, default=0) < 0:
        raise emit.unsupported("negative pads")
    attrs = {"same": same}
    for letter, *values in ([("h", 1, 1, 1, 0, 0)] if rank == 1 else []) + \
            list(zip("dhw"[-rank:], kernel, strides, dilations, pads[:rank], pads[rank:])):
        names = (f"kernel_{letter}", f"stride_{letter}", f"dilation_{letter}", *PADS[letter])
        attrs.update(zip(names, map(int, values)))
    return attrs


def state_windows(emit: Emit, attrs: dict, ceil_mode: int = 0) -> None:
    """The output's extents are as many as there are windows; ONNX's inference counts some that lie in the padding."""
    x = emit.inputs[0].shape
    letters = "dhw"[2 - len(x):]
    extents = []
    for letter, extent in zip(letters, x[2:]):
        if not isinstance(extent, int) or attrs["same"]:
            extents.append(None)
            continue
        before, after, stride = *(attrs[name] for name in PADS[letter]), attrs[f"stride_{letter}"]
        span = extent + before + after - attrs[f"dilation_{letter}"] * (attrs[f"kernel_{letter}"] - 1) - 1
        count = max(span // stride + 1, 0)
        extents.append(count + (ceil_mode and span > -stride and span % stride and count * stride < extent + before))
    emit.state_shape((None, None, *map(lambda d: d if d is None else int(d), extents)))


def _same_pads(spatial, kernel: list[int], strides: list[int], dilations: list[int], same: int) -> list[int]:
    """Pads as ONNX lists them: all begins, then all ends."""
    total = [max((-(-extent // s) - 1) * s + d * (k - 1) + 1 - extent, 0)
             for extent, k, s, d in zip(spatial, kernel, strides, dilations)]
    small, large = [t // 2 for t in total], [t - t // 2 for t in total]
    return small + large if same == SAME["SAME_UPPER"] else large + small


def kernel_of(emit: Emit, weights: Value, kernel_shape) -> list[int]:
    """The kernel's extents, of weights (n, k, ...)."""
    kernel = [None] * len(kernel_shape or ()) if weights.shape is None else list(weights.shape[2:])
    kernel = [d if isinstance(d, int) else k for d, k in zip(kernel, kernel_shape or kernel)]
    if not all(isinstance(d, int) for d in kernel):
        raise emit.unsupported("needs a kernel of fixed extents")
    if not 1 <= len(kernel) <= 3:
        raise emit.unsupported(f"takes one to three spatial axes, not {len(kernel)}")
    return kernel


def enter_nhwc(emit: Emit, x: Value) -> Value:
    """N, C, (D,) (H,) W to N, (D,) H, W, C; one spatial axis gets H = 1."""
    if x.shape is None or len(x.shape) not in (3, 4, 5):
        raise emit.unsupported("takes one to three spatial axes, "
                               f"not {'unknown' if x.shape is None else len(x.shape) - 2}")
    rank = len(x.shape)
    order = (0, *range(2, rank), 1)
    moved = emit.add("Transpose", [x], shape=permute(x.shape, order), perm=order)
    if rank > 3:
        return moved
    return _reshape(emit, moved, (x.shape[0], 1, x.shape[2], x.shape[1]), unsqueeze=True)


def leave_nhwc(emit: Emit, y: Value, output: Value | None = None) -> None:
    """The way back into an output, by default the node's first."""
    output = output or emit.out
    rank = len(output.shape)
    if rank == 3:
        y = _reshape(emit, y, (y.shape[0], y.shape[2], y.shape[3]), unsqueeze=False)
    emit.add("Transpose", [y], output, perm=(0, rank - 1, *range(1, rank - 1)))


def nhwc_shape(shape: tuple[Dim, ...]) -> tuple[Dim, ...]:
    """Shape of the channels-last form of an output with one to three spatial axes."""
    return (shape[0], 1, shape[2], shape[1]) if len(shape) == 3 else (shape[0], *shape[2:], shape[1])


def _reshape(emit: Emit, x: Value, shape: tuple[Dim, ...], *, unsqueeze: bool) -> Value:
    if all(isinstance(d, int) for d in shape):
        return emit.add("Reshape", [x], shape=shape)
    axes = emit.constant(np.array([1], np.int64), "axes")
    return emit.add("Unsqueeze" if unsqueeze else "Squeeze", [x, axes], shape=shape)
