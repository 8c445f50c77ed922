"""Conv against ONNX's reference and ONNX Runtime in float; against exact arithmetic in int8."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_int8_layer, check_model, check_products, make_model

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
