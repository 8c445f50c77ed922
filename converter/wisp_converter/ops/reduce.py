"""Reductions in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..quantize import arithmetic
from ..ir import Node, Value, constant
from .rules import accepts, lower


def reduced_axes(node: Node) -> list[int] | None:
    """The axes a reduction of known axes removes, in order; None when they or the rank are not known."""
    x, axes = node.inputs[0], node.inputs[1] if len(node.inputs) > 1 else None
    if x.shape is None or (axes is not None and axes.data is None):
        return None
    listed = [] if axes is None else sorted(int(a) % len(x.shape) for a in axes.data.ravel())
    return listed if listed or node.attrs.get("noop_with_empty_axes") else list(range(len(x.shape)))


@accepts("ReduceMean", "ReduceSum")
def accepts_reduction(node: Node) -> str | None:
    x, y, axes = node.inputs[0], node.outputs[0], reduced_axes(node)
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or not x.is_static or not y.is_static:
        return "the int8 form needs known shapes and axes that are neighbours"
    count = math.prod(x.shape[axes[0]:axes[-1] + 1])
    if count == 0:
        return "the int8 form needs values to add"
    steps = x.quant.scale / (y.quant.scale * (count if node.op == "ReduceMean" else 1))
    try:
        arithmetic.rescale_row(steps, x.quant.zero_point, y.quant.zero_point, count)
    except ValueError as error:
        return str(error)
    return None


@lower("ReduceMean")
def lower_ReduceMean(q, node: Node) -> None:
    _quantize_as_pool(q, node, mean=True)


@lower("ReduceSum")
def lower_ReduceSum(q, node: Node) -> None:
    _quantize_as_pool(q, node, mean=False)


def _quantize_as_pool(q, node: Node, mean: bool) -> None:
    """A mean over neighbouring axes is the average pool of an image [before, count, 1, after];
    a sum has another scale."""
    x, y, axes = node.inputs[0], node.outputs[0], reduced_axes(node)
    before, count, after = (math.prod(part)
                            for part in (x.shape[:axes[0]], x.shape[axes[0]:axes[-1] + 1], x.shape[axes[-1] + 1:]))
    (in_scale, in_zero), (out_scale, out_zero) = q.scale(x), q.scale(y)
    row = arithmetic.rescale_row(in_scale / (out_scale * (count if mean else 1)), in_zero, out_zero, count)
    if len(x.shape) == 4 and axes == [1, 2]:
        image = q.int8(x)
    else:
        image = _like(q.int8(x), "image", (before, count, 1, after))
        q.emit("Reshape", [q.int8(x)], image)
    table, result = constant(f"{y.name}.table", np.array([row], np.int32)), q.int8(y)
    pooled = (result if y.shape == (image.shape[0], 1, 1, image.shape[3])
              else _like(result, "pooled", (image.shape[0], 1, 1, image.shape[3])))
    q.emit("AveragePool", [image, table], pooled, **{"global": 1, "lo": -128, "hi": 127})
    if pooled is not result:
        q.emit("Reshape", [pooled], result)


def _like(value: Value, label: str, shape: tuple[int, ...]) -> Value:
    return Value(f"{value.name}.{label}", value.dtype, shape, scale=value.scale, zero_point=value.zero_point)
