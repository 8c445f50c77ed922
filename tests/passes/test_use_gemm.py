"""use_gemm: MatMul by a constant, with the bias that follows."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_model, count, make_model, optimized

rng = np.random.default_rng(0)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("x_shape", [(3, 5), (2, 3, 5), (5,), (1, 5)], ids=str)
def test_matmul_add(x_shape):
    model = make_model([("MatMul", ["x", "w"], ["m"]), ("Add", ["b", "m"], ["y"])], {"x": list(x_shape)}, ["y"],
                       {"w": random(5, 7), "b": random(7)})
    graph = optimized(model)
    assert [n.op for n in graph.nodes] == ["Gemm"] and graph.nodes[0].inputs[2] is not None
    check_model(model, {"x": random(*x_shape)})


def test_a_constant_on_the_left_stays_matmul():
    model = make_model([("MatMul", ["w", "x"], ["y"])], {"x": [5, 3]}, ["y"], {"w": random(7, 5)})
    assert count(optimized(model), "MatMul") == 1
    check_model(model, {"x": random(5, 3)})


def test_a_stack_of_constant_matrices_stays_matmul():
    model = make_model([("MatMul", ["x", "w"], ["y"])], {"x": [2, 3, 5]}, ["y"], {"w": random(2, 5, 7)})
    assert count(optimized(model), "MatMul") == 1
    check_model(model, {"x": random(2, 3, 5)})


def test_an_add_that_broadcasts_the_product_is_no_bias():
    model = make_model([("MatMul", ["x", "w"], ["m"]), ("Add", ["m", "b"], ["y"])], {"x": [1, 5]}, ["y"],
                       {"w": random(5, 7), "b": random(4, 7)})
    assert count(optimized(model), "Add") == 1
    check_model(model, {"x": random(1, 5)})
