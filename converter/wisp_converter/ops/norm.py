"""Softmax in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Node, constant
from .rules import accepts, lower

TABLE_ONE = 1 << 23

FIXED_SCALE = {"Softmax": (1 / 256, -128)}


def softmax_table(scale: float) -> np.ndarray:
    """exp(-scale * d) in units of 2**-23 for differences d of 0..255 steps; see norm_softmax.c."""
    return np.rint(np.exp(-np.float64(np.float32(scale)) * np.arange(256)) * TABLE_ONE).astype(np.int32)


@accepts("Softmax")
def accepts_Softmax(node: Node) -> str | None:
    quant = node.outputs[0].quant
    return (None if (quant.scale, quant.zero_point) == FIXED_SCALE["Softmax"]
            else "its output shares a scale with other values")


@lower("Softmax")
def lower_Softmax(q, node: Node) -> None:
    x, y = node.inputs[0], node.outputs[0]
    table = constant(f"{y.name}.table", softmax_table(q.scale(x)[0]))
    q.emit("Softmax", [q.int8(x), table], q.int8(y), **node.attrs)
