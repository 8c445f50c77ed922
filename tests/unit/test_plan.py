"""The plan in the file, from outside: random graphs compute what they should, nothing alive shares bytes wrongly."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import wisp
from hypothesis import given, settings, strategies as st
from support import check_close, make_model, reference
from wisp.file import read
from wisp_converter import convert
from wisp_converter.opcodes import opcodes

COPIES = {"Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"}  # the same bytes in the same order
ELEMENTWISE = {"Add", "Mul", "Sub", "Max", "Sin", "Cos", "Neg", "Abs", "Relu", "Tanh"}


def overlaps(a, b) -> bool:
    return a.offset < b.offset + b.size and b.offset < a.offset + a.size


def check_plan(data: bytes):
    """Every activation lies inside the plan, aligned; two alive together are apart, unless one is a copy or a part of
    the other, or takes its place at the node that reads it last."""
    file, names = read(data), {line.code: name for name, line in opcodes().items()}
    activations = [t for t in file.tensors if t.kind == "activation"]
    index = {id(t): i for i, t in enumerate(activations)}
    begins, ends, kin = {}, {}, {id(t): {id(t)} for t in activations}
    begins.update({id(t): -1 for t in file.inputs})
    makers = {}
    for time, node in enumerate(file.operators):
        op = names[node.code]
        for t in node.inputs:
            if t is not None and id(t) in index:
                ends[id(t)] = time
        for t in node.outputs:
            if t is not None:
                begins[id(t)], makers[id(t)] = time, (op, node)
                ends.setdefault(id(t), time)
        parts = node.inputs[:1] if op in COPIES else node.inputs if op == "Concat" else []
        for t in parts:
            if t is not None and id(t) in kin and node.outputs[0] is not None:
                merged = kin[id(t)] | kin[id(node.outputs[0])]
                for member in merged:
                    kin[member] = merged
    ends.update({id(t): len(file.operators) for t in file.outputs})
    for t in activations:
        assert t.offset % 64 == 0 and t.offset + t.size <= file.plan_size, t
    for i, a in enumerate(activations):
        for b in activations[i + 1 :]:
            first, second = (a, b) if begins[id(a)] <= begins[id(b)] else (b, a)
            if not overlaps(a, b) or ends[id(first)] < begins[id(second)] or id(b) in kin[id(a)]:
                continue
            op, node = makers[id(second)]
            place = node.inputs if op in ELEMENTWISE else node.inputs[:1]
            taken = (ends[id(first)] == begins[id(second)]
                     and any(t is not None and t.offset == second.offset and t.size == second.size for t in place))
            same = first.offset == second.offset and first.size == second.size
            assert taken and same, f"{first.name} and {second.name} share memory"
    return file


@st.composite
def graphs(draw):
    """(nodes, constants, outputs) of up to twelve nodes on matrices of odd sizes that grow, shrink, split,
    join and change shape."""
    values, nodes, constants = [("x", (3, 7))], [], {}
    for i in range(draw(st.integers(2, 12))):
        name, shape = draw(st.sampled_from(values[-5:]))
        rows, columns = shape
        op = draw(st.sampled_from(["Sin", "Neg", "Add", "Mul", "Reshape", "Concat", "Concat", "Split", "MatMul",
                                   "Transpose", "Softmax"]))
        if rows * columns > 600:
            op = "Split"
        alike = [n for n, s in values if s == shape]
        out, attributes, operands = f"v{i}", {}, [name]
        if op in ("Add", "Mul"):
            operands.append(draw(st.sampled_from(alike)))
        elif op == "Reshape":
            constants[f"c{i}"] = np.int64([columns, rows])
            operands, shape = [name, f"c{i}"], (columns, rows)
        elif op == "Concat":
            attributes["axis"] = axis = draw(st.integers(0, 1))
            operands = [name] + draw(st.lists(st.sampled_from(alike), min_size=1, max_size=2))
            shape = (rows * len(operands), columns) if axis == 0 else (rows, columns * len(operands))
        elif op == "Split":
            attributes["axis"] = axis = draw(st.integers(0, 1))
            if shape[axis] < 2:
                op = "Neg"
                attributes = {}
            else:
                half = shape[axis] // 2
                constants[f"c{i}"] = np.int64([half, shape[axis] - half])
                operands.append(f"c{i}")
                other = (shape[axis] - half, columns) if axis == 0 else (rows, shape[axis] - half)
                shape = (half, columns) if axis == 0 else (rows, half)
                values.append((f"w{i}", other))
        elif op == "MatMul":
            width = draw(st.sampled_from([1, 5, 16, 33]))
            weights = np.random.default_rng(i).standard_normal((columns, width)).astype(np.float32)
            constants[f"c{i}"] = weights / np.float32(np.sqrt(columns))
            operands, shape = [name, f"c{i}"], (rows, width)
        elif op == "Transpose":
            attributes, shape = {"perm": [1, 0]}, (columns, rows)
        elif op == "Softmax":
            attributes = {"axis": 1}
        nodes.append((op, operands, [out, f"w{i}"] if op == "Split" else [out], attributes))
        values.append((out, shape))
    names = [n for n, _ in values[1:]]
    outputs = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    return make_model(nodes, {"x": (np.float32, [3, 7])}, outputs, constants)


X = {"x": np.random.default_rng(8).standard_normal((3, 7)).astype(np.float32)}


def check_values(got: dict, want: dict) -> None:
    for name, array in want.items():
        check_close(got[name], array, name, rtol=1e-4, atol=1e-5)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(graphs())
def test_random_graphs(model):
    data = convert(model, verify=False)
    want = reference(model, X)
    check_plan(data)
    for threads in (1, 3):
        loaded = wisp.load(data, threads=threads)
        check_values(loaded.run(X), want)
        check_values(loaded.run(X), want)  # what the first run left behind does not matter


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs())
def test_random_graphs_planned_by_the_runtime(model):
    """The same with an open axis in front, which makes the runtime place everything."""
    want = reference(model, X)
    rows = model.graph.input[0].type.tensor_type.shape.dim[0]
    rows.ClearField("dim_value")
    rows.dim_param = "n"
    for output in model.graph.output:
        for axis in output.type.tensor_type.shape.dim:
            axis.ClearField("dim_value")
    data = convert(model, verify=False)
    for threads in (1, 3):
        check_values(wisp.load(data, threads=threads).run(X), want)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_memory_of_odd_sizes_is_aligned(threads):
    """Planned by the runtime: outputs of 4 to 76 bytes, and scratch of an odd number of columns for each thread."""
    rng = np.random.default_rng(9)
    names = [f"y{i}" for i in range(1, 20)]
    constants = {f"c{i}": rng.standard_normal((7, i)).astype(np.float32) for i in range(1, 20)}
    model = make_model([("MatMul", ["x", f"c{i}"], [f"y{i}"]) for i in range(1, 20)] + [("MatMul", ["x", "z"], ["y0"])],
                       {"x": ["n", 7], "z": [7, "m"]}, {name: ["n", None] for name in ["y0", *names]}, constants)
    inputs = {"x": rng.standard_normal((1, 7)).astype(np.float32), "z": rng.standard_normal((7, 3)).astype(np.float32)}
    loaded = wisp.load(convert(model, verify=False), threads=threads, shapes={"x": (1, 7), "z": (7, 3)})
    got = loaded.run(inputs)
    for i in range(1, 20):
        check_close(got[f"y{i}"], inputs["x"] @ constants[f"c{i}"], f"y{i}", rtol=1e-5, atol=1e-6)
    assert loaded.arena_bytes % 64 == 0
    session = loaded._acquire(loaded._bound)
    assert all(view.ctypes.data % 64 == 0 for view in (*session.inputs.values(), *session.outputs.values()))


def test_memory_behind_shared_scratch_of_an_odd_size_is_aligned():
    """A nearest Resize to 3 x 4 keeps 7 positions of 8 bytes for all threads; activations stand behind them."""
    model = make_model([("Resize", ["x", "", "", "sizes"], ["y"], {"mode": "nearest"})], {"x": ["n", 1, 5, 7]}, ["y"],
                       {"sizes": np.int64([1, 1, 3, 4])}, opset=19)
    loaded = wisp.load(convert(model, verify=False), shapes={"x": (1, 1, 5, 7)})
    x = {"x": np.ones((1, 1, 5, 7), np.float32)}
    assert np.array_equal(loaded.run(x)["y"], np.ones((1, 1, 3, 4))) and loaded.arena_bytes % 64 == 0
    session = loaded._acquire(loaded._bound)
    assert all(view.ctypes.data % 64 == 0 for view in (*session.inputs.values(), *session.outputs.values()))


def products(widths: list[int]):
    """A chain of matrix products of these widths, which nothing can do in place."""
    constants = {f"c{i}": np.ones((a, b), np.float32) for i, (a, b) in enumerate(zip(widths, widths[1:]))}
    nodes = [("MatMul", [f"v{i}", f"c{i}"], [f"v{i + 1}"]) for i in range(len(constants))]
    return make_model(nodes, {"v0": [16, widths[0]]}, [f"v{len(constants)}"], constants)


@pytest.mark.parametrize("widths", [
    [16] * 9, [16, 64, 16, 64, 16], [16, 32, 48, 64, 80], [80, 64, 48, 32, 16],
    [16, 256, 16, 16, 16, 128, 32]], ids=str)
def test_a_chain_needs_its_two_largest_neighbours(widths):
    file = check_plan(convert(products(widths), verify=False))
    assert file.plan_size == 16 * 4 * max(a + b for a, b in zip(widths, widths[1:]))


def test_what_is_read_late_stays():
    """A value kept over a chain, and an input read once more at the end."""
    nodes = [("MatMul", ["x", "c"], ["a"]), ("MatMul", ["a", "c"], ["b"]), ("MatMul", ["b", "c"], ["d"]),
             ("MatMul", ["d", "c"], ["e"]), ("Concat", ["a", "e", "x"], ["y"], {"axis": 1})]
    constants = {"c": np.random.default_rng(1).standard_normal((16, 16)).astype(np.float32) / 4}
    model = make_model(nodes, {"x": [16, 16]}, ["y"], constants)
    file = check_plan(convert(model, verify=False))
    size = 16 * 16 * 4
    assert file.plan_size == 6 * size  # a, e, x and the three of y
    x = {"x": np.random.default_rng(2).standard_normal((16, 16)).astype(np.float32)}
    check_values(wisp.load(convert(model, verify=False)).run(x), reference(model, x))


def test_joined_parts_and_views_cost_nothing():
    nodes = [("Sin", ["x"], ["a"]), ("Cos", ["x"], ["b"]), ("Reshape", ["b", "s"], ["r"]),
             ("Concat", ["a", "r"], ["c"], {"axis": 0}), ("Reshape", ["c", "t"], ["d"]), ("Neg", ["d"], ["y"])]
    model = make_model(nodes, {"x": [16, 4]}, ["y"], {"s": np.int64([16, 4]), "t": np.int64([4, 32])})
    # y, with all that becomes it and x in its second half
    assert check_plan(convert(model, verify=False)).plan_size == 2 * 256


def test_parts_that_would_not_be_aligned_are_copied():
    nodes = [("Sin", ["x"], ["a"]), ("Cos", ["x"], ["b"]), ("Concat", ["a", "b"], ["c"], {"axis": 0}),
             ("MatMul", ["c", "w"], ["y"])]
    model = make_model(nodes, {"x": [3, 7]}, ["y"], {"w": np.ones((7, 2), np.float32)})
    check_plan(convert(model, verify=False))
    check_values(wisp.load(convert(model, verify=False)).run(X), reference(model, X))


def test_a_computed_scale_is_not_overwritten():
    """LayerNormalization may take the place of its first input only:
    it reads the others in another order than it writes."""
    nodes = [("Sin", ["x"], ["s"]), ("LayerNormalization", ["x", "s"], ["n"], {"axis": 0}),
             ("Concat", ["n", "x"], ["y"], {"axis": 1})]
    model = make_model(nodes, {"x": [3, 7]}, ["y"])
    check_plan(convert(model, verify=False))
    check_values(wisp.load(convert(model, verify=False)).run(X), reference(model, X))


def test_a_value_joined_with_itself():
    nodes = [("Sin", ["x"], ["a"]), ("Concat", ["a", "a", "a"], ["c"], {"axis": 0}), ("Neg", ["c"], ["y"]),
             ("Abs", ["a"], ["z"])]
    model = make_model(nodes, {"x": [16, 4]}, ["y", "z"])
    check_plan(convert(model, verify=False))
    x = {"x": np.random.default_rng(2).standard_normal((16, 4)).astype(np.float32)}
    check_values(wisp.load(convert(model, verify=False)).run(x), reference(model, x))
