"""fold_batch_norm: scales and shifts of channels vanish into weights and bias."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import check_close, check_model, count, make_model, optimized, reference
from wisp_converter import convert

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 4, 6, 5)).astype(np.float32)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def conv_then(*nodes, group=1, **constants):
    weights = random(8, 4 // group, 3, 3)
    return make_model([("Conv", ["x", "w", "b"], ["c"], {"group": group}), *nodes], {"x": x}, ["y"],
                      {"w": weights, "b": random(8), **constants})


@pytest.mark.parametrize("group", [1, 2, 4])
def test_batch_normalization(group):
    model = conv_then(("BatchNormalization", ["c", "s", "o", "m", "v"], ["y"], {"epsilon": 1e-3}), group=group,
                      s=random(8), o=random(8), m=random(8), v=np.abs(random(8)))
    graph = optimized(model)
    assert count(graph, "Conv") == 1 and count(graph, "Mul") == count(graph, "Add") == 0
    check_model(model, {"x": x})


@pytest.mark.parametrize("op,first", [
    ("Mul", True), ("Mul", False), ("Add", False), ("Sub", True), ("Sub", False), ("Div", True)])
@pytest.mark.parametrize("shape", [(8, 1, 1), (1, 8, 1, 1), (), (1,)], ids=str)
def test_one_operator(op, first, shape):
    factor = np.abs(random(*shape)) + np.float32(0.5)
    model = conv_then((op, ["c", "f"] if first else ["f", "c"], ["y"]), f=factor)
    assert count(optimized(model), op) == 0
    check_model(model, {"x": x})


def test_division_of_a_constant_stays():
    model = conv_then(("Div", ["f", "c"], ["y"]), f=random(8, 1, 1))
    assert count(optimized(model), "Div") == 1
    check_model(model, {"x": x}, rtol=1e-3)


def test_a_factor_along_the_width_stays():
    model = conv_then(("Mul", ["c", "f"], ["y"]), f=random(3))
    assert count(optimized(model), "Mul") == 1
    check_model(model, {"x": x})


def test_a_second_reader_keeps_the_scale():
    model = conv_then(("Mul", ["c", "f"], ["d"]), ("Add", ["c", "d"], ["y"]), f=random(8, 1, 1))
    assert count(optimized(model), "Mul") == 1
    check_model(model, {"x": x})


def test_not_across_a_clamp():
    model = conv_then(("Relu", ["c"], ["r"]), ("Mul", ["r", "f"], ["y"]), f=random(8, 1, 1))
    assert count(optimized(model), "Mul") == 1
    check_model(model, {"x": x})


def test_gemm():
    model = make_model([("Gemm", ["x", "w", "b"], ["g"]), ("Mul", ["g", "f"], ["h"]), ("Sub", ["h", "o"], ["y"])],
                       {"x": [2, 5]}, ["y"], {"w": random(5, 7), "b": random(7), "f": random(7), "o": random(7)})
    assert [n.op for n in optimized(model).nodes] == ["Gemm"]
    check_model(model, {"x": random(2, 5)})


@pytest.mark.parametrize("factor", [np.inf, np.nan, 3e38])
def test_what_is_not_finite_stays_outside(factor):
    """Folded, sums of infinities of both signs would make NaN of what is only infinite."""
    f = np.ones((8, 1, 1), np.float32)
    f[3] = factor
    model = conv_then(("Mul", ["c", "f"], ["y"]), f=f)
    got = wisp.load(convert(model, verify=False)).run({"x": x})["y"]
    with np.errstate(all="ignore"):  # ONNX Runtime folds it, and is no oracle
        check_close(got, reference(model, {"x": x})["y"], "y", rtol=1e-5, atol=0)
