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


# ---- three axes, dilations, where the maximum is, norms

VARIED = [
    dict(kernel_shape=[2, 2, 2]),
    dict(kernel_shape=[3, 2, 2], strides=[2, 1, 2], pads=[1, 0, 1, 1, 1, 0]),
    dict(kernel_shape=[2, 3, 2], dilations=[2, 1, 3], pads=[0, 1, 0, 1, 1, 1]),
    dict(kernel_shape=[3, 3, 3], strides=[2, 3, 2], dilations=[1, 1, 2], ceil_mode=1),
    dict(kernel_shape=[3, 2, 2], strides=[2, 2, 2], auto_pad="SAME_LOWER"),
    dict(kernel_shape=[3, 2], dilations=[2, 2], pads=[1, 1, 0, 1], strides=[1, 2]),
    dict(kernel_shape=[4], dilations=[2], pads=[2, 3], ceil_mode=1, strides=[3]),
    dict(kernel_shape=[3], strides=[2], auto_pad="SAME_UPPER"),
]


def varied(attrs, channels):
    return rng.standard_normal((2, channels, 7, 8, 6)[:len(attrs["kernel_shape"]) + 2]).astype(np.float32)


def windows(x, attrs, value, ceil_extra=False):
    """Sliding windows of x (N, C, ...) with `value` as padding: (N, C, positions..., taps...), and the same of ones
    where the image is. Written from ONNX's text."""
    rank = len(attrs["kernel_shape"])
    kernel, stride = attrs["kernel_shape"], attrs.get("strides", [1] * rank)
    dilation, pads = attrs.get("dilations", [1] * rank), attrs.get("pads", [0] * 2 * rank)
    before, after, counts = [], [], []
    for i in range(rank):
        extent, span = x.shape[2 + i], dilation[i] * (kernel[i] - 1) + 1
        b, e = pads[i], pads[rank + i]
        if "auto_pad" in attrs:
            counts.append(-(-extent // stride[i]))
            total = max((counts[i] - 1) * stride[i] + span - extent, 0)
            b, e = (total // 2, total - total // 2) if attrs["auto_pad"] == "SAME_UPPER" else \
                (total - total // 2, total // 2)
        else:
            positions = (extent + b + e - span) / stride[i] + 1
            counts.append(int(np.ceil(positions) if attrs.get("ceil_mode") else np.floor(positions)))
            if attrs.get("ceil_mode") and (counts[i] - 1) * stride[i] >= extent + b:
                counts[i] -= 1
        before.append(b)
        after.append(e)
    room = [(0, 0), (0, 0)] + [(b, c * s + d * k) for b, c, s, d, k in zip(before, counts, stride, dilation, kernel)]
    padded = np.pad(x, room, constant_values=value)
    at = np.ix_(range(x.shape[0]), range(x.shape[1]), *(
        (np.arange(c)[:, None] * s + np.arange(k) * d).ravel() for c, s, k, d in zip(counts, stride, kernel, dilation)))
    split = padded[at].reshape(*x.shape[:2], *(n for c, k in zip(counts, kernel) for n in (c, k)))
    order = (0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 3 + 2 * rank, 2))
    split = split.transpose(order)
    return split.reshape(*split.shape[:2 + rank], -1), before, after


@pytest.mark.parametrize("attrs", VARIED, ids=str)
@pytest.mark.parametrize("channels", [1, 18])
def test_varied(attrs, channels):
    x = varied(attrs, channels)
    taken, before, after = windows(x, attrs, -np.inf)
    for spec in (x.shape, [f"d{i}" if i != 1 else d for i, d in enumerate(x.shape)]):
        def run(op, **more):
            model = make_model([(op, ["x"], ["y"], {**attrs, **more})], {"x": list(spec)}, {"y": [None] * x.ndim},
                               opset=19)
            return wisp.load(convert(model, verify=False), threads=2).run({"x": x})["y"]

        assert np.array_equal(run("MaxPool"), taken.max(-1))
        there = np.isfinite(taken)
        sums = np.where(there, taken, 0).astype(np.float64).sum(-1)
        check_close(run("AveragePool"), (sums / there.sum(-1)).astype(np.float32), "mean", rtol=1e-5, atol=1e-6)
        ones = np.pad(np.ones_like(x), [(0, 0), (0, 0), *zip(before, after)], constant_values=1)
        widened = {k: v for k, v in attrs.items() if k not in ("pads", "auto_pad")}
        counted, _, _ = windows(ones, widened, 0)
        if counted.shape == taken.shape:
            want = sums / counted.sum(-1)
            check_close(run("AveragePool", count_include_pad=1), want.astype(np.float32), "with padding", rtol=1e-5,
                        atol=1e-6)
        for p in (1, 2, 3):
            want = (np.where(there, np.abs(taken), 0).astype(np.float64) ** p).sum(-1) ** (1 / p)
            check_close(run("LpPool", p=p), want.astype(np.float32), f"norm {p}", rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attrs", VARIED + CASES[:4], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint8])
@pytest.mark.parametrize("order", [0, 1])
def test_where_the_maximum_is(attrs, dtype, order):
    x = varied(attrs, 5)
    x = x if dtype == np.float32 else (x * 40).clip(0, 100).astype(dtype)
    model = make_model([("MaxPool", ["x"], ["y", "i"], dict(attrs, storage_order=order))], {"x": x},
                       {"y": (dtype, [None] * x.ndim), "i": (np.int64, [None] * x.ndim)}, opset=19)
    got = wisp.load(convert(model, verify=False)).run({"x": x})
    lowest = -np.inf if dtype == np.float32 else -128 if dtype == np.int8 else -1
    wide = x.astype(np.float64)
    taken, _, _ = windows(wide, attrs, lowest)
    places = np.arange(x.size).reshape(x.shape)
    if order:  # each plane with its first axis fastest
        plane = np.arange(x[0, 0].size).reshape(x.shape[2:][::-1]).T
        places = places[(slice(None), slice(None), *[slice(0, 1)] * (x.ndim - 2))] + plane
    where, _, _ = windows(places, attrs, -1)
    first = taken.argmax(-1)[..., None]
    assert np.array_equal(got["y"], taken.max(-1).astype(dtype))
    assert np.array_equal(got["i"], np.take_along_axis(where, first, -1)[..., 0])


def test_unpooling():
    """There and back; and into a larger shape, known or computed."""
    x = rng.standard_normal((2, 3, 6, 8)).astype(np.float32)
    window = dict(kernel_shape=[2, 2], strides=[2, 2])
    pool = ("MaxPool", ["x"], ["p", "i"], window)
    model = make_model([pool, ("MaxUnpool", ["p", "i"], ["y"], window)], {"x": x}, ["y"])
    got = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
    taken, _, _ = windows(x, window, -np.inf)
    want = np.where(x == np.repeat(np.repeat(taken.max(-1), 2, 2), 2, 3), x, 0)
    assert np.array_equal(got, want)
    larger = np.array([2, 3, 7, 10])
    for inputs, constants in (({"x": x}, {"s": larger}), ({"x": x, "s": larger}, {})):
        model = make_model([pool, ("MaxUnpool", ["p", "i", "s"], ["y"], window)], inputs, {"y": [None] * 4}, constants)
        got = wisp.load(convert(model, verify=False)).run(inputs)["y"]
        assert np.array_equal(got, np.pad(want, [(0, 0), (0, 0), (0, 1), (0, 2)]))


@pytest.mark.parametrize("op,reduce", [
    ("GlobalAveragePool", lambda x, axes: x.mean(axes, keepdims=True)),
    ("GlobalMaxPool", lambda x, axes: x.max(axes, keepdims=True)),
    ("GlobalLpPool", lambda x, axes: np.sqrt((x * x).sum(axes, keepdims=True))),
])
@pytest.mark.parametrize("rank", [3, 4, 5])
def test_global_of_open_axes(op, reduce, rank):
    x = rng.standard_normal((2, 5, 3, 4, 6)[:rank]).astype(np.float32)
    for spec in (x.shape, [f"d{i}" for i in range(rank)]):
        model = make_model([(op, ["x"], ["y"], {})], {"x": list(spec)}, {"y": [None] * rank})
        got = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
        want = reduce(x.astype(np.float64), tuple(range(2, rank))).astype(np.float32)
        check_close(got, want, op, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("attrs", VARIED[:6] + [dict(VARIED[1], count_include_pad=1)], ids=str)
def test_varied_int8(attrs):
    x = varied(attrs, 5)
    check_int8_layer(make_model([("AveragePool", ["x"], ["y"], attrs)], {"x": x}, {"y": [None] * x.ndim}, opset=19),
                     {"x": x})


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
                run_node("AveragePool", [x], shape, dilation_h=1, dilation_w=1, ceil_mode=ceil_mode, **window)
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


@pytest.mark.parametrize("opset", [12, 21])
def test_where_the_maximum_is_in_windows_that_inference_miscounts(opset):
    """ONNX's inference counts a third window, which would begin behind the input: the indices have two as well."""
    x = rng.standard_normal((1, 2, 6)).astype(np.float32)
    attrs = dict(ceil_mode=1, kernel_shape=[2], strides=[3])
    model = make_model([("MaxPool", ["x"], ["y", "i"], attrs)], {"x": x},
                       {"y": (np.float32, [None] * 3), "i": (np.int64, [None] * 3)}, opset=opset)
    assert check_model(model, {"x": x}, trust_reference=False)["i"].shape == (1, 2, 2)
