"""Conv against ONNX's reference and ONNX Runtime in float; against exact arithmetic in int8."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_int8_layer, check_model, check_products, make_model, onnxruntime_outputs
from wisp_converter import convert

rng = np.random.default_rng(1)

# n, c, h, w, m, kernel, attributes
FLOAT = [
    (1, 3, 9, 11, 8, (3, 3), {}),
    (2, 3, 9, 11, 17, (3, 3), dict(pads=[1, 1, 1, 1])),
    (1, 16, 7, 5, 33, (1, 1), {}),
    (1, 16, 7, 5, 20, (1, 1), dict(strides=[2, 2])),
    (1, 20, 8, 8, 12, (3, 3), dict(pads=[1, 1, 1, 1], strides=[2, 2])),
    (1, 5, 12, 9, 7, (2, 5), dict(pads=[0, 3, 1, 2], strides=[3, 1], dilations=[2, 1])),
    (1, 18, 10, 10, 4, (3, 3), dict(pads=[2, 2, 2, 2], dilations=[2, 2])),
    (1, 12, 6, 6, 12, (3, 3), dict(group=12, pads=[1, 1, 1, 1])),
    (1, 37, 6, 7, 37, (5, 5), dict(group=37, pads=[2, 2, 2, 2], strides=[2, 2])),
    (1, 12, 6, 6, 24, (3, 3), dict(group=12, pads=[1, 1, 1, 1])),
    (1, 40, 6, 6, 36, (3, 3), dict(group=2, pads=[1, 1, 1, 1])),
    (1, 8, 6, 6, 8, (3, 3), dict(group=4)),
    (1, 4, 7, 7, 6, (3, 3), dict(auto_pad="SAME_UPPER", strides=[2, 2])),
    (1, 4, 6, 6, 6, (2, 2), dict(auto_pad="SAME_LOWER")),
    (1, 4, 6, 6, 6, (2, 2), dict(auto_pad="VALID")),
    (1, 1, 28, 28, 1, (5, 5), {}),
    (1, 3, 1, 1, 5, (1, 1), {}),
    (1, 3, 3, 3, 5, (3, 3), dict(pads=[4, 4, 4, 4])),
    (0, 3, 5, 5, 5, (3, 3), {}),
]


def conv_model(n, c, h, w, m, kernel, attrs, bias=True, after=()):
    group = attrs.get("group", 1)
    weights = rng.standard_normal((m, c // group, *kernel)).astype(np.float32)
    inits = {"w": weights}
    if bias:
        inits["b"] = rng.standard_normal(m).astype(np.float32)
    spatial = [n, c, h, w] if len(kernel) == 2 else [n, c, w]
    nodes = [("Conv", ["x", "w"] + ["b"] * bias, ["y" if not after else "c"], attrs), *after]
    return make_model(nodes, {"x": spatial}, ["y"], inits)


@pytest.mark.parametrize("case", FLOAT, ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_float(case, bias):
    n, c, h, w = case[:4]
    # The reference of onnx 1.22 gets the output's width wrong for auto_pad with strides, and fails without a batch.
    trusted = "auto_pad" not in case[6] and n > 0
    model, x = conv_model(*case, bias=bias), {"x": rng.standard_normal((n, c, h, w)).astype(np.float32)}
    got = check_model(model, x, trust_reference=trusted)
    if trusted:
        check_products(model, x, int(np.prod(case[5])) * c // case[6].get("group", 1), got=got)


@pytest.mark.parametrize("attrs", [{}, dict(pads=[3, 1], strides=[2], dilations=[3]), dict(group=6)], ids=str)
def test_one_spatial_axis(attrs):
    model, x = conv_model(2, 6, 0, 40, 12, (4,), attrs), {"x": rng.standard_normal((2, 6, 40)).astype(np.float32)}
    check_products(model, x, 4 * 6 // attrs.get("group", 1), got=check_model(model, x))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_do_not_change_a_bit(threads):
    model = conv_model(1, 24, 30, 31, 40, (3, 3), dict(pads=[1, 1, 1, 1]))
    x = {"x": np.random.default_rng(5).standard_normal((1, 24, 30, 31)).astype(np.float32)}
    assert np.array_equal(check_model(model, x, threads=threads)["y"], check_model(model, x, threads=1)["y"])


INT8 = [
    (1, 3, 9, 11, 8, (3, 3), dict(pads=[1, 1, 1, 1])),
    (2, 16, 7, 5, 33, (1, 1), {}),
    (1, 20, 8, 8, 12, (3, 3), dict(pads=[1, 1, 1, 1], strides=[2, 2])),
    (1, 37, 6, 7, 37, (5, 5), dict(group=37, pads=[2, 2, 2, 2])),
    (1, 16, 6, 7, 16, (3, 3), dict(group=16, pads=[1, 1, 1, 1], strides=[2, 1])),
    (1, 40, 6, 6, 36, (3, 3), dict(group=2, pads=[1, 1, 1, 1])),
    (1, 1, 6, 6, 3, (1, 1), {}),
]


@pytest.mark.parametrize("case", INT8, ids=str)
@pytest.mark.parametrize("activation", [None, "Relu"])
def test_int8(case, activation):
    n, c, h, w = case[:4]
    after = [(activation, ["c"], ["y"], {})] if activation else ()
    x = rng.standard_normal((n, c, h, w)).astype(np.float32)
    check_int8_layer(conv_model(*case, after=after), {"x": x})


def test_a_channel_of_zero_weights_keeps_its_bias():
    model = conv_model(1, 4, 5, 5, 6, (3, 3), {})
    weights = next(t for t in model.graph.initializer if t.name == "w")
    values = np.frombuffer(weights.raw_data, np.float32).reshape(6, 4, 3, 3).copy()
    values[2] = 0
    values[3] = 1e-30
    weights.raw_data = values.tobytes()
    check_int8_layer(model, {"x": rng.standard_normal((1, 4, 5, 5)).astype(np.float32)})


# ---- three axes, weights of the run, pads that follow from open axes

VOLUMES = [
    ((1, 1, 3, 3, 3), (2, 1, 2, 2, 2), {}),
    ((2, 3, 4, 5, 6), (5, 3, 3, 3, 3), dict(pads=[1, 1, 1, 1, 1, 1])),
    ((1, 18, 5, 4, 3), (20, 18, 1, 3, 2), dict(pads=[0, 2, 1, 1, 0, 0], strides=[2, 1, 2])),
    ((1, 4, 7, 6, 5), (6, 2, 2, 3, 2), dict(group=2, dilations=[3, 2, 1], pads=[2, 0, 0, 1, 1, 1])),
    ((2, 17, 4, 4, 5), (17, 1, 3, 3, 3), dict(group=17, strides=[1, 2, 2], pads=[1, 1, 1, 1, 1, 1])),
    ((1, 5, 3, 3, 3), (7, 5, 1, 1, 1), {}),
    ((1, 3, 1, 4, 4), (4, 3, 1, 3, 3), dict(pads=[2, 1, 1, 0, 1, 1])),
    ((1, 3, 1, 5, 5), (4, 3, 1, 3, 3), dict(pads=[1, 0, 0, 0, 0, 0], strides=[2, 1, 1])),
    ((1, 3, 1, 5, 5), (4, 3, 3, 3, 3), dict(pads=[1, 0, 0, 1, 0, 0])),
]


@pytest.mark.parametrize("case", VOLUMES, ids=str)
def test_three_axes(case):
    shape, weights, attrs = case
    w, x = (rng.standard_normal(s).astype(np.float32) for s in (weights, shape))
    for spec in (shape, ["n", shape[1], "d", "h", "w"]):
        model = make_model([("Conv", ["x", "w"], ["y"], attrs)], {"x": list(spec)}, {"y": [None] * 5}, {"w": w})
        got = check_model(model, {"x": x}, threads=2, trust_reference=False)
        check_products(model, {"x": x}, w[0].size, got=got)
    check_int8_layer(model, {"x": x}, oracle=onnxruntime_outputs)


def test_three_axes_are_exact_in_int8():
    """A kernel of one plane is the same convolution, plane by plane."""
    w, x = (rng.standard_normal(s).astype(np.float32) for s in ((5, 3, 1, 3, 3), (2, 3, 4, 6, 5)))
    volume = make_model([("Conv", ["x", "w"], ["y"], {"pads": [0, 1, 1, 0, 1, 1]})], {"x": x}, ["y"], {"w": w})
    planes = make_model([("Conv", ["x", "w"], ["y"], {"pads": [1, 1, 1, 1]})], {"x": [8, 3, 6, 5]}, ["y"],
                        {"w": w[:, :, 0]})
    flat = {"x": x.transpose(0, 2, 1, 3, 4).reshape(8, 3, 6, 5)}
    options = dict(quantize="int8", method="minmax", verify=False)
    got, want = (wisp.load(convert(m, calibration=[feeds], **options)).run(feeds)["y"]
                 for m, feeds in ((volume, {"x": x}), (planes, flat)))
    assert np.array_equal(got.transpose(0, 2, 1, 3, 4).reshape(want.shape), want)


@pytest.mark.parametrize("shape,weights,attrs", [
    ((1, 3, 6, 5), (4, 3, 3, 2), dict(pads=[1, 0, 1, 1])),
    ((2, 20, 5, 5), (33, 20, 1, 1), {}),
    ((1, 12, 6, 6), (36, 4, 3, 3), dict(group=3, strides=[2, 1])),
    ((1, 12, 6, 6), (12, 1, 3, 3), dict(group=12)),
    ((2, 6, 9), (5, 6, 4), dict(dilations=[2])),
    ((1, 2, 4, 3, 3), (3, 2, 2, 2, 2), {}),
    ((1, 3, 1, 1), (40, 3, 1, 1), {}),
    ((0, 3, 6, 5), (4, 3, 3, 2), {}),
], ids=str)
@pytest.mark.parametrize("computed", ["w", "b", "wb"])
def test_weights_of_the_run(shape, weights, attrs, computed):
    """Inputs, and what nodes compute of inputs; never the same twice."""
    operands = {"w": rng.standard_normal(weights).astype(np.float32),
                "b": rng.standard_normal(weights[0]).astype(np.float32)}
    constants = {n: a for n, a in operands.items() if n not in computed}
    nodes = [("Neg", [n], [f"{n}2"], {}) for n in computed]
    inputs = {"x": list(shape)} | {n: operands[n] for n in computed}
    model = make_model([*nodes, ("Conv", ["x", *(f"{n}2" if n in computed else n for n in "wb")], ["y"], attrs)],
                       inputs, {"y": [None] * len(shape)}, constants)
    data = convert(model, verify=False)
    for _ in range(2):
        x = rng.standard_normal(shape).astype(np.float32)
        feeds = {"x": x} | {n: rng.standard_normal(operands[n].shape).astype(np.float32) for n in computed}
        want = onnxruntime_outputs(model, feeds)
        got = wisp.load(data, threads=2).run(feeds)["y"]
        assert got.shape[0] == shape[0] and (want is None or got.shape == want["y"].shape)
        assert want is None or np.allclose(got, want["y"], rtol=1e-4, atol=1e-4)
        assert want is not None or 0 in shape
    if 0 not in shape:  # int8 was wanted: it stays float, and says so
        quantized = wisp.load(convert(model, quantize="int8", calibration=[feeds], verify=False))
        assert any("computed" in reason for reason in quantized.metadata["quantization"]["float_nodes"].values())


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize("attrs", [dict(strides=[2, 2]), dict(strides=[3, 1]), dict(dilations=[2, 1])], ids=str)
def test_padding_of_open_axes(auto_pad, attrs):
    w = rng.standard_normal((4, 3, 3, 4)).astype(np.float32)
    model = make_model([("Conv", ["x", "w"], ["y"], dict(attrs, auto_pad=auto_pad))], {"x": [1, 3, "h", "w_"]},
                       {"y": [None] * 4}, {"w": w})
    data = convert(model, verify=False)
    for h, width in ((5, 7), (8, 4), (3, 3), (1, 6)):
        x = rng.standard_normal((1, 3, h, width)).astype(np.float32)
        want, got = onnxruntime_outputs(model, {"x": x}), wisp.load(data).run({"x": x})["y"]
        fixed = make_model([("Conv", ["x", "w"], ["y"], dict(attrs, auto_pad=auto_pad))], {"x": x},
                           {"y": [None] * 4}, {"w": w})
        assert np.array_equal(got, wisp.load(convert(fixed, verify=False)).run({"x": x})["y"])
        if "dilations" not in attrs:  # ONNX Runtime refuses to pad for them
            assert np.allclose(got, want["y"], rtol=1e-4, atol=1e-4)
