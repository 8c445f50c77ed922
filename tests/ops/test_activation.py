"""Unary operators against ONNX's reference, ONNX Runtime and float64; int8 tables against the real functions."""
# SPDX-License-Identifier: Apache-2.0
import math

import numpy as np
import pytest
import wisp
from wisp.file import read
from wisp_converter import UnsupportedError, convert
from wisp_converter.target import format as wisp_format
from wisp_converter.ir import Graph, Node
from wisp_converter.opcodes import opcodes
from wisp_converter.ops import activation
from wisp_converter.target.plan import plan_memory

from ops.test_eltwise import Quantizer, all_bytes, f32_value
from support import check_model, make_model, reference

rng = np.random.default_rng(60)

PLAIN = ["Relu", "Sigmoid", "Tanh", "Exp", "Neg", "Abs", "Erf", "Floor", "Ceil", "Round", "Reciprocal", "Sin", "Cos",
         "Tan", "Atan", "Sinh", "Cosh", "Asinh", "Sign", "Softplus", "Softsign", "HardSwish", "Mish"]
WITH_ATTRIBUTES = [
    ("HardSigmoid", {}), ("HardSigmoid", dict(alpha=0.3, beta=0.4)), ("LeakyRelu", {}), ("LeakyRelu", dict(alpha=-0.3)),
    ("Elu", dict(alpha=1.5)), ("Selu", {}), ("Selu", dict(alpha=2.0, gamma=0.5)),
    ("Celu", dict(alpha=0.7)), ("Gelu", {}), ("Gelu", dict(approximate="tanh")), ("ThresholdedRelu", dict(alpha=0.4)),
    ("Shrink", dict(bias=0.3, lambd=0.8)), ("Swish", {}), ("Swish", dict(alpha=1.7)),
]
SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 1e-40, -1e-40, 1, -1, 0.5, -0.5, 1.5, 2.5, 88.7, -88.7, 104, -104,
                    8388609, -8388607.5],
                   np.float32)


def unary(op, x, *, opset=17, **attrs):
    return make_model([(op, ["x"], ["y"], attrs)], {"x": x}, ["y"], opset=opset)


def run(model, x, **options):
    return wisp.load(convert(model, verify=False), **options).run({"x": x})["y"]


@pytest.mark.parametrize("op,attrs", [(op, {}) for op in PLAIN] + WITH_ATTRIBUTES, ids=str)
@pytest.mark.parametrize("shape", [(2, 3, 17), (), (1,), (15,), (1, 2, 1, 1, 2, 1, 3, 5), (3, 0)], ids=str)
def test_float(op, attrs, shape):
    x = np.asarray(rng.standard_normal(shape) * 3, np.float32)
    if op == "Softsign" and shape == ():
        pytest.skip("onnx.reference cannot do this")
    check_model(unary(op, x, opset={"Gelu": 20, "Swish": 24, "Mish": 18}.get(op, 17), **attrs), {"x": x},
                rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("op,low,high", [
    ("Log", 0, 9), ("Sqrt", 0, 9), ("Asin", -1, 1), ("Acos", -1, 1), ("Acosh", 1, 5), ("Atanh", -0.99, 0.99)])
def test_float_of_a_domain(op, low, high):
    x = rng.uniform(low, high, (5, 43)).astype(np.float32)
    check_model(unary(op, x), {"x": x}, rtol=1e-6, atol=1e-6)


def _erf(x):
    return np.array([math.erf(v) for v in x.ravel()])


EXACT = {"Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), -80, 80), "Tanh": (np.tanh, -12, 12), "Exp": (np.exp, -80, 80),
         "Erf": (_erf, -5, 5), "Log": (np.log, 1e-3, 1e3), "Softplus": (lambda x: np.logaddexp(0, x), -80, 80)}


@pytest.mark.parametrize("op", EXACT)
@pytest.mark.parametrize("scale", [1, 1e-3])
def test_relative_accuracy(op, scale):
    """Within 2e-7 of the value, everywhere: these functions are our own. 2**-22 is two units in the last place."""
    function, low, high = EXACT[op]
    x = (rng.uniform(low, high, 200_000) * scale).astype(np.float32)
    x = np.abs(x) + 1e-6 if op == "Log" else x
    exact = function(x.astype(np.float64))
    x, exact = x[np.abs(exact) > 1e-30], exact[np.abs(exact) > 1e-30]
    assert np.max(np.abs(run(unary(op, x), x) - exact) / np.abs(exact)) < 2e-7


@pytest.mark.parametrize("op", [
    "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Neg", "Abs", "Erf", "Floor", "Ceil", "Round", "Reciprocal",
    "Sign", "Softplus", "Softsign", "HardSigmoid", "LeakyRelu", "Elu", "Atan"])
def test_special_values(op):
    """As in float64, rounded once; signs of zeros included."""
    function = activation.UNARY_TABLE[op]
    attrs = {"HardSigmoid": dict(alpha=0.2, beta=0.5), "LeakyRelu": dict(alpha=0.01),
             "Elu": dict(alpha=1.0, scale=1.0, rate=1.0)}.get(op, {})
    with np.errstate(all="ignore"):
        want = np.asarray(function(SPECIAL.astype(np.float64), attrs)).astype(np.float32)
    got = run(unary(op, SPECIAL), SPECIAL)
    if op == "Softsign":  # inf / inf
        want[2:4] = np.nan
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    np.testing.assert_allclose(got, want, rtol=3e-7, atol=1e-44)
    if op in ("Neg", "Floor", "Ceil", "Round", "Sqrt", "Tanh", "Erf"):
        np.testing.assert_array_equal(np.signbit(got[want == 0]), np.signbit(want[want == 0]))


@pytest.mark.parametrize("op", ["Floor", "Ceil", "Round"])
def test_rounding_is_exact(op):
    x = np.concatenate([np.arange(-20, 20, 0.25), rng.uniform(-1e7, 1e7, 1000),
                        [2.0**23 + 1, -(2.0**31), 3e38]]).astype(np.float32)
    np.testing.assert_array_equal(run(unary(op, x), x), {"Floor": np.floor, "Ceil": np.ceil, "Round": np.rint}[op](x))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("op,function", [
    ("Neg", np.negative), ("Abs", np.abs), ("Sign", np.sign), ("Relu", lambda x: np.maximum(x, x.dtype.type(0)))])
def test_other_dtypes(op, function, dtype):
    x = np.array([0, 1, -1, 5, -7, 100, -100] * 11).astype(dtype)
    if dtype != np.float64:
        x[0] = np.iinfo(dtype).min
    np.testing.assert_array_equal(run(unary(op, x), x), function(x))


@pytest.mark.parametrize("op", ["Exp", "Log", "Sqrt", "Floor", "Ceil", "Round", "Reciprocal", "Sigmoid", "Softsign"])
def test_float64(op):
    x = rng.uniform(0.1, 5, (3, 77))
    got = check_model(unary(op, x), {"x": x})["y"]
    np.testing.assert_allclose(got, reference(unary(op, x), {"x": x})["y"], rtol=1e-14)


def test_unsigned():
    x = np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(run(unary("Abs", x), x), x)
    np.testing.assert_array_equal(run(unary("Sign", x), x), np.minimum(x, 1))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_classes(dtype):
    x = np.resize(SPECIAL, (3, 50)).astype(dtype)
    for op, attrs in (("IsNaN", {}), ("IsInf", {}), ("IsInf", dict(detect_negative=0)),
                      ("IsInf", dict(detect_positive=0)), ("IsInf", dict(detect_positive=0, detect_negative=0))):
        check_model(unary(op, x, **attrs), {"x": x})


@pytest.mark.parametrize("opset", [6, 11, 13])
@pytest.mark.parametrize("low,high", [(-0.5, 0.75), (None, 0.5), (0.0, None), (None, None), (1.0, -1.0)])
def test_clip_by_constants(opset, low, high):
    x = rng.standard_normal((3, 41)).astype(np.float32)
    x[0, :2] = np.inf, -np.inf
    if opset == 6:
        attrs = {k: v for k, v in (("min", low), ("max", high)) if v is not None}
        model = make_model([("Clip", ["x"], ["y"], attrs)], {"x": x}, ["y"], opset=7)
    else:
        bounds = {n: np.float32(v) for n, v in (("lo", low), ("hi", high)) if v is not None}
        names = ["x", "lo" if low is not None else "", "hi" if high is not None else ""]
        while not names[-1]:
            names.pop()
        model = make_model([("Clip", names, ["y"], {})], {"x": x}, ["y"], bounds, opset=opset)
    want = np.minimum(np.maximum(x, -np.inf if low is None else low),
                      np.inf if high is None else high).astype(np.float32)
    np.testing.assert_array_equal(run(model, x), want)


@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint8, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("constants", [True, False])
def test_clip_dtypes(dtype, constants):
    x, lo, hi = np.arange(90).reshape(9, 10).astype(dtype), np.array(11, dtype), np.array(60, dtype)
    bounds, inputs = {"lo": lo, "hi": hi}, {"x": x}
    model = make_model([("Clip", ["x", "lo", "hi"], ["y"], {})], inputs if constants else {**inputs, **bounds}, ["y"],
                       bounds if constants else {})
    check_model(model, inputs if constants else {**inputs, **bounds}, rtol=0, atol=0)


@pytest.mark.parametrize("op", ["Sigmoid", "Relu", "Gelu", "Floor"])
def test_threads_and_place(op):
    """The same bits for any number of threads, and wherever an element stands."""
    x = rng.standard_normal(100_003).astype(np.float32)
    data = convert(unary(op, x, opset=20), verify=False)
    results = [wisp.load(data, threads=t).run({"x": x})["y"] for t in (1, 2, 3)]
    assert all(np.array_equal(results[0], r) for r in results)
    part = x[5:1004]
    np.testing.assert_array_equal(run(unary(op, part, opset=20), part), results[0][5:1004])


def test_refused():
    x = np.zeros(3, np.float64)
    with pytest.raises(UnsupportedError, match="float64"):
        convert(unary("Sin", x), verify=False)


# ---- int8


@pytest.mark.parametrize("op", sorted(activation.UNARY_TABLE))
def test_tables(op):
    """Every table entry is the real function's value on the stored number, rounded to the nearest step."""
    attrs = {"Clip": dict(min=-0.7, max=1.1), "HardSigmoid": dict(alpha=0.2, beta=0.5), "LeakyRelu": dict(alpha=0.1),
             "Gelu": dict(tanh=0), "Elu": dict(alpha=1.0, scale=1.0, rate=1.0), "ThresholdedRelu": dict(alpha=0.5),
             "Swish": dict(alpha=1.0), "Shrink": dict(bias=0.1, lambd=0.5)}.get(op, {})
    onnx_attrs = {"Elu": {"alpha": 1.0}, "Gelu": {}}.get(op, attrs)
    in_scale, in_zero, out_scale, out_zero = 1 / 64, -20, 1 / 32, 5
    table = activation.lookup_table(lambda x: activation.UNARY_TABLE[op](x, attrs), in_scale, in_zero,
                                    out_scale, out_zero)
    x = (in_scale * (np.arange(-128, 128) - in_zero)).astype(np.float32)  # exact
    if op == "Clip":
        real = np.clip(x, -0.7, 1.1)
    else:
        with np.errstate(all="ignore"):
            real = reference(unary(op, x, opset={"Gelu": 20, "Swish": 24, "Mish": 18}.get(op, 17), **onnx_attrs),
                             {"x": x})["y"]
    exact = np.clip(np.nan_to_num(real.astype(np.float64), nan=0.0, posinf=1e9, neginf=-1e9) / out_scale + out_zero,
                    -128, 127)
    assert np.all(np.abs(table - exact) <= 0.5 + 1e-4)


def test_lookup():
    x, y = f32_value("x", (3, 1111)), f32_value("y", (3, 1111))
    q = Quantizer({x: (0.02, 3), y: (0.01, -4)})
    activation.quantize_by_table(q, Node("Tanh", [x], [y], {}), x, np.tanh)
    table = q.nodes[0].inputs[1].data
    graph = Graph([q.int8(x)], [q.int8(y)], q.nodes)
    data = wisp_format.write(graph, plan_memory(graph), source_sha256=bytes(32), metadata=b"{}")
    stored = all_bytes((3, 1111))
    for cpu in ("scalar", None):
        np.testing.assert_array_equal(wisp.load(data, cpu=cpu).run({"x": stored})["y"], table[stored.astype(int) + 128])


def test_a_chain_is_one_table():
    x = rng.standard_normal((1, 4, 5, 5)).astype(np.float32)
    weights = {f"w{i}": (rng.standard_normal((4, 4, 1, 1)) / 2).astype(np.float32) for i in range(2)}
    nodes = [("Conv", ["x", "w0"], ["c"], {}), ("Tanh", ["c"], ["t"], {}), ("Abs", ["t"], ["a"], {}),
             ("Sqrt", ["a"], ["s"], {}), ("Conv", ["s", "w1"], ["y"], {})]
    data = convert(make_model(nodes, {"x": x}, ["y"], weights), quantize="int8", calibration=[{"x": x}],
                   method="minmax", verify=False)
    assert [o.code for o in read(data).operators].count(opcodes()["Lookup"].code) == 1
