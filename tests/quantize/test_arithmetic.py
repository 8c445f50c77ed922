"""The converter's int8 arithmetic: multipliers, weight scales, biases and zero points, against their definitions."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import wisp
from support import make_model
from wisp.file import read
from wisp_converter import convert
from wisp_converter.quantize import arithmetic

POWERS = range(-38, 8)


@pytest.mark.parametrize("scale", [
    *(f for e in POWERS for f in (2.0**e, np.nextafter(2.0**e, 0), np.nextafter(2.0**e, 1e9), 2.0**e * (1 - 2.0**-17),
                                  2.0**e * (1 - 2.0**-16), 1.37 * 2.0**e)), np.nextafter(256.0, 0)], ids=str)
def test_multiplier_and_shift(scale):
    """Inside what the kernels take, and within half a unit of the multiplier of the scale (a whole one below 256)."""
    multiplier, shift = arithmetic.requantize_params(scale)
    assert 16384 <= multiplier <= 32767 and -15 <= shift <= 31
    unit = 2.0 ** -(22 + shift)
    assert abs(multiplier * unit - scale) <= (0.5 if scale < 255.99 else 1) * unit
    assert arithmetic.effective_scale(multiplier, shift) == multiplier * unit


def test_scales_beyond_the_arithmetic():
    assert arithmetic.requantize_params(0.0) == arithmetic.requantize_params(2.0**-40) == (0, 0)
    for scale in (256.0, 1e9, -1e-3, np.nan, np.inf):
        with pytest.raises(ValueError, match="requantization scale"):
            arithmetic.requantize_params(scale)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_accumulator_is_refused_where_it_may_overflow(sign):
    """|B| + 256 sum |w| < 2^31, to the unit."""
    weights, scale = np.full((1, 1), 127, np.int8), 2.0**-11
    rounding = 2 ** (arithmetic.requantize_params(scale)[1] - 1)
    most = 2**31 - 1 - 256 * 127

    def blocks(total: int):
        return arithmetic.channel_params(weights, np.array([1.0]), np.array([float(total - rounding)]), 1.0,
                                         0, 1 / scale, 0)

    assert blocks(sign * most)["bias"][0, 0] == sign * most
    assert blocks(sign * most)["bias_u8"][0, 0] == sign * most - 128 * 127
    with pytest.raises(ValueError, match="32 bits"):
        blocks(sign * (most + 1))


@pytest.mark.parametrize("bias", [1e3, -1e4, 1e-9, 0.0])
def test_a_channel_of_zero_weights_fits_its_bias(bias):
    in_scale, out_scale, weights = 0.02, 1e-6, np.zeros((1, 9), np.float32)
    scales = arithmetic.weight_scales(weights, np.array([bias]), in_scale, out_scale)
    assert scales[0] > 0 and abs(bias) / (in_scale * scales[0]) <= 2**28 * (1 + 1e-12)
    assert in_scale * scales[0] / out_scale >= 2.0**-22 * (1 - 1e-12)
    arithmetic.channel_params(arithmetic.quantize_weights(weights, scales), scales, np.array([bias]), in_scale, -128,
                              out_scale, 127)


def test_a_large_bias_behind_a_clamp_stays_int8():
    """Zero weights, a bias far outside of what the next operator lets through: no overflow, and the clamp decides."""
    weights = np.float32([[1, 0, 0], [1, 0, 0]])
    nodes = [("Gemm", ["x", "w", "b"], ["g"]), ("Clip", ["g", "zero", "small"], ["y"])]
    model = make_model(nodes, {"x": [4, 2]}, ["y"], {"w": weights, "b": np.float32([0, 300, -300]),
                                                     "zero": np.float32(0), "small": np.float32(1e-3)})
    x = np.float32([[1e-4, 5e-4], [0, 0], [1e-3, 1e-3], [-1, 0]])
    loaded = wisp.load(convert(model, quantize="int8", calibration=[{"x": x}], method="minmax", verify=False))
    assert not loaded.metadata["quantization"]["float_nodes"]
    assert np.allclose(loaded.run({"x": x})["y"][:, 1:], [1e-3, 0], atol=4e-6)


@pytest.mark.parametrize("low, high", [
    (-1.0, 1.0), (-0.3, 1.0), (-0.7001, 0.31), (-3.3, 0.004), (0.5, 2.0), (-2.0, -0.5), (-1e-6, 1e3)])
def test_the_zero_point_is_rounded(low, high):
    """0 is stored exactly, and both ends of the range are at most half a step away from what is stored."""
    x = np.linspace(low, high, 12, dtype=np.float32).reshape(4, 3)
    model = make_model([("Gemm", ["x", "w"], ["y"])], {"x": [4, 3]}, ["y"], {"w": np.eye(3, dtype=np.float32)})
    file = read(convert(model, quantize="int8", calibration=[{"x": x}], method="minmax", verify=False))
    scale, zero = next((t.scale, t.zero_point) for t in file.tensors if t.name == "x.s8")
    assert scale == pytest.approx((max(high, 0) - min(low, 0)) / 255, rel=1e-6) and -128 <= zero <= 127
    for end in (min(low, 0), max(high, 0)):
        assert abs(end - scale * (np.clip(np.rint(end / scale) + zero, -128, 127) - zero)) <= 0.5001 * scale


@pytest.mark.parametrize("low, high, want", [
    (-np.inf, np.inf, (-128, 127)), (0.0, 6.0, (-28, 127)), (0.0, np.inf, (-28, 127)), (-0.52, 0.26, (-54, -15)),
    (-np.inf, 0.0, (-128, -28)), (9.0, 9.5, (127, 127))])
def test_clamps_in_stored_numbers(low, high, want):
    assert arithmetic.clamp_range(low, high, 0.02, -28) == want
