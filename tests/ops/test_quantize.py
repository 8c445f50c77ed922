"""QuantizeLinear and DequantizeLinear against ONNX's reference, ONNX Runtime and their formulas in numpy."""
# SPDX-License-Identifier: Apache-2.0
import ml_dtypes
import numpy as np
import pytest
from onnx import helper

import wisp
from support import check_model, make_model, onnxruntime_outputs, optimized
from wisp_converter import UnsupportedError, convert

rng = np.random.default_rng(4)

SMALL = [np.dtype(getattr(ml_dtypes, n)) for n in ("int4", "uint4", "int2", "uint2")]
INTEGERS = [np.dtype(n) for n in ("int8", "uint8", "int16", "uint16")] + SMALL
FLOATS = [np.dtype(getattr(ml_dtypes, n)) for n in ("float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2",
                                                    "float8_e5m2fnuz", "float4_e2m1fn")]
BF16 = np.dtype(ml_dtypes.bfloat16)


def run(model, inputs) -> dict[str, np.ndarray]:
    loaded = wisp.load(convert(model, verify=False))
    types = {o.name: o.element_type for o in loaded.outputs}
    return {n: a.view(getattr(ml_dtypes, types[n])) if types[n] else a for n, a in loaded.run(inputs).items()}


def spread(a: np.ndarray, shape: tuple[int, ...], axis: int, block: int) -> np.ndarray:
    """Scales or zero points, as double, one for each element of a tensor of `shape`."""
    a = np.asarray(a).astype(np.float64)
    if a.size == 1:
        return np.broadcast_to(a.reshape(()), shape)
    if block:
        return np.repeat(a, block, axis).take(np.arange(shape[axis]), axis)
    return np.broadcast_to(a.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))]), shape)


def quantized(x, scale, zero, axis=1, block=0) -> np.ndarray:
    """Integers by the formula: the quotient rounded to the scale's dtype, to even, plus zero point, saturated."""
    limits = ml_dtypes.iinfo(zero.dtype)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        wide = spread(scale, x.shape, axis, block).astype(np.float32)
        quotient = (x.astype(np.float32) / wide).astype(scale.dtype).astype(np.float64)
    steps = np.rint(np.nan_to_num(quotient, nan=0.0, posinf=1e9, neginf=-1e9))
    return np.clip(steps + spread(zero, x.shape, axis, block), float(limits.min), float(limits.max)).astype(zero.dtype)


def forms(shape: tuple[int, ...]):
    """(axis, block, shape of the scales): one, along each axis, blocks that fit and that do not."""
    yield 1, 0, ()
    yield 1, 0, (1,)
    for axis, extent in enumerate(shape):
        yield axis - len(shape), 0, (extent,)
        for block in (1, 2, extent):
            yield axis, block, tuple(-(-d // block) if i == axis else d for i, d in enumerate(shape))


def random(dtype: np.dtype, shape) -> np.ndarray:
    if dtype in FLOATS:
        return rng.integers(0, 7 if dtype.name.startswith("float4") else 0x60, shape).astype(np.uint8).view(dtype)
    limits = ml_dtypes.iinfo(dtype)
    return rng.integers(int(limits.min), int(limits.max) + 1, shape).astype(dtype)


@pytest.mark.parametrize("dtype,zero", [(np.int8, 0), (np.int8, -37), (np.uint8, 128), (np.uint8, 3)])
@pytest.mark.parametrize("count", [1, 31, 5000])
@pytest.mark.parametrize("scale", [1 / 32, 0.1])
def test_there_and_back(dtype, zero, count, scale):
    """Ties fall as ONNX's do: x is divided by the scale, not multiplied by its reciprocal."""
    x = (rng.integers(-300, 300, count) * np.float32(scale) / 2).astype(np.float32)
    x[:1] = 1e6
    inits = {"s": np.float32(scale), "z": dtype(zero)}
    model = make_model([("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
                        ("DequantizeLinear", ["q", "s", "z"], ["y"], {})],
                       {"x": [count]}, ["q", "y"], inits, opset=21)
    check_model(model, {"x": x}, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("computed", [False, True])
def test_integers(dtype, computed):
    """Every granularity; scales and zero points constant or computed in the run."""
    shape = (3, 5, 7)  # blocks of 2 end within their axis
    for axis, block, scales in forms(shape):
        scale = np.asarray(np.exp2(rng.uniform(-9, 3, scales)), np.float32)
        zero, x = np.asarray(random(dtype, scales)), (rng.standard_normal(shape) * 9).astype(np.float32)
        x.flat[:7] = np.inf, -np.inf, np.nan, 1e30, -1e30, 0.0, -0.0
        given = {"s": scale, "z": zero}
        attrs = {"axis": axis, **({"block_size": block} if block else {})}
        nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], attrs), ("DequantizeLinear", ["q", "s", "z"], ["y"], attrs)]
        model = make_model(nodes, {"x": x, **(given if computed else {})}, ["q", "y"], {} if computed else given,
                           opset=25)
        got, want = run(model, {"x": x, **(given if computed else {})}), quantized(x, scale, zero, axis, block)
        assert got["q"].dtype == dtype and np.array_equal(got["q"], want), (axis, block, scales)
        back = (want.astype(np.float64) - spread(zero, shape, axis, block)).astype(np.float32)
        assert np.array_equal(got["y"], back * spread(scale, shape, axis, block).astype(np.float32))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("saturate", [1, 0])
def test_floats(dtype, saturate):
    """Rounding is Cast's, which test_cast.py tests."""
    x, scale = np.float32([[0.3, -7, 1e4], [1e9, -1e9, np.nan]]), np.float32([0.5, 0.03])
    attrs = {"axis": 0, "output_dtype": helper.np_dtype_to_tensor_dtype(dtype), "saturate": saturate}
    cast = {"to": helper.np_dtype_to_tensor_dtype(dtype), "saturate": saturate}
    model = make_model([("QuantizeLinear", ["x", "s"], ["q"], attrs), ("Div", ["x", "t"], ["d"], {}),
                        ("Cast", ["d"], ["c"], cast), ("DequantizeLinear", ["q", "s"], ["y"], {"axis": 0})],
                       {"x": x}, ["q", "c", "y"], {"s": scale, "t": scale[:, None]}, opset=25)
    got = run(model, {"x": x})
    assert got["q"].dtype == dtype and got["q"].tobytes() == got["c"].tobytes()
    want = got["q"].astype(np.float32) * scale[:, None]
    assert np.array_equal(got["y"], want, equal_nan=True)


@pytest.mark.parametrize("half", [np.dtype(np.float16), BF16], ids=str)
def test_half_scales(half):
    """The quotient is rounded to the scale's dtype, or to `precision`; what DequantizeLinear gives to the output's."""
    x = (np.random.default_rng(1).standard_normal((6, 400)) * 3).astype(half)  # enough that precisions differ
    scale, zero = np.float32([0.37, 0.011, 1.7, 0.2, 0.05, 3]).astype(half), np.int8([3, -7, 0, 20, -20, 5])
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {"axis": 0}),
             ("QuantizeLinear", ["x", "s", "z"], ["exact"], {"axis": 0, "precision": 1}),
             ("DequantizeLinear", ["q", "s", "z"], ["y"], {"axis": 0}),
             ("DequantizeLinear", ["q", "s", "z"], ["wide"], {"axis": 0, "output_dtype": 1})]
    model = make_model(nodes, {"x": x}, ["q", "exact", "y", "wide"], {"s": scale, "z": zero}, opset=25)
    got, wide = run(model, {"x": x}), scale.astype(np.float32)
    assert np.array_equal(got["q"], quantized(x, scale, zero, 0))
    assert np.array_equal(got["exact"], quantized(x, wide, zero, 0))
    assert (got["q"] != got["exact"]).any(), "the test sees no difference between precisions"
    want = (got["q"].astype(np.float32) - zero[:, None].astype(np.float32)) * wide[:, None]
    assert np.array_equal(got["wide"], want) and np.array_equal(got["y"], want.astype(half))


@pytest.mark.parametrize("dtype", INTEGERS[:6], ids=str)
def test_com_microsoft(dtype):
    """ONNX Runtime's operators for dtypes that ONNX's had not yet."""
    x, zero = (rng.standard_normal((3, 8)) * 4).astype(np.float32), random(dtype, 3)
    scale = np.float32([0.1, 0.7, 0.03])
    nodes = [("QuantizeLinear", ["x", "s", "z"], ["q"], {"axis": 0, "domain": "com.microsoft"}),
             ("DequantizeLinear", ["q", "s", "z"], ["y"], {"axis": 0, "domain": "com.microsoft"})]
    model = make_model(nodes, {"x": x}, {"q": (dtype, [3, 8]), "y": [3, 8]}, {"s": scale, "z": zero},
                       domains={"com.microsoft": 1})
    got, want = run(model, {"x": x}), quantized(x, scale, zero, 0)
    assert np.array_equal(got["q"], want)
    real = want.astype(np.float32) - zero[:, None].astype(np.float32)
    assert np.array_equal(got["y"], real * scale[:, None])


def test_int32_without_zero_point():
    x = np.array([2**24 + 1, -7, 0, 2**31 - 1], np.int32)
    model = make_model([("DequantizeLinear", ["x", "s"], ["y"], {})], {"x": x}, ["y"], {"s": np.float32(0.25)},
                       opset=21)
    check_model(model, {"x": x}, atol=0, rtol=0)


def test_constants_are_folded():
    """Weights of QDQ models: what is left is a float constant, whatever dtype the integers had."""
    for dtype in INTEGERS:
        weights, scale = random(dtype, (4, 6)), np.float32([0.5, 0.25, 2, 1])
        model = make_model([("DequantizeLinear", ["w", "s"], ["d"], {"axis": 0}), ("MatMul", ["x", "d"], ["y"], {})],
                           {"x": [2, 4]}, ["y"], {"w": weights, "s": scale}, opset=25)
        assert [n.op for n in optimized(model).nodes] == ["Gemm"]
        x = rng.integers(-4, 5, (2, 4)).astype(np.float32)  # products that are exact
        want = x @ (weights.astype(np.float32) * scale[:, None])
        assert np.array_equal(run(model, {"x": x})["y"], want)


@pytest.mark.parametrize("count", [1, 63, 64, 65, 40000])
@pytest.mark.parametrize("threads", [1, 3])
def test_dynamic(count, threads):
    """DynamicQuantizeLinear, whose scale is computed from the data."""
    model = make_model([("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], {})], {"x": ["n"]}, ["q", "s", "z"], opset=13)
    for x in (rng.standard_normal(count) * 3, rng.random(count) + 5, -rng.random(count)):
        check_model(model, {"x": x.astype(np.float32)}, atol=0, rtol=1e-7, threads=threads)


def test_operands_that_do_not_fit():
    x = np.ones((2, 3), np.float32)
    for shape, attrs, message in (((2,), {}, "do not fit"), ((2, 2), {"block_size": 2, "axis": 0}, "do not fit"),
                                  ((3,), {"axis": 5}, "no axis 5")):
        model = make_model([("QuantizeLinear", ["x", "s", "z"], ["y"], attrs)],
                           {"x": x, "s": (np.float32, list(shape)), "z": (np.int8, list(shape))},
                           {"y": (np.int8, [2, 3])}, opset=21)
        with pytest.raises(UnsupportedError, match=f"QuantizeLinear_y.*{message}"):
            convert(model, verify=False)


# ---- operators on integers


def integers(dtype, *shape):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def run_one(model, inputs):
    return wisp.load(convert(model, verify=False)).run(inputs)["y"]


@pytest.mark.parametrize("x_dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("zeros", [(False, False), (True, True), (True, "each")])
@pytest.mark.parametrize("constant", [True, False])
def test_convinteger_is_exact(x_dtype, zeros, constant):
    """Against sums of 64-bit integers, written with loops over the window."""
    x, w = integers(x_dtype, 1, 3, 6, 7), integers(np.int8, 4, 3, 3, 2)
    x_zero = np.array(5, x_dtype) if zeros[0] else None
    w_zero = None if not zeros[1] else integers(np.int8, 4) if zeros[1] == "each" else np.array(-7, np.int8)
    a = np.pad(x.astype(np.int64) - (0 if x_zero is None else int(x_zero)), ((0, 0), (0, 0), (1, 1), (1, 0)))
    b = w.astype(np.int64) - (0 if w_zero is None else w_zero.astype(np.int64).reshape(-1, 1, 1, 1))
    want = np.array([[[(a[0, :, i:i + 3, j:j + 2] * k).sum() for j in range(7)] for i in range(6)] for k in b])
    values = {n: v for n, v in (("x", x), ("w", w), ("xz", x_zero), ("wz", w_zero)) if v is not None}
    names = ["x", "w", "xz" if x_zero is not None else "", "wz" if w_zero is not None else ""]
    inputs = {n: v for n, v in values.items() if n == "x" or not constant}
    model = make_model([("ConvInteger", names, ["y"], {"pads": [1, 1, 1, 0]})], inputs, {"y": (np.int32, [1, 4, 6, 7])},
                       {n: v for n, v in values.items() if n not in inputs})
    np.testing.assert_array_equal(run_one(model, inputs)[0], want)


def test_convinteger_of_long_sums_is_refused():
    w = np.full((1, 600, 1, 1), 127, np.int8)
    model = make_model([("ConvInteger", ["x", "w"], ["y"])], {"x": (np.uint8, [1, 600, 2, 2])},
                       {"y": (np.int32, [1, 1, 2, 2])}, {"w": w})
    with pytest.raises(UnsupportedError, match="more than 24 bits"):
        convert(model, verify=False)


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_qlinearmatmul(dtype, columns):
    """Within one step of ONNX Runtime, which rounds products of scales; nine of ten are equal."""
    scales = {"as": np.float32(0.02), "bs": rng.random(5).astype(np.float32) / 50 if columns else np.float32(0.03),
              "ys": np.float32(0.1)}
    zeros = {"az": np.array(3, dtype), "bz": integers(dtype, 5) if columns else np.array(4, dtype),
             "yz": np.array(9, dtype)}
    a, b = integers(dtype, 2, 3, 8), integers(dtype, 8, 5)
    model = make_model([("QLinearMatMul", ["a", "as", "az", "b", "bs", "bz", "ys", "yz"], ["y"])], {"a": a},
                       {"y": (dtype, [2, 3, 5])}, {"b": b, **scales, **zeros})
    want, got = onnxruntime_outputs(model, {"a": a}), run_one(model, {"a": a})
    assert want is not None
    difference = np.abs(got.astype(int) - want["y"].astype(int))
    assert difference.max() <= 1 and (difference == 0).mean() >= 0.9


@pytest.mark.parametrize("group", [1, 2])
def test_qlinearconv(group):
    x, w = integers(np.uint8, 1, 4, 6, 6), integers(np.int8, 6, 4 // group, 3, 3)
    constants = {"xs": np.float32(0.02), "xz": np.array(120, np.uint8), "w": w, "wz": np.zeros(6, np.int8),
                 "ws": rng.random(6).astype(np.float32) / 100 + 0.001, "ys": np.float32(0.1),
                 "yz": np.array(100, np.uint8), "b": integers(np.int16, 6).astype(np.int32)}
    model = make_model([("QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"], ["y"],
                         {"pads": [1, 1, 1, 1], "group": group})], {"x": x}, {"y": (np.uint8, [1, 6, 6, 6])}, constants)
    want, got = onnxruntime_outputs(model, {"x": x}), run_one(model, {"x": x})
    assert want is not None
    difference = np.abs(got.astype(int) - want["y"].astype(int))
    assert difference.max() <= 1 and (difference == 0).mean() >= 0.9
