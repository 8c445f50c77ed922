"""Passes on graphs inside graphs: results are numpy's, what a body captures stays, broken graphs are refused."""
# SPDX-License-Identifier: Apache-2.0
import tempfile

import numpy as np
import pytest
import wisp
from support import count
from support_drawn import Drawn
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, all_graphs, captured, constant, reads
from wisp_converter.target.pack import pack
from wisp_converter.passes import run_passes
from wisp_converter.passes.cancel_transposes import cancel_transposes
from wisp_converter.passes.fold_batch_norm import fold_batch_norm
from wisp_converter.passes.fold_constants import fold_constants
from wisp_converter.passes.fuse_activation import fuse_activation
from wisp_converter.passes.fuse_pad import fuse_pad
from wisp_converter.passes.merge_common import merge_common
from wisp_converter.passes.remove_copies import remove_copies
from wisp_converter.passes.remove_dead import remove_dead
from wisp_converter.passes.settle_shapes import settle_shapes
from wisp_converter.target.plan import plan_memory, settle_scratch
from wisp_converter.verify_graph import GraphError, verify_graph

F32, S64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(bool)
rng = np.random.default_rng(5)


def f32(name: str, *shape) -> Value:
    return Value(name, F32, shape)


def random(*shape) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def node(op: str, inputs: list, output: Value, **attrs) -> Node:
    return Node(op, inputs, [output], attrs, f"{op} {output.name}")


def loaded(graph: Graph) -> wisp.Model:
    """What `convert` makes of a graph."""
    run_passes(graph)
    pack(graph)
    plan = plan_memory(graph)
    with tempfile.TemporaryFile() as file:
        fmt.write_to(file, graph, plan)
        settle_scratch(plan, file)
        file.seek(0)
        return wisp.load(file.read())


def branch(nodes: list[Node]) -> Graph:
    return Graph([], nodes[-1].outputs[:1], nodes)


def choice(condition: Value, result: Value, then: list[Node], other: list[Node]) -> Node:
    return node("If", [condition], result, then_branch=branch(then), else_branch=branch(other))


def reader(condition: Value, value: Value, name: str = "y", op: str = "Neg") -> Node:
    """-value where the condition holds, else tanh(value)."""
    then, other, result = (Value(n, value.dtype, value.shape) for n in (f"{name}.t", f"{name}.e", name))
    return choice(condition, result, [node(op, [value], then)], [node("Tanh", [value], other)])


def operators(graph: Graph) -> list[list[str]]:
    return [[n.op for n in g.nodes] for g in all_graphs(graph)]


# ---- all passes


@pytest.mark.parametrize("extent", [32, "n"])
@pytest.mark.parametrize("seed", range(30))
def test_random_graphs(seed, extent):
    data = np.random.default_rng(seed).standard_normal((1, 32, 6)).astype(np.float32) / 4
    drawn = Drawn(seed, extent)
    model = loaded(drawn.graph.copy()[0])
    for condition in (True, False):
        got, want = model.run({"x": data, "c": np.array(condition)}), drawn.compute(data, condition)
        for name in want:
            np.testing.assert_allclose(got[name], want[name], rtol=1e-4, atol=1e-5, err_msg=name)


def test_every_rewrite_reaches_branches():
    """In one branch: a product by constants with its scale, shift and Relu, transposes that cancel, and a copy; in the
    other equal nodes, dead ones, and constants."""
    x, c, k = f32("x", 3, 4), Value("c", BOOL, ()), f32("k", 3, 4)
    weights, scale, shift = random(4, 5), random(5), random(5)
    a, b, d, e, t, u, v, then = (f32(n, 3, 5) for n in "abdetuvT")
    t.shape = u.shape = (5, 3)
    long = [node("MatMul", [x, constant("w", weights)], a), node("Mul", [a, constant("scale", scale)], b),
            node("Add", [b, constant("shift", shift)], d), node("Relu", [d], e), node("Transpose", [e], t, perm=(1, 0)),
            node("Sin", [t], u), node("Transpose", [u], v, perm=(1, 0)), node("Identity", [v], then)]
    f, g, h, i, j, m, other = (f32(n, 3, 5) for n in "fghijmE")
    f.shape = g.shape = h.shape = (3, 1)
    axes, last = constant("axes", np.int64([1])), constant("one", np.float32(1))
    short = [node("ReduceMax", [k, axes], f, keepdims=1),
             node("ReduceMax", [k, constant("axes2", np.int64([1]))], g, keepdims=1), node("Add", [f, g], h),
             node("Cos", [x], f32("dead", 3, 4)), node("Exp", [last], i),
             node("Expand", [i, constant("to", np.int64([3, 5]))], j), node("Mul", [h, j], m), node("Neg", [m], other)]
    i.shape = ()
    y, z = f32("y", 3, 5), f32("z", 3, 5)
    graph = Graph([x, c], [z], [node("Exp", [x], k), choice(c, y, long, short), node("Abs", [y], z)])
    model = loaded(graph)
    assert operators(graph) == [["Exp", "If", "Abs"], ["Gemm", "Sin"], ["ReduceMax", "Add", "Mul", "Neg"]]
    data = random(3, 4)
    got = [model.run({"x": data, "c": np.array(condition)})["z"] for condition in (True, False)]
    want = np.abs(np.sin(np.maximum(data @ weights * scale + shift, 0)))
    np.testing.assert_allclose(got[0], want, rtol=1e-4, atol=1e-5)
    want = np.abs(2 * np.exp(data).max(axis=1, keepdims=True) * np.exp(np.float32(1)))
    np.testing.assert_allclose(got[1], np.broadcast_to(want, (3, 5)), rtol=1e-5)


@pytest.mark.parametrize("extent", [7, "n"])
def test_loop(extent):
    """n times: a, b = relu(a @ w * s), b + x.T.T; scan x. s, captured, turns out to be constant; the body's copies of
    what is not its own are its outputs and stay."""
    x, n, w, s = f32("x", extent, 4), Value("n", S64, ()), random(4, 4) / 2, f32("s", 1)
    i, go, on = Value("i", S64, ()), Value("go", BOOL, ()), Value("on", BOOL, ())
    a, b = f32("a", extent, 4), f32("b", extent, 4)
    p, q, r, t, u, o, c = (f32(v, extent, 4) for v in "pqrtuoc")
    t.shape = (4, extent)
    body = Graph([i, go, a, b], [on, r, u, c], [
        node("Identity", [go], on), node("Gemm", [a, constant("w", w.T.copy()), None], p), node("Mul", [p, s], q),
        node("Relu", [q], r), node("Transpose", [x], t, perm=(1, 0)), node("Transpose", [t], o, perm=(1, 0)),
        node("Add", [b, o], u), node("Identity", [x], c)])
    last_a, last_b, total = f32("last_a", extent, 4), f32("last_b", extent, 4), f32("y", extent, 4)
    rows = f32("rows", None, extent, 4)
    graph = Graph([x, n], [total, rows], [
        node("Abs", [constant("minus", np.float32([-0.75]))], s),
        Node("Loop", [n, None, x, x], [last_a, last_b, rows], {"body": body}, "loop"),
        node("Sub", [last_a, last_b], total)])
    model = loaded(graph)
    assert operators(graph) == [["Loop", "Sub"], ["Identity", "Gemm", "Add", "Identity"]]
    data = random(7, 4)
    for trips in (0, 1, 4):
        want_a, want_b = data, data
        for _ in range(trips):
            want_a, want_b = np.maximum(want_a @ w * np.float32(0.75), 0), want_b + data
        got = model.run({"x": data, "n": np.array(trips)})
        np.testing.assert_allclose(got["y"], want_a - want_b, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(got["rows"], np.broadcast_to(data, (trips, 7, 4)))


# ---- one pass


def test_dead_nodes_around_bodies():
    """What only a dead node of a body read is dead, what a live one reads in the graph within it is not."""
    x, c, gone, kept, last = f32("x", 3), Value("c", BOOL, ()), f32("gone", 3), f32("kept", 3), f32("last", 3)
    inner, dead = reader(c, kept, "inner"), node("Neg", [gone], f32("dead", 3))
    outer = choice(c, f32("y", 3), [dead, inner], [node("Neg", [x], last)])
    graph = Graph([x, c], outer.outputs[:], [node("Exp", [x], gone), node("Sin", [x], kept), outer])
    run_passes(graph, (remove_dead,))
    assert operators(graph) == [["Sin", "If"], ["If"], ["Neg"], ["Neg"], ["Tanh"]]
    assert captured(outer) == [c, kept, x] and graph.users()[kept] == [outer] and reads(outer) == [c, c, kept, x]


def test_equal_nodes_merge_in_their_graph_only():
    x, c, a, b, d = f32("x", 3), Value("c", BOOL, ()), f32("a", 3), f32("b", 3), f32("d", 3)
    then = [node("Sin", [x], d), node("Add", [d, b], f32("t", 3))]
    owner = choice(c, y := f32("y", 3), then, [node("Sub", [a, b], f32("e", 3))])
    graph = Graph([x, c], [y], [node("Sin", [x], a), node("Sin", [x], b), owner])
    run_passes(graph, (merge_common,))
    assert operators(graph) == [["Sin", "If"], ["Sin", "Add"], ["Sub"]]
    assert then[1].inputs == [d, a]


def test_copies_are_skipped_in_bodies_too():
    """But a body must compute its outputs itself, though from what it captures."""
    x, c, copy, relu, inner = f32("x", 3), Value("c", BOOL, ()), f32("copy", 3), f32("relu", 3), f32("inner", 3)
    owner = choice(c, y := f32("y", 3), [node("Identity", [copy], f32("t", 3))],
                   [node("Identity", [copy], inner), node("Neg", [inner], f32("e", 3))])
    graph = Graph([x, c], [y], [node("Relu", [x], relu), node("Identity", [relu], copy), owner])
    run_passes(graph, (remove_copies,))
    assert operators(graph) == [["Relu", "If"], ["Identity"], ["Neg"]]
    assert all(n.inputs == [relu] for g in all_graphs(graph)[1:] for n in g.nodes)


def test_nothing_is_fused_away_that_a_body_reads():
    """Add with Relu, Gemm with Mul, Pad with Conv: each value between them is captured by a branch as well."""
    x, c, image = f32("x", 3, 4), Value("c", BOOL, ()), f32("image", 1, 3, 4, 2)
    add, relu, gemm, mul = (f32(n, 3, 4) for n in ("add", "relu", "gemm", "mul"))
    pad, conv = f32("pad", 1, 5, 6, 2), f32("conv", 1, 3, 4, 5)
    attrs = {"kernel_h": 3, "kernel_w": 3, "stride_h": 1, "stride_w": 1, "dilation_h": 1, "dilation_w": 1, "group": 1}
    nodes = [node("Add", [x, x], add), node("Relu", [add], relu),
             node("Gemm", [relu, constant("w", random(4, 4)), None], gemm),
             node("Mul", [gemm, constant("v", random(4))], mul),
             node("Pad", [image, constant("pads", np.int64([0, 1, 1, 0] * 2))], pad),
             node("Conv", [pad, constant("f", random(5, 3, 3, 2)), None], conv, **attrs)]
    readers = [reader(c, v, f"y{v.name}") for v in (add, gemm, pad)]
    for captures in (False, True):
        tail = readers if captures else []
        outputs = [mul, conv, *(v for n in tail for v in n.outputs)]
        graph = Graph([x, image, c], outputs, nodes + tail).copy()[0]
        run_passes(graph, (fuse_pad, fold_batch_norm, fuse_activation, remove_dead))
        found = ["Add", "Relu", "Gemm", "Mul", "Pad", "Conv", "If", "If", "If"] if captures else ["Add", "Gemm", "Conv"]
        assert operators(graph)[0] == found


def test_transposes_stop_at_what_a_body_reads():
    """The captured value comes in its own layout, whichever layout the nodes around the body get."""
    x, c, t, s, u = f32("x", 3, 4), Value("c", BOOL, ()), f32("t", 4, 3), f32("s", 4, 3), f32("u", 3, 4)
    owner = choice(c, y := f32("y", 3, 4), [node("Transpose", [s], f32("T", 3, 4), perm=(1, 0))],
                   [node("Neg", [u], f32("E", 3, 4))])
    nodes = [node("Transpose", [x], t, perm=(1, 0)), node("Sin", [t], s), node("Transpose", [s], u, perm=(1, 0)), owner]
    graph = Graph([x, c], [y], nodes)
    run_passes(graph, (cancel_transposes, remove_copies))
    assert count(graph, "Transpose") == 1
    model, data = loaded(graph), random(3, 4)
    for condition, want in ((True, np.sin(data)), (False, -np.sin(data))):
        np.testing.assert_allclose(model.run({"x": data, "c": np.array(condition)})["y"], want, rtol=1e-5, atol=1e-6)


def test_constants_and_bodies():
    """A branch on constants only is computed; a captured constant is one in the body; an owner whose condition is
    constant but whose bodies read an input stays."""
    x, k, on = f32("x", 3), f32("k", 3), constant("on", np.array(True))
    y = f32("y", 3)
    three = constant("three", np.float32([1, 2, 3]))
    all_constant, mixed = reader(on, k, "a"), reader(on, x, "b")
    a, b = all_constant.outputs[0], mixed.outputs[0]
    graph = Graph([x], [y], [node("Abs", [three], k), all_constant, mixed, node("Add", [a, b], y)])
    run_passes(graph, (fold_constants,))
    assert operators(graph) == [["If", "Add"], ["Neg"], ["Tanh"]]
    np.testing.assert_array_equal(a.data, [-1, -2, -3])
    c = Value("c", BOOL, ())
    k2, m, y2 = f32("k2", 3), f32("m", 3), f32("y2", 3)
    owner = choice(c, y2, [node("Exp", [k2], m), node("Neg", [m], f32("t", 3))], [node("Tanh", [k2], f32("e", 3))])
    graph = Graph([c], [y2], [node("Neg", [three], k2), owner])
    run_passes(graph, (fold_constants, fold_constants))
    assert operators(graph) == [["If"], ["Neg"], ["Tanh"]]
    np.testing.assert_allclose(m.data, np.exp(-three.data), rtol=1e-6)


def test_a_constant_branch_that_captures_its_shape():
    """Two runs: the shape must be known when the second is prepared."""
    s, y, z = Value("s", S64, (2,)), f32("y", 2, 3), f32("z", 2, 3)
    six = constant("six", np.arange(6, dtype=np.float32))
    owner = choice(constant("on", np.array(True)), y, [node("Reshape", [six, s], f32("t", 2, 3))],
                   [node("Expand", [constant("one", np.float32(1)), s], f32("e", 2, 3))])
    shape = node("Add", [constant("a", np.int64([1, 1])), constant("b", np.int64([1, 2]))], s)
    graph = Graph([], [z], [shape, owner, node("Neg", [y], z)])
    run_passes(graph, (fold_constants,))
    assert operators(graph) == [["Neg"]]
    np.testing.assert_array_equal(y.data, np.arange(6).reshape(2, 3))


def test_shapes_in_bodies_are_settled():
    """Together with the graph around them, from which a Reshape needs integers when it is planned."""
    x, c, u, s = f32("x", 3, 4), Value("c", BOOL, ()), f32("u", None, None), Value("s", S64, (2,))
    t, e, r, y = f32("t", None, None), f32("e", None, None), f32("r", None, None), f32("y", None, None)
    then = [node("Transpose", [u], r, perm=(1, 0)), node("Neg", [r], t)]
    other = [node("Reshape", [x, s], e)]
    nodes = [node("Transpose", [x], u, perm=(1, 0)), node("Shape", [x], s, end=2), choice(c, y, then, other)]
    graph = Graph([x, c], [y], nodes)
    run_passes(graph, (settle_shapes,))
    assert (u.shape, r.shape, t.shape, e.shape, y.shape) == ((4, 3), (3, 4), (3, 4), (3, 4), (3, 4))
    model, data = loaded(graph), random(3, 4)
    for condition, want in ((True, -data), (False, data)):
        np.testing.assert_array_equal(model.run({"x": data, "c": np.array(condition)})["y"], want)


@pytest.mark.parametrize("extent", [3, "n"])
@pytest.mark.parametrize("op", ["Reshape", "Expand"])
def test_a_shape_that_a_branch_computes(op, extent):
    """It is known when the branch is planned, also where the branch gives it out: then as a copy."""
    x, e, c = f32("x", extent, 4), f32("e", extent, 4), Value("c", BOOL, ())
    t, y = f32("t", None, None), f32("y", None, None)
    s, z, none = (Value(name, S64, (2,)) for name in ("s", "z", "none"))
    then = Graph([], [t, s], [node("Shape", [x], s, end=2), node(op, [x, s], t)])
    other = Graph([], [e, none], [node("Neg", [x], e), node("Neg", [constant("ones", np.int64([1, 1]))], none)])
    owner = Node("If", [c], [y, z], {"then_branch": then, "else_branch": other}, "if")
    graph = Graph([x, c], [y, z], [owner])
    model, data = loaded(graph), random(3, 4)
    assert operators(graph)[1] == ["Shape", op, "Identity"]
    for condition in (True, False):
        got = model.run({"x": data, "c": np.array(condition)})
        np.testing.assert_array_equal(got["y"], data if condition else -data)
        assert got["z"].tolist() == ([3, 4] if condition else [-1, -1])


def test_a_shape_that_each_iteration_computes():
    """n times: a = twice a + ones like a, one behind the other."""
    x, n, y = f32("x", 3, 4), Value("n", S64, ()), f32("y", None, 4)
    i, go, on, s = Value("i", S64, ()), Value("go", BOOL, ()), Value("on", BOOL, ()), Value("s", S64, (2,))
    a, ones, more, twice = (f32(name, None, 4) for name in ("a", "ones", "more", "twice"))
    body = Graph([i, go, a], [on, twice], [
        node("Identity", [go], on), node("Shape", [a], s, end=2),
        node("Expand", [constant("one", np.float32(1)), s], ones), node("Add", [a, ones], more),
        node("Concat", [more, more], twice, axis=0)])
    model = loaded(Graph([x, n], [y], [Node("Loop", [n, None, x], [y], {"body": body}, "loop")]))
    data = random(3, 4)
    for trips in (0, 1, 5, 2):
        want = data
        for _ in range(trips):
            want = np.concatenate([want + np.float32(1)] * 2)
        np.testing.assert_array_equal(model.run({"x": data, "n": np.array(trips)})["y"], want)


def test_a_copy_shares_nothing_but_constants():
    graph = Drawn(4, 32).graph
    copy, twin = graph.copy()
    verify_graph(copy)
    assert operators(copy) == operators(graph) and len(all_graphs(graph)) > 1
    mine, theirs = ({v for g in all_graphs(one) for v in g.values()} for one in (graph, copy))
    assert not mine & theirs and set(twin) == mine and set(twin.values()) == theirs
    assert not set(map(id, all_graphs(graph))) & set(map(id, all_graphs(copy)))


# ---- the verifier


def deep(levels: int) -> Graph:
    c, x = Value("c", BOOL, ()), f32("x", 3)
    nodes = [node("Neg", [x], f32("y1", 3))]
    for level in range(1, levels):
        nodes = [choice(c, f32(f"y{level + 1}", 3), nodes, [node("Neg", [x], f32(f"e{level}", 3))])]
    return Graph([x, c], nodes[-1].outputs[:], nodes)


def test_depth():
    verify_graph(deep(8))
    with pytest.raises(GraphError, match="deeper than 8"):
        verify_graph(deep(9))


def broken(what: str) -> Graph:
    """One mistake in a graph whose node "If y" has a branch that computes t from k, and one that computes e from x."""
    c = Value("c", BOOL, ())
    x, k, y, z, t, e = (f32(name, 3) for name in "xkyzte")
    owner = choice(c, y, [node("Neg", [k], t)], [node("Tanh", [x], e)])
    graph = Graph([x, c], [z], [node("Exp", [x], k), owner, node("Abs", [y], z)])
    then, other = owner.attrs.values()
    if what == "reads what comes later":
        graph.nodes[:2] = graph.nodes[1::-1]
    elif what == "reads its owner's result":
        then.nodes[0].inputs = [y]
    elif what == "reads the other branch":
        other.nodes[0].inputs = [t]
    elif what == "is read from outside":
        graph.nodes[2].inputs = [t]
    elif what == "computes what is computed around it":
        then.nodes[0].outputs = then.outputs = [k]
    elif what == "computes its owner's result":
        then.nodes[0].outputs = then.outputs = [y]
    elif what == "computes what the other computes":
        then.nodes[0].outputs = then.outputs = [e]
    elif what == "computes its input":
        then.inputs, then.nodes[0].outputs = [t], [t]
    elif what == "has an input from outside":
        then.inputs = [k]
    elif what == "has a constant input":
        then.inputs = [constant("seven", np.float32([7]))]
    elif what == "gives out its input":
        then.inputs = then.outputs = [f32("i", 3)]
    elif what == "gives out what it captures":
        then.outputs = [k]
    elif what == "gives out a constant":
        then.outputs = [constant("seven", np.float32([7]))]
    elif what == "gives out one value twice":
        then.outputs = [t, t]
    elif what == "has two owners":
        graph.nodes.insert(2, node("If", [c], f32("w", 3), then_branch=then, else_branch=Graph([], [], [])))
    elif what == "is both branches":
        owner.attrs["then_branch"] = owner.attrs["else_branch"] = Graph([], [], [])
    elif what == "is missing":
        del owner.attrs["else_branch"]
    elif what == "is a number":
        owner.attrs["else_branch"] = 1
    elif what == "is no parameter of its owner":
        graph.nodes[2].attrs["body"] = Graph([], [], [])
    elif what == "is where a number belongs":
        graph.nodes[0] = node("LeakyRelu", [x], k, alpha=Graph([], [], []))
    elif what == "has an unknown operator":
        then.nodes[0].op = "Nothing"
    elif what == "has a bad constant":
        then.nodes[0].inputs = [Value("seven", F32, (2,), np.float32([7]))]
    return graph


@pytest.mark.parametrize("what, message", [
    ("reads what comes later", "reads k:.* before"),
    ("reads its owner's result", "reads y:.* before"),
    ("reads the other branch", "reads t:.* before"),
    ("is read from outside", "reads t:.* before"),
    ("computes what is computed around it", "computes k:.* again"),
    ("computes its owner's result", "computes y:.* again"),
    ("computes what the other computes", "computes e:.* again"),
    ("computes its input", "computes t:.* again"),
    ("has an input from outside", "input computes k:.* again"),
    ("has a constant input", "input computes seven:.* again"),
    ("gives out its input", "output i:.* not computed"),
    ("gives out what it captures", "output k:.* not computed"),
    ("gives out a constant", "output seven:.* not computed"),
    ("gives out one value twice", "listed twice"),
    ("has two owners", "two owners"),
    ("is both branches", "two owners"),
    ("is missing", "else_branch must be a graph"),
    ("is a number", "else_branch must be a graph"),
    ("is no parameter of its owner", "no such parameter: body"),
    ("is where a number belongs", "alpha must not be a graph"),
    ("has an unknown operator", "no such operator"),
    ("has a bad constant", "differ from the data's"),
])
def test_a_broken_body(what, message):
    verify_graph(broken(""))
    with pytest.raises(GraphError, match=f"after cutting: .*{message}"):
        verify_graph(broken(what), "cutting")
