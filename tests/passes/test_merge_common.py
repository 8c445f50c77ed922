"""merge_common: equal nodes and constants become one, also where they are graph outputs."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, make_model, optimized
from wisp_converter.ir import Graph, Node, Value
from wisp_converter.passes.merge_common import merge_common

x = np.float32([[1, -2, 3]])


def test_equal_nodes():
    model = make_model([("Sin", ["x"], ["a"]), ("Sin", ["x"], ["b"]), ("Add", ["a", "b"], ["y"])], {"x": [1, 3]}, ["y"])
    assert count(optimized(model), "Sin") == 1
    check_model(model, {"x": x})


def test_equal_constants():
    model = make_model([("Mul", ["x", "c"], ["a"]), ("Mul", ["x", "d"], ["b"]), ("Add", ["a", "b"], ["y"])],
                       {"x": [1, 3]}, ["y"], {"c": np.float32([1, 2, 3]), "d": np.float32([1, 2, 3])})
    assert count(optimized(model), "Mul") == 1
    check_model(model, {"x": x})


def test_parameters_make_a_difference():
    model = make_model([("LeakyRelu", ["x"], ["a"], {"alpha": 0.1}), ("LeakyRelu", ["x"], ["b"], {"alpha": 0.2}),
                        ("Add", ["a", "b"], ["y"])], {"x": [1, 3]}, ["y"])
    assert count(optimized(model), "LeakyRelu") == 2
    check_model(model, {"x": x})


def test_equal_outputs_keep_their_names():
    model = make_model([("Sin", ["x"], ["a"]), ("Sin", ["x"], ["b"]), ("Neg", ["b"], ["c"])], {"x": [1, 3]},
                       ["a", "b", "c"])
    got = check_model(model, {"x": x})
    assert sorted(got) == ["a", "b", "c"]


def test_an_output_merged_into_an_earlier_node():
    model = make_model([("Sin", ["x"], ["a"]), ("Neg", ["a"], ["n"]), ("Sin", ["x"], ["b"])], {"x": [1, 3]}, ["n", "b"])
    assert count(optimized(model), "Sin") == 1
    check_model(model, {"x": x})


def test_zeros_of_both_signs_are_two_constants():
    model = make_model([("Div", ["x", "p"], ["a"]), ("Div", ["x", "m"], ["b"]),
                        ("Concat", ["a", "b"], ["y"], {"axis": 0})],
                       {"x": [1, 3]}, ["y"], {"p": np.float32(0.0), "m": np.float32(-0.0)})
    check_model(model, {"x": x})


def test_a_scale_makes_a_difference():
    """Equal nodes whose results store their numbers in different steps."""
    source = Value("x", np.dtype(np.float32), (1, 3))
    fine, coarse, same = (Value(n, np.dtype(np.int8), (1, 3), scale=s, zero_point=0)
                          for n, s in (("a", 0.5), ("b", 0.25), ("c", 0.5)))
    stored = [Node("QuantizeLinear", [source], [v], {}, v.name) for v in (fine, coarse, same)]
    readers = [Node("DequantizeLinear", [v], [Value(f"y{v.name}", np.dtype(np.float32), (1, 3))], {}, f"d{v.name}")
               for v in (fine, coarse, same)]
    graph = Graph([source], [n.outputs[0] for n in readers], stored + readers)
    merge_common(graph)
    assert count(graph, "QuantizeLinear") == 2
    assert [n.inputs[0].scale for n in graph.nodes if n.op == "DequantizeLinear"][:2] == [0.5, 0.25]
