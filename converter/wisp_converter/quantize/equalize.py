"""Equal ranges for the channels of an activation, before one int8 scale has to serve them all.

A value made by convolutions without activation, perhaps added up, and read only by convolutions, may have any channel
scaled: the makers' output channel is divided by c_j and the readers' input channel multiplied by it, and the
network computes the same (after Nagel et al. 2019, "Data-Free Quantization", section 4.1, which scales pairs of layers
for the sake of their weights; here the activation between them is what gains, and additions, being linear, may lie
between). The narrow part of inverted residuals is the case in point: its channels' ranges differ tenfold.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value, constant
from ..ops.conv import is_computed

SAMPLES = 16  # calibration samples whose channel peaks are looked at
LARGEST = 16.0  # no channel is stretched by more
STRENGTH = 0.5  # 1: equal peaks; 0: nothing. Half leaves the readers' weights half of the trouble, see decisions.md


def linear_groups(graph: Graph) -> list[tuple[set[Value], list[Node], list[Node]]]:
    """(values, makers, readers): values tied together by additions, whose channels can be scaled as described above."""
    producers, users, outputs = graph.producers(), graph.users(), set(graph.outputs)
    seen: set[Value] = set()
    groups = []
    for node in graph.nodes:
        if not _is_conv(node) or node.outputs[0] in seen:
            continue
        values, makers, readers, open_values, fine = set(), [], [], [node.outputs[0]], True
        while open_values:
            value = open_values.pop()
            if value in values:
                continue
            values.add(value)
            maker = producers.get(value)
            fine &= value not in outputs and value.shape is not None and len(value.shape) == 4
            if maker is not None and _is_sum(maker):
                open_values += maker.inputs
            elif maker is not None and _is_conv(maker) and not _clamps(maker):
                makers.append(maker)
            else:
                fine = False
            for reader in users[value]:
                if _is_sum(reader):
                    open_values.append(reader.outputs[0])
                elif _is_conv(reader) and reader.inputs[0] is value and reader.attrs["group"] == 1:
                    readers.append(reader)
                else:
                    fine = False
        seen |= values
        if fine and readers:
            groups.append((values, makers, list(dict.fromkeys(readers))))
    return groups


def equalize(graph: Graph, peaks: dict[Value, np.ndarray]) -> int:
    """Rescale the channels of every such value, in place. peaks: the largest |x| of each channel seen in calibration.
    Returns how many values changed."""
    changed = 0
    for values, makers, readers in linear_groups(graph):
        if any(v not in peaks for v in values):
            continue
        peak = np.max([peaks[v] for v in values], axis=0)
        factor = np.maximum(peak / max(peak.max(), 1e-30), 1 / LARGEST) ** STRENGTH
        for node in makers:
            weights, bias = node.inputs[1], node.inputs[2]
            node.inputs[1] = _scaled(weights, 1 / factor[:, None, None, None])
            node.inputs[2] = None if bias is None else _scaled(bias, 1 / factor)
        for node in readers:
            node.inputs[1] = _scaled(node.inputs[1], factor)
        changed += len(values)
    return changed


def _is_conv(node: Node) -> bool:
    return node.op == "Conv" and not is_computed(node)


def _is_sum(node: Node) -> bool:
    return (node.op == "Add" and not _clamps(node)
            and all(v.data is None and v.shape == node.outputs[0].shape for v in node.inputs))


def _clamps(node: Node) -> bool:
    return node.attrs.get("min", -np.inf) != -np.inf or node.attrs.get("max", np.inf) != np.inf


def _scaled(value: Value, by: np.ndarray) -> Value:
    return constant(f"{value.name}.equal", (value.data * by).astype(value.data.dtype))
