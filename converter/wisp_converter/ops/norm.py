"""Softmax in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Node, constant
from .rules import quantize

TABLE_ONE = 1 << 23


def softmax_table(scale: float) -> np.ndarray:
    """exp(-scale * d) in units of 2**-23 for differences d of 0..255 steps; see norm_softmax.c."""
    return np.rint(np.exp(-np.float64(np.float32(scale)) * np.arange(256)) * TABLE_ONE).astype(np.int32)


@quantize("Softmax")
def quantize_Softmax(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    if q.scale(y) != (1 / 256, -128):
        q.refuse("its output shares a scale with other values")
        return
    table = constant(f"{y.name}.table", softmax_table(q.scale(x)[0]))
    q.emit("Softmax", [q.int8(x), table], q.int8(y), **node.attrs)
