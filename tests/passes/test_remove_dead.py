"""remove_dead: what nobody reads is gone, what somebody reads is not."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, imported, make_model
from wisp_converter.passes.remove_dead import remove_dead


def test_dead_chain():
    model = make_model([("Relu", ["x"], ["r"]), ("Sigmoid", ["r"], ["s"]), ("Tanh", ["s"], ["t"]),
                        ("Neg", ["r"], ["y"])],
                       {"x": [2, 3]}, ["y"])
    graph = imported(model)
    remove_dead(graph)
    assert [n.op for n in graph.nodes] == ["Relu", "Neg"]
    check_model(model, {"x": np.float32([[1, -2, 3], [0, -1, 5]])})


def test_one_live_output_keeps_the_node():
    model = make_model([("Split", ["x"], ["a", "b"], {"axis": 1}), ("Relu", ["b"], ["y"])], {"x": [2, 4]}, ["y"])
    graph = imported(model)
    remove_dead(graph)
    assert count(graph, "Split") == 1
    check_model(model, {"x": np.arange(8, dtype=np.float32).reshape(2, 4) - 4})


def test_unused_inputs_stay():
    model = make_model([("Relu", ["x"], ["y"])], {"x": [2], "unused": [3]}, ["y"])
    got = check_model(model, {"x": np.float32([1, -1]), "unused": np.zeros(3, np.float32)})
    assert got["y"].tolist() == [1, 0]
