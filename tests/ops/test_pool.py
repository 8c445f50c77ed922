"""MaxPool and AveragePool against ONNX's reference and ONNX Runtime; int8 against exact arithmetic."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_close, check_int8_layer, check_model, make_model, onnxruntime_outputs
from support_graph import run_node
from wisp_converter import convert

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
    check_model(pool_model(op, attrs, x.shape), {"x": x},
                trust_reference=op != "MaxPool" or attrs.get("pads") != CASES[2]["pads"])


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


# ---- how many windows there are


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("attrs", [
    dict(kernel_shape=[3, 3], strides=[2, 2]), dict(kernel_shape=[2, 3], strides=[3, 4], pads=[1, 1, 1, 1]),
    dict(kernel_shape=[1, 2], strides=[3, 3], pads=[0, 1, 0, 1]),
    dict(kernel_shape=[4, 4], strides=[5, 3], pads=[1, 0, 3, 2]),
], ids=str)
def test_ceil_mode_of_open_axes(op, attrs):
    model = pool_model(op, dict(attrs, ceil_mode=1), [1, 3, "H", "W"])
    data = convert(model, verify=False)
    for h in range(2, 9):
        for w in (3, 4, 5, 6, 11):
            x = rng.standard_normal((1, 3, h, w)).astype(np.float32)
            want = onnxruntime_outputs(model, {"x": x})
            if want is None:  # it refuses images that are smaller than a window
                assert h + sum(attrs.get("pads", [0] * 4)[::2]) < attrs["kernel_shape"][0]
                continue
            check_close(wisp.load(data).run({"x": x})["y"], want["y"], f"{h} x {w}", rtol=1e-5, atol=1e-6)


def test_windows_that_are_not_there():
    x = rng.standard_normal((1, 6, 6, 3)).astype(np.float32)
    window = dict(kernel_h=2, kernel_w=2, stride_h=2, stride_w=2, pad_top=0, pad_left=0, pad_bottom=0, pad_right=0)
    for ceil_mode in (0, 1):
        for shape in ((1, 4, 3, 3), (1, 3, 4, 3), (1, 2, 3, 3)):
            with pytest.raises(wisp.WispError, match="do not give the shape the file states"):
                run_node("MaxPool", [x], shape, dilation_h=1, dilation_w=1, ceil_mode=ceil_mode, **window)
            with pytest.raises(wisp.WispError, match="do not give the shape the file states"):
                run_node("AveragePool", [x], shape, ceil_mode=ceil_mode, **window)
    with pytest.raises(wisp.WispError, match="do not give the shape the file states"):
        run_node("AveragePool", [x], (1, 2, 1, 3), **window, **{"global": 1})


@pytest.mark.parametrize("row,message", [
    ([0, 32, 1], "row 0"), ([0, -16, 1], "row 0"), ([0, 0, 32768], "row 0"), ([0, 0, -1], "row 0")])
def test_bad_tables(row, message):
    x = np.zeros((1, 2, 2, 3), np.int8)
    with pytest.raises(wisp.WispError, match=f"AveragePool.*{message}"):
        run_node("AveragePool", [x, np.array([row], np.int32)], (1, 1, 1, 3), scale=0.5, lo=-128, hi=127,
                 **{"global": 1})
    with pytest.raises(wisp.WispError, match="needs a table"):
        run_node("AveragePool", [x, np.zeros((3, 3), np.int32)], (1, 1, 1, 3), scale=0.5, lo=-128, hi=127,
                 **{"global": 1})
