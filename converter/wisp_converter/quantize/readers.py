"""What an activation's int8 range does to those who read it: the error in the outputs of convolutions and products.

Clipping a few large values shifts whole groups of outputs the same way, rounding does not; the mean squared error of
the activation alone cannot tell the two apart, the error behind the next weights can.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Graph, Node, Value
from ..opcodes import has_trait

MOST_VALUES = 2_000_000  # kept for each reader: f32, 8 MB
MOST_ROWS = 2048
SHARES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.42, 0.35, 0.3, 0.25, 0.2)  # of the full range that are tried


class Reader:
    """A Conv or Gemm and a sample of what its weights are multiplied with:
    rows[group, i] for outputs chosen at random."""

    def __init__(self, node: Node) -> None:
        self.node, self.rng = node, np.random.default_rng(0)
        self.groups = node.attrs.get("group", 1)
        inputs = self.groups * node.inputs[1].data[0].size
        self.capacity = int(np.clip(MOST_VALUES // max(inputs, 1), 64, MOST_ROWS))
        self.parts: list[np.ndarray] = []

    @staticmethod
    def wanted(node: Node) -> bool:
        return (has_trait(node.op, "WEIGHTS") and node.inputs[1] is not None
                and node.inputs[1].data is not None and node.inputs[1].data.size > 0
                and not node.attrs.get("kernel_d") and not node.attrs.get("same"))

    def add(self, x: np.ndarray, samples: int) -> None:
        """x: the f32 input, NHWC for a Conv. samples: how many of them share the capacity."""
        share = min(-(-self.capacity // max(samples, 1)), self.capacity - sum(p.shape[1] for p in self.parts))
        if share <= 0:
            return
        rows = (self.windows(x, share) if "kernel_h" in self.node.attrs
                else self.pick(x.reshape(1, -1, x.shape[-1]), share))
        self.parts.append(rows)

    def pick(self, rows: np.ndarray, share: int) -> np.ndarray:
        size = rows.shape[1]
        return rows if size <= share else rows[:, np.sort(self.rng.choice(size, share, replace=False))]

    def windows(self, x: np.ndarray, share: int) -> np.ndarray:
        a, (batch, _, _, channels) = self.node.attrs, x.shape
        padded = np.pad(x, [(0, 0), (a["pad_top"], a["pad_bottom"]), (a["pad_left"], a["pad_right"]), (0, 0)])
        span = [(a[f"kernel_{d}"] - 1) * a[f"dilation_{d}"] for d in "hw"]
        out_h, out_w = ((padded.shape[i + 1] - span[i] - 1) // a[f"stride_{d}"] + 1 for i, d in enumerate("hw"))
        pixels = self.pick(np.arange(batch * out_h * out_w)[None], share)[0]
        b, y, x0 = pixels // (out_h * out_w), pixels // out_w % out_h * a["stride_h"], pixels % out_w * a["stride_w"]
        ys = y[:, None, None] + np.arange(a["kernel_h"])[None, :, None] * a["dilation_h"]
        xs = x0[:, None, None] + np.arange(a["kernel_w"])[None, None, :] * a["dilation_w"]
        taken = padded[b[:, None, None], ys, xs]  # rows, kernel_h, kernel_w, channels
        split = taken.reshape(len(pixels), -1, self.groups, channels // self.groups)
        return split.transpose(2, 0, 1, 3).reshape(self.groups, len(pixels), -1)

    def prepare(self) -> None:
        """All samples are in."""
        self.rows = np.concatenate(self.parts, axis=1)
        self.parts = []
        weights = np.require(self.node.inputs[1].data, requirements="A")  # products of others are slow
        self.weights = weights.reshape(self.groups, len(weights) // self.groups, -1).transpose(0, 2, 1)
        self.power = float(((self.rows @ self.weights).astype(np.float64) ** 2).mean()) or 1.0

    def error(self, low: float, high: float) -> float:
        """Relative mean squared error of the outputs when the input is stored as int8 over [low, high]."""
        step = max((high - low) / 255, 1e-30)
        zero = np.rint(-128 - low / step)
        stored = np.clip(np.rint(self.rows / np.float32(step)) + zero, -128, 127) - zero
        error = (stored * np.float32(step) - self.rows) @ self.weights
        return float((error.astype(np.float64) ** 2).mean()) / self.power


def find_readers(graph: Graph, values: set[Value]) -> dict[Value, list[Reader]]:
    """The readers of every value whose range their outputs can judge."""
    found: dict[Value, list[Reader]] = {}
    for node in graph.nodes:
        if Reader.wanted(node) and node.inputs[0] in values:
            found.setdefault(node.inputs[0], []).append(Reader(node))
    return found


def best_range(readers: list[Reader], low: float, high: float) -> tuple[float, float]:
    """The part of [low, high] with the least error behind the readers; each end is moved in turn."""
    low, high = min(low, 0.0), max(high, 0.0)
    best = (low, high)
    for reader in readers:
        reader.prepare()
    for ends in ([(low * s, high * s) for s in SHARES], None, None):
        if ends is None:  # then one end alone
            ends = [(low * s, best[1]) for s in SHARES] if low else []
            ends += [(best[0], high * s) for s in SHARES] if low else []
        best = min([best, *ends], key=lambda r: sum(reader.error(*r) for reader in readers))
    return best
