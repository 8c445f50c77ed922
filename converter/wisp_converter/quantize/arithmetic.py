"""The integers behind int8: multipliers, shifts, biases, for the arithmetic of docs/quantization.md and quant.h."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import row_blocks
from ..target.format import CHANNELS

FRACTION = 7  # the multiplier's result is in 1/128 of an output step


def requantize_params(scale: float) -> tuple[int, int]:
    """(multiplier, shift) with scale ~ multiplier * 2**-15 * 2**-7 * 2**-shift, multiplier in 16384..32767,
    shift in -15..31.

    A scale below 2**-39 gives (0, 0). Raises ValueError from 256 on and for NaN.
    """
    if not 0 <= scale < 256:
        raise ValueError(f"requantization scale {scale} is not in 0..256")
    mantissa, exponent = np.frexp(np.float64(scale))  # scale = mantissa * 2**exponent, mantissa in [0.5, 1)
    multiplier, shift = int(round(mantissa * 2**15)), -int(exponent) - FRACTION
    if multiplier == 2**15:
        multiplier, shift = (2**14, shift - 1) if shift > -15 else (2**15 - 1, shift)
    return (multiplier, shift) if multiplier and shift <= 31 else (0, 0)


def effective_scale(multiplier, shift):
    """The real factor that (multiplier, shift) stand for; arrays welcome."""
    return np.asarray(multiplier, np.float64) * 2.0 ** -(15 + FRACTION + np.asarray(shift, np.float64))


def weight_scales(weights: np.ndarray, bias: np.ndarray, in_scale: float, out_scale: float) -> np.ndarray:
    """Per-channel scale of symmetric int8 weights, f64 (n,). weights: real (n, k); bias: real (n,).

    max|w| / 127, but large enough that the bias stays below 2**28 and the output zero point below 2**29 in units of the
    accumulator: a channel of (nearly) zero weights would need more bits than there are.
    """
    largest = np.maximum(weights.max(axis=1, initial=0.0), -weights.min(axis=1, initial=0.0)).astype(np.float64)
    return np.maximum.reduce([largest / 127, np.abs(bias).astype(np.float64) / (in_scale * 2.0**28),
                              np.full(len(largest), 2.0**-22 * out_scale / in_scale)])


def quantize_weights(weights: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """round(w / scale), halves to even, clamped to -127..127; int8 of the shape of weights (n, k)."""
    stored = np.empty(weights.shape, np.int8)
    for part in row_blocks(weights):
        stored[part] = np.clip(np.rint(weights[part].astype(np.float64) / scales[part, None]), -127, 127)
    return stored


def channel_params(weights: np.ndarray, scales: np.ndarray, bias: np.ndarray, in_scale: float, in_zero: int,
                   out_scale: float, out_zero: int) -> np.ndarray:
    """CHANNELS blocks for int8 weights (n, k), their scales (n,), the real bias (n,) and both activations' parameters.

    acc = sum(w * x) + b,  b = bias / (s_in * s_w) - z_in * sum(w) + z_out / S + 2**(shift - 1)
    y = acc * S rounded,   S = s_in * s_w / s_out as (multiplier, shift)
    The last term makes the flooring shift round; z_out / S uses the S that is applied, so that zero stays exact.
    """
    n = len(weights)
    sums = weights.sum(axis=1, dtype=np.int64)
    blocks = np.zeros((n + 15) // 16, CHANNELS)
    flat = {name: np.zeros(len(blocks) * 16, np.int64) for name in CHANNELS.names}
    for j in range(n):
        flat["multiplier"][j], flat["shift"][j] = requantize_params(in_scale * scales[j] / out_scale)
    shift, multiplier = flat["shift"][:n], flat["multiplier"][:n]
    applied = effective_scale(multiplier, shift)
    total = np.rint(bias.astype(np.float64) / (in_scale * scales) + out_zero / applied) - in_zero * sums
    total += np.where(shift > 0, 2.0 ** (shift - 1), 0)
    sizes = np.zeros(n, np.int64)
    for part in row_blocks(weights):
        sizes[part] = np.abs(weights[part].astype(np.int64)).sum(axis=1)
    room = np.abs(total) + 256.0 * sizes
    if (room >= 2**31).any():
        raise ValueError("accumulator does not fit 32 bits: too many inputs for one output")
    flat["bias"][:n] = total
    flat["bias_u8"][:n] = total - 128 * sums
    for name, values in flat.items():
        blocks[name] = values.reshape(-1, 16)
    return blocks


def rescale_row(scale: float, in_zero: int, out_zero: int, count: int) -> tuple[int, int, int]:
    """(bias, shift, multiplier) of y = requantize(256 * sum of `count` stored values + bias),
    a row of AveragePool's table.

    scale: output steps for one input step. The sum is enlarged because the bias, zero point included, is a whole number
    of accumulator units, and a few values averaged make that unit a good part of an output step.
    """
    if count >= 2**15:
        raise ValueError(f"the mean of {count} values does not fit 32 bits")
    multiplier, shift = requantize_params(scale / 256)
    bias = round(out_zero / float(effective_scale(multiplier, shift))) - 256 * in_zero * count
    return bias + (1 << (shift - 1) if shift > 0 else 0), shift, multiplier


def product_params(scale: float, out_zero: int) -> tuple[int, int, int]:
    """(bias, shift, multiplier) of y = requantize((a - z_a) * (b - z_b) + bias), the int8 Mul;
    scale = s_a * s_b / s_y."""
    multiplier, shift = requantize_params(scale)
    bias = round(out_zero / float(effective_scale(multiplier, shift)))
    return bias + (1 << (shift - 1) if shift > 0 else 0), shift, multiplier


def clamp_range(low: float, high: float, scale: float, zero_point: int) -> tuple[int, int]:
    """(lo, hi) in stored int8 of the real clamp [low, high]; infinities leave the whole range."""
    lo = -128 if low == -np.inf else int(np.clip(np.rint(low / scale) + zero_point, -128, 127))
    hi = 127 if high == np.inf else int(np.clip(np.rint(high / scale) + zero_point, -128, 127))
    return lo, max(lo, hi)


def quantize_linear(x: np.ndarray, scale: float, zero_point: int, dtype: np.dtype) -> np.ndarray:
    """What QuantizeLinear of the runtime stores for real numbers: one multiplication and one rounding in f32."""
    limits = np.iinfo(dtype)
    steps = np.rint(np.float32(x) * (np.float32(1) / np.float32(scale)))
    return np.clip(np.where(np.isnan(steps), 0, steps) + np.float32(zero_point), limits.min, limits.max).astype(dtype)


def dequantize_linear(stored: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    """The real numbers that DequantizeLinear of the runtime makes of stored ones, f32."""
    return (stored.astype(np.int32) - zero_point).astype(np.float32) * np.float32(scale)
