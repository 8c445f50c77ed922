"""Resize in int8, and what sizes it takes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Node
from .rules import Whole, accepts, lower, takes

NEAREST, LINEAR, CUBIC = range(3)  # modes
TF_CROP_AND_RESIZE = 5  # of the ways to place coordinates


@accepts("Resize")
def accepts_Resize(node: Node) -> str | None:
    a = node.attrs
    if a["mode"] == CUBIC or a.get("antialias") or a.get("exclude_outside") or a["coordinate"] == TF_CROP_AND_RESIZE:
        return "only nearest and plain linear resizing have an int8 form"
    x, y = node.inputs[0], node.outputs[0]
    if a["mode"] == LINEAR and (len(x.shape) > 4 or x.is_static and y.is_static
                                and sum(p != q for p, q in zip(x.shape, y.shape)) > 2):
        return "linear resizing of more than two axes has no int8 form"
    return None


@lower("Resize")
def lower_Resize(q, node: Node) -> None:
    """Input and output share one scale. Linear is integer arithmetic, see spatial_resize.c; cubic stays float."""
    q.emit("Resize", [q.int8(node.inputs[0]), *node.inputs[1:]], q.int8(node.outputs[0]), **node.attrs)


@takes("Resize")
def takes_Resize(node: Node) -> dict[int, Whole]:
    shape = node.inputs[0].shape
    return {2: Whole(values=tuple(shape[1:3]))} if shape and len(node.inputs) > 2 else {}
