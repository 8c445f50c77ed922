"""cancel_transposes: layouts meet and vanish, values stay, and there are never more transposes than before."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import onnx
import pytest
from hypothesis import given, settings, strategies as st

from support import check_model, count, imported, make_model, optimized
from wisp_converter.ir import Graph, Node, Value
from wisp_converter.passes import run_passes
from wisp_converter.passes.cancel_transposes import cancel_transposes

rng = np.random.default_rng(0)
x = rng.standard_normal((2, 3, 8, 6)).astype(np.float32)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def between_convs(*nodes, **constants):
    """x -> Conv -> a -> nodes -> b -> Conv -> y."""
    return make_model([("Conv", ["x", "w"], ["a"], {"pads": [1] * 4}), *nodes, ("Conv", ["b", "v"], ["y"])],
                      {"x": x}, ["y"], {"w": random(4, 3, 3, 3), "v": random(5, 4, 1, 1), **constants})


SINKS = {
    "unary": [("Sigmoid", ["a"], ["b"])],
    "residual": [("Sin", ["a"], ["s"]), ("Add", ["a", "s"], ["b"])],
    "channel constant": [("Mul", ["a", "c"], ["b"])],
    "row constant": [("Mul", ["a", "r"], ["b"])],
    "scalar": [("Pow", ["a", "two"], ["b"])],
    "concat": [("Concat", ["a", "a"], ["d"], {"axis": 2}), ("Slice", ["d", "zero", "eight", "axis2"], ["b"])],
    "pool": [("MaxPool", ["a"], ["b"], {"kernel_shape": [3, 3], "pads": [1] * 4})],
    "softmax": [("Softmax", ["a"], ["b"], {"axis": 1})],
    "pad": [("Pad", ["a", "pads"], ["d"], {"mode": "edge"}), ("Slice", ["d", "zero", "eight", "axis2"], ["b"])],
    "mean": [("ReduceMean", ["a"], ["m"], {"axes": [2, 3]}), ("Mul", ["a", "m"], ["b"])],
    "split": [("Split", ["a"], ["p", "q"], {"axis": 1}), ("Concat", ["q", "p"], ["b"], {"axis": 1})],
    "squeeze and excite": [("GlobalAveragePool", ["a"], ["g"]), ("Conv", ["g", "e"], ["h"]),
                           ("HardSigmoid", ["h"], ["i"]), ("Mul", ["a", "i"], ["b"])],
    "prelu": [("PRelu", ["a", "slope"], ["b"])],
    "argmax": [("ArgMax", ["a"], ["k"], {"axis": 1}), ("Cast", ["k"], ["f"], {"to": 1}), ("Mul", ["a", "f"], ["b"])],
    "cumsum": [("CumSum", ["a", "axis"], ["b"])],
    "where": [("Greater", ["a", "half"], ["k"]), ("Where", ["k", "a", "half"], ["b"])],
}
CONSTANTS = {"c": random(4, 1, 1), "r": random(8, 1), "two": np.float32(2), "zero": np.int64([0]),
             "eight": np.int64([8]), "axis2": np.int64([2]), "pads": np.int64([0, 0, 1, 0, 0, 0, 0, 0]),
             "e": random(4, 4, 1, 1), "slope": random(4, 1, 1), "axis": np.int64(3), "half": np.float32(0.5)}


@pytest.mark.parametrize("case", SINKS)
def test_nothing_between_convs(case):
    used = {i for n in SINKS[case] for i in n[1]}
    model = between_convs(*SINKS[case], **{k: v for k, v in CONSTANTS.items() if k in used})
    assert count(optimized(model), "Transpose") == 2  # of the input and of the output
    check_model(model, {"x": x})


def test_a_reader_that_insists_gets_its_layout():
    model = between_convs(("Sigmoid", ["a"], ["b"]), ("Reshape", ["b", "flat"], ["z"]), flat=np.int64([2, -1]))
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", 1, [2, 4 * 8 * 6]))
    assert count(optimized(model), "Transpose") == 3
    check_model(model, {"x": x})


def test_moving_ones_is_free():
    model = make_model([("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}), ("Relu", ["t"], ["y"])],
                       {"x": [1, 1, 5, 7]}, ["y"])
    graph = optimized(model)
    assert count(graph, "Transpose") == 1  # of 7 before 5: a real one
    model = make_model([("Transpose", ["x"], ["t"], {"perm": [1, 0, 2, 3]}), ("Relu", ["t"], ["y"])],
                       {"x": [1, 3, 5, 7]}, ["y"])
    assert count(optimized(model), "Transpose") == 0
    check_model(model, {"x": random(1, 3, 5, 7)})


def test_through_a_reshape_of_ones():
    conv = {"pads": [1, 1]}
    model = make_model([("Conv", ["x", "w"], ["a"], conv), ("Relu", ["a"], ["b"]), ("Conv", ["b", "v"], ["c"], conv),
                        ("Tanh", ["c"], ["y"])],
                       {"x": [1, 4, 20]}, ["y"], {"w": random(6, 4, 3), "v": random(5, 6, 3)})
    assert count(optimized(model), "Transpose") == 2
    check_model(model, {"x": random(1, 4, 20)})


def test_heads_that_undo_the_layout():
    model = make_model([("Conv", ["x", "w"], ["a"]), ("Transpose", ["a"], ["t"], {"perm": [0, 2, 3, 1]}),
                        ("Reshape", ["t", "s"], ["r"]), ("Sigmoid", ["r"], ["y"])], {"x": x}, ["y"],
                       {"w": random(4, 3, 1, 1), "s": np.int64([2, -1, 4])})
    assert count(optimized(model), "Transpose") == 1
    check_model(model, {"x": x})


def test_dynamic_extents():
    nodes = [("Conv", ["x", "w"], ["a"], {"pads": [1] * 4}), ("Relu", ["a"], ["b"]), ("Conv", ["b", "v"], ["y"])]
    model = make_model(nodes, {"x": ["N", 3, "H", "W"]}, {"y": ["N", 5, "H", "W"]},
                       {"w": random(4, 3, 3, 3), "v": random(5, 4, 1, 1)})
    assert count(optimized(model), "Transpose") == 2
    check_model(model, {"x": x})


PERMS = st.permutations(range(3)).map(tuple)


@st.composite
def random_graphs(draw):
    """Up to eight nodes on values of three axes, a third of them transposes."""
    values, nodes = [("x", (2, 3, 4))], []
    for i in range(draw(st.integers(1, 8))):
        name, shape = draw(st.sampled_from(values))
        kind = draw(st.sampled_from(["Transpose", "Transpose", "Sin", "Add", "Concat", "ReduceMax", "Softmax",
                                     "Reshape"]))
        out = f"v{i}"
        if kind == "Transpose":
            perm = draw(PERMS)
            nodes.append((kind, [name], [out], {"perm": perm}))
            shape = tuple(shape[p] for p in perm)
        elif kind == "Add":
            other = draw(st.sampled_from([n for n, s in values if s == shape]))
            nodes.append((kind, [name, other], [out]))
        elif kind == "Concat":
            axis = draw(st.integers(0, 2))
            nodes.append((kind, [name, name], [out], {"axis": axis}))
            shape = tuple(2 * d if k == axis else d for k, d in enumerate(shape))
        elif kind == "ReduceMax":
            axis = draw(st.integers(0, 2))
            nodes.append((kind, [name], [out], {"axes": [axis]}))
            shape = tuple(1 if k == axis else d for k, d in enumerate(shape))
        elif kind == "Softmax":
            nodes.append((kind, [name], [out], {"axis": draw(st.integers(0, 2))}))
        elif kind == "Reshape":
            nodes.append((kind, [name, f"s{i}"], [out]))
            shape = (shape[0] * shape[1], 1, shape[2])
        else:
            nodes.append((kind, [name], [out]))
        values.append((out, shape))
    constants = {f"s{i}": np.int64(values[i + 1][1]) for i, n in enumerate(nodes) if n[0] == "Reshape"}
    outputs = draw(st.lists(st.sampled_from([n for n, _ in values[1:]]), min_size=1, max_size=2, unique=True))
    return make_model(nodes, {"x": [2, 3, 4]}, outputs, constants)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(random_graphs())
def test_random_graphs(model):
    graph = imported(model)
    before = count(graph, "Transpose")
    run_passes(graph, (cancel_transposes,))
    assert count(graph, "Transpose") <= before
    check_model(model, {"x": np.random.default_rng(3).standard_normal((2, 3, 4)).astype(np.float32)})


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -2])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin", "ReduceMax"])
def test_axes_that_disappear(op, keepdims, axis):
    """Between channels last and the caller's order what is left of the axes may still be in another order."""
    attributes = {"axis": axis, "keepdims": keepdims} if op != "ReduceMax" else {"axes": [axis], "keepdims": keepdims}
    model = make_model([("Conv", ["x", "w"], ["a"], {"pads": [1] * 4}), (op, ["a"], ["y"], attributes)], {"x": x},
                       ["y"], {"w": random(5, 3, 3, 3)})
    check_model(model, {"x": x})


def test_slices_count_axes_from_the_end():
    nodes = [("Slice", ["a", "starts", "ends", "axes"], ["b"])]
    model = between_convs(*nodes, starts=np.int64([1, 2]), ends=np.int64([7, 5]), axes=np.int64([-2, -1]))
    assert count(optimized(model), "Transpose") == 2
    check_model(model, {"x": x})


def test_scales_move_with_their_axis():
    """A transposition that passes QuantizeLinear and DequantizeLinear."""
    for axis, scales in ((1, np.float32(0.05)), (1, random(8)), (-1, random(3))):
        constants = {"s": np.abs(scales) + np.float32(0.01), "z": np.full(np.shape(scales), -7, np.int8)}
        nodes = [("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
                 ("QuantizeLinear", ["t", "s", "z"], ["q"], {"axis": axis}),
                 ("DequantizeLinear", ["q", "s", "z"], ["d"], {"axis": axis}),
                 ("Transpose", ["d"], ["y"], {"perm": [0, 3, 1, 2]})]
        model = make_model(nodes, {"x": x}, ["y"], constants, opset=21)
        assert count(optimized(model), "Transpose") == 0
        check_model(model, {"x": x}, atol=0, rtol=0)


def test_what_moves_keeps_its_scale():
    """The scale of a tensor: its stored numbers mean the same on the other side of a transposition."""
    f32, s8, moved = np.dtype(np.float32), np.dtype(np.int8), (2, 8, 6, 3)
    a, b, y = Value("a", f32, (2, 3, 8, 6)), Value("b", f32, moved), Value("y", f32, (2, 3, 16, 6))
    t, d = Value("t", f32, moved), Value("d", f32, (2, 16, 6, 3))
    q, r, c = (Value(n, s8, shape, scale=0.05) for n, shape in (("q", moved), ("r", moved), ("c", (2, 16, 6, 3))))
    graph = Graph([a, b], [y], [
        Node("Transpose", [a], [t], {"perm": (0, 2, 3, 1)}), Node("QuantizeLinear", [t], [q]),
        Node("QuantizeLinear", [b], [r]), Node("Concat", [q, r], [c], {"axis": 1}),
        Node("DequantizeLinear", [c], [d]), Node("Transpose", [d], [y], {"perm": (0, 3, 1, 2)})])
    cancel_transposes(graph)
    assert count(graph, "Transpose") == 1
    integers = [v for n in graph.nodes for v in n.outputs if v.dtype == s8]
    assert len(integers) == 4 and all(v.scale == 0.05 for v in integers)
