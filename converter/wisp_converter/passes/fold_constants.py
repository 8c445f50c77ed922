"""Compute nodes whose inputs are constants: what importers and passes leave behind after folding on the ONNX graph."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, constant
from .edit import clamp_range


def fold_constants(graph: Graph) -> None:
    """After: no Transpose, Reshape, Identity, Cast or f32 arithmetic reads constants only."""
    known: dict[Value, Value] = {}
    kept = []
    for node in graph.nodes:
        node.inputs = [known.get(v, v) for v in node.inputs]
        result = _compute(node)
        if result is None or node.outputs[0] in graph.outputs:
            kept.append(node)
        else:
            known[node.outputs[0]] = constant(node.outputs[0].name, result)
    graph.nodes = kept


def _compute(node: Node) -> np.ndarray | None:
    """The result of a node on constants, or None."""
    data = [None if v is None else v.data for v in node.inputs]
    if node.op not in _FUNCTIONS or any(d is None for d in data) or len(node.outputs) != 1:
        return None
    if any(v.scale for v in (*node.inputs, *node.outputs)):
        return None
    with np.errstate(all="ignore"):
        result = _FUNCTIONS[node.op](node, *data)
    output = node.outputs[0]
    if result is None or (output.shape is not None and len(output.shape) != result.ndim):
        return None
    return np.ascontiguousarray(result.astype(output.dtype, copy=False)).reshape(result.shape)


def _float_only(function):
    def compute(node: Node, *data: np.ndarray) -> np.ndarray | None:
        if any(d.dtype != np.float32 for d in data) or clamp_range(node) != (-np.inf, np.inf):
            return None
        return function(*data)
    return compute


def _reshape(node: Node, x: np.ndarray, *shape: np.ndarray) -> np.ndarray | None:
    return x.reshape(node.outputs[0].shape) if node.outputs[0].is_static else None


def _cast(node: Node, x: np.ndarray) -> np.ndarray | None:
    to = node.outputs[0].dtype
    return None if x.dtype.kind == "f" and to.kind != "f" else x.astype(to)


_FUNCTIONS = {
    "Transpose": lambda node, x: x.transpose(node.attrs["perm"][:x.ndim]),
    "Reshape": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Identity": lambda node, x: x,
    "Cast": _cast,
    "Add": _float_only(np.add),
    "Sub": _float_only(np.subtract),
    "Mul": _float_only(np.multiply),
    "Div": _float_only(np.divide),
    "Neg": _float_only(np.negative),
    "Relu": _float_only(lambda x: np.maximum(x, 0)),
    "Sqrt": _float_only(np.sqrt),
    "Reciprocal": _float_only(lambda x: np.float32(1) / x),
}
