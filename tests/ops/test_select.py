"""TopK, NonZero, Unique, NonMaxSuppression, Compress and Hardmax against ONNX Runtime and numpy."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import check_model, make_model
from wisp_converter import convert

rng = np.random.default_rng(41)
I64 = np.int64


def run(model, inputs):
    return wisp.load(convert(model, verify=False)).run(inputs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.int8, np.uint8, np.uint64])
@pytest.mark.parametrize(("shape", "axis", "k"), [((7,), 0, 3), ((4, 9), -1, 9), ((3, 40, 5), 1, 6), ((2, 5), 1, 0)])
def test_topk(dtype, shape, axis, k):
    """Few different values: equal ones come in the order of their indices."""
    x = rng.integers(-5 if np.dtype(dtype).kind != "u" else 0, 6, shape).astype(dtype)
    for largest in (0, 1):
        model = make_model([("TopK", ["x", "k"], ["v", "i"], dict(axis=axis, largest=largest))],
                           {"x": x, "k": (I64, [1])}, {"v": (dtype, [None] * x.ndim), "i": (I64, [None] * x.ndim)})
        got = run(model, {"x": x, "k": np.array([k], I64)})
        key = -x.astype(object) if largest else x.astype(object)
        order = np.argsort(key.astype(np.float64), axis=axis, kind="stable").take(range(k), axis)
        np.testing.assert_array_equal(got["i"], order)
        np.testing.assert_array_equal(got["v"], np.take_along_axis(x, order, axis))


def test_topk_of_floats_that_are_no_numbers():
    x = np.array([1, np.nan, -np.inf, -0.0, 0.0, np.inf, -np.nan, 3], np.float32)
    model = make_model([("TopK", ["x", "k"], ["v", "i"])], {"x": x}, ["v", "i"], {"k": np.array([8], I64)})
    np.testing.assert_array_equal(run(model, {"x": x})["i"], [1, 6, 5, 7, 0, 3, 4, 2])
    large = rng.standard_normal(5000).astype(np.float32)
    model = make_model([("TopK", ["x", "k"], ["v", "i"])], {"x": large}, ["v", "i"], {"k": np.array([100], I64)})
    check_model(model, {"x": large})


def test_topk_that_wants_more_than_there_is():
    model = make_model([("TopK", ["x", "k"], ["v", "i"])], {"x": (5,), "k": (I64, [1])}, ["v", "i"])
    with pytest.raises(wisp.WispError, match="fewer elements than k = 6"):
        run(model, {"x": np.zeros(5, np.float32), "k": np.array([6], I64)})


@pytest.mark.parametrize("dtype", [np.float32, bool, np.int64, np.uint8])
@pytest.mark.parametrize("shape", [(6,), (3, 4), (2, 3, 4), (0, 3)])
def test_nonzero(dtype, shape):
    x = rng.integers(0, 2, shape).astype(dtype)
    if dtype == np.float32:
        x *= -1  # a negative zero is a zero
    model = make_model([("NonZero", ["x"], ["y"])], {"x": ["a", *shape[1:]] if shape[0] else x}
                       if dtype == np.float32 else {"x": x}, {"y": (I64, [None, None])})
    for value in (x, np.zeros_like(x), np.ones_like(x)):
        np.testing.assert_array_equal(run(model, {"x": value})["y"], np.stack(np.nonzero(value)))


@pytest.mark.parametrize("ordered", [0, 1])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.int8])
def test_unique(dtype, axis, ordered):
    x = rng.integers(-1, 2, (5, 3, 2)).astype(dtype)
    options = {} if axis is None else {"axis": axis}
    outputs = ["y", "first", "inverse", "count"]
    model = make_model([("Unique", ["x"], outputs, dict(sorted=ordered, **options))], {"x": x},
                       {"y": (dtype, [None] * (1 if axis is None else 3)), "first": (I64, [None]),
                        "inverse": (I64, [None]), "count": (I64, [None])})
    got = run(model, {"x": x})
    y, first, inverse, count = np.unique(x, True, True, True, axis=axis)
    inverse = inverse.ravel()
    if not ordered:
        order = np.argsort(first)
        y, first, count = np.take(y, order, axis or 0), first[order], count[order]
        inverse = np.argsort(order)[inverse]
    for name, want in (("y", y), ("first", first), ("inverse", inverse), ("count", count)):
        np.testing.assert_array_equal(got[name], want)


def test_unique_of_which_only_some_outputs_are_read():
    x = rng.integers(0, 9, 40).astype(I64)
    model = make_model([("Unique", ["x"], ["", "", "", "count"])], {"x": x}, {"count": (I64, [None])})
    np.testing.assert_array_equal(run(model, {"x": x})["count"], np.unique(x, return_counts=True)[1])


def boxes(batch, n, center):
    corner = rng.random((batch, n, 2)).astype(np.float32) * 10
    size = rng.random((batch, n, 2)).astype(np.float32) * 6
    return np.concatenate([corner, size if center else corner + size], -1)


@pytest.mark.parametrize("center", [0, 1])
@pytest.mark.parametrize(("batch", "classes", "n", "most"),
                         [(1, 1, 200, 1000), (2, 3, 40, 5), (1, 2, 1, 1), (1, 1, 30, 0)])
def test_nonmaxsuppression(center, batch, classes, n, most):
    inputs = {"b": boxes(batch, n, center), "s": rng.random((batch, classes, n)).astype(np.float32)}
    constants = {"most": np.array([most], I64), "iou": np.float32([0.3]), "least": np.float32([0.2])}
    for operands in (["most", "iou", "least"], ["most", "iou"], ["most"]):
        model = make_model([("NonMaxSuppression", ["b", "s", *operands], ["y"], dict(center_point_box=center))],
                           {"b": ["N", n, 4], "s": ["N", classes, n]}, {"y": (I64, [None, 3])},
                           {c: constants[c] for c in operands})
        check_model(model, inputs, trust_reference=False)


def test_nonmaxsuppression_turns_corners_around_and_keeps_equal_scores_in_order():
    b = np.float32([[[1, 1, 0, 0], [0, 0, 1, 1.01], [5, 5, 6, 6], [5, 5, 5, 5]]])
    model = make_model([("NonMaxSuppression", ["b", "s", "most", "iou"], ["y"])], {"b": b, "s": (1, 1, 4)},
                       {"y": (I64, [None, 3])}, {"most": np.array(9), "iou": np.float32([0.5])})
    check_model(model, {"b": b, "s": np.float32([[[0.5, 0.5, 0.5, 0.5]]])}, trust_reference=False)


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_compress(axis):
    x = rng.standard_normal((4, 5)).astype(np.float32)
    length = 20 if axis is None else x.shape[axis]
    for condition in (rng.integers(0, 2, length).astype(bool), np.array([True, False, True]), np.zeros(2, bool)):
        model = make_model([("Compress", ["x", "c"], ["y"], {} if axis is None else {"axis": axis})],
                           {"x": ["a", "b"], "c": (bool, ["n"])}, {"y": [None] * (1 if axis is None else 2)})
        got = run(model, {"x": x, "c": condition})["y"]
        np.testing.assert_array_equal(got, np.compress(condition, x, axis))


@pytest.mark.parametrize("opset", [11, 17])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_hardmax(opset, axis):
    x = rng.integers(0, 4, (2, 3, 4)).astype(np.float32)
    options = {} if axis is None else {"axis": axis}
    model = make_model([("Hardmax", ["x"], ["y"], options)], {"x": x}, ["y"], opset=opset)
    check_model(model, {"x": x}, trust_reference=opset >= 13)


@pytest.mark.parametrize("x", [0.0, 2.5])
def test_nonzero_of_a_scalar(x):
    """One row, though ONNX's inference says none; what reads it goes by that."""
    x = np.array(x, np.float32)
    model = make_model([("NonZero", ["x"], ["i"], {}), ("Shape", ["i"], ["y"], {})], {"x": x},
                       {"i": (I64, [None, None]), "y": (I64, [2])})
    check_model(model, {"x": x}, trust_reference=False)


@pytest.mark.parametrize("opset", [9, 11])
def test_compress_before_what_needs_its_type(opset):
    """ONNX's inference knows no type of Compress in set 9: its definition says it is that of the input."""
    x, condition = rng.integers(0, 9, (2, 3)).astype(np.int32), np.array([False, True])
    model = make_model([("Compress", ["x", "c"], ["p"], dict(axis=0)), ("Sub", ["p", "one"], ["y"], {})],
                       {"x": x, "c": condition}, {"y": (np.int32, [None, 3])}, {"one": np.int32(1)}, opset=opset)
    check_model(model, {"x": x, "c": condition})
