"""Operators that move, cut or repeat values, in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Node, constant
from .rules import quantize

SAME_SCALE = {"Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Concat", "Split", "Slice", "Gather", "GatherElements",
              "GatherND", "Expand", "Tile", "Pad"}
IN_PLACE = {"Cast", "Trilu"}
JOINS = {"Concat"}

CONSTANT = 0  # the mode of Pad with a value of its own


@quantize("Pad")
def quantize_Pad(q, node: Node) -> None:
    """One scale for input and output; the padding becomes the stored value of its real one."""
    x, pads, value, axes = [*node.inputs, None, None][:4]
    y, fill = node.outputs[0], 0.0
    if value is not None and node.attrs["mode"] == CONSTANT:
        if value.data is None:
            q.refuse("the pad value is computed by the graph")
            return
        fill = float(value.data.reshape(()))
    scale, zero = q.scale(y)
    stored = constant(f"{y.name}.pad", np.array(np.clip(np.rint(fill / scale) + zero, -128, 127), np.int8))
    q.emit("Pad", [q.int8(x), pads, stored, axes], q.int8(y), **node.attrs)
