"""Softmax and the normalizations against ONNX's reference and ONNX Runtime; int8 Softmax against integers in numpy."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_model, count, make_model, optimized
from support_graph import run_node
from wisp_converter import UnsupportedError, convert
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.ops.norm import softmax_table
from wisp_converter.target.plan import plan_memory

F32 = np.dtype(np.float32)
rng = np.random.default_rng(13)


def normal(*shape, scale=1.0):
    return (rng.standard_normal(shape) * scale).astype(np.float32)


def check(op, inputs, constants=None, *, outputs=("y",), opset=17, **options):
    attrs = {k: options.pop(k) for k in list(options) if k not in ("threads", "trust_reference", "shape")}
    constants = constants or {}
    named = {o: (np.float32, shape) for o in outputs} if (shape := options.pop("shape", None)) else list(outputs)
    model = make_model([(op, [*inputs, *constants], outputs, attrs)], inputs, named, constants, opset=opset)
    return check_model(model, inputs, **options)


# ---- Softmax


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("shape,axis", [
    ((5,), 0), ((3, 7), 1), ((3, 70), -1), ((3, 7), 0), ((2, 5, 4, 67), 1), ((2, 5, 130), 1), ((2, 5, 3), 2),
    ((3, 0, 4), 1), ((0, 4), 1), ((2, 1), 1), ((1, 9, 1), 1)])
def test_softmax(op, shape, axis):
    check(op, {"x": normal(*shape, scale=5)}, axis=axis)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_softmax_of_extremes(op):
    x = np.float32([[1e30, 0, -1e30], [-1e38, -1e38, -1e38], [88, 89, 90], [-np.inf, 0, 1], [200, 0, -200], [0, 0, 0]])
    check(op, {"x": x}, trust_reference=False)
    x = np.float32([[np.nan, 1, 2], [-np.inf] * 3, [3, 1, 2]])
    model = make_model([(op, ["x"], ["y"], {})], {"x": x}, ["y"])
    y = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
    assert np.isnan(y[:2]).all() and np.isfinite(y[2]).all()


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, 2, -1, None])
def test_softmax_before_opset_13(op, axis):
    check(op, {"x": normal(2, 3, 5)}, opset=11, trust_reference=False, **({} if axis is None else {"axis": axis}))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 13])
def test_softmax_of_float64(op, opset):
    x = rng.standard_normal((2, 7, 5)) * 40
    flat = x.reshape(2, 35) if opset == 11 else x
    below = flat - flat.max(1, keepdims=True)
    logarithm = below - np.log(np.exp(below).sum(1, keepdims=True))
    model = make_model([(op, ["x"], ["y"], {"axis": 1})], {"x": x}, ["y"], opset=opset)
    got = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
    want = (np.exp(logarithm) if op == "Softmax" else logarithm).reshape(x.shape)
    # the sum, of at least 1, is rounded once for each term, here and there: so much its logarithm may be off
    terms = flat.shape[1]
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=0 if op == "Softmax" else 2 * terms * np.finfo(float).eps)


def test_softmax_does_not_depend_on_threads():
    x = normal(64, 1000, scale=3)
    results = [check("Softmax", {"x": x}, threads=t)["y"] for t in (1, 2, 3)]
    assert all(np.array_equal(results[0], r) for r in results)


# ---- int8 Softmax


def softmax_s8(x, scale, axis):
    """norm_softmax.c in exact integers."""
    e = softmax_table(scale).astype(object)[(x.max(axis, keepdims=True).astype(int) - x)]
    total = e.sum(axis, keepdims=True)
    return (np.minimum((512 * e + total) // (2 * total), 255) - 128).astype(np.int8)


@pytest.mark.parametrize("shape,axis", [((4, 10), -1), ((3, 7, 5), 1), ((2, 1), 1), ((1, 3000), 1), ((5, 2, 64), 0)])
@pytest.mark.parametrize("scale", [0.003, 0.05, 0.5, 30.0])
def test_softmax_int8_is_exact(shape, axis, scale):
    x = rng.integers(-128, 128, shape).astype(np.int8)
    x[0] = -128
    y = run_node("Softmax", [x, softmax_table(scale)], shape, scale=scale, zero_point=5, out_scale=1 / 256,
                 out_zero_point=-128, axis=axis)
    assert np.array_equal(y, softmax_s8(x, scale, axis))
    real = np.exp(scale * (x.astype(float) - x.max(axis, keepdims=True)))
    real /= real.sum(axis, keepdims=True)
    assert np.abs((y + 128.0) / 256 - np.minimum(real, 255 / 256)).max() <= 0.51 / 256


def test_softmax_table():
    table = softmax_table(0.1)
    assert table[0] == 2**23 and (np.diff(table) <= 0).all() and table.dtype == np.int32


def test_softmax_is_quantized():
    x = normal(4, 30, scale=3)
    model = make_model([("Softmax", ["x"], ["y"], {})], {"x": x}, ["y"])
    session = wisp.load(convert(model, quantize="int8", calibration=[{"x": x}], verify=False))
    assert not session.metadata["quantization"]["float_nodes"]
    want = np.exp(x - x.max(1, keepdims=True))
    assert np.abs(session.run({"x": x})["y"] - want / want.sum(1, keepdims=True)).max() < 0.03


# ---- rows


@pytest.mark.parametrize("axis", [-1, 0, 1, 2, -2])
def test_layer_normalization(axis):
    x = normal(3, 4, 21, scale=3) + 2
    rows = x.shape[axis % 3:]
    check("LayerNormalization", {"x": x}, {"scale": normal(*rows), "bias": normal(*rows)}, axis=axis)
    check("LayerNormalization", {"x": x}, {"scale": normal(*rows)}, axis=axis, epsilon=0.1)
    check("LayerNormalization", {"x": x, "scale": normal(*rows), "bias": normal(*rows)}, axis=axis)


def test_layer_normalization_statistics():
    x = normal(3, 4, 21)
    check("LayerNormalization", {"x": x}, {"scale": normal(21), "bias": normal(21)}, outputs=("y", "mean", "inverse"))


def layer_normalization(shape: tuple, rows: int, outputs: list[bool]) -> bytes:
    """A file of one LayerNormalization over the last axis, with those of its three outputs."""
    x = Value("x", F32, shape)
    results = [Value(name, F32, shape if name == "y" else (*shape[:-1], 1)) if there else None
               for name, there in zip(("y", "mean", "inverse"), outputs)]
    attrs = {"axis": -1, "epsilon": 1e-5}
    node = Node("LayerNormalization", [x, constant("scale", np.ones(rows, F32))], results, attrs, "layer")
    graph = Graph([x], [r for r in results if r], [node])
    return fmt.write(graph, plan_memory(graph))


def test_layer_normalization_of_nothing():
    """Rows without elements have no mean, as numpy has it, and rows there are."""
    got = wisp.load(layer_normalization((3, 0), 0, [True, True, True])).run({"x": np.zeros((3, 0), F32)})
    assert got["y"].shape == (3, 0)
    assert got["mean"].shape == got["inverse"].shape == (3, 1)
    assert np.isnan(got["mean"]).all() and np.isnan(got["inverse"]).all()


def test_layer_normalization_needs_its_first_output():
    with pytest.raises(wisp.WispError, match=r"node 'layer' \(LayerNormalization\): missing output"):
        wisp.load(layer_normalization((3, 4), 4, [False, True, False]))
    x = normal(3, 4)
    got = wisp.load(layer_normalization((3, 4), 4, [True, False, True])).run({"x": x})
    np.testing.assert_allclose(got["inverse"], 1 / np.sqrt(x.var(1, keepdims=True) + 1e-5), rtol=1e-5)


def test_layer_normalization_does_not_depend_on_threads():
    x, constants = normal(300, 77), {"scale": normal(77), "bias": normal(77)}
    results = [check("LayerNormalization", {"x": x}, constants, threads=t)["y"] for t in (1, 2, 3)]
    assert all(np.array_equal(results[0], r) for r in results)


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_normalization(axis):
    x = normal(3, 4, 21)
    check("RMSNormalization", {"x": x}, {"scale": normal(*x.shape[axis % 3:])}, opset=23, axis=axis)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_lp_normalization(p, axis):
    # the reference forgets the absolute value
    check("LpNormalization", {"x": normal(3, 4, 5)}, axis=axis, p=p, trust_reference=p == 2)


def test_lp_normalization_of_zero():
    x = np.zeros((2, 3), np.float32)
    model = make_model([("LpNormalization", ["x"], ["y"], {})], {"x": x}, ["y"])
    assert not wisp.load(convert(model, verify=False)).run({"x": x})["y"].any()


# ---- channels


@pytest.mark.parametrize("shape", [(2, 6, 5, 4), (1, 6, 7), (3, 6), (2, 6, 2, 3, 4)])
def test_group_normalization(shape):
    x = normal(*shape)
    for groups in (1, 2, 6):
        if len(shape) > 2:
            check("GroupNormalization", {"x": x}, {"scale": normal(6), "bias": normal(6)}, opset=21,
                  num_groups=groups, shape=shape)
            check("GroupNormalization", {"x": x}, {"scale": normal(groups), "bias": normal(groups)}, opset=18,
                  num_groups=groups, shape=shape)  # inference does not know this version
    if len(shape) > 2:
        check("InstanceNormalization", {"x": x}, {"scale": normal(6), "bias": normal(6)})


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_group_normalization_inside_a_graph(dtype):
    """ONNX's inference does not know the type of what it gives."""
    x, scale = (normal(2, 6, 4) * 3).astype(dtype), np.ones(6, dtype)
    nodes = [("GroupNormalization", ["x", "s", "b"], ["g"], {"num_groups": 3}), ("Neg", ["g"], ["y"], {})]
    model = make_model(nodes, {"x": x}, {"y": (dtype, [2, 6, 4])}, {"s": scale, "b": np.zeros(6, dtype)}, opset=21)
    groups = x.astype(np.float64).reshape(2, 3, 8)
    want = -(groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    got = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
    assert got.dtype == dtype
    np.testing.assert_allclose(got.reshape(2, 3, 8), want, rtol=4 * np.finfo(dtype).eps, atol=1e-6)



@pytest.mark.parametrize("opset", [7, 9, 14, 15])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (4, 5), (2, 5, 7)])
def test_batch_normalization(opset, shape):
    parameters = {"scale": normal(5), "bias": normal(5), "mean": normal(5), "variance": np.abs(normal(5)) + 0.1}
    trusted = opset >= 14  # the reference trains before
    check("BatchNormalization", {"x": normal(*shape)}, parameters, opset=opset, trust_reference=trusted)
    check("BatchNormalization", {"x": normal(*shape), **parameters}, opset=opset, epsilon=0.01, trust_reference=trusted)


def test_batch_normalization_disappears_into_conv():
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("BatchNormalization", ["c", "s", "b", "m", "v"], ["y"], {})]
    constants = {"w": normal(5, 4, 1, 1), "s": normal(5), "b": normal(5), "m": normal(5), "v": np.abs(normal(5)) + 0.1}
    model = make_model(nodes, {"x": [1, 4, 3, 3]}, ["y"], constants)
    graph = optimized(model)
    assert count(graph, "Conv") == 1 and count(graph, "Mul") == count(graph, "Add") == 0
    check_model(model, {"x": normal(1, 4, 3, 3)})


@pytest.mark.parametrize("momentum", [0.9, 0.25])
@pytest.mark.parametrize("shape", [(4, 5), (2, 5, 6), (2, 5, 3, 4)])
def test_batch_normalization_in_training_mode(shape, momentum):
    parameters = {"scale": normal(5), "bias": normal(5), "mean": normal(5), "variance": np.abs(normal(5))}
    options = {"training_mode": 1, "momentum": momentum}
    outputs = {"y": shape, "m": [5], "v": [5]}
    model = make_model([("BatchNormalization", ["x", *parameters], list(outputs), options)], {"x": shape}, outputs,
                       parameters)
    check_model(model, {"x": normal(*shape)})


def test_training_of_old_operator_sets_is_refused():
    parameters = {"scale": normal(5), "bias": normal(5), "mean": normal(5), "variance": np.abs(normal(5))}
    model = make_model([("BatchNormalization", ["x", *parameters], ["y", "m", "v"])], {"x": [2, 5]},
                       {"y": [2, 5], "m": [5], "v": [5]}, parameters, opset=9)
    with pytest.raises(UnsupportedError, match="only inference"):
        convert(model)


def test_lrn():
    for channels, size in ((5, 3), (4, 2), (3, 9)):
        # The reference takes the number of images for that of channels.
        check("LRN", {"x": normal(channels, channels, 4, 3)}, size=size, alpha=0.3, beta=0.7, bias=1.5)


@pytest.mark.parametrize("attrs", [{}, {"axes": [0, 1, 2, 3]}, {"axes": [1]}])
def test_mean_variance_normalization(attrs):
    check("MeanVarianceNormalization", {"x": normal(2, 3, 4, 5)}, opset=13, trust_reference=False, **attrs)
