"""MaxPool and AveragePool against ONNX's reference and ONNX Runtime; int8 against exact arithmetic."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_int8_layer, check_model, make_model

rng = np.random.default_rng(3)

CASES = [
    dict(kernel_shape=[2, 2], strides=[2, 2]),
    dict(kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    dict(kernel_shape=[3, 2], pads=[1, 0, 2, 1]),
    dict(kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    dict(kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2]),
    dict(kernel_shape=[7, 6]),
]


def pool_model(op, attrs, shape):
    return make_model([(op, ["x"], ["y"], attrs)], {"x": list(shape)}, ["y"], {})


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("attrs", CASES, ids=str)
@pytest.mark.parametrize("channels", [1, 16, 35])
def test_float(op, attrs, channels):
    x = rng.standard_normal((2, channels, 7, 6)).astype(np.float32)
    # The reference of onnx 1.22 fails on MaxPool with these uneven pads.
    check_model(pool_model(op, attrs, x.shape), {"x": x}, trust_reference=op != "MaxPool" or attrs.get("pads") != CASES[2]["pads"])


@pytest.mark.parametrize("attrs", CASES[:3], ids=str)
def test_padding_that_counts(attrs):
    x = rng.standard_normal((1, 5, 7, 6)).astype(np.float32)
    check_model(pool_model("AveragePool", dict(attrs, count_include_pad=1), x.shape), {"x": x})


def test_dilated_max():
    x = rng.standard_normal((1, 5, 9, 9)).astype(np.float32)
    check_model(pool_model("MaxPool", dict(kernel_shape=[3, 3], dilations=[2, 3]), x.shape), {"x": x})


def test_one_spatial_axis():
    x = rng.standard_normal((2, 5, 20)).astype(np.float32)
    check_model(pool_model("MaxPool", dict(kernel_shape=[3], strides=[2]), x.shape), {"x": x})
    check_model(pool_model("AveragePool", dict(kernel_shape=[3], strides=[2], pads=[1, 1]), x.shape), {"x": x})


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global(op):
    x = rng.standard_normal((2, 20, 7, 6)).astype(np.float32)
    check_model(pool_model(op, {}, x.shape), {"x": x})


@pytest.mark.parametrize("op,attrs", [("AveragePool", a) for a in CASES] + [("GlobalAveragePool", {}),
                                      ("AveragePool", dict(CASES[1], count_include_pad=1))], ids=str)
def test_int8(op, attrs):
    x = rng.standard_normal((1, 20, 7, 6)).astype(np.float32)
    check_int8_layer(pool_model(op, attrs, x.shape), {"x": x})


def test_int8_max_after_a_convolution():
    x = rng.standard_normal((1, 4, 9, 9)).astype(np.float32)
    weights = rng.standard_normal((20, 4, 3, 3)).astype(np.float32)
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("MaxPool", ["c"], ["y"], CASES[1])]
    check_int8_layer(make_model(nodes, {"x": list(x.shape)}, ["y"], {"w": weights}), {"x": x})
