"""Models as editors and exporters leave them: nodes out of order, sparse weights, defaults, functions, strangers."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
import wisp
from onnx import helper, numpy_helper, parser
from support import check_model, make_model
from wisp_converter import ConvertError, ModelError, UnsupportedError, convert

rng = np.random.default_rng(77)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(model, **inputs):
    return wisp.load(convert(model, verify=False)).run(inputs)


def test_nodes_out_of_order():
    model = make_model([("Relu", ["x"], ["a"]), ("Neg", ["a"], ["b"]), ("Add", ["a", "b"], ["c"]),
                        ("Exp", ["c"], ["y"])], {"x": (2, 3)}, ["y"])
    nodes = list(model.graph.node)
    for order in (nodes[::-1], [nodes[2], nodes[0], nodes[3], nodes[1]]):
        shuffled = onnx.ModelProto()
        shuffled.CopyFrom(model)
        del shuffled.graph.node[:]
        shuffled.graph.node.extend(order)
        x = f32(2, 3)
        assert np.array_equal(run(shuffled, x=x)["y"], run(model, x=x)["y"])


def test_nodes_out_of_order_around_and_in_a_body():
    model = parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]> g (float[3] x, bool c) => (float[3] y) {
      y = If (c) <then_branch = t () => (float[3] a) { a = Neg(h)  h = Add(z, x) },
                  else_branch = e () => (float[3] b) { b = Identity(z) }>
      z = Abs(x)
    }""")
    x = f32(3)
    assert np.array_equal(run(model, x=x, c=np.array(True))["y"], -(np.abs(x) + x))
    assert np.array_equal(run(model, x=x, c=np.array(False))["y"], np.abs(x))


@pytest.mark.parametrize(("nodes", "words"), [
    ([("Add", ["x", "b"], ["a"]), ("Neg", ["a"], ["b"])], "reads what is computed from its own output"),
    ([("Add", ["x", "x"], ["a"]), ("Add", ["b", "b"], ["b"])], "reads what is computed from its own output, 'b'"),
    ([("Add", ["x", "nobody"], ["a"])], "reads 'nobody', which nothing computes")])
def test_nodes_that_no_order_helps(nodes, words):
    model = make_model([("Relu", ["x"], ["a"])], {"x": (2,)}, ["a"])
    del model.graph.node[:]
    model.graph.node.extend(helper.make_node(*n) for n in nodes)
    with pytest.raises(ModelError, match=words):
        convert(model, verify=False)


def sparse(array, flat):
    at = np.flatnonzero(array) if flat else np.argwhere(array)
    return onnx.SparseTensorProto(values=numpy_helper.from_array(array[array != 0], "w"), dims=array.shape,
                                  indices=numpy_helper.from_array(at.astype(np.int64), "i"))


@pytest.mark.parametrize("flat", [True, False])
def test_sparse_weights(flat):
    w = np.where(rng.random((4, 3)) < 0.3, f32(4, 3), 0).astype(np.float32)
    x = f32(2, 4)
    model = make_model([("MatMul", ["x", "w"], ["y"])], {"x": x}, {"y": (2, 3)})
    model.graph.sparse_initializer.append(sparse(w, flat))
    np.testing.assert_allclose(run(model, x=x)["y"], x @ w, rtol=1e-5, atol=1e-6)
    model = make_model([helper.make_node("Constant", [], ["w"], sparse_value=sparse(w, flat)),
                        ("MatMul", ["x", "w"], ["y"])], {"x": x}, {"y": (2, 3)})
    np.testing.assert_allclose(run(model, x=x)["y"], x @ w, rtol=1e-5, atol=1e-6)


def test_sparse_weights_outside_their_shape():
    tensor = sparse(np.eye(3, dtype=np.float32), True)
    tensor.dims[0] = 1
    model = make_model([("MatMul", ["x", "w"], ["y"])], {"x": (2, 1)}, {"y": (2, 3)})
    model.graph.sparse_initializer.append(tensor)
    with pytest.raises(ModelError, match="sparse tensor 'w'"):
        convert(model, verify=False)


def test_an_input_with_a_default_is_said_to_become_a_constant():
    model = make_model([("Add", ["x", "w"], ["y"])], {"x": (3,), "w": (3,)}, ["y"], {"w": f32(3)})
    lines = []
    assert [i.name for i in wisp.load(convert(model, verify=False, report=lines.append)).inputs] == ["x"]
    assert any("'w'" in line and "constant" in line for line in lines)
    model.ir_version, lines = 3, []  # every initializer was an input then
    convert(model, verify=False, report=lines.append)
    assert not any("'w'" in line for line in lines)


@pytest.mark.parametrize("opset", [7, 9, 10, 13])
def test_an_output_that_is_only_named(opset):
    x = f32(3)
    model = make_model([("Dropout", ["x"], ["y", "mask"])], {"x": x}, {"y": (3,)}, opset=opset)
    assert np.array_equal(run(model, x=x)["y"], x)


AFTER = [("MatMul", ["c", "w"], {}), ("Conv", ["c", "k"], {}), ("MaxPool", ["c"], {"kernel_shape": [2, 2]}),
         ("GlobalMaxPool", ["c"], {}), ("RNN", ["c", "W", "R"], {"hidden_size": 6}),
         ("DepthToSpace", ["c"], {"blocksize": 2}),
         ("Softmax", ["c"], {}), ("Reshape", ["c", "s"], {}), ("Transpose", ["c"], {}), ("Gather", ["w", "c"], {}),
         ("Einsum", ["c", "w"], {"equation": "ij,jk->ik"}), ("Resize", ["c", "", "s"], {})]


@pytest.mark.parametrize(("op", "inputs", "attributes"), AFTER)
def test_only_what_is_unsupported_is_named(op, inputs, attributes):
    """Not what follows from it: values without a number of axes, or without a type."""
    nodes = [("Magic", ["x"], ["t"], {"domain": "custom"}), ("Cast", ["t"], ["c"], {"to": onnx.TensorProto.FLOAT}),
             (op, inputs, ["y"], attributes), ("Neg", ["y"], ["z"])]
    model = make_model(nodes, {"x": ["n", 4]}, {"z": (np.float32, ["a"])}, {
        "w": f32(4, 3), "k": f32(2, 3, 3, 3), "W": f32(1, 6, 3), "R": f32(1, 6, 6), "s": np.array([1], np.int64)},
        domains={"custom": 1})
    with pytest.raises(UnsupportedError) as caught:
        convert(model, verify=False)
    assert str(caught.value).startswith("not supported: custom.Magic (no such operator; node 'Magic_t'): replace")


def test_what_comes_from_a_function_is_named_as_in_the_model():
    """Of each function one that cannot be imported inside: the node and the operator that the model has."""
    model = parser.parse_model("""<ir_version: 10, opset_import: ["" : 18, "mine" : 1]>
    g (float[2] x) => (float[2] y) {
      [first] a = mine.Twice(x)
      [second] y = mine.Twice(a)
    } <domain: "mine", opset_import: ["" : 18, "custom" : 1]> Twice (p) => (q) {
      h = custom.Magic(p)
      q = Add(h, h)
    }""")
    model.opset_import.add(domain="custom", version=1)
    with pytest.raises(ConvertError, match="custom.Magic"):
        convert(model, verify=False)
    node = helper.make_node("CenterCropPad", ["x", "shape"], ["y"], name="crop")
    graph = make_model([node], {"x": (np.complex64, [4, 4])}, {"y": (np.complex64, [2, 2])},
                       {"shape": np.array([2, 2])}, opset=18)
    with pytest.raises(ConvertError) as caught:
        convert(graph, verify=False)
    assert "complex64" in str(caught.value)


def test_functions_whose_inputs_are_left_out_expand():
    x = {"q": f32(1, 3, 8), "k": f32(1, 3, 8), "v": f32(1, 3, 8)}
    node = ("Attention", ["q", "k", "v"], ["y"], {"q_num_heads": 2, "kv_num_heads": 2})
    model = make_model([node], x, {"y": (1, 3, 8)}, opset=24)
    model.ir_version = 11
    check_model(model, x)
