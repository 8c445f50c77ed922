"""Constant folding by the runtime: while importing, and as a pass."""
# SPDX-License-Identifier: Apache-2.0
import ml_dtypes
import numpy as np
import pytest
import wisp
from onnx import TensorProto, helper, numpy_helper
from support import check_model, count, imported, make_model, optimized
from wisp_converter import UnsupportedError, convert
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
    model = make_model([("Mul", ["w", "s"], ["ws"]), ("Transpose", ["ws"], ["wt"], {"perm": [1, 0]}),
                        ("MatMul", ["x", "wt"], ["y"])],
                       {"x": [3, 5]}, ["y"],
                       {"w": rng.standard_normal((4, 5)).astype(np.float32), "s": np.float32(0.5)})
    assert [n.op for n in imported(model).nodes] == ["Gemm"]
    check_model(model, {"x": rng.standard_normal((3, 5)).astype(np.float32)})


def test_shape_arithmetic_of_static_shapes():
    nodes = [("Shape", ["x"], ["s"]), ("Gather", ["s", "zero"], ["n"]), ("Unsqueeze", ["n", "axis"], ["n1"]),
             ("Concat", ["n1", "minus"], ["to"], {"axis": 0}), ("Reshape", ["x", "to"], ["r"]), ("Relu", ["r"], ["y"])]
    model = make_model(nodes, {"x": [2, 3, 4]}, ["y"],
                       {"zero": np.int64(0), "axis": np.int64([0]), "minus": np.int64([-1])})
    assert sorted(n.op for n in optimized(model).nodes) == ["Relu", "Reshape"]
    check_model(model, {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})


def test_the_static_extents_of_a_dynamic_shape():
    nodes = [("Shape", ["x"], ["s"]), ("Slice", ["s", "one", "three"], ["hw"]), ("ConstantOfShape", ["hw"], ["c"]),
             ("Add", ["x", "c"], ["y"])]
    model = make_model(nodes, {"x": ["N", 3, 4]}, {"y": ["N", 3, 4]}, {"one": np.int64([1]), "three": np.int64([3])})
    graph = optimized(model)
    assert count(graph, "Shape") == 0 and count(graph, "Add") == 1
    check_model(model, {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})


def test_constants_of_operators_without_kernel_are_refused_by_name():
    model = make_model([("Det", ["c"], ["r"]), ("Add", ["x", "r"], ["y"])], {"x": [3]}, ["y"],
                       {"c": np.eye(3, dtype=np.float32)})
    with pytest.raises(UnsupportedError, match="Det .no such operator"):
        convert(model)


def test_a_constant_output():
    model = make_model([("Neg", ["c"], ["y"]), ("Relu", ["x"], ["z"])], {"x": [2]}, ["y", "z"],
                       {"c": np.float32([1, 2])})
    check_model(model, {"x": np.float32([1, -1])})


@pytest.mark.parametrize("axis, block", [(0, 0), (1, 0), (1, 4)])
def test_weights_with_many_scales(axis, block):
    """DequantizeLinear, then Transpose, then the weights of a MatMul."""
    w = rng.integers(-100, 100, (6, 8)).astype(np.int8)
    shape = (6, 2) if block else (w.shape[axis],)
    constants = {"w": w, "s": rng.uniform(0.01, 0.1, shape).astype(np.float32),
                 "z": rng.integers(-9, 9, shape).astype(np.int8)}
    nodes = [("DequantizeLinear", ["w", "s", "z"], ["d"],
              {"axis": axis, "block_size": block} if block else {"axis": axis}),
             ("Transpose", ["d"], ["t"], {"perm": [1, 0]}), ("MatMul", ["x", "t"], ["y"])]
    model = make_model(nodes, {"x": [3, 8]}, ["y"], constants, opset=21)
    assert [n.op for n in imported(model).nodes] == ["Gemm"]
    scale, zero = ((np.repeat(v, 4, 1) if block else np.expand_dims(v, 1 - axis)).astype(np.float64)
                   for v in (constants["s"], constants["z"]))
    x = rng.standard_normal((3, 8)).astype(np.float32)
    # not ONNX Runtime: it fuses both into a product of lower precision
    np.testing.assert_allclose(wisp.load(convert(model, verify=False)).run({"x": x})["y"], x @ ((w - zero) * scale).T,
                               rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("axis, count, message", [
    (5, 3, "the input has no axis 5"), (0, 3, "do not fit the input along axis 0")])
def test_scales_that_do_not_fit(axis, count, message):
    constants = {"c": np.zeros((2, 3), np.int8), "s": np.ones(count, np.float32)}
    model = make_model([("DequantizeLinear", ["c", "s"], ["d"], {"axis": axis}), ("Add", ["x", "d"], ["y"])],
                       {"x": [2, 3]}, {"y": [2, 3]}, constants)
    with pytest.raises(UnsupportedError, match=message):
        convert(model)


def test_a_shape_that_only_computed_constants_tell():
    """ONNX's inference knows neither extents nor, behind the Reshape, the axes of the mean."""
    nodes = [("Mul", ["a", "b"], ["to"]), ("Reshape", ["x", "to"], ["r"]), ("GlobalMaxPool", ["r"], ["y"])]
    model = make_model(nodes, {"x": [48]}, ["y"], {"a": np.int64([1, 1, 2, 3]), "b": np.int64([1, 2, 2, 2])})
    check_model(model, {"x": rng.standard_normal(48).astype(np.float32)})


def test_constants_that_need_each_other_before_they_run():
    """A Reshape must know its shape at prepare: it is computed in a run before."""
    nodes = [("Mul", ["a", "b"], ["to"]), ("Reshape", ["c", "to"], ["r"]), ("Add", ["x", "r"], ["y"])]
    model = make_model(nodes, {"x": [2, 3]}, ["y"],
                       {"a": np.int64([2, 1]), "b": np.int64([1, 3]), "c": np.arange(6, dtype=np.float32)})
    assert count(imported(model), "Add") == len(imported(model).nodes) == 1
    check_model(model, {"x": rng.standard_normal((2, 3)).astype(np.float32)})


def test_constants_are_the_same_bytes_on_every_instruction_set(monkeypatch):
    nodes = [("MatMul", ["a", "b"], ["ab"]), ("Softmax", ["ab"], ["s"]), ("Mul", ["x", "s"], ["y"])]
    constants = {k: rng.standard_normal((64, 64)).astype(np.float32) for k in "ab"}
    model = make_model(nodes, {"x": [64, 64]}, ["y"], constants)
    data = convert(model, verify=False)
    monkeypatch.setenv("WISP_CPU", "scalar")
    assert convert(model, verify=False) == data
    stored = next(v.data for v in imported(model).nodes[0].inputs if v.data is not None)
    product = constants["a"].astype(np.float64) @ constants["b"]
    exact = np.exp(product) / np.exp(product).sum(1, keepdims=True)
    np.testing.assert_allclose(stored, exact, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("code, dtype", [
    (TensorProto.BFLOAT16, ml_dtypes.bfloat16), (TensorProto.FLOAT8E4M3FN, ml_dtypes.float8_e4m3fn)])
def test_constants_of_types_that_the_runtime_does_not_compute_with(code, dtype):
    model = make_model([("Cast", ["c"], ["f"], {"to": TensorProto.FLOAT}), ("Add", ["x", "f"], ["y"])], {"x": [3]},
                       ["y"], opset=21)
    stored = np.array([0.5, -1.75, 3], dtype)
    model.graph.initializer.append(helper.make_tensor("c", code, [3], stored.tobytes(), raw=True))
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), stored)
    check_model(model, {"x": np.float32([1, 2, 3])})
