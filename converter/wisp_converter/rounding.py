"""Weights rounded one after the other, each correcting what the ones before it did to the output.

Rounding every weight to the nearest level is best for the weights, not for the outputs: inputs are correlated, so the
error of one weight can be taken up by those not yet rounded. With the covariance C of a layer's inputs, seen in
calibration, the mean squared error of output j is d' C d for the vector d of its weights' errors; rounding column by
column and moving the rest along C's inverse keeps it small (Frantar et al. 2022, "GPTQ", section 3; Hassibi and Stork
1993, "Optimal Brain Surgeon"). The mean of the inputs is left to the bias.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .ir import Node

ROWS_PER_SAMPLE = 256  # outputs of a layer looked at in each calibration sample
DAMPING = 0.01  # of the mean variance, added to every variance: few samples do not fix every direction
LARGEST = 4096  # inputs of an output; beyond, the covariance costs more than it gives


class Moments:
    """Mean and covariance of what the weights of a Conv or Gemm are multiplied with, collected sample by sample."""

    def __init__(self, node: Node) -> None:
        self.node, self.rng = node, np.random.default_rng(0)
        self.groups = node.attrs.get("group", 1)
        self.count, self.sums, self.products = 0, 0.0, 0.0

    @staticmethod
    def wanted(node: Node) -> bool:
        if node.op not in ("Conv", "Gemm") or node.inputs[1] is None or node.inputs[1].data is None:
            return False
        weights = node.inputs[1].data
        return 1 < weights[0].size <= LARGEST and len(weights) > 0

    def add(self, x: np.ndarray) -> None:
        """x: the layer's f32 input, NHWC for a Conv."""
        rows = self.windows(x) if self.node.op == "Conv" else self.pick(x.reshape(1, -1, x.shape[-1]), 1)
        rows = rows.astype(np.float64)
        self.count += rows.shape[1]
        self.sums = self.sums + rows.sum(axis=1)
        self.products = self.products + rows.transpose(0, 2, 1) @ rows

    def pick(self, rows: np.ndarray, axis: int) -> np.ndarray:
        size = rows.shape[axis]
        return rows if size <= ROWS_PER_SAMPLE else rows.take(np.sort(self.rng.choice(size, ROWS_PER_SAMPLE, replace=False)), axis)

    def windows(self, x: np.ndarray) -> np.ndarray:
        """(groups, rows, inputs of an output) of a random choice of output pixels."""
        a, (batch, _, _, channels) = self.node.attrs, x.shape
        padded = np.pad(x, [(0, 0), (a["pad_top"], a["pad_bottom"]), (a["pad_left"], a["pad_right"]), (0, 0)])
        span = [(a[f"kernel_{d}"] - 1) * a[f"dilation_{d}"] for d in "hw"]
        out_h, out_w = ((padded.shape[i + 1] - span[i] - 1) // a[f"stride_{d}"] + 1 for i, d in enumerate("hw"))
        pixels = self.pick(np.arange(batch * out_h * out_w), 0)
        b, y, x0 = pixels // (out_h * out_w), pixels // out_w % out_h * a["stride_h"], pixels % out_w * a["stride_w"]
        ys = y[:, None, None] + np.arange(a["kernel_h"])[None, :, None] * a["dilation_h"]
        xs = x0[:, None, None] + np.arange(a["kernel_w"])[None, None, :] * a["dilation_w"]
        taken = padded[b[:, None, None], ys, xs]  # rows, kernel_h, kernel_w, channels
        split = taken.reshape(len(pixels), -1, self.groups, channels // self.groups)
        return split.transpose(2, 0, 1, 3).reshape(self.groups, len(pixels), -1)

    def covariance(self) -> np.ndarray:
        """(groups, k, k), float64."""
        mean = self.sums / max(self.count, 1)
        return self.products / max(self.count, 1) - mean[:, :, None] * mean[:, None, :]


def round_weights(weights: np.ndarray, scales: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """int8 of real weights (n, k), levels -127..127 times scales (n,). covariance: (groups, k, k), n / groups rows each."""
    n, k = weights.shape
    groups = len(covariance)
    rest = weights.astype(np.float64).reshape(groups, -1, k) / scales.reshape(groups, -1, 1)  # in levels
    factor = _inverse_factor(covariance)
    result = np.empty(rest.shape, np.int8)
    for i in range(k):
        level = np.clip(np.rint(rest[:, :, i]), -127, 127)
        result[:, :, i] = level
        error = (rest[:, :, i] - level) / factor[:, i, i, None]
        rest[:, :, i + 1:] -= error[:, :, None] * factor[:, None, i, i + 1:]
    return result.reshape(n, k)


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    """Upper Cholesky factors U of the damped inverses: inverse = U' U."""
    k = covariance.shape[-1]
    variance = np.maximum(np.einsum("gii->gi", covariance).mean(axis=1), 1e-30)
    damped = covariance / variance[:, None, None] + DAMPING * np.eye(k)
    return np.linalg.cholesky(np.linalg.inv(damped)).transpose(0, 2, 1)
