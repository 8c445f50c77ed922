"""AveragePool in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..quantize import arithmetic
from ..ir import Node, constant
from .rules import accepts, lower


@accepts("AveragePool")
def accepts_AveragePool(node: Node) -> str | None:
    fixed = all(isinstance(d, int) for d in node.inputs[0].shape[1:3])
    return "the image size is dynamic" if node.attrs.get("global") and not fixed else None


@lower("AveragePool")
def lower_AveragePool(q, node: Node) -> None:
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    whole = bool(a.get("global"))
    taps = x.shape[1] * x.shape[2] if whole else a["kernel_h"] * a["kernel_w"]
    padded = any(a.get(p) for p in ("pad_top", "pad_left", "pad_bottom", "pad_right"))
    exact = whole or not padded and not _overhangs(node)
    counts = [taps] if exact else range(1, taps + 1)
    table = [arithmetic.rescale_row(in_scale / (count * out_scale), in_zero, out_zero, count) for count in counts]
    q.emit("AveragePool", [q.int8(x), constant(f"{y.name}.table", np.array(table, np.int32))], q.int8(y),
           **{**a, "lo": -128, "hi": 127})


def _overhangs(node: Node) -> bool:
    """May the last window reach past the image?"""
    x, y, a = node.inputs[0], node.outputs[0], node.attrs
    if not a.get("ceil_mode"):
        return False
    return any(not isinstance(x.shape[d], int)
               or (y.shape[d] - 1) * a[f"stride_{axis}"] + a[f"kernel_{axis}"] > x.shape[d]
               for d, axis in ((1, "h"), (2, "w")))
