"""Operators that move values: large ones, cut across threads, against numpy and one thread; indices out of range."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import make_model, reference
from wisp_converter import UnsupportedError, convert
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value
from wisp_converter.target.plan import plan_memory

rng = np.random.default_rng(29)


def floats(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def ints(low, high, *shape):
    return rng.integers(low, high, shape).astype(np.int64)


def run_all(op, inputs, constants=None, outputs=("y",), *, opset=18, **attrs):
    """The outputs by 1, 2, 3 and 5 threads, which must be the same."""
    constants = {n: np.asarray(a) for n, a in (constants or {}).items()}
    model = make_model([(op, [*inputs, *constants], outputs, attrs)], inputs, list(outputs), constants, opset=opset)
    data = convert(model, verify=False)
    got = [wisp.load(data, threads=t).run(inputs) for t in (1, 2, 3, 5)]
    for other in got[1:]:
        for name in outputs:
            assert got[0][name].tobytes() == other[name].tobytes()
    return model, got[0]


@pytest.mark.parametrize("op,inputs,constants,attrs", [
    ("Transpose", {"x": floats(61, 70, 33)}, {}, {"perm": [2, 0, 1]}),
    ("Slice", {"x": floats(300, 70, 9)}, {"s": [290, 3], "e": [-301, 60], "a": [0, 1], "t": [-1, 2]}, {}),
    ("Expand", {"x": floats(33, 1, 70)}, {"shape": [2, 33, 50, 70]}, {}),
    ("Tile", {"x": floats(33, 70)}, {"r": [7, 9]}, {}),
    ("Pad", {"x": floats(100, 40, 30)}, {"p": [3, 1, 0, 2, 0, 5]}, {"mode": "reflect"}),
    ("Pad", {"x": floats(100, 40, 30)}, {"p": [3, 1, 0, 2, 0, 5]}, {}),
    ("Concat", {"x0": floats(700, 1, 9), "x1": floats(700, 5, 9), "x2": floats(700, 33, 9)}, {}, {"axis": 1}),
    ("Gather", {"x": floats(3, 500, 40), "i": ints(-500, 500, 70, 9)}, {}, {"axis": 1}),
    ("GatherND", {"x": floats(4, 30, 20, 40), "i": ints(-20, 20, 4, 2000, 2)}, {}, {"batch_dims": 1}),
    ("OneHot", {"i": ints(0, 40, 5000)}, {"depth": 40, "values": np.float32([0.5, 2])}, {}),
    ("Trilu", {"x": floats(70, 60, 50)}, {}, {"upper": 0}),
    ("EyeLike", {"x": floats(400, 300)}, {}, {"k": -3}),
    ("Cast", {"x": floats(70000)}, {}, {"to": 7}),
], ids=lambda v: v if isinstance(v, str) else "")
def test_moves(op, inputs, constants, attrs):
    model, got = run_all(op, inputs, constants, **attrs)
    assert np.array_equal(got["y"], reference(model, inputs)["y"])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_elements(axis):
    x, i = floats(90, 80, 60), ints(-60, 60, 90, 80, 60)
    _, got = run_all("GatherElements", {"x": x, "i": i}, axis=axis)
    assert np.array_equal(got["y"], np.take_along_axis(x, i, axis))


def test_split():
    x = floats(700, 39, 9)
    _, got = run_all("Split", {"x": x}, {"sizes": [1, 5, 33]}, ("a", "b", "c"), axis=1)
    for name, piece in zip("abc", np.split(x, [1, 6], axis=1)):
        assert np.array_equal(got[name], piece)


# ---- updates that meet at one element are applied in order


def update(y, at, value, reduction):
    if reduction == "none":
        y[at] = value
    elif reduction in ("add", "mul"):
        y[at] = np.add(y[at], value) if reduction == "add" else np.multiply(y[at], value)
    else:
        y[at] = np.maximum(y[at], value) if reduction == "max" else np.minimum(y[at], value)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_scatter_elements_in_order(reduction, axis):
    x, i, u = floats(30, 40, 25), ints(-25, 25, 28, 40, 21), floats(28, 40, 21)
    u[rng.random(u.shape) < 0.001] = np.nan
    _, got = run_all("ScatterElements", {"x": x, "i": i, "u": u}, axis=axis, reduction=reduction)
    want = x.copy()
    for place in np.ndindex(i.shape):
        at = list(place)
        at[axis] = i[place]
        update(want, tuple(at), u[place], reduction)
    assert np.array_equal(got["y"], want, equal_nan=True)


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_scatter_nd_in_order(reduction, depth):
    x = floats(9, 8, 500)
    i = ints(-8, 8, 300, depth)
    u = floats(300, *x.shape[depth:])
    u[rng.random(u.shape) < 0.001] = np.nan
    _, got = run_all("ScatterND", {"x": x, "i": i, "u": u}, reduction=reduction)
    want = x.copy()
    for row, value in zip(i, u):
        update(want, tuple(row), value, reduction)
    assert np.array_equal(got["y"], want, equal_nan=True)


def test_scatter_of_nothing_is_a_copy():
    x = floats(300, 200)
    for op, shape in (("ScatterElements", (0, 200)), ("ScatterND", (0, 2))):
        u = floats(0, 200) if op == "ScatterElements" else floats(0)
        _, got = run_all(op, {"x": x, "i": ints(0, 1, *shape), "u": u})
        assert np.array_equal(got["y"], x)


# ---- indices out of range


FORMS = {
    "Gather": ({"x": floats(3, 4)}, (2,)),
    "GatherElements": ({"x": floats(3, 4)}, (2, 4)),
    "GatherND": ({"x": floats(3, 4)}, (5, 1)),
    "ScatterElements": ({"x": floats(3, 4), "u": floats(2, 4)}, (2, 4)),
    "ScatterND": ({"x": floats(3, 4), "u": floats(5, 4)}, (5, 1)),
}


@pytest.mark.parametrize("op", FORMS)
@pytest.mark.parametrize("wrong", [-4, 3, 2**40, -2**63])
@pytest.mark.parametrize("dtype", [np.int64, np.int32])
def test_wrong_indices(op, wrong, dtype):
    if dtype == np.int32 and abs(wrong) > 2**31:
        wrong = -2**31
    inputs, shape = FORMS[op]
    names = [n for n in ("x", "i", "u") if n == "i" or n in inputs]
    index = np.zeros(shape, dtype)
    index[tuple(np.subtract(shape, 1))] = 2
    open_model = make_model([(op, names, ["y"], {})], {**inputs, "i": index}, ["y"], opset=18)
    session = wisp.load(convert(open_model, verify=False))
    session.run({**inputs, "i": index})
    index[tuple(np.subtract(shape, 1))] = wrong
    with pytest.raises(wisp.WispError, match=f"{op}.*index out of range: {wrong}"):
        session.run({**inputs, "i": index})
    closed = make_model([(op, names, ["y"], {})], inputs, ["y"], {"i": index}, opset=18)
    # known indices: before any run
    with pytest.raises((wisp.WispError, UnsupportedError), match=f"{op}.*index out of range: {wrong}"):
        wisp.load(convert(closed, verify=False))


@pytest.mark.parametrize("op", FORMS)
@pytest.mark.parametrize("over", ["x", "i"])
def test_plans_that_lay_results_over_operands(op, over):
    """What begin checked could change before range reads it."""
    inputs, shape = FORMS[op]
    operands = [Value(n, a.dtype, a.shape)
                for n, a in {"x": inputs["x"], "i": np.zeros(shape, np.int64), **inputs}.items()]
    y = Value("y", np.dtype(np.float32),
              inputs["x"].shape if op.startswith("Scatter") else (2, 4) if op != "GatherND" else (5, 4))
    attrs = {"batch_dims": 0} if op == "GatherND" else {"reduction": 0} if op == "ScatterND" else {"axis": 0}
    graph = Graph(operands, [y],
                  [Node(op, operands, [y], {**attrs, "reduction": 0} if op == "ScatterElements" else attrs, op)])
    plan = plan_memory(graph)
    plan.plan_size += 1024  # the result may reach further than what it is laid over
    wisp.load(fmt.write(graph, plan))
    plan.offsets[y] = plan.offsets[next(v for v in operands if v.name == over)]
    with pytest.raises(wisp.WispError, match="the plan lays an output over input"):
        wisp.load(fmt.write(graph, plan))
