"""Weights in the kernels' layouts, drawn in docs/format.md: logical values go in, the stored array comes out."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from .format import round_up
from ..ir import Value
from ..opcodes import layouts

PANEL = 16


class Packed:
    """An array in a kernel's layout that is computed whenever numpy asks for it. The weights stay where they are until
    they are written, one after the other. `make` gives it; shape and dtype are known before."""

    def __init__(self, make: Callable[[], np.ndarray], shape: tuple[int, ...], dtype: np.dtype) -> None:
        self.make, self.shape, self.dtype = make, shape, dtype

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = self.make()
        assert array.shape == self.shape and array.dtype == self.dtype and dtype in (None, self.dtype)
        return array


def _pad(array: np.ndarray, *shape: int) -> np.ndarray:
    """`array` with zeros behind it on every axis, up to `shape`."""
    if array.shape == shape:
        return array
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


def pad_groups(array: np.ndarray, group: int) -> np.ndarray:
    """Zeros behind the outputs (n, ...) of each group, so that its panels are its own."""
    if group == 1:
        return array
    parts = array.reshape(group, -1, *array.shape[1:])
    filled = _pad(parts, group, round_up(parts.shape[1], PANEL), *array.shape[1:])
    return filled.reshape(-1, *array.shape[1:])


def packed_gemm(name: str, weights: np.ndarray, group: int = 1) -> Value:
    """A constant in GEMM_S8 or GEMM_F32 layout from (n, taps, k), n in groups with panels of their own."""
    n, taps, k = weights.shape
    n = n if group == 1 else group * round_up(n // group, PANEL)
    layout, steps = ("GEMM_S8", (-(-k // 4), PANEL, 4)) if weights.dtype == np.int8 else ("GEMM_F32", (k, PANEL))
    data = Packed(lambda: gemm(pad_groups(weights, group)), (-(-n // PANEL), taps, *steps), weights.dtype)
    return Value(name, data.dtype, data.shape, data, layout=layouts()[layout], dims=(n, taps, k))


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
