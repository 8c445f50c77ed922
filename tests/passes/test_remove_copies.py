"""remove_copies: nodes that change nothing are gone; names of outputs stay."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, make_model, optimized
from wisp_converter.ir import Graph, Node, Value
from wisp_converter.passes.remove_copies import remove_copies

x = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def test_identities():
    model = make_model([("Identity", ["x"], ["a"]), ("Relu", ["a"], ["b"]), ("Identity", ["b"], ["y"])],
                       {"x": x}, ["y"])
    graph = optimized(model)
    assert [n.op for n in graph.nodes] == ["Relu"] and graph.outputs[0].name == "y"
    check_model(model, {"x": x})


def test_an_output_that_is_an_input():
    model = make_model([("Identity", ["x"], ["y"]), ("Identity", ["x"], ["z"])], {"x": x}, ["y", "z"])
    check_model(model, {"x": x})


def test_reshapes_in_a_row():
    model = make_model([("Relu", ["x"], ["r"]), ("Reshape", ["r", "a"], ["b"]), ("Reshape", ["b", "c"], ["y"])],
                       {"x": x}, ["y"], {"a": np.int64([2, 6]), "c": np.int64([4, 3])})
    assert count(optimized(model), "Reshape") == 1
    check_model(model, {"x": x})


def test_a_reshape_back():
    model = make_model([("Relu", ["x"], ["r"]), ("Reshape", ["r", "a"], ["b"]), ("Reshape", ["b", "c"], ["d"]),
                        ("Neg", ["d"], ["y"])], {"x": x}, ["y"],
                       {"a": np.int64([2, 6]), "c": np.int64([3, 4])})
    assert sorted(n.op for n in optimized(model).nodes) == ["Neg", "Relu"]
    check_model(model, {"x": x})


def test_cast_to_itself():
    model = make_model([("Cast", ["x"], ["c"], {"to": 1}), ("Neg", ["c"], ["y"])], {"x": x}, ["y"])
    assert count(optimized(model), "Cast") == 0
    check_model(model, {"x": x})


def test_a_reshape_that_copies_extents_keeps_what_it_looks_at():
    """0 in a shape means the extent of this Reshape's own input, not of the one before."""
    nodes = [("Reshape", ["x", "a"], ["b"]), ("Reshape", ["b", "c"], ["y"])]
    model = make_model(nodes, {"x": ["n", 4, 6]}, {"y": ["m", 2, 3]},
                       {"a": np.int64([-1, 6]), "c": np.int64([0, 2, 3])})
    got = check_model(model, {"x": np.arange(72, dtype=np.float32).reshape(3, 4, 6)})
    assert got["y"].shape == (12, 2, 3)


def test_a_copy_into_another_scale_stays():
    """The same stored numbers mean something else."""
    x, a, b, y = (Value(n, np.dtype(np.int8), (4,), scale=s)
                  for n, s in (("x", 0.5), ("a", 0.5), ("b", 0.25), ("y", 0.25)))
    graph = Graph([x], [y], [Node("Relu", [x], [a], {}, "r"), Node("Reshape", [a], [b], {}, "same shape"),
                             Node("Relu", [b], [y], {}, "s")])
    remove_copies(graph)
    assert count(graph, "Reshape") == 1 and graph.nodes[-1].inputs[0].scale == 0.25
