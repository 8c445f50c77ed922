"""Inputs drawn for the comparison with the source: the first ones are taken by it, and whole numbers mean something."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
from support import make_model, optimized
from wisp_converter import InputError, convert
from wisp_converter.inputs import draw_other, draws, meanings

I32, I64 = np.int32, np.int64
TABLE = np.random.default_rng(0).standard_normal((3, 4)).astype(np.float32)


def rnn():
    w, r = np.ones((1, 6, 3), np.float32), np.ones((1, 6, 6), np.float32)
    return make_model([("Cast", ["i"], ["i32"], dict(to=6)),
                       ("RNN", ["x", "w", "r", "", "i32"], ["", "y"], dict(hidden_size=6))],
                      {"x": [2, 40, 3], "i": (I64, [40])}, ["y"], {"w": w, "r": r})


def with_table(nodes, shape, dtype=I64, **initializers):
    return make_model(nodes, {"i": (dtype, shape)}, ["y"], {"t": TABLE, **initializers})


MODELS = {  # what the whole numbers of `i` have to be
    "ids": (with_table([("Gather", ["t", "i"], ["y"])], [1, 50]), 0, 2),
    "ids of the other axis": (with_table([("Gather", ["t", "i"], ["y"], dict(axis=1))], [50]), 0, 3),
    "ids on a long way": (with_table([("Cast", ["i"], ["a"], dict(to=6)), ("Unsqueeze", ["a", "zero"], ["b"]),
                                      ("Slice", ["b", "zero", "ten", "one"], ["c"]),
                                      ("Transpose", ["c"], ["d"]), ("Gather", ["t", "d"], ["y"])], [50],
                                     zero=np.array([0]), ten=np.array([10]), one=np.array([1])), 0, 2),
    "ids that may be negative": (with_table(
        [("Less", ["i", "zero"], ["n"]), ("Add", ["i", "rows"], ["p"]), ("Where", ["n", "p", "i"], ["w"]),
         ("Gather", ["t", "w"], ["y"])], [50], zero=np.array(0), rows=np.array(3)), 0, 2),
    "positions": (with_table([("GatherND", ["t", "i"], ["y"])], [20, 2]), 0, 2),
    "elements": (with_table([("GatherElements", ["t", "i"], ["y"])], [3, 4]), 0, 2),
    "classes": (make_model([("OneHot", ["i", "depth", "values"], ["y"])], {"i": (I64, [50])}, ["y"],
                           {"depth": np.array(6), "values": np.float32([0, 1])}), 0, 5),
    "lengths": (rnn(), 1, 2),
    "a mask added": (make_model([("Cast", ["i"], ["f"], dict(to=1)), ("Sub", ["one", "f"], ["m"]),
                                 ("Mul", ["m", "far"], ["b"]), ("Add", ["x", "b"], ["s"]), ("Softmax", ["s"], ["y"])],
                                {"x": [2, 50], "i": (I64, [2, 50])}, ["y"],
                                {"one": np.float32(1), "far": np.float32(-1e4)}), 0, 1),
    "a mask compared": (make_model([("Equal", ["i", "zero"], ["b"]), ("Where", ["b", "zero", "x"], ["y"])],
                                   {"x": (I64, [50]), "i": (I64, [50])}, ["y"], {"zero": np.array(0)}), 0, 1),
    "bytes of a picture": (make_model([("Cast", ["i"], ["y"], dict(to=1))], {"i": (np.uint8, [1, 3, 40, 40])},
                                      {"y": [1, 3, 40, 40]}), 0, 255),
    "a shape": (make_model([("Reshape", ["x", "i"], ["y"])], {"x": [2, 6], "i": (I64, [3])}, {"y": ["a", "b", "c"]}),
                -1, 1),
    "extents": (make_model([("Expand", ["x", "i"], ["y"])], {"x": [1, 6], "i": (I64, [2])}, {"y": ["a", "b"]}), 1, 1),
    "repeats": (make_model([("Tile", ["x", "i"], ["y"])], {"x": [2, 6], "i": (I64, [2])}, {"y": ["a", "b"]}), 1, 1),
    "a limit": (make_model([("Range", ["zero", "i", "one"], ["y"])], {"i": (I64, [])}, {"y": (I64, ["n"])},
                           {"zero": np.array(0), "one": np.array(1)}), 8, 8),
    "where to cut": (make_model([("Slice", ["x", "i", "end"], ["y"])], {"x": [9], "i": (I64, [1])}, {"y": ["n"]},
                                {"end": np.array([5])}), 0, 0),
}


def report_of(model, **options) -> list[str]:
    lines = []
    convert(model, report=lines.append, **options)
    return lines


@pytest.mark.parametrize("model, low, high", MODELS.values(), ids=MODELS)
def test_whole_numbers(model, low, high):
    """All that are allowed come up, no others; source and result take them."""
    found = meanings(optimized(model))
    first = next(draws(found))["i"]
    assert (first.min(), first.max()) == (low, high)
    lines = report_of(model)
    assert any(line.startswith("compared with the source") for line in lines), lines


def test_axes_get_extents():
    """A batch is single, an axis that sums others sums them, an extent that ids index bounds them."""
    nodes = [("Concat", ["past", "x"], ["all"], dict(axis=1)), ("Gather", ["all", "i"], ["y"], dict(axis=1))]
    model = make_model(nodes, {"i": (I64, ["past + seq"]), "past": ["batch", "past", 4], "x": ["batch", "seq", 4]},
                       {"y": ["batch", "past + seq", 4]})
    found = meanings(optimized(model))
    first, other = next(draws(found)), draw_other(found)
    assert first["x"].shape == (1, 32, 4) and first["i"].shape == (64,)
    assert other["x"].shape == (2, 64, 4) and other["i"].shape == (128,)
    lines = report_of(model)
    assert any("x [2, 64, 4]" in line for line in lines), lines


def test_a_long_window():
    """Open axes are widened where the source refuses short ones."""
    model = make_model([("Conv", ["x", "w"], ["y"])], {"x": [1, 1, "samples"]}, ["y"],
                       {"w": np.ones((1, 1, 400), np.float32)})
    assert any(line.startswith("compared with the source") for line in report_of(model))


def test_pixels():
    """A picture's input is made of pixels, as they will come."""
    model = make_model([("Relu", ["x"], ["y"])], {"x": [1, 3, 32, 32]}, ["y"])
    preprocess = {"size": [32, 32], "mean": [0, 0, 0], "std": [255, 255, 127.5]}
    x = next(draws(meanings(optimized(model)), preprocess))["x"]
    assert x[:, :2].min() == 0 and x[:, :2].max() == 1 and x[:, 2].max() == 2


@pytest.mark.parametrize("given, says", [
    ({"x": np.zeros((2, 3), np.float32)}, None),
    ({"x": np.zeros((2, 3))}, None),
    ({"x": np.zeros((3, 2), np.float32)}, r"'x' has shape \(3, 2\), expected \(2, 3\)"),
    ({"x": np.full((2, 3), np.nan, np.float32)}, "'x' holds NaN"),
    ({"x": np.array([["a"] * 3] * 2)}, "'x' holds <U1"),
    ({"z": np.zeros((2, 3), np.float32)}, "'x' is missing|'z' is no input"),
])
def test_inputs_of_the_user(given, says):
    model = make_model([("Neg", ["x"], ["y"])], {"x": [2, 3]}, ["y"])
    if says is None:
        assert any("exact" in line for line in report_of(model, verify_inputs=given))
    else:
        with pytest.raises(InputError, match=says):
            convert(model, verify_inputs=given)
