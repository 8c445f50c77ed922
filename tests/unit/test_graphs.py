"""Graphs inside graphs, states and shared memory: files written from the converter's graph, compared with numpy."""
# SPDX-License-Identifier: Apache-2.0
import tempfile
import time

import numpy as np
import pytest
import wisp
from support_drawn import Drawn
from wisp.commands.inspect import describe
from wisp.expose import expose
from wisp.file import read
from wisp_converter.target import format as fmt
from wisp_converter.target.format import State, tensor_size
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.target.plan import Life, plan_memory, settle_scratch

F32, S64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(bool)
rng = np.random.default_rng(3)


def f32(name: str, *shape) -> Value:
    return Value(name, F32, shape)


def saved(graph: Graph, states=()) -> bytes:
    plan = plan_memory(graph, states)
    with tempfile.TemporaryFile() as file:
        fmt.write_to(file, graph, plan)
        settle_scratch(plan, file)
        file.seek(0)
        return file.read()


def branches(extent) -> Graph:
    """y = relu(x) * 2 + x where c, else -x + k:
    both branches read x, the model's input, and the second a value before the If."""
    x, c, k, y, z = f32("x", extent), Value("c", BOOL, ()), f32("k", extent), f32("y", extent), f32("z", extent)
    a, b, t, e, f = f32("a", extent), f32("b", extent), f32("t", extent), f32("e", extent), f32("f", extent)
    then = Graph([], [t], [Node("Relu", [x], [a], {}, "relu"),
                           Node("Mul", [a, constant("two", np.float32([2]))], [b], {}, "mul"),
                           Node("Add", [b, x], [t], {}, "add")])
    other = Graph([], [e], [Node("Neg", [x], [f], {}, "neg"), Node("Add", [f, k], [e], {}, "add2")])
    return Graph([x, c], [z], [Node("Exp", [x], [k], {}, "exp"),
                               Node("If", [c], [y], {"then_branch": then, "else_branch": other}, "if"),
                               Node("Tanh", [y], [z], {}, "tanh")])


@pytest.mark.parametrize("extent", [37, "n"])
def test_if(extent):
    model = wisp.load(saved(branches(extent)))
    x = rng.standard_normal(37).astype(np.float32)
    for condition in (True, False, True):
        got = model.run({"x": x, "c": np.array(condition)})["z"]
        want = np.tanh(np.maximum(x, 0) * 2 + x if condition else np.exp(x) - x)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def loop(extent, swap: bool) -> Graph:
    """n times: a, b = b + x, a * h (or, without swap, a + x, b * h); h = 1/2 is computed before the loop."""
    x, n, a0, b0, h = f32("x", extent), Value("n", S64, ()), f32("a0", extent), f32("b0", extent), f32("h", 1)
    i, go, on = Value("i", S64, ()), Value("go", BOOL, ()), Value("on", BOOL, ())
    a, b = f32("a", extent), f32("b", extent)
    p, q, r, s = f32("p", extent), f32("q", extent), f32("r", extent), f32("s", extent)
    body = Graph([i, go, a, b], [on, p, q], [Node("Not", [go], [off := Value("off", BOOL, ())], {}, "not"),
                                             Node("Not", [off], [on], {}, "not2"),
                                             Node("Add", [b if swap else a, x], [p], {}, "add"),
                                             Node("Mul", [a if swap else b, h], [q], {}, "mul")])
    nodes = [Node("Relu", [constant("half", np.float32([0.5]))], [h], {}, "relu"), Node("Neg", [x], [a0], {}, "neg"),
             Node("Abs", [x], [b0], {}, "abs"), Node("Loop", [n, None, a0, b0], [r, s], {"body": body}, "loop"),
             Node("Sub", [r, s], [y := f32("y", extent)], {}, "sub")]
    return Graph([x, n], [y], nodes)


@pytest.mark.parametrize("extent", [29, "n"])
@pytest.mark.parametrize("swap", [False, True])
def test_loop(extent, swap):
    model = wisp.load(saved(loop(extent, swap)))
    x = rng.standard_normal(29).astype(np.float32)
    for count in (0, 1, 2, 5, 8):
        a, b = -x, np.abs(x)
        for _ in range(count):
            a, b = (b + x, a * np.float32(0.5)) if swap else (a + x, b * np.float32(0.5))
        np.testing.assert_array_equal(model.run({"x": x, "n": np.array(count)})["y"], a - b)


def test_extents_that_a_run_finds_out():
    """n rows of x * 2^row: the arena grows when the run needs more, and the run begins again."""
    x, n, y = f32("x", 50), Value("n", S64, ()), f32("y", None, 50)
    i, go, on = Value("i", S64, ()), Value("go", BOOL, ()), Value("on", BOOL, ())
    a, b, last = f32("a", 50), f32("b", 50), f32("last", 50)
    body = Graph([i, go, a], [on, b, row := f32("row", 50)], [
        Node("Or", [go, go], [on], {}, "or"), Node("Add", [a, a], [b], {}, "add"), Node("Neg", [a], [row], {}, "neg")])
    sums = Node("ReduceSum", [y, constant("axes", np.int64([0]))], [total := f32("total", 50)], {}, "sum")
    loop = Node("Loop", [n, None, x], [last, y], {"body": body}, "loop")
    model = wisp.load(saved(Graph([x, n], [total, y], [loop, sums])))
    data, arenas = rng.standard_normal(50).astype(np.float32), []
    for count in (3, 700, 0, 1, 90, 5000):
        got = model.run({"x": data, "n": np.array(count)})
        with np.errstate(over="ignore"):
            want = (-data * 2.0 ** np.arange(count)[:, None]).astype(np.float32)
            np.testing.assert_allclose(got["total"], want.sum(axis=0), rtol=1e-5)
        np.testing.assert_array_equal(got["y"], want)
        arenas.append(model.arena_bytes)
    assert arenas[1] > arenas[0] and arenas[-1] > arenas[1]


def nested(depth: int) -> Graph:
    """y = x + 1, in the innermost of `depth` graphs."""
    c, x, one = Value("c", BOOL, ()), f32("x", 4), constant("one", np.float32([1]))

    def level(left: int, name: str) -> Graph:
        y = f32(f"{name}{left}", 4)
        if left == 1:
            return Graph([], [y], [Node("Add", [x, one], [y], {}, f"add {name}")])
        bodies = {"then_branch": level(left - 1, name + "t"), "else_branch": level(1, name + "e")}
        node = Node("If", [c], [y], bodies, f"if {name}")
        return Graph([], [y], [node])

    graph = level(depth, "y")
    return Graph([x, c], graph.outputs, graph.nodes)


def test_eight_deep():
    x, model = np.float32([1, 2, 3, 4]), wisp.load(saved(nested(8)))
    for condition in (True, False):
        np.testing.assert_array_equal(model.run({"x": x, "c": np.array(condition)})["y8"], x + 1)


def test_both_readers_see_the_graphs():
    file = read(saved(nested(3)))
    assert ([len(g.operators) for g in file.graphs] == [1] * 5
            and [g.outputs[0].name for g in file.graphs] == ["y3", "yt2", "ye1", "ytt1", "yte1"])
    nodes = [n.name for n in wisp.load(saved(nested(3))).nodes()]
    assert nodes == [o.name for o in file.operators] == ["if y", "if yt", "add ye", "add ytt", "add yte"]


@pytest.mark.parametrize("extent", [37, "n"])
def test_exposed_are_the_values_of_the_model_itself(extent):
    changed, file = expose(saved(branches(extent)))
    x = rng.standard_normal(37).astype(np.float32)
    got = wisp.load(changed).run({"x": x, "c": np.array(True)})
    want = {"k": np.exp(x), "y": np.maximum(x, 0) * 2 + x, "z": np.tanh(np.maximum(x, 0) * 2 + x)}
    assert sorted(got) == sorted(want) and len(file.graphs) == 3
    for name in want:
        np.testing.assert_allclose(got[name], want[name], rtol=1e-5, atol=1e-6)


# ---- states


def running_sum(extent, initial: np.ndarray | None) -> tuple[Graph, list[State]]:
    """y = 2 * total; total += x."""
    x, total, following, y = f32("x", extent), f32("total", 3), f32("following", 3), f32("y", 3)
    nodes = [Node("ReduceSum", [x, constant("axes", np.int64([0]))], [part := f32("part", 3)], {}, "sum"),
             Node("Add", [total, part], [following], {}, "add"),
             Node("Mul", [following, constant("two", np.float32([2]))], [y], {}, "mul")]
    x.shape = (extent, 3)
    return Graph([x], [y], nodes), [State(total, following, None if initial is None else constant("initial", initial))]


@pytest.mark.parametrize("initial", [None, np.float32([10, 20, 30])])
@pytest.mark.parametrize("extent", [2, "n"])
def test_a_state_outlives_runs_and_resizes(extent, initial):
    model = wisp.load(saved(*running_sum(extent, initial)))
    start = np.zeros(3, np.float32) if initial is None else initial
    for _ in range(2):
        total = start
        for rows in (2, 2, 2) if extent == 2 else (2, 2000, 1, 5):
            x = np.arange(3 * rows, dtype=np.float32).reshape(rows, 3)
            total = total + x.sum(axis=0)
            np.testing.assert_array_equal(model.run(x)["y"], 2 * total)
        model.reset()


def test_states_stand_at_the_front_of_the_arena():
    data = saved(*running_sum(2, None))
    file = read(data)
    assert [(s.tensor.name, s.next.name, s.initial) for s in file.states] == [("total", "following", None)]
    assert file.state_size == 64 and wisp.load(data).arena_bytes == file.arena_size(1)
    assert describe(file, 0)["states"] == [{"name": "total", "dtype": "float32", "shape": [3]}]


# ---- shared memory


@pytest.mark.parametrize("seed", range(60))
def test_both_planners_share_memory_only_where_that_harms_nobody(seed):
    """32 rows of 6 floats are 768 bytes, so that parts of joined values begin on 64 bytes."""
    data = np.random.default_rng(seed).standard_normal((1, 32, 6)).astype(np.float32) / 4
    for extent in (32, "n"):
        drawn = Drawn(seed, extent)
        model = wisp.load(saved(drawn.graph))
        for condition in (True, False):
            got, want = model.run({"x": data, "c": np.array(condition)}), drawn.compute(data, condition)
            for name in want:
                np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5,
                                           err_msg=f"{name}, extent {extent}")


def test_random_graphs_do_share_memory():
    planned = apart = 0
    for seed in range(20):
        graph = Drawn(seed, 32).graph
        planned += plan_memory(graph).plan_size
        apart += sum(fmt.round_up(tensor_size(v), 64) for v in Life(graph).spans)
    assert planned < apart / 3


@pytest.mark.parametrize("op, count, attrs", [("Relu", 4000, {}), ("Transpose", 3000, {"perm": (0, 1)})])
def test_planning_is_not_quadratic(op, count, attrs):
    """In one buffer, and with a buffer for each node."""
    values = [f32(f"v{i}", 1, 64) for i in range(count + 1)]
    graph = Graph(values[:1], values[-1:], [Node(op, [a], [b], attrs, b.name) for a, b in zip(values, values[1:])])
    start = time.process_time()
    plan = plan_memory(graph)
    assert time.process_time() - start < 1
    assert plan.plan_size == plan.lower_bound == (256 if op == "Relu" else 512)
