"""What rounding weights to int8 does: taken off the bias where it is a shift, measured where it is noise."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..ir import Node, Value, constant, row_blocks
from ..opcodes import has_trait
from . import arithmetic

BIAS_CORRECTION = True
LOW_SNR = 20.0  # dB; int8 weights below this are worth a warning


def correct_bias(node: Node, means: np.ndarray | None) -> Node:
    """The node with what rounding its weights adds to each output on average taken off the bias.

    The mean error of output j is sum over k of (rounded - real)[j, k] * E[x_k] (Nagel et al. 2019, "Data-Free
    Quantization", section 4.2); the means E[x_k] were seen in calibration."""
    if means is None or not _has_weights(node) or not BIAS_CORRECTION:
        return node
    weights = node.inputs[1].data
    n, group = len(weights), node.attrs.get("group", 1)
    rows = weights.reshape(n, -1)
    bias = np.zeros(n, np.float32) if node.inputs[2] is None else node.inputs[2].data
    scales = arithmetic.weight_scales(rows, bias, node.inputs[0].quant.scale, node.outputs[0].quant.scale)
    shift, inputs = np.empty(n), means.reshape(group, -1)
    for part in row_blocks(rows):
        rounded = arithmetic.quantize_weights(rows[part], scales[part]) * scales[part, None]
        error = (rounded - rows[part]).reshape(len(rounded), -1, weights.shape[-1]).sum(axis=1)
        shift[part] = (error * inputs[np.arange(n)[part] // (n // group)]).sum(axis=1)
    corrected = (bias - shift).astype(np.float32)
    return Node(node.op, [*node.inputs[:2], constant(f"{node.outputs[0].name}.bias", corrected)], node.outputs,
                node.attrs, node.name)


def weight_snr(node: Node, emitted: list[Node]) -> float | None:
    """Signal-to-noise ratio of int8 weights in dB, with the best scale for each channel; None where there are none."""
    stored = next((n.inputs[1].data for n in emitted if n.op == node.op and _is_weights(n)), None)
    if stored is None or not _has_weights(node) or stored.size != node.inputs[1].data.size:
        return None
    weights, integers = (a.reshape(len(node.inputs[1].data), -1) for a in (node.inputs[1].data, stored))
    noise = signal = 0.0
    for part in row_blocks(weights):
        w, s = weights[part].astype(np.float64), integers[part].astype(np.float64)
        best = (w * s).sum(1) / np.maximum((s * s).sum(1), 1)
        noise, signal = noise + ((w - s * best[:, None]) ** 2).sum(), signal + (w ** 2).sum()
    return math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf


def _has_weights(node: Node) -> bool:
    return has_trait(node.op, "WEIGHTS") and node.inputs[1].data is not None


def _is_weights(node: Node) -> bool:
    value: Value | None = node.inputs[1] if len(node.inputs) > 1 else None
    return value is not None and value.data is not None and value.data.dtype == np.int8
