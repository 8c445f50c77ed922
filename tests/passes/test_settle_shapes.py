"""Extents that only the runtime finds."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_model, imported, make_model
from wisp_converter import UnsupportedError
from wisp_converter.ir import Graph, Node, Value
from wisp_converter.passes import run_passes
from wisp_converter.passes.settle_shapes import settle_shapes

FLOAT = np.dtype(np.float32)


def test_axes_that_inference_does_not_see():
    """A list of axes without elements means all of them, even when it is an input; ONNX's inference gives up."""
    model = make_model([("ReduceSum", ["x", "axes"], ["r"], {"keepdims": 1}), ("Add", ["x", "r"], ["y"])],
                       {"x": [2, 3], "axes": (np.int64, [0])}, {"y": [2, 3]})
    graph = imported(model)
    assert not all(v.is_static for v in graph.values())
    run_passes(graph)
    assert all(v.is_static for v in graph.values())
    check_model(model, {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "axes": np.zeros(0, np.int64)})


def chain(middle, *shape):
    x, t, y = Value("x", FLOAT, shape), Value("t", FLOAT, middle), Value("y", FLOAT, (None,) * len(middle))
    return Graph([x], [y], [Node("Transpose", [x], [t], {"perm": (1, 0)}), Node("Relu", [t], [y])])


def test_open_extents_are_found():
    graph = chain((None, None), 2, 3)
    settle_shapes(graph)
    assert [n.outputs[0].shape for n in graph.nodes] == [(3, 2), (3, 2)]


def test_of_symbolic_inputs_nothing_is_known():
    graph = chain((None, None), "n", 3)
    settle_shapes(graph)
    assert [n.outputs[0].shape for n in graph.nodes] == [(None, None), (None, None)]


def test_a_stated_extent_is_compared():
    with pytest.raises(UnsupportedError, match="Transpose"):
        settle_shapes(chain((7, None), 2, 3))
