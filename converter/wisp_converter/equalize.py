"""Channel equalization: give every channel between two layers the whole int8 range.

One scale serves all channels of an activation, so a channel with a tenth of the range has a tenth of the steps.
Between two Convs a channel can be scaled by f in the first one's weights and bias, and by 1/f in the second one's
weights, without changing the result (Nagel et al. 2019, "Data-Free Quantization", section 4.1, with ranges seen in
calibration instead of the weights' own).
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .calibrate import Calibration
from .ir import Graph, Node, constant
from .passes.edit import only_user

LARGEST = 64.0  # a factor above which a channel is as good as dead

# How much of the difference between channels to even out. A depthwise reader has a weight scale for each channel, so
# it costs nothing there; a pointwise one shares its weight scale among all inputs.
DEPTHWISE, POINTWISE = 1.0, 0.5


def equalize(graph: Graph, seen: Calibration) -> None:
    """Rescale channels, in place, between a Conv clamped below at 0 and the only Conv that reads it. Changes weights
    and what was `seen`; the clamp from above is left to the int8 range."""
    users = graph.users()
    for first in graph.nodes:
        second = only_user(graph, users, first) if first.op == "Conv" else None
        v = first.outputs[0]
        if second is None or second.op != "Conv" or second.inputs[0] is not v or first.attrs.get("min") != 0 or v not in seen.peaks:
            continue
        depthwise, group = len(second.inputs[1].data) == second.attrs["group"] > 1, second.attrs["group"]
        if not depthwise and group != 1 or seen.ranges.get(v) is None:
            continue
        high = seen.ranges[v][1]
        if high <= 0:
            continue
        peaks = np.clip(seen.peaks[v].astype(np.float64), high / LARGEST, high)
        factors = (high / peaks) ** (DEPTHWISE if depthwise else POINTWISE)
        _scale(first, second, factors, depthwise)
        first.attrs["max"] = np.inf if first.attrs["max"] == np.inf else max(first.attrs["max"], high)
        seen.means[v] = seen.means[v] * factors
        seen.ranges[v] = 0.0, high


def _scale(first: Node, second: Node, factors: np.ndarray, depthwise: bool) -> None:
    weights, bias, reader = first.inputs[1], first.inputs[2], second.inputs[1]
    first.inputs[1] = constant(weights.name, (weights.data * factors[:, None, None, None]).astype(np.float32))
    if bias is not None:
        first.inputs[2] = constant(bias.name, (bias.data * factors).astype(np.float32))
    back = factors[:, None, None, None] if depthwise else factors
    second.inputs[1] = constant(reader.name, (reader.data / back).astype(np.float32))
