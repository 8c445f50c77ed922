"""Reductions against ONNX's reference, ONNX Runtime and numpy; int8 means and sums against exact arithmetic."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from wisp_converter import UnsupportedError, convert
from wisp_converter.target import format as wisp_format
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.ops import reduce
from wisp_converter.target.plan import plan_memory

from ops.test_eltwise import all_bytes, f32_value, quantized_file
from support import check_model, make_model, reference

rng = np.random.default_rng(100)

SUMS = ["ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare"]
LOGS = ["ReduceLogSum", "ReduceLogSumExp"]
ALL = [*SUMS, *LOGS, "ReduceMax", "ReduceMin", "ReduceProd"]
CASES = [
    ((7,), [0]), ((1,), [0]), ((3, 5), [0]), ((3, 5), [1]), ((3, 5), [-1]), ((3, 5), [0, 1]), ((2, 3, 4), [1]),
    ((2, 3, 4), [0, 2]), ((2, 7, 5, 33), [1, 2]), ((2, 7, 5, 33), [2, 3]), ((3, 2, 4, 5, 2), [1, 3]),
    ((3, 1, 4, 1, 5), [1, 4]), ((2, 1, 2, 3, 1, 2, 2, 2), [0, 3, 6]), ((5, 300, 70), [1]), ((4, 2500), [1]),
    ((3, 700), [0]), ((), None), ((2, 3, 4), None),
]


def model(op, x, axes, *, opset=18, as_input=None, **attrs):
    """axes as an attribute or a constant input, as the opset has it."""
    by_input = opset >= (13 if op == "ReduceSum" else 18) if as_input is None else as_input
    if axes is None:
        return make_model([(op, ["x"], ["y"], attrs)], {"x": x}, ["y"], opset=opset)
    if by_input:
        return make_model([(op, ["x", "axes"], ["y"], attrs)], {"x": x}, ["y"],
                          {"axes": np.array(axes, np.int64)}, opset=opset)
    return make_model([(op, ["x"], ["y"], dict(attrs, axes=axes))], {"x": x}, ["y"], opset=opset)


def run(m, x, **options):
    return wisp.load(convert(m, verify=False), **options).run({"x": x})["y"]


@pytest.mark.parametrize("op", ALL)
@pytest.mark.parametrize("shape,axes", CASES, ids=str)
def test_float(op, shape, axes):
    x = np.asarray(rng.standard_normal(shape), np.float32)
    if op == "ReduceLogSumExp" and shape == ():
        pytest.skip("onnx.reference cannot do this")
    if op == "ReduceLogSum":
        x = np.asarray(np.abs(x) + 0.1)
    if op == "ReduceProd":  # powers of two: every product is exact, in whatever order
        x = np.asarray(rng.choice([-1, 1, 1, 1, 0.5, 2], shape), np.float32)
    for keepdims in (0, 1):
        check_model(model(op, x, axes, keepdims=keepdims), {"x": x}, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("op", ALL)
@pytest.mark.parametrize("opset", [7, 11, 13])
def test_old_opsets(op, opset):
    x = rng.uniform(0.5, 1.5, (2, 3, 4)).astype(np.float32)
    check_model(model(op, x, [1], opset=opset), {"x": x}, rtol=1e-6)


@pytest.mark.parametrize("op", ALL)
def test_no_axes(op):
    x = rng.uniform(0.5, 1.5, (2, 3, 4)).astype(np.float32)
    check_model(model(op, x, None, noop_with_empty_axes=0, keepdims=0), {"x": x}, rtol=1e-6)
    one = {"ReduceL1": np.abs, "ReduceL2": np.abs, "ReduceSumSquare": np.square,
           "ReduceLogSum": np.log}.get(op, lambda v: v)
    for axes in (None, []):
        got = run(model(op, x, axes, noop_with_empty_axes=1), x)
        np.testing.assert_allclose(got, one(x), rtol=1e-6, atol=1e-7)


EMPTY = {"ReduceSum": 0, "ReduceL1": 0, "ReduceL2": 0, "ReduceSumSquare": 0, "ReduceProd": 1, "ReduceMean": np.nan,
         "ReduceLogSum": -np.inf, "ReduceLogSumExp": -np.inf, "ReduceMax": -np.inf, "ReduceMin": np.inf}


@pytest.mark.parametrize("op", ALL)
def test_of_nothing(op):
    for shape, axes in (((2, 0, 4), [1]), ((2, 3, 0), [2]), ((0,), [0])):
        x = np.zeros(shape, np.float32)
        got = run(model(op, x, axes), x)
        extents = [1 if i in axes else d for i, d in enumerate(shape)]
        np.testing.assert_array_equal(got, np.full(extents, EMPTY[op], np.float32))
    x = np.zeros((2, 0, 4), np.float32)
    assert run(model(op, x, [0]), x).shape == (1, 0, 4)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float64])
@pytest.mark.parametrize("op,function", [
    ("ReduceSum", np.sum), ("ReduceMax", np.max), ("ReduceMin", np.min), ("ReduceProd", np.prod)])
def test_other_dtypes(op, function, dtype):
    x = rng.integers(1, 9, (4, 3, 130)).astype(dtype)
    for axes in ([1], [0, 2], [2]):
        m = make_model([(op, ["x", "axes"], ["y"], {})], {"x": x},
                       {"y": (dtype, [1 if i in axes else d for i, d in enumerate(x.shape)])},
                       {"axes": np.array(axes)}, opset=18)
        want = function(x, axis=tuple(axes), keepdims=True, **({} if "M" in op[6:] else {"dtype": dtype}))
        np.testing.assert_array_equal(run(m, x), want)


@pytest.mark.parametrize("op", ALL)
def test_float64(op):
    x = rng.uniform(0.5, 1.5, (3, 4, 130))
    for axes in ([1], [2], [0, 2]):
        got = check_model(model(op, x, axes), {"x": x})["y"]
        np.testing.assert_allclose(got, reference(model(op, x, axes), {"x": x})["y"], rtol=1e-12)


def test_integer_limits():
    x = np.zeros((2, 0), np.int32)
    for op, want in (("ReduceMax", -2**31), ("ReduceMin", 2**31 - 1), ("ReduceProd", 1), ("ReduceSum", 0),
                     ("ReduceMean", 0)):
        np.testing.assert_array_equal(run(model(op, x, [1], keepdims=0), x), [want, want])


def test_nan_and_infinity():
    x = rng.standard_normal((6, 40)).astype(np.float32)
    x[0, 3], x[1, 39], x[2, 5], x[3, :], x[4, ::2] = np.nan, np.nan, np.inf, -np.inf, -np.inf
    for op, function in (("ReduceMax", np.max), ("ReduceMin", np.min), ("ReduceSum", np.sum)):
        for axis in (0, 1):
            with np.errstate(all="ignore"):
                want = function(x.astype(np.float64), axis=axis, keepdims=True)
            np.testing.assert_allclose(run(model(op, x, [axis]), x), want, rtol=1e-6)
    with np.errstate(all="ignore"):
        want = np.logaddexp.reduce(x.astype(np.float64), axis=1)
    np.testing.assert_allclose(run(model("ReduceLogSumExp", x, [1], keepdims=0), x), want, rtol=1e-6)
    big = np.full((2, 3), 1e4, np.float32)
    np.testing.assert_allclose(run(model("ReduceLogSumExp", big, [1], keepdims=0), big),
                               [1e4 + np.log(3)] * 2, rtol=1e-6)


def test_long_sums_are_accurate():
    """Partial sums keep the rounding error of a million terms below that of a single running sum."""
    x = (1 + rng.random((1, 1_000_000))).astype(np.float32)
    for axes, shape in (([1], x.shape), ([0], (500_000, 2))):
        view = x.reshape(shape)
        want = view.sum(axis=axes[0], dtype=np.float64)
        np.testing.assert_allclose(run(model("ReduceSum", view, axes, keepdims=0), view), want, rtol=2e-5)


@pytest.mark.parametrize("op", ALL)
@pytest.mark.parametrize("axes", [[1], [2], [0, 2], [0, 1, 2]], ids=str)
def test_threads(op, axes):
    x = rng.uniform(0.9, 1.1, (9, 50, 700)).astype(np.float32)
    data = convert(model(op, x, axes), verify=False)
    assert len({wisp.load(data, threads=t).run({"x": x})["y"].tobytes() for t in (1, 2, 3)}) == 1


@pytest.mark.parametrize("op", sorted({*ALL} - {"ReduceLogSum"}))
def test_few_long_results_do_not_depend_on_threads(op):
    """They are cut into blocks, which any thread may make, and are joined in the order of one thread, which is what
    axes found in the run give."""
    for shape, axes in (((100_003,), [0]), ((3, 70_001), [1]), ((30, 2, 5000), [0, 2])):
        x = (1 + rng.standard_normal(shape) / 1000).astype(np.float32)
        data = convert(model(op, x, axes), verify=False)
        results = [wisp.load(data, threads=t).run({"x": x})["y"] for t in (1, 2, 3)]
        assert all(np.array_equal(results[0], r) for r in results)
        exact = reference(model(op, x.astype(np.float64), axes), {"x": x.astype(np.float64)})["y"]
        # of a product each factor's; sums are of blocks
        roundings = x.size // exact.size if op == "ReduceProd" else 500
        np.testing.assert_allclose(results[0], exact, rtol=roundings * 2.0**-24)
        if len(axes) == 1:
            late = wisp.load(late_axes(op, shape, [1 if a in axes else n for a, n in enumerate(shape)], 1, 1))
            assert np.array_equal(np.abs(results[0]), late.run({"x": x, "minus": -np.array(axes)})["y"])


def test_dynamic_axes():
    nodes = [("ReduceMean", ["x"], ["m"], dict(axes=[1], keepdims=1)),
             ("ReduceMax", ["x"], ["n"], dict(axes=[0, 2], keepdims=0)), ("ArgMax", ["x"], ["i"], dict(axis=2)),
             ("CumSum", ["x", "one"], ["c"], {})]
    data = convert(make_model(nodes, {"x": ["N", "T", 5]}, ["m", "n", "i", "c"], {"one": np.array(1)}), verify=False)
    for shape in ((1, 1, 5), (3, 70, 5)):
        x = rng.standard_normal(shape).astype(np.float32)
        got = wisp.load(data, shapes={"x": shape}).run({"x": x})
        np.testing.assert_allclose(got["m"], x.mean(1, keepdims=True, dtype=np.float64), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(got["n"], x.max((0, 2)))
        np.testing.assert_array_equal(got["i"], x.argmax(2)[..., None])
        np.testing.assert_allclose(got["c"], x.cumsum(1, dtype=np.float64), rtol=1e-5, atol=1e-5)


def test_after_a_convolution():
    """Axes written for NCHW follow the layout of the image."""
    x = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    for axes in ([2, 3], [1], [-1], [0, 2]):
        for keepdims in (0, 1):
            nodes = [("Conv", ["x", "w"], ["c"], {}), ("ReduceMean", ["c"], ["y"], dict(axes=axes, keepdims=keepdims))]
            check_model(make_model(nodes, {"x": x}, ["y"], {"w": rng.standard_normal((4, 3, 1, 1)).astype(np.float32)}),
                        {"x": x})


def test_axes_computed_by_the_graph():
    x = rng.standard_normal((2, 3, 4)).astype(np.float32)
    m = make_model([("ReduceSum", ["x", "axes"], ["y"], dict(keepdims=0))], {"x": x, "axes": (np.int64, [1])},
                   {"y": [2, 4]}, opset=13)  # as an exporter that saw axis 1 declares it
    loaded = wisp.load(convert(m, verify=False))
    for axis in (1, 0, -1):
        got = loaded.run({"x": x, "axes": np.array([axis])})["y"]
        assert got.shape == x.sum(axis).shape
        np.testing.assert_allclose(got, x.sum(axis), rtol=1e-5, atol=1e-6)
    for axes in ([5], [-9]):
        with pytest.raises(wisp.WispError, match="axes|axis"):
            loaded.run({"x": x, "axes": np.array(axes)})


def late_axes(op: str, shape: tuple, dims: list, axes: int, keepdims: int) -> bytes:
    """y = Abs(op(x, Neg(minus))): the axes are found in the run. dims: of op's result, None where open."""
    f32, s64 = np.dtype(np.float32), np.dtype(np.int64)
    x, minus, computed = Value("x", f32, shape), Value("minus", s64, (axes,)), Value("computed", s64, (axes,))
    r, y = Value("r", f32, tuple(dims)), Value("y", f32, tuple(dims))
    attrs = {"keepdims": keepdims, "noop_with_empty_axes": 0}
    nodes = [Node("Neg", [minus], [computed], {}, "neg"), Node(op, [x, computed], [r], attrs, op),
             Node("Abs", [r], [y], {}, "abs")]
    graph = Graph([x, minus], [y], nodes)
    return wisp_format.write(graph, plan_memory(graph))


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMax"])
@pytest.mark.parametrize("threads", [1, 2])
def test_axes_found_in_the_run(op, threads):
    """Where the file leaves the output's extents open they follow from the axes, in each run anew; where it states them
    they must fit."""
    x = rng.integers(-99, 100, (2, 300, 70)).astype(np.float32)  # every sum is exact, in whatever order
    function = {"ReduceSum": np.sum, "ReduceMax": np.max}[op]
    opened = wisp.load(late_axes(op, x.shape, [None, None, None], 1, 1), threads=threads)
    for axis in (1, 2, 0, 2):
        want = np.abs(function(x, axis=axis, keepdims=True))
        np.testing.assert_array_equal(opened.run({"x": x, "minus": np.array([-axis])})["y"], want)
    with pytest.raises(wisp.WispError, match="wrong axis 7"):
        opened.run({"x": x, "minus": np.array([-7])})
    got = opened.run({"x": x, "minus": np.array([0])})["y"]
    np.testing.assert_allclose(got, np.abs(function(x, axis=0, keepdims=True)), rtol=1e-5, atol=1e-5)

    for keepdims, dims in ((0, [2, 300]), (1, [2, 300, 1])):
        stated = wisp.load(late_axes(op, x.shape, dims, 1, keepdims), threads=threads)
        want = np.abs(function(x, axis=2, keepdims=bool(keepdims)))
        np.testing.assert_allclose(stated.run({"x": x, "minus": np.array([-2])})["y"], want, rtol=1e-5, atol=1e-5)
        with pytest.raises(wisp.WispError, match="the axes do not give the output's shape"):
            stated.run({"x": x, "minus": np.array([-1])})
    rank = wisp.load(late_axes(op, x.shape, [300], 1, 0), threads=threads)
    with pytest.raises(wisp.WispError, match="the axes do not give the output's rank"):
        rank.run({"x": x, "minus": np.array([-1])})


# ---- ArgMax, ArgMin


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("dtype", [np.float32, np.int8, np.uint8, np.int32, np.int64, np.float64])
@pytest.mark.parametrize("shape", [(9,), (4, 7), (3, 5, 70), (2, 300, 3), (1, 1000)], ids=str)
def test_arg(op, dtype, shape):
    x = rng.integers(0, 6, shape).astype(dtype)
    for axis in range(-1, len(shape)):
        for last in (0, 1):
            check_model(make_model([(op, ["x"], ["y"], dict(axis=axis, keepdims=last, select_last_index=last))],
                                   {"x": x}, ["y"]), {"x": x})


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arg_of_nan(dtype):
    x = np.array([[1, np.nan, 5, np.nan], [-np.inf, -np.inf, -np.inf, -np.inf], [np.inf, 3, np.inf, 2]], dtype)
    for op, function in (("ArgMax", np.argmax), ("ArgMin", np.argmin)):
        first = run(make_model([(op, ["x"], ["y"], dict(axis=1, keepdims=0))], {"x": x}, ["y"]), x)
        np.testing.assert_array_equal(first, function(x, axis=1))
        last = run(make_model([(op, ["x"], ["y"], dict(axis=1, keepdims=0, select_last_index=1))], {"x": x}, ["y"]), x)
        np.testing.assert_array_equal(last, 3 - function(x[:, ::-1], axis=1))


def test_arg_of_nothing():
    x = np.zeros((2, 0), np.float32)
    empty = make_model([("ArgMax", ["x"], ["y"], dict(axis=0))], {"x": x}, {"y": (np.int64, [1, 0])})
    assert run(empty, x).shape == (1, 0)
    with pytest.raises(UnsupportedError, match="empty"):
        convert(make_model([("ArgMax", ["x"], ["y"], dict(axis=1))], {"x": x}, {"y": (np.int64, [2, 1])}), verify=False)


# ---- CumSum, CumProd


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
def test_cumulative(dtype, exclusive, reverse):
    x = rng.integers(-3, 4, (3, 5, 7)).astype(dtype)
    for axis in (0, 1, 2, -1):
        for op, opset in (("CumSum", 14), ("CumProd", 26)):
            m = make_model([(op, ["x", "axis"], ["y"], dict(exclusive=exclusive, reverse=reverse))], {"x": x}, ["y"],
                           {"axis": np.array(axis, np.int32)}, opset=opset)
            function, start = (np.cumsum, 0) if op == "CumSum" else (np.cumprod, 1)
            data = np.flip(x, axis) if reverse else x
            want = function(data, axis=axis, dtype=dtype)
            if exclusive:
                want = np.roll(want, 1, axis)
                np.moveaxis(want, axis, 0)[0] = start
            np.testing.assert_array_equal(run(m, x), np.flip(want, axis) if reverse else want)


def test_cumulative_of_nothing():
    x = np.zeros((3, 0), np.float32)
    for axis in (0, 1):
        model = make_model([("CumSum", ["x", "a"], ["y"], {})], {"x": x}, ["y"], {"a": np.array(axis)})
        assert run(model, x).shape == (3, 0)


# ---- int8


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum"])
@pytest.mark.parametrize("shape,axes,keepdims", [
    ((2, 7, 7, 40), [1, 2], 1), ((2, 7, 7, 40), [1, 2], 0), ((3, 12, 5), [1], 0), ((6, 50), [1], 1),
    ((4, 3, 8, 6), [2, 3], 1), ((5, 6), None, 0), ((1, 20, 1, 16), [1, 2], 1)], ids=str)
def test_mean_s8(op, shape, axes, keepdims):
    x = f32_value("x", shape)
    listed = tuple(range(len(shape))) if axes is None else tuple(axes)
    y = f32_value("y", tuple(1 if i in listed else d for i, d in enumerate(shape) if keepdims or i not in listed))
    count = int(np.prod([shape[i] for i in listed]))
    scales = {x: (0.05, 17), y: (0.03 if op == "ReduceMean" else 0.04 * count**0.5, -9)}
    inputs = [x] if axes is None else [x, constant("axes", np.array(axes))]
    data = quantized_file(getattr(reduce, f"lower_{op}"), Node(op, inputs, [y], {"keepdims": keepdims}), scales)
    stored = rng.permutation(all_bytes(int(np.prod(shape)))).reshape(shape)
    results = [wisp.load(data, cpu=cpu, threads=t).run({"x": stored})["y"] for cpu, t in (("scalar", 1), (None, 3))]
    assert np.array_equal(*results)
    real = 0.05 * (stored.astype(np.float64) - 17).sum(axis=listed, keepdims=bool(keepdims))
    real /= count if op == "ReduceMean" else 1
    exact = np.clip(real / scales[y][0] - 9, -128, 127)
    assert results[0].shape == exact.shape
    assert np.all(np.abs(results[0] - exact) <= 0.52)


def test_extremes_keep_the_scale():
    x = rng.standard_normal((1, 4, 6, 6)).astype(np.float32)
    nodes = [("Conv", ["x", "w"], ["c"], {}), ("ReduceMax", ["c"], ["y"], dict(axes=[2, 3]))]
    m = make_model(nodes, {"x": x}, ["y"], {"w": rng.standard_normal((5, 4, 1, 1)).astype(np.float32)})
    data = convert(m, quantize="int8", calibration=[{"x": x}], method="minmax", verify=False)
    assert wisp.load(data).metadata["quantization"]["float_nodes"] == {}
    got, want = wisp.load(data).run({"x": x})["y"], np.asarray(check_model(m, {"x": x})["y"])
    assert np.abs(got - want).max() < 0.03 * np.abs(want).max()
