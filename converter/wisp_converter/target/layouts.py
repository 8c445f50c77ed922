"""Weights in the kernels' layouts, drawn in docs/format.md: logical values go in, the stored array comes out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .format import round_up
from ..ir import Value
from ..opcodes import layouts

PANEL = 16


def _pad(array: np.ndarray, *shape: int) -> np.ndarray:
    """`array` with zeros behind it on every axis, up to `shape`."""
    return np.pad(array, [(0, to - have) for have, to in zip(array.shape, shape)])


def gemm(weights: np.ndarray) -> np.ndarray:
    """(n, taps, k) int8 -> [n16/16][taps][k4/4][16][4]; float32 -> [n16/16][taps][k][16]."""
    n, taps, k = weights.shape
    if weights.dtype == np.int8:
        padded = _pad(weights, round_up(n, PANEL), taps, round_up(k, 4))
        return np.ascontiguousarray(padded.reshape(-1, PANEL, taps, padded.shape[2] // 4, 4).transpose(0, 2, 3, 1, 4))
    padded = _pad(weights, round_up(n, PANEL), taps, k)
    return np.ascontiguousarray(padded.reshape(-1, PANEL, taps, k).transpose(0, 2, 3, 1))


def depthwise(weights: np.ndarray) -> np.ndarray:
    """(taps, c) int8 -> [c16/16][ceil(taps/2)][16][2]; float32 -> [c16/16][taps][16]."""
    taps, c = weights.shape
    if weights.dtype == np.int8:
        padded = _pad(weights, round_up(taps, 2), round_up(c, PANEL))
        return np.ascontiguousarray(padded.reshape(-1, 2, padded.shape[1] // PANEL, PANEL).transpose(2, 0, 3, 1))
    return np.ascontiguousarray(_pad(weights, taps, round_up(c, PANEL)).reshape(taps, -1, PANEL).transpose(1, 0, 2))


def packed_gemm(name: str, weights: np.ndarray, dims: tuple[int, int, int] | None = None) -> Value:
    """A constant in GEMM_S8 or GEMM_F32 layout from (n, taps, k)."""
    layout = layouts()["GEMM_S8"] if weights.dtype == np.int8 else layouts()["GEMM_F32"]
    data = gemm(weights)
    return Value(name, data.dtype, data.shape, data, layout=layout, dims=dims or weights.shape)


def packed_depthwise(name: str, weights: np.ndarray) -> Value:
    """A constant in DW_S8 or DW_F32 layout from (taps, c)."""
    layout = layouts()["DW_S8"] if weights.dtype == np.int8 else layouts()["DW_F32"]
    data = depthwise(weights)
    return Value(name, data.dtype, data.shape, data, layout=layout, dims=weights.shape)


def packed_bias(name: str, bias: np.ndarray) -> Value:
    """A plain f32 constant, padded to whole panels."""
    data = _pad(bias.astype(np.float32), round_up(len(bias), PANEL))
    return Value(name, data.dtype, data.shape, data)


def packed_channels(name: str, blocks: np.ndarray, n: int) -> Value:
    """A constant in CHANNELS layout from arithmetic.channel_params' blocks, for n channels."""
    data = np.ascontiguousarray(blocks).view("<i4").reshape(-1, 4, PANEL)
    return Value(name, np.dtype(np.int32), data.shape, data, layout=layouts()["CHANNELS"], dims=(n,))
