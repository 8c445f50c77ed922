"""remove_copies: nodes that change nothing are gone; names of outputs stay."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, make_model, optimized

x = np.arange(12, dtype=np.float32).reshape(3, 4) - 5


def test_identities():
    model = make_model([("Identity", ["x"], ["a"]), ("Relu", ["a"], ["b"]), ("Identity", ["b"], ["y"])], {"x": x}, ["y"])
    graph = optimized(model)
    assert [n.op for n in graph.nodes] == ["Relu"] and graph.outputs[0].name == "y"
    check_model(model, {"x": x})


def test_an_output_that_is_an_input():
    model = make_model([("Identity", ["x"], ["y"]), ("Identity", ["x"], ["z"])], {"x": x}, ["y", "z"])
    check_model(model, {"x": x})


def test_reshapes_in_a_row():
    model = make_model([("Relu", ["x"], ["r"]), ("Reshape", ["r", "a"], ["b"]), ("Reshape", ["b", "c"], ["y"])], {"x": x}, ["y"],
                       {"a": np.int64([2, 6]), "c": np.int64([4, 3])})
    assert count(optimized(model), "Reshape") == 1
    check_model(model, {"x": x})


def test_a_reshape_back():
    model = make_model([("Relu", ["x"], ["r"]), ("Reshape", ["r", "a"], ["b"]), ("Reshape", ["b", "c"], ["d"]), ("Neg", ["d"], ["y"])], {"x": x}, ["y"],
                       {"a": np.int64([2, 6]), "c": np.int64([3, 4])})
    assert sorted(n.op for n in optimized(model).nodes) == ["Neg", "Relu"]
    check_model(model, {"x": x})


def test_cast_to_itself():
    model = make_model([("Cast", ["x"], ["c"], {"to": 1}), ("Neg", ["c"], ["y"])], {"x": x}, ["y"])
    assert count(optimized(model), "Cast") == 0
    check_model(model, {"x": x})
