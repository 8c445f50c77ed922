"""ConvTranspose against ONNX Runtime and a scatter-add in double precision; int8 against integers, bit for bit."""
# SPDX-License-Identifier: Apache-2.0
from itertools import product

import numpy as np
import pytest

import wisp
from support import check_int8_layer, check_model, make_model, onnxruntime_outputs, optimized
from support_graph import run_node
from wisp_converter import convert
from wisp_converter.ir import Node, constant
from wisp_converter.ops.conv import phases
from wisp_converter.quantize import arithmetic
from wisp_converter.target.layouts import packed_channels

rng = np.random.default_rng(21)

# shape of x, weights (inputs, outputs of a group, kernel), attributes
CASES = [
    ((1, 2, 4, 4), (2, 3, 2, 2), dict(strides=[2, 2])),
    ((2, 5, 3, 7), (5, 18, 4, 4), dict(strides=[2, 2], pads=[1, 1, 1, 1])),
    ((1, 17, 5, 4), (17, 33, 3, 3), dict(strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1])),
    ((1, 3, 6, 5), (3, 4, 3, 3), {}),
    ((1, 3, 6, 5), (3, 4, 5, 2), dict(pads=[3, 0, 1, 1], strides=[3, 1], dilations=[1, 2])),
    ((1, 3, 4, 5), (3, 4, 3, 3), dict(strides=[2, 4], dilations=[2, 3], pads=[0, 2, 1, 3])),
    ((1, 3, 4, 5), (3, 4, 3, 3), dict(strides=[4, 6], dilations=[2, 4])),
    ((1, 3, 4, 5), (3, 4, 1, 2), dict(strides=[3, 3], output_padding=[2, 0])),
    ((1, 8, 4, 5), (8, 3, 3, 3), dict(strides=[2, 2], group=4)),
    ((1, 20, 4, 5), (20, 17, 2, 2), dict(strides=[2, 2], group=2)),
    ((1, 6, 5, 5), (6, 1, 4, 4), dict(strides=[2, 2], pads=[1, 1, 1, 1], group=6)),
    ((2, 4, 9), (4, 6, 5), dict(strides=[3], pads=[2, 1], output_padding=[1])),
    ((1, 4, 7), (4, 2, 16), dict(strides=[8], pads=[4, 4])),
    ((1, 4, 6), (4, 3, 4), dict(strides=[2], group=2, dilations=[3])),
    ((1, 3, 3, 4, 2), (3, 5, 2, 3, 2), dict(strides=[2, 1, 3], pads=[0, 1, 0, 1, 0, 1], dilations=[1, 2, 1])),
    ((1, 4, 2, 3, 3), (4, 2, 3, 3, 3), dict(strides=[2, 2, 2], group=2, output_padding=[1, 0, 1])),
    ((1, 3, 4, 4), (3, 2, 3, 3), dict(strides=[2, 2], auto_pad="SAME_UPPER")),
    ((1, 3, 4, 5), (3, 2, 4, 3), dict(strides=[3, 2], auto_pad="SAME_LOWER")),
    ((1, 3, 4, 4), (3, 2, 3, 3), dict(strides=[2, 2], auto_pad="VALID")),
    ((1, 3, 4, 4), (3, 2, 3, 3), dict(strides=[3, 2], output_shape=[10, 8])),
    ((1, 3, 4, 4), (3, 2, 3, 3), dict(strides=[3, 2], output_shape=[12, 10], auto_pad="SAME_UPPER")),
    ((1, 3, 5), (3, 2, 3), dict(strides=[2], output_shape=[9])),
    ((2, 5, 6, 4), (5, 1, 9, 9), dict(strides=[3, 3], pads=[4, 4, 3, 2], output_padding=[2, 1])),
    ((1, 5, 6, 4), (5, 3, 4, 3), dict(strides=[2, 2], output_padding=[1, 1])),
    ((1, 4, 3, 3), (4, 2, 5, 4), dict(strides=[4, 4], output_padding=[3, 3], pads=[1, 0, 0, 0])),
    ((2, 9, 5), (9, 1, 32), dict(strides=[8], pads=[12, 5])),
    ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    ((0, 3, 4, 4), (3, 2, 3, 3), dict(strides=[2, 2])),
]


def geometry(shape, weights, a):
    """(stride, dilation, pads before, extents of the output) of each spatial axis."""
    rank = len(shape) - 2
    stride, dilation = a.get("strides", [1] * rank), a.get("dilations", [1] * rank)
    more, pads = a.get("output_padding", [0] * rank), a.get("pads", [0] * 2 * rank)
    whole = [s * (n - 1) + o + d * (k - 1) + 1
             for n, k, s, d, o in zip(shape[2:], weights[2:], stride, dilation, more)]
    same = a.get("auto_pad", "NOTSET")
    if "output_shape" in a or same.startswith("SAME"):
        out = a.get("output_shape") or [n * s for n, s in zip(shape[2:], stride)]
        total = [max(w - o, 0) for w, o in zip(whole, out)]
        before = [t // 2 if same == "SAME_UPPER" else t - t // 2 for t in total]
    else:
        before = pads[:rank]
        out = [w - b - e for w, b, e in zip(whole, before, pads[rank:])]
    return stride, dilation, before, out


def scatter(x, w, a):
    """Every input pixel times every tap, added where it belongs; in the dtype of x (double or a wide integer)."""
    stride, dilation, before, out = geometry(x.shape, w.shape, a)
    group = a.get("group", 1)
    y = np.zeros((x.shape[0], group * w.shape[1], *out), x.dtype)
    parts = zip(np.split(x, group, 1), np.split(w.astype(x.dtype), group), np.split(y, group, 1))
    for one, weights, result in parts:
        for at in product(*map(range, x.shape[2:])):
            for tap in product(*map(range, w.shape[2:])):
                to = tuple(i * s + k * d - b for i, k, s, d, b in zip(at, tap, stride, dilation, before))
                if all(0 <= t < n for t, n in zip(to, out)):
                    result[(..., *to)] += one[(..., *at)] @ weights[(..., *tap)]
    return y


def transpose_model(x_shape, w, a, bias=None, computed=False):
    operands = {"w": w} | ({} if bias is None else {"b": bias})
    inputs = {"x": list(x_shape)} | ({n: v for n, v in operands.items()} if computed else {})
    return make_model([("ConvTranspose", ["x", *operands], ["y"], a)], inputs, {"y": [None] * len(x_shape)},
                      {} if computed else operands)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("computed", [False, True])
def test_float(case, computed):
    shape, weights, a = case
    x, w = (rng.standard_normal(s).astype(np.float32) for s in (shape, weights))
    bias = rng.standard_normal(weights[1] * a.get("group", 1)).astype(np.float32)
    want = scatter(x.astype(np.float64), w, a)
    magnitude = scatter(np.abs(x).astype(np.float64), np.abs(w), a)
    for b in (None, bias):
        spread = 0 if b is None else b.reshape(-1, *[1] * (len(shape) - 2)).astype(np.float64)
        for spec in ([f"d{i}" if i != 1 else d for i, d in enumerate(shape)], shape):
            model = transpose_model(spec, w, a, b, computed)
            feeds = {"x": x} | ({"w": w} if computed else {}) | ({"b": b} if computed and b is not None else {})
            got = wisp.load(convert(model, verify=False), threads=2).run(feeds)["y"]
            assert got.shape == want.shape
            bound = (w[:, 0].size + 3) * 2.0 ** -24 * (magnitude + np.abs(spread))
            assert (np.abs(got - (want + spread)) <= bound).all()
        other = onnxruntime_outputs(model, feeds)
        if other is not None and x.size:
            assert np.allclose(other["y"], want + spread, atol=1e-4), "the oracles differ"


def test_few_outputs_are_computed_in_blocks():
    """Where one phase would fill a small part of a panel; see CASES for the numbers."""
    for weights, stride, op in (((56, 1, 9, 9), 3, "Conv"), ((9, 3, 4, 4), 2, "Conv"),
                                ((9, 16, 4, 4), 2, "ConvTranspose")):
        w = rng.standard_normal(weights).astype(np.float32)
        graph = optimized(transpose_model((1, weights[0], 5, 5), w, dict(strides=[stride] * 2)))
        assert [n.op for n in graph.nodes if n.op.startswith("Conv")] == [op]


def test_a_network_that_narrows_and_widens():
    """Open axes; sizes that the network computes; float, and int8 with what stays float named."""
    def conv(op, x, y, shape, **a):
        weights[f"w{y}"] = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return (op, [x, f"w{y}"], [y], a)

    weights = {"none": np.float32([]), "two": np.array(2), "axis": np.array([0]), "nc": np.array([1, 8])}
    nodes = [
        conv("Conv", "x", "a", (8, 3, 3, 3), pads=[1] * 4), ("Relu", ["a"], ["b"]),
        ("MaxPool", ["b"], ["c"], dict(kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)),
        conv("Conv", "c", "d", (16, 8, 3, 3), auto_pad="SAME_UPPER", strides=[2, 2]), ("Relu", ["d"], ["e"]),
        conv("ConvTranspose", "e", "f", (16, 24, 2, 2), strides=[2, 2]), ("Relu", ["f"], ["g"]),
        conv("Conv", "g", "h", (8, 24, 1, 1)), ("Shape", ["b"], ["s"], {"start": 2}),
        ("Concat", ["nc", "s"], ["sizes"], {"axis": 0}),
        ("Resize", ["h", "", "", "sizes"], ["i"], dict(mode="linear", coordinate_transformation_mode="half_pixel")),
        ("Concat", ["b", "i"], ["j"], {"axis": 1}), conv("ConvTranspose", "j", "y", (16, 1, 4, 4), strides=[2, 2],
                                                           pads=[1] * 4)]
    used = {n for _, inputs, *_ in nodes for n in inputs}
    model = make_model(nodes, {"x": [1, 3, "h", "w"]}, {"y": [None] * 4},
                       {n: a for n, a in weights.items() if n in used})
    float_data = convert(model, verify=False)
    feeds = [{"x": rng.standard_normal((1, 3, h, w)).astype(np.float32)} for h, w in ((12, 16), (13, 9), (5, 30))]
    int8 = wisp.load(convert(model, quantize="int8", calibration=feeds, verify=False))
    assert not int8.metadata["quantization"]["float_nodes"]
    for feed in feeds:
        want, got = onnxruntime_outputs(model, feed)["y"], wisp.load(float_data).run(feed)["y"]
        assert got.shape == want.shape and np.allclose(got, want, rtol=1e-4, atol=1e-5)
        noise = int8.run(feed)["y"] - want
        assert (noise ** 2).mean() < 1e-3 * (want ** 2).mean()


def test_activation_and_batch_norm_go_into_it():
    w = rng.standard_normal((4, 16, 3, 3)).astype(np.float32)
    norm = {n: rng.random(16).astype(np.float32) + 0.5 for n in ("scale", "shift", "mean", "variance")}
    model = make_model([("ConvTranspose", ["x", "w"], ["c"], {"strides": [2, 2]}),
                        ("BatchNormalization", ["c", *norm], ["n"], {}), ("Relu", ["n"], ["y"], {})],
                       {"x": [1, 4, 5, 5]}, ["y"], {"w": w, **norm})
    assert [n.op for n in optimized(model).nodes if n.op != "Transpose"] == ["ConvTranspose"]
    check_model(model, {"x": rng.standard_normal((1, 4, 5, 5)).astype(np.float32)})


# ---- int8


def requantize(acc, shift, multiplier):
    """Section 3 of docs/quantization.md, in wide integers."""
    left, right = np.maximum(-shift, 0), np.maximum(shift, 0)
    t = np.clip(np.where(shift < 0, np.clip(acc, -32768, 32767) << left, acc >> right), -32768, 32767)
    return np.clip(((t * multiplier + (1 << 14) >> 15) + 64) >> 7, -128, 127)


@pytest.mark.parametrize("case", [c for c in CASES if 0 not in c[0] and "auto_pad" not in c[2]
                                  and "output_shape" not in c[2] and len(c[0]) != 3], ids=str)
@pytest.mark.parametrize("cpu", ["scalar", None])
def test_int8_is_exact(case, cpu):
    shape, weights, a = case
    rank, group, zero, out_zero = len(shape) - 2, a.get("group", 1), -7, 5
    x = rng.integers(-128, 128, shape).astype(np.int8)
    w = rng.integers(-127, 128, weights).astype(np.int8)
    n = group * weights[1]
    scales, bias = rng.uniform(1e-3, 4e-3, n), rng.standard_normal(n)
    stride, dilation, before, out = geometry(shape, weights, a)
    letters = "dhw"[-rank:]
    attrs = {"group": group, "lo": -128, "hi": 127, "same": 0}
    for name, values in (("kernel", weights[2:]), ("stride", stride), ("dilation", dilation),
                         ("output_padding", a.get("output_padding", [0] * rank))):
        attrs.update({f"{name}_{d}": int(v) for d, v in zip(letters, values)})
    names = dict(d=("pad_front", "pad_back"), h=("pad_top", "pad_bottom"), w=("pad_left", "pad_right"))
    pads = a.get("pads", [0] * 2 * rank)
    for i, d in enumerate(letters):
        attrs.update(zip(names[d], (pads[i], pads[rank + i])))
    # from (inputs, outputs of a group, kernel) to (outputs, kernel, inputs of a group)
    rows = np.concatenate([np.moveaxis(p, (1, 0), (0, -1)) for p in np.split(w, group)])
    flat = rows.reshape(n, -1, rows.shape[-1])
    node = Node("ConvTranspose", [None, constant("w", rows), None], [], attrs)
    blocks = [arithmetic.channel_params(flat[g][:, f.taps].reshape(weights[1], -1), scales[g], bias[g], 0.05, zero, 0.4,
                                        out_zero)
              for f in phases(node) for g in np.split(np.arange(n), group)]
    padded = len(phases(node)) * group * -(-weights[1] // 16) * 16
    last = (0, *range(2, rank + 2), 1)
    got = run_node("ConvTranspose",
                   [x.transpose(last), constant("w", rows), packed_channels("c", np.concatenate(blocks), padded)],
                   (shape[0], *out, n), scale=0.05, zero_point=zero, out_scale=0.4, out_zero_point=out_zero, cpu=cpu,
                   threads=2, **attrs)
    # x - z and no zero point: what lies outside the image adds nothing, and the constant is that of no inputs
    acc = scatter(x.astype(np.int64) - zero, w, a).transpose(last)
    plain = arithmetic.channel_params(np.zeros((n, 1), np.int8), scales, bias, 0.05, 0, 0.4, out_zero)
    parts = [plain[f].reshape(-1)[:n].astype(np.int64) for f in ("bias", "shift", "multiplier")]
    assert np.array_equal(got, requantize(acc + parts[0], *parts[1:]))


@pytest.mark.parametrize("case", CASES[1:4] + CASES[8:12], ids=str)
def test_int8_layer(case):
    shape, weights, a = case
    model = transpose_model(shape, rng.standard_normal(weights).astype(np.float32), a,
                            rng.standard_normal(weights[1] * a.get("group", 1)).astype(np.float32))
    oracle = None if a.get("group", 1) == 1 else onnxruntime_outputs  # the reference mixes groups up
    check_int8_layer(model, {"x": rng.standard_normal(shape).astype(np.float32)}, oracle=oracle)


def test_hostile_parameters():
    x = np.zeros((1, 2, 2, 1), np.float32)
    w = np.zeros((1, 2, 2, 1), np.float32)
    plain = {"kernel_h": 2, "kernel_w": 2, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "group": 1}
    for change, message in ((dict(stride_h=4097), "too large"), (dict(stride_h=128, stride_w=128), "too large"),
                            (dict(kernel_h=3), "do not fit"),
                            (dict(pad_top=2, pad_bottom=2), "extents"), (dict(output_padding_h=-1), "out of range"),
                            (dict(output_shape=(3,)), "each axis"), (dict(same=3), "no such"),
                            (dict(output_shape=(3, -1)), "extents"), (dict(dilation_h=2 ** 20, kernel_h=1025), "large"),
                            (dict(stride_h=2 ** 12, output_padding_h=2 ** 20 + 1), "output_padding")):
        with pytest.raises(wisp.WispError, match=message):
            run_node("ConvTranspose", [x, constant("w", w).data, None], (1, 3, 3, 1), **{**plain, **change})
