"""Element-wise operators against ONNX's reference, ONNX Runtime and numpy; int8 against integers written here."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from wisp_converter import UnsupportedError, convert
from wisp_converter.target import format as wisp_format
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.ops import eltwise, rules
from wisp_converter.target.pack import pack
from wisp_converter.target.plan import plan_memory

from support import check_model, make_model, reference

rng = np.random.default_rng(20)

SHAPES = [
    ((), ()),
    ((7,), ()),
    ((), (3, 5)),
    ((2, 3, 4), (2, 3, 4)),
    ((2, 3, 4), (4,)),
    ((2, 3, 4), (3, 1)),
    ((4, 1, 5), (1, 6, 1)),
    ((1, 16, 9, 7), (1, 16, 1, 1)),
    ((1, 9, 7, 16), (16,)),
    ((3, 1, 2, 1, 2), (1, 4, 1, 3, 1)),
    ((2, 1, 2, 1, 2, 1, 2, 1), (1, 2, 1, 2, 1, 2, 1, 2)),
    ((5, 1, 1), (5, 1, 33)),
    ((0, 3), (1, 3)),
    ((4, 1), (4, 0)),
]
SPECIAL = np.array([0, -0.0, 1, -1, np.inf, -np.inf, np.nan, 3e38, 1e-40, 2.5], np.float32)


def binary(op, a, b, *, opset=17, **attrs):
    return make_model([(op, ["a", "b"], ["y"], attrs)], {"a": np.asarray(a), "b": np.asarray(b)}, ["y"], opset=opset)


def run(model, inputs, **options):
    return wisp.load(convert(model, verify=False), **options).run(inputs)["y"]


def integers(dtype, shape, low=None, high=None):
    info = np.iinfo(dtype)
    return rng.integers(info.min if low is None else low, info.max if high is None else high, shape, dtype=dtype,
                        endpoint=True)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Less", "GreaterOrEqual"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasting(op, shapes):
    a, b = (np.asarray(rng.standard_normal(s), np.float32) for s in shapes)
    if op == "Pow":
        a = np.asarray(np.abs(a))
    check_model(binary(op, a, b), {"a": a, "b": b})


@pytest.mark.parametrize("op", [
    "Add", "Sub", "Mul", "Div", "Min", "Max", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_special_values(op):
    a, b = (np.ascontiguousarray(g) for g in np.meshgrid(SPECIAL, SPECIAL))
    function = {"Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Min": np.minimum, "Max": np.maximum,
                "LessOrEqual": np.less_equal, "GreaterOrEqual": np.greater_equal}.get(op) or getattr(np, op.lower())
    for inputs in ({"a": a, "b": b}, {"a": a.ravel(), "b": np.array(np.nan, np.float32)},
                   {"a": np.array(-0.0, np.float32), "b": b.ravel()}):
        with np.errstate(all="ignore"):
            want = function(inputs["a"], inputs["b"])
        np.testing.assert_array_equal(run(binary(op, *inputs.values()), inputs), want)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
@pytest.mark.parametrize("op,function", [
    ("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Min", np.minimum), ("Max", np.maximum),
    ("Less", np.less), ("GreaterOrEqual", np.greater_equal), ("Equal", np.equal), ("BitwiseAnd", np.bitwise_and),
    ("BitwiseXor", np.bitwise_xor)])
def test_integers_wrap(op, function, dtype):
    a, b = integers(dtype, (5, 70)), integers(dtype, (70,))
    np.testing.assert_array_equal(run(binary(op, a, b, opset=18), {"a": a, "b": b}), function(a, b))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_integer_division(dtype):
    """Toward zero; what has no result gives 0, and the lowest number over -1 wraps. Nothing traps."""
    a, b = integers(dtype, 300), integers(dtype, 300, -20 if np.iinfo(dtype).min else 0, 20)
    a[:3], b[:3] = np.iinfo(dtype).min, [0, 1, -1 if np.iinfo(dtype).min else 1]
    exact = [0 if y == 0 else abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
             for x, y in zip(a.tolist(), b.tolist())]
    want = np.array([v & (2 ** (8 * a.itemsize) - 1) for v in exact], np.uint64).astype(dtype)
    np.testing.assert_array_equal(run(binary("Div", a, b), {"a": a, "b": b}), want)
    floor = [0 if y == 0 else x % y for x, y in zip(a.tolist(), b.tolist())]
    trunc = [0 if y == 0 else x - y * e for x, y, e in zip(a.tolist(), b.tolist(), exact)]
    np.testing.assert_array_equal(run(binary("Mod", a, b), {"a": a, "b": b}), np.array(floor, dtype))
    np.testing.assert_array_equal(run(binary("Mod", a, b, fmod=1), {"a": a, "b": b}), np.array(trunc, dtype))


def test_float_modulo():
    for dtype in (np.float64, np.float32):
        a, b = (rng.standard_normal(200).astype(dtype) * dtype(s) for s in (9, 2))
        check_model(binary("Mod", a, b, fmod=1), {"a": a, "b": b})
    with pytest.raises(UnsupportedError, match="fmod=1"):
        convert(binary("Mod", a, b), verify=False)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.int64])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Min", "Max", "Less", "Equal"])
def test_other_dtypes_broadcast(op, dtype):
    a, b = (rng.integers(1, 50, s).astype(dtype) for s in ((3, 1, 80), (2, 1)))
    check_model(binary(op, a, b), {"a": a, "b": b}, rtol=0, atol=0)


@pytest.mark.parametrize("base,exponent", [
    (np.float32, np.float32), (np.float32, np.int64), (np.float32, np.int32), (np.int32, np.int32),
    (np.int64, np.int64), (np.int32, np.float32), (np.float64, np.float64)])
def test_power(base, exponent):
    a, b = np.arange(1, 25).reshape(4, 6).astype(base), np.array([0, 1, 2, 3, 2, 1]).astype(exponent)
    check_model(binary("Pow", a, b), {"a": a, "b": b})
    model = make_model([("Pow", ["a", "b"], ["y"], {})], {"a": a}, ["y"], {"b": b[2]})
    check_model(model, {"a": a})


def test_integer_power_of_negatives():
    a, b = np.array([2, -3, 1, -1, -1, 0, 7], np.int64), np.array([-1, 3, -9, -3, -4, -2, 22], np.int64)
    np.testing.assert_array_equal(run(binary("Pow", a, b), {"a": a, "b": b}), [0, -27, 1, -1, 1, 0, np.int64(7) ** 22])


@pytest.mark.parametrize("op", ["Min", "Max", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_variadic(op, count):
    inputs = {f"x{i}": rng.standard_normal(s).astype(np.float32)
              for i, s in zip(range(count), [(2, 3, 4), (4,), (2, 1, 1), (3, 1)])}
    check_model(make_model([(op, list(inputs), ["y"], {})], inputs, ["y"]), inputs)


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op):
    a, b = rng.random((3, 1, 40)) < 0.5, rng.random((7, 1)) < 0.5
    check_model(binary(op, a, b), {"a": a, "b": b})
    check_model(binary(op, np.array(True), b), {"a": np.array(True), "b": b})


def test_not():
    x = rng.random((5, 33)) < 0.5
    check_model(make_model([("Not", ["x"], ["y"], {})], {"x": x}, ["y"]), {"x": x})
    n = integers(np.int16, (5, 33))
    check_model(make_model([("BitwiseNot", ["x"], ["y"], {})], {"x": n}, ["y"], opset=18), {"x": n})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
def test_shift(dtype, direction):
    a, b = integers(dtype, (4, 30)), rng.integers(0, 8 * dtype().itemsize, 30).astype(dtype)
    check_model(binary("BitShift", a, b, direction=direction), {"a": a, "b": b})


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float16, np.float32, np.int64, np.float64])
@pytest.mark.parametrize("shapes", [
    ((2, 3, 40), (2, 3, 40), (2, 3, 40)), ((3, 1), (2, 1, 5), ()), ((), (4,), (1,)), ((5,), (3, 1), (1, 1)),
    ((0, 2), (1,), (2,))], ids=str)
def test_where(dtype, shapes):
    condition = rng.random(shapes[0]) < 0.5
    a, b = (np.asarray(rng.integers(0, 2 if dtype == np.bool_ else 100, s)).astype(dtype) for s in shapes[1:])
    inputs = {"c": np.asarray(condition), "a": a, "b": b}
    np.testing.assert_array_equal(run(make_model([("Where", list(inputs), ["y"], {})], inputs, ["y"]), inputs),
                                  np.where(*inputs.values()))


@pytest.mark.parametrize("slope", [(), (1,), (5, 1, 1), (2, 5, 7, 6), (6,)], ids=str)
def test_prelu(slope):
    x, s = rng.standard_normal((2, 5, 7, 6)).astype(np.float32), np.asarray(rng.random(slope), np.float32)
    check_model(make_model([("PRelu", ["x", "s"], ["y"], {})], {"x": x}, ["y"], {"s": s}), {"x": x})
    check_model(binary("PRelu", x, s), {"a": x, "b": s})


def test_fused_clamp():
    a, b = rng.standard_normal((2, 3, 40, 50)).astype(np.float32), rng.standard_normal((40, 50)).astype(np.float32)
    model = make_model([("Add", ["a", "b"], ["s"], {}), ("Clip", ["s", "lo", "hi"], ["y"], {})],
                       {"a": a, "b": b}, ["y"], {"lo": np.float32(-0.5), "hi": np.float32(0.25)})
    check_model(model, {"a": a, "b": b}, rtol=0, atol=0)


@pytest.mark.parametrize("op", ["Add", "Mul", "Div", "Greater"])
def test_threads_and_instruction_sets(op):
    a, b = rng.standard_normal((7, 1, 331, 33)).astype(np.float32), rng.standard_normal((2, 331, 1)).astype(np.float32)
    data = convert(binary(op, a, b), verify=False)
    results = [wisp.load(data, threads=t, cpu=c).run({"a": a, "b": b})["y"].tobytes()
               for t, c in ((1, None), (2, None), (3, None), (1, "scalar"))]
    assert len(set(results)) == 1


@pytest.mark.parametrize("op", ["Add", "Greater", "Min"])
def test_dynamic_axes(op):
    nodes = [(op, ["a", "b"], ["y"], {})]
    data = convert(make_model(nodes, {"a": ["N", 3, "W"], "b": [3, 1]}, ["y"]), verify=False)
    for n, w in ((1, 1), (4, 50)):
        a, b = rng.standard_normal((n, 3, w)).astype(np.float32), rng.standard_normal((3, 1)).astype(np.float32)
        got = wisp.load(data, shapes={"a": a.shape}).run({"a": a, "b": b})["y"]
        np.testing.assert_array_equal(got, {"Add": np.add, "Greater": np.greater, "Min": np.minimum}[op](a, b))


def test_after_a_convolution():
    """Operands written for NCHW follow the layout of the image."""
    x = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    constants = {"w": rng.standard_normal((4, 3, 1, 1)).astype(np.float32),
                 "s": rng.random((4, 1, 1)).astype(np.float32), "m": rng.standard_normal((6, 5)).astype(np.float32)}
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("PRelu", ["c", "s"], ["p"], {}), ("Mul", ["p", "m"], ["q"], {}),
             ("Greater", ["q", "s"], ["g"], {}), ("Where", ["g", "q", "c"], ["v"], {}),
             ("Conv", ["v", "w2"], ["y"], {})]
    check_model(make_model(nodes, {"x": x}, ["y"],
                           {**constants, "w2": rng.standard_normal((2, 4, 1, 1)).astype(np.float32)}), {"x": x})


def test_in_place():
    """A chain of sums needs the memory of its inputs only."""
    x = {f"x{i}": rng.standard_normal((64, 64)).astype(np.float32) for i in range(3)}
    model = make_model([("Add", ["x0", "x1"], ["s"], {}), ("Mul", ["s", "x2"], ["t"], {}),
                        ("Sub", ["x2", "t"], ["y"], {})], x, ["y"])
    lines = []
    convert(model, verify=False, report=lines.append)
    assert any(f"activations {3 * 64 * 64 * 4} bytes" in line for line in lines), lines
    check_model(model, x)


# ---- int8


class Quantizer:
    """What quantize.py gives the rules, for one node."""

    def __init__(self, scales: dict[Value, tuple[float, int]]) -> None:
        self.scales, self.nodes, self.ints, self.reason = scales, [], {}, None

    def scale(self, value):
        return self.scales[value]

    def int8(self, value):
        if value not in self.ints:
            scale, zero = self.scales[value]
            data = (None if value.data is None
                    else np.clip(np.rint(value.data / scale) + zero, -128, 127).astype(np.int8))
            self.ints[value] = Value(value.name, np.dtype(np.int8), value.shape, data, scale, zero)
        return self.ints[value]

    def emit(self, op, inputs, output, **attrs):
        self.nodes.append(Node(op, inputs, [output], attrs, op))

    def refuse(self, reason):
        self.reason = reason


def quantized_file(rule, node: Node, scales: dict) -> bytes:
    """The .wisp file of the int8 form of one node."""
    q = Quantizer(scales)
    rule(q, node)
    assert q.reason is None, q.reason
    graph = Graph([q.int8(v) for v in node.inputs if v.data is None and v in scales],
                  [q.int8(node.outputs[0])], q.nodes)
    pack(graph)
    return wisp_format.write(graph, plan_memory(graph), source_sha256=bytes(32), metadata=b"{}")


def f32_value(name, shape):
    return Value(name, np.dtype(np.float32), shape)


def all_bytes(shape):
    return np.resize(np.arange(-128, 128), shape).astype(np.int8)


SCALES = [((0.02, 3), (0.05, -7), (0.06, 11)), ((0.1, -128), (0.001, 0), (0.1, -128)),
          ((0.5, 127), (0.5, -128), (0.004, 0)), ((1e-3, 0), (1e-3, 0), (0.7, 5))]
KINDS = ["s8", "scalar"]


@pytest.mark.parametrize("op,sign", [("Add", 1), ("Sub", -1)])
@pytest.mark.parametrize("scales", SCALES, ids=str)
@pytest.mark.parametrize("shape_b", [(256, 256), (256, 1)], ids=str)
def test_add_s8(op, sign, scales, shape_b):
    a, b, y = f32_value("a", (256, 256)), f32_value("b", shape_b), f32_value("y", (256, 256))
    attrs = {"min": -1.0, "max": 2.0} if op == "Add" else {}
    data = quantized_file(rules.find("lower", op), Node(op, [a, b], [y], attrs), dict(zip((a, b, y), scales)))
    x0 = np.broadcast_to(all_bytes(256), (256, 256)).copy()
    x1 = np.broadcast_to(all_bytes(256)[:, None], shape_b).copy()
    results = {cpu: wisp.load(data, cpu=cpu, threads=t).run({"a": x0, "b": x1})["y"]
               for cpu, t in (("scalar", 1), (None, 3))}
    assert np.array_equal(results["scalar"], results[None])
    (sa, za), (sb, zb), (sy, zy) = scales
    real = sa * (x0.astype(np.float64) - za) + sign * sb * (x1.astype(np.float64) - zb)
    if attrs:
        real = np.clip(real, attrs["min"], attrs["max"])
    want = np.clip(np.rint(real / sy) + zy, -128, 127)
    got = results[None].astype(np.int64)
    # Multipliers have 15 bits: off by one step only where the exact value lies next to a half, or the terms are huge.
    slack = 0.5 + 1e-6 + 255 * max(sa, sb) / sy * 2.0**-14 + 0.01
    inside = (want > -128) & (want < 127)
    bound = np.array([np.clip(np.rint(v / sy) + zy, -128, 127)
                      for v in (attrs.get("min", -1e9), attrs.get("max", 1e9))])
    assert np.all(np.abs(got - np.clip(real / sy + zy, *bound))[inside] <= slack)
    assert np.all(np.abs(got - want) <= 1 + 255 * max(sa, sb) / sy * 2.0**-14)
    assert got.min() >= bound[0] and got.max() <= bound[1]


def test_add_s8_integers():
    """The kernel's formula, digit for digit."""
    scales = ((0.02, 3), (0.05, -7), (0.06, 11))
    p = eltwise.add_params((0.02, 0.05), (3, -7), 0.06, 11)
    a, b, y = f32_value("a", (256, 1)), f32_value("b", (256,)), f32_value("y", (256, 256))
    data = quantized_file(eltwise.lower_Add, Node("Add", [a, b], [y], {}), dict(zip((a, b, y), scales)))
    x0, x1 = all_bytes((256, 1)), all_bytes(256)
    total = x0.astype(np.int64) * p["multiplier_a"] + x1.astype(np.int64) * p["multiplier_b"] + p["bias"]
    assert np.abs(total).max() < 2**31
    np.testing.assert_array_equal(wisp.load(data).run({"a": x0, "b": x1})["y"], np.clip(total >> p["shift"], -128, 127))


@pytest.mark.parametrize("scales", [
    ((0.02, 3), (0.05, -7), (0.06, 11)), ((0.004, -128), (0.03, 0), (0.03, 9)), ((1.0, 0), (1.0, 127), (100.0, -128)),
    ((1e-6, 5), (1e-6, 5), (1.0, -100))], ids=str)
def test_mul_s8(scales):
    a, b, y = f32_value("a", (256, 1)), f32_value("b", (256,)), f32_value("y", (256, 256))
    data = quantized_file(eltwise.lower_Mul, Node("Mul", [a, b], [y], {}), dict(zip((a, b, y), scales)))
    x0, x1 = all_bytes((256, 1)), all_bytes(256)
    results = [wisp.load(data, cpu=cpu, threads=t).run({"a": x0, "b": x1})["y"]
               for cpu, t in (("scalar", 1), (None, 3))]
    assert np.array_equal(*results)
    (sa, za), (sb, zb), (sy, zy) = scales
    real = sa * (x0.astype(np.float64) - za) * sb * (x1.astype(np.float64) - zb) / sy + zy
    # Requantize works in 1/128 of a step and 15 bits: at most 1/100 of a step beyond rounding, for results within 2^8.
    inside = (real > -127) & (real < 126)
    assert np.all(np.abs(results[1] - real)[inside] <= 0.52)
    assert np.all(np.abs(results[1] - np.clip(np.rint(real), -128, 127)) <= 1)


@pytest.mark.parametrize("op,number,reverse", [
    ("Add", 0.3, False), ("Sub", 1.5, True), ("Mul", -2.0, False), ("Div", 3.0, False), ("Div", 1.0, True),
    ("Pow", 2.0, False), ("Min", 0.5, False), ("Max", 0.1, True)])
def test_a_number_makes_a_table(op, number, reverse):
    x, y, c = f32_value("x", (256,)), f32_value("y", (256,)), constant("c", np.array([number], np.float32))
    scales = {x: (0.02, -10), y: (0.03, 4), c: (1.0, 0)}
    data = quantized_file(rules.find("lower", op), Node(op, [c, x] if reverse else [x, c], [y], {}), scales)
    real = 0.02 * (np.arange(-128, 128) + 10.0)
    function = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Pow": np.power,
                "Min": np.minimum, "Max": np.maximum}[op]
    with np.errstate(all="ignore"):
        exact = function(np.float32(number), real) if reverse else function(real, np.float32(number))
    got = wisp.load(data).run({"x": all_bytes(256)})["y"]
    assert np.all(np.abs(got - np.clip(exact / 0.03 + 4, -128, 127)) <= 0.5001)


def test_whole_model_in_int8():
    """A squeeze-and-excite block: pools, sums, products and tables between them, no float node left."""
    x = rng.standard_normal((1, 8, 6, 6)).astype(np.float32)
    weights = {f"w{i}": (rng.standard_normal((8, 8, 1, 1)) / 3).astype(np.float32) for i in range(2)}
    nodes = [("Conv", ["x", "w0"], ["c"], {}), ("HardSwish", ["c"], ["h"], {}),
             ("ReduceMean", ["h"], ["m"], {"axes": [2, 3]}), ("Conv", ["m", "w1"], ["e"], {}),
             ("Sigmoid", ["e"], ["s"], {}), ("Mul", ["h", "s"], ["p"], {}), ("Add", ["p", "c"], ["q"], {}),
             ("Sub", ["q", "h"], ["y"], {})]
    model = make_model(nodes, {"x": x}, ["y"], weights)
    data = convert(model, quantize="int8", calibration=[{"x": x}], method="minmax", verify=False)
    assert wisp.load(data).metadata["quantization"]["float_nodes"] == {}
    got, want = wisp.load(data).run({"x": x})["y"], reference(model, {"x": x})["y"]
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()
