"""Constant folding, on the ONNX graph and on ours."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, imported, make_model, optimized
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.passes import run_passes
from wisp_converter.passes.fold_constants import fold_constants

rng = np.random.default_rng(0)


def value(name, *shape):
    return Value(name, np.dtype(np.float32), shape)


def test_a_chain_on_a_constant():
    x, y, t, r, n = value("x", 4, 2), value("y", 4, 2), value("t", 3, 2), value("r", 1, 6), value("n", 1, 6)
    c = constant("c", np.arange(6, dtype=np.float32).reshape(2, 3))
    z = value("z", 1, 6)
    nodes = [Node("Transpose", [c], [t], {"perm": (1, 0)}), Node("Reshape", [t], [r]), Node("Neg", [r], [n]),
             Node("Relu", [x], [y]), Node("Abs", [n], [z])]
    graph = Graph([x], [y, z], nodes)
    run_passes(graph, (fold_constants,))
    assert [n.op for n in graph.nodes] == ["Relu", "Abs"]
    assert graph.nodes[1].inputs[0].data.tolist() == [[-0.0, -3, -1, -4, -2, -5]]


def test_weights_computed_in_the_source():
    model = make_model([("Mul", ["w", "s"], ["ws"]), ("Transpose", ["ws"], ["wt"], {"perm": [1, 0]}), ("MatMul", ["x", "wt"], ["y"])],
                       {"x": [3, 5]}, ["y"], {"w": rng.standard_normal((4, 5)).astype(np.float32), "s": np.float32(0.5)})
    assert [n.op for n in imported(model).nodes] == ["Gemm"]
    check_model(model, {"x": rng.standard_normal((3, 5)).astype(np.float32)})


def test_shape_arithmetic_of_static_shapes():
    nodes = [("Shape", ["x"], ["s"]), ("Gather", ["s", "zero"], ["n"]), ("Unsqueeze", ["n", "axis"], ["n1"]),
             ("Concat", ["n1", "minus"], ["to"], {"axis": 0}), ("Reshape", ["x", "to"], ["r"]), ("Relu", ["r"], ["y"])]
    model = make_model(nodes, {"x": [2, 3, 4]}, ["y"], {"zero": np.int64(0), "axis": np.int64([0]), "minus": np.int64([-1])})
    assert sorted(n.op for n in optimized(model).nodes) == ["Relu", "Reshape"]
    check_model(model, {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})


def test_the_static_extents_of_a_dynamic_shape():
    nodes = [("Shape", ["x"], ["s"]), ("Slice", ["s", "one", "three"], ["hw"]), ("ConstantOfShape", ["hw"], ["c"]), ("Add", ["x", "c"], ["y"])]
    model = make_model(nodes, {"x": ["N", 3, 4]}, {"y": ["N", 3, 4]}, {"one": np.int64([1]), "three": np.int64([3])})
    graph = optimized(model)
    assert count(graph, "Shape") == 0 and count(graph, "Add") == 1
    check_model(model, {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})


def test_random_nodes_are_not_folded():
    from wisp_converter import UnsupportedError, convert
    model = make_model([("RandomNormal", [], ["r"], {"shape": [3]}), ("Add", ["x", "r"], ["y"])], {"x": [3]}, ["y"])
    try:
        convert(model)
        raise AssertionError("RandomNormal was folded")
    except UnsupportedError as error:
        assert "RandomNormal" in str(error)


def test_a_constant_output():
    model = make_model([("Neg", ["c"], ["y"]), ("Relu", ["x"], ["z"])], {"x": [2]}, ["y", "z"], {"c": np.float32([1, 2])})
    check_model(model, {"x": np.float32([1, -1])})
