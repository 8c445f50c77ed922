"""Resize in int8, and its scratch."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Node, Value
from .rules import quantize, scratch

SAME_SCALE = {"Resize", "DepthToSpace", "SpaceToDepth"}

NEAREST, LINEAR, CUBIC = range(3)  # modes
TF_CROP_AND_RESIZE = 5  # of the ways to place coordinates
MAX_TAPS = 65536


@quantize("Resize")
def quantize_Resize(q, node: Node) -> None:
    """Input and output share one scale. Linear is integer arithmetic, see spatial_resize.c; cubic stays float."""
    a = node.attrs
    if a["mode"] == CUBIC or a.get("antialias") or a.get("exclude_outside") or a["coordinate"] == TF_CROP_AND_RESIZE:
        q.refuse("only nearest and plain linear resizing have an int8 form")
        return
    q.emit("Resize", [q.int8(node.inputs[0]), *node.inputs[1:]], q.int8(node.outputs[0]), **a)


def _axis_taps(node: Node, i: int) -> int:
    """Source positions of one output position, as make_axis in spatial_resize.c."""
    a, x, y = node.attrs, node.inputs[0], node.outputs[0]
    if y.shape[1 + i] == 0:
        return 0
    if a["mode"] == NEAREST:
        return 1
    shrink = min(_axis_scale(node, x, i), np.float32(1)) if a.get("antialias") else np.float32(1)
    reach = np.floor(np.float32(-1 if a["mode"] == LINEAR else -2) / shrink)
    return 2 - 2 * (int(max(reach, -MAX_TAPS)) + 1)


def _axis_scale(node: Node, x: Value, i: int) -> np.float32:
    scales, sizes = node.inputs[1], node.inputs[2]
    if scales is not None:
        return np.float32(scales.data[i])
    both = [np.float32(s) / np.float32(e) for s, e in zip(sizes.data, x.shape[1:3])]
    policy = node.attrs.get("policy", 0)
    return (both[i], min(both), max(both))[policy]


@scratch("Resize")
def scratch_Resize(node: Node) -> int:
    if all(v is None or v.data is None for v in node.inputs[1:3]):
        return 0  # the runtime will refuse it: sizes must be known at prepare
    return 8 * (node.outputs[0].shape[2] * _axis_taps(node, 1) + _axis_taps(node, 0))
