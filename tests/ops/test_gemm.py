"""Gemm and MatMul against ONNX's reference and ONNX Runtime in float; against exact arithmetic in int8."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import check_int8_layer, check_model, check_products, make_model
from support_graph import run_node
from wisp_converter import UnsupportedError, convert
from wisp_converter.quantize import arithmetic
from wisp_converter.ir import Value
from wisp_converter.target.layouts import packed_channels

rng = np.random.default_rng(2)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("constant_b", [True, False])
@pytest.mark.parametrize("attrs", [
    {}, dict(transB=1), dict(transA=1), dict(alpha=0.5, beta=2.0, transA=1, transB=1)], ids=str)
@pytest.mark.parametrize("c_shape", [None, (7,), (1,), (), (5, 7), (5, 1)], ids=str)
def test_gemm(constant_b, attrs, c_shape):
    a = random(*((11, 5) if attrs.get("transA") else (5, 11)))
    b = random(*((7, 11) if attrs.get("transB") else (11, 7)))
    inits = {} if c_shape is None else {"c": random(*c_shape)}
    inputs = {"a": a}
    if constant_b:
        inits["b"] = b
    else:
        inputs["b"] = b
    names = ["a", "b"] + (["c"] if c_shape is not None else [])
    model = make_model([("Gemm", names, ["y"], attrs)], {k: list(v.shape) for k, v in inputs.items()}, ["y"], inits)
    check_products(model, inputs, 11, got=check_model(model, inputs))


@pytest.mark.parametrize("a,b", [
    ((4, 9), (9, 5)), ((9,), (9, 5)), ((4, 9), (9,)), ((9,), (9,)), ((2, 3, 4, 9), (9, 17)), ((2, 1, 4, 9), (3, 9, 17)),
    ((3, 4, 9), (3, 9, 40)), ((1, 100), (100, 1000)), ((4, 0), (0, 3)), ((0, 4), (4, 3)), ((7, 1), (1, 1))], ids=str)
@pytest.mark.parametrize("constant_b", [True, False])
def test_matmul(a, b, constant_b):
    inputs = {"a": random(*a)}
    inits = {}
    (inits if constant_b else inputs)["b"] = random(*b)
    model = make_model([("MatMul", ["a", "b"], ["y"], {})], {k: list(v.shape) for k, v in inputs.items()}, ["y"], inits)
    check_products(model, inputs, a[-1], got=check_model(model, inputs))


@pytest.mark.parametrize("constant_b", [True, False])
@pytest.mark.parametrize("k", [1, 3, 64, 1000, 4096])
def test_long_sums(k, constant_b):
    """Of terms of very different size, some of which cancel."""
    a = random(5, k) * np.exp(4 * random(5, k))
    b = random(k, 17) * np.exp(4 * random(k, 17))
    b[k // 2 :] = -b[: k - k // 2]
    a[:, k // 2 :] = a[:, : k - k // 2]
    inputs, inits = ({"a": a}, {"b": b}) if constant_b else ({"a": a, "b": b}, {})
    check_products(make_model([("MatMul", ["a", "b"], ["y"])], {n: list(v.shape) for n, v in inputs.items()}, ["y"],
                              inits), inputs, k)


def test_products_in_shape_arithmetic():
    """Shape values do not go through matrix kernels:
    refused with the node's name if the shape is needed before the run, and never a crash."""
    nodes = [("Shape", ["x"], ["s"]), ("Cast", ["s"], ["f"], {"to": 1}), ("MatMul", ["f", "w"], ["g"]),
             ("Cast", ["g"], ["t"], {"to": 7}), ("Reshape", ["x", "t"], ["y"])]
    model = make_model(nodes, {"x": ["n", 4]}, {"y": ["a", "b"]}, {"w": np.float32([[0, 1], [1, 0]])})
    data, x = convert(model, verify=False), random(3, 4)
    try:
        got = wisp.load(data).run({"x": x})["y"]
    except wisp.UnsupportedError as error:
        assert "Reshape_y" in str(error)
    else:
        assert np.array_equal(got, x.reshape(4, 3))


@pytest.mark.parametrize("m,k,n", [(1, 64, 10), (5, 33, 17), (20, 7, 48), (1, 1280, 100)])
def test_int8(m, k, n):
    model = make_model([("Gemm", ["x", "w", "b"], ["y"], {})], {"x": [m, k]}, ["y"],
                       {"w": random(k, n), "b": random(n)})
    check_int8_layer(model, {"x": random(m, k)})


@pytest.mark.parametrize("c_shape", [(6, 1), (1, 6), (6,)], ids=str)
@pytest.mark.parametrize("constant_b", [True, False])
def test_gemm_of_as_many_rows_as_columns(constant_b, c_shape):
    """Where a column of biases could be taken for a row."""
    a, b, c = random(6, 11), random(11, 6), random(*c_shape)
    inputs, inits = ({"a": a}, {"b": b, "c": c}) if constant_b else ({"a": a, "b": b}, {"c": c})
    check_model(make_model([("Gemm", ["a", "b", "c"], ["y"])], {k: list(v.shape) for k, v in inputs.items()}, ["y"],
                           inits), inputs)


@pytest.mark.parametrize("a,b", [
    ((4, 9), (9, 5)), ((9,), (9, 5)), ((4, 9), (9,)), ((2, 3, 4, 9), (9, 17)), ((3, 1, 70, 33), (2, 33, 40)),
    ((130, 64), (64, 48)), ((2, 6, 300), (2, 300, 80)), ((1, 5), (5, 200))], ids=str)
@pytest.mark.parametrize("a_zero,b_zero", [(0, 0), (-7, 0), (5, -11), (-128, 127)])
@pytest.mark.parametrize("lowest", [-128, -127])
@pytest.mark.parametrize("cpu", ["scalar", None])
def test_matmul_of_two_int8(a, b, a_zero, b_zero, lowest, cpu):
    """Both computed, both with a zero point: the sums of numpy, then the written rule of requantization."""
    draw = np.random.default_rng(abs(hash((a, b))) % 1000)
    x = draw.integers(-128, 128, a).astype(np.int8)
    w = draw.choice(np.int8([lowest, 127]), b) if b_zero == 0 else draw.integers(lowest, 128, b).astype(np.int8)
    total = np.matmul(x.astype(np.int64) - a_zero, w.astype(np.int64) - b_zero)
    scale = 90 / max(1, np.abs(total).max())
    bias, shift, multiplier = arithmetic.product_params(scale, 3)
    blocks = np.zeros((1, 4, 16), np.int32)
    blocks[0, :, 0] = bias, 0, shift, multiplier
    second = Value("b", w.dtype, w.shape, w, scale=1.0, zero_point=b_zero)
    got = run_node("MatMul", [x, second, packed_channels("requantization", blocks, 1)], total.shape, scale=1.0,
                   zero_point=a_zero, out_scale=1 / scale, out_zero_point=3, threads=2, cpu=cpu)
    t = (np.clip((total + bias) >> shift, -32768, 32767) if shift >= 0
         else np.clip(total + bias, -32768, 32767) << -shift)
    expected = np.clip((((np.clip(t, -32768, 32767) * multiplier + 2**14) >> 15) + 64) >> 7, -128, 127)
    assert np.array_equal(got, expected)
    assert len(np.unique(got)) > 1 or got.size == 1


def test_matmul_of_int8_needs_its_requantization():
    x = np.zeros((2, 3), np.int8)
    with pytest.raises(wisp.WispError, match="MatMul.*requantization"):
        run_node("MatMul", [x, np.zeros((3, 2), np.int8)], (2, 2), scale=1.0)


def test_fractions_of_whole_numbers_are_refused():
    """ONNX's reference and ONNX Runtime round such products each in their own way."""
    a = np.ones((2, 2), np.int32)
    model = make_model([("Gemm", ["a", "a", "a"], ["y"], dict(alpha=2.0, beta=1.5))], {"a": a}, ["y"])
    with pytest.raises(UnsupportedError, match=r"Gemm \(alpha=2 and beta=1.5 with whole numbers; node 'Gemm_y'\)"):
        convert(model)
    check_model(make_model([("Gemm", ["a", "a", "a"], ["y"], dict(alpha=2.0, beta=3.0))], {"a": a}, ["y"]), {"a": a})
