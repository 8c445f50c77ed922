"""Activations and normalizations that exporters write as arithmetic become the operators of the runtime."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, constant
from .patterns import NODES, Matcher, parse

X = "0.7978845608 * (x + 0.044715 * x ** 3)"
SQUARES = "ReduceMean(x ** 2) + epsilon"
VARIANCE = "ReduceMean((d := x - ReduceMean(x)) ** 2) + epsilon"
ROOTS = ("/ Sqrt({})", "* Pow({}, -0.5)")

GROUPS = "Reshape(GroupNormalization((rows := Reshape(x)), one, zero, 0, epsilon))"

PATTERNS = [(op, attrs, parse(text)) for op, attrs, *texts in (
    ("Gelu", {"tanh": 0}, "0.5 * x * (1 + Erf(0.7071067812 * x))"),
    ("Gelu", {"tanh": 1}, f"0.5 * x * (1 + Tanh({X}))",
     "0.5 * x * (1 + Tanh(0.7978845608 * x * (1 + 0.044715 * x ** 2)))"),
    ("Swish", {}, "x * Sigmoid(alpha * x)", "x / (1 + Exp(-1 * alpha * x))"),
    ("HardSwish", {}, "x * HardSigmoid(x, 0.1666666667, 0.5)", "0.1666666667 * x * Clip(x + 3, 0, 6)",
     "x * Clip(0.1666666667 * x + 0.5, 0, 1)"),
    ("Mish", {}, "x * Tanh(Softplus(x))", "x * Tanh(Log(1 + Exp(x)))"),
    *(("LayerNormalization", {},
       f"scale * d {root} + bias", f"d {root} + bias", f"scale * d {root}", f"d {root}",
       f"x * (m := scale {root}) + bias - (ReduceMean(x)) * m")
      for root in (r.format(VARIANCE) for r in ROOTS)),
    ("GroupNormalization", {}, f"scale * {GROUPS} + bias", f"scale * {GROUPS}"),
    *(("RMSNormalization", {}, f"scale * x {root}", f"x {root}") for root in (r.format(SQUARES) for r in ROOTS)),
) for text in texts]


def fuse_primitives(graph: Graph) -> None:
    """After: no f32 nodes that nobody else reads compute together what one of PATTERNS says."""
    matcher, gone = Matcher(graph), set()
    for i in reversed(range(len(graph.nodes))):  # from the end: the longest pattern first
        node = graph.nodes[i]
        if id(node) in gone or len(node.outputs) != 1 or node.op not in ("Mul", "Div", "Add", "Sub"):
            continue
        for op, attrs, pattern in PATTERNS:
            bound = matcher.match(pattern, node)
            fused = None if bound is None else _fused(node, op, attrs, bound)
            if fused is not None:
                gone |= {id(n) for n in bound[NODES]}
                graph.nodes[i] = matcher.makers[node.outputs[0]] = fused
                break
    graph.nodes = [n for n in graph.nodes if id(n) not in gone]


def _fused(node: Node, op: str, attrs: dict, bound: dict) -> Node | None:
    x, y = bound["x"], node.outputs[0]
    if x.dtype != np.float32 or x.data is not None or not x.shape or y.shape is None or len(y.shape) != len(x.shape):
        return None
    inputs = [x]
    if "rows" in bound:
        found = _grouped(x, y, bound)
        if found is None:
            return None
        attrs, inputs = {"groups": bound["rows"].shape[1]}, [x, *found]
    elif "axes" in bound:
        axis = bound["axes"][0]
        if bound["axes"] != tuple(range(axis, len(x.shape))):
            return None
        attrs = {**attrs, "axis": axis}
        for name in ("scale", "bias"):
            if name in bound or name == "scale":
                inputs.append(_row(bound.get(name), f"{y.name}.{name}", x.shape[axis:]))
        if None in inputs:
            return None
    attrs = {**attrs, **{n: bound[n] for n in ("alpha", "epsilon") if n in bound}}
    if attrs.get("epsilon", 0) < 0:
        return None
    return Node(op, inputs, [y], attrs, node.name)


def _grouped(x: Value, y: Value, bound: dict) -> list[Value] | None:
    """Scale and bias of each channel of x, which was reshaped to (batch, groups, rest), normalized by group and
    reshaped back; None if it was anything else."""
    rows = bound["rows"].shape
    if len(x.shape) < 2 or len(rows) != 3 or x.shape != y.shape or None in x.shape or rows[0] != x.shape[0]:
        return None
    channels, groups = x.shape[1], rows[1]
    if not isinstance(channels, int) or not isinstance(groups, int) or channels % groups:
        return None
    old = [bound[n].data for n in ("one", "zero")]
    each = [_row(bound[n], n, (channels,) + (1,) * (len(x.shape) - 2)) for n in ("scale", "bias") if n in bound]
    if any(v is None for v in (*old, *each)):
        return None
    scale, bias = (np.repeat(v, channels // groups) for v in old)
    factor = each[0].data.reshape(-1)
    offset = bias * factor + (each[1].data.reshape(-1) if len(each) > 1 else np.float32(0))
    return [constant(f"{y.name}.scale", scale * factor), constant(f"{y.name}.bias", offset)]


def _row(value: Value | None, name: str, row: tuple) -> Value | None:
    """A constant of one row of x, as the operator takes it; None if it varies otherwise."""
    if value is None:
        return constant(name, np.ones((), np.float32))
    data = value.data
    if data is None or data.dtype != np.float32:
        return None
    if data.ndim > len(row) and all(d == 1 for d in data.shape[:data.ndim - len(row)]):
        data = data.reshape(data.shape[data.ndim - len(row):])
    return value if data.shape == value.shape == row else constant(name, data) if data.shape == row else None
