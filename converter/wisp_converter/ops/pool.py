"""AveragePool in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..quantize import arithmetic
from ..ir import Node, constant
from .rules import accepts, lower

PADS = {"d": ("pad_front", "pad_back"), "h": ("pad_top", "pad_bottom"), "w": ("pad_left", "pad_right")}


@accepts("AveragePool")
def accepts_AveragePool(node: Node) -> str | None:
    if node.attrs.get("count") == 2:
        return "sums have no int8 form"
    fixed = all(isinstance(d, int) for d in node.inputs[0].shape[1:-1])
    return "the image size is dynamic" if node.attrs.get("global") and not fixed else None


@lower("AveragePool")
def lower_AveragePool(q, node: Node) -> None:
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    letters, whole = "dhw"[-len(x.shape) + 2:], bool(a.get("global"))
    taps = math.prod(x.shape[1:-1]) if whole else math.prod(a[f"kernel_{d}"] for d in letters)
    padded = a.get("same") or any(a.get(pad) for d in letters for pad in PADS[d])
    exact = whole or not padded and not _overhangs(node, letters)
    counts = [taps] if exact else range(1, taps + 1)
    table = [arithmetic.rescale_row(in_scale / (count * out_scale), in_zero, out_zero, count) for count in counts]
    q.emit("AveragePool", [q.int8(x), constant(f"{y.name}.table", np.array(table, np.int32))], q.int8(y),
           **{**a, "lo": -128, "hi": 127})


def _overhangs(node: Node, letters: str) -> bool:
    """May the last window reach past the image?"""
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    if not a.get("ceil_mode"):
        return False
    return any(not isinstance(x.shape[i], int) or
               (y.shape[i] - 1) * a[f"stride_{d}"] + (a[f"kernel_{d}"] - 1) * a[f"dilation_{d}"] + 1 > x.shape[i]
               for i, d in enumerate(letters, 1))
