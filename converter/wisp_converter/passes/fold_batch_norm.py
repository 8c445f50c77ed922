"""Scales and shifts of channels go into the weights and bias of the Conv or Gemm before them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, constant, row_blocks
from ..ops.conv import is_computed
from .edit import channel_vector, clamp_range, only_user

FLOAT = np.dtype(np.float32)
INTO = {"Conv", "ConvTranspose", "Gemm"}


def fold_batch_norm(graph: Graph) -> None:
    """Before: BatchNormalization is a Mul and an Add of constants (its importer says so), channels are last.
    After: no Conv, ConvTranspose or Gemm of constant weights without clamp is read only by a Mul, Div, Add or Sub of a
    constant that varies along the last axis only."""
    users, removed = graph.users(), set()
    for node in graph.nodes:
        while (node.op in INTO and not is_computed(node) and node.outputs[0].dtype == FLOAT
               and clamp_range(node) == (-np.inf, np.inf)):
            after = only_user(graph, users, node)
            if after is None or not _absorb(node, after):
                break
            node.outputs = after.outputs
            removed.add(id(after))
    graph.nodes = [n for n in graph.nodes if id(n) not in removed]


def _absorb(node: Node, after: Node) -> bool:
    """Make `node` compute what `after` makes of its result, or return False."""
    if after.op not in ("Mul", "Div", "Add", "Sub") or clamp_range(after) != (-np.inf, np.inf):
        return False
    vector = channel_vector(after, node.outputs[0])
    if vector is None or vector.dtype != FLOAT:
        return False
    value_first = after.inputs[0] is node.outputs[0]
    if after.op == "Div" and not value_first:
        return False
    vector = vector.astype(np.float64)  # one rounding at the end
    scale, shift = np.ones_like(vector), np.zeros_like(vector)
    if after.op == "Mul":
        scale = vector
    elif after.op == "Div":
        with np.errstate(divide="ignore"):
            scale = 1 / vector
    elif after.op == "Add":
        shift = vector
    else:
        scale, shift = (scale, -vector) if value_first else (-scale, vector)
    weights, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    new_bias = (0.0 if bias is None else bias.data.astype(np.float64)) * scale + shift
    with np.errstate(over="ignore"):
        new_bias = new_bias.astype(FLOAT)
        new_weights = weights if (scale == 1).all() else constant(weights.name, _scaled(weights.data, scale))
    if not (np.isfinite(new_weights.data).all() and np.isfinite(new_bias).all()):
        return False
    node.inputs = [node.inputs[0], new_weights, constant(f"{node.outputs[0].name}.bias", new_bias)]
    return True


def _scaled(weights: np.ndarray, scale: np.ndarray) -> np.ndarray:
    scale, scaled = scale.reshape(-1, *[1] * (weights.ndim - 1)), np.empty(weights.shape, FLOAT)
    for part in row_blocks(weights):
        scaled[part] = weights[part] * scale[part]
    return scaled
