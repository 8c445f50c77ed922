"""Operators planned by values of a run: shapes, bounds, axes, pads; and output shapes that a model declares wrongly."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_model, make_model, reference
from wisp_converter import convert


@pytest.mark.parametrize("op,operands,other", [
    ("Slice", {"x": None, "s": [1], "e": [3]}, {"e": [2]}),
    ("Slice", {"x": None, "s": [3, 2], "e": [-9, 0], "a": [1, 0], "t": [-1, -2]}, {"t": [-2, -1]}),
    ("Reshape", {"x": None, "s": [4, -1]}, {"s": [2, 6]}),
    ("Expand", {"x": None, "s": [2, 1, 4]}, {"s": [1, 3, 1]}),
    ("Tile", {"x": None, "s": [2, 3]}, {"s": [1, 4]}),
    ("Pad", {"x": None, "s": [1, 0, 0, 2]}, {"s": [0, 0, 5, 0]}),
    ("Unsqueeze", {"x": None, "s": [0, 2]}, {"s": [1, 3]}),
    ("ConstantOfShape", {"s": [2, 3]}, {"s": [7, 1]}),
    ("Range", {"s": 2, "e": 11, "t": 3}, {"e": 50}),
])
@pytest.mark.parametrize("computed", [False, True])
def test_operands_that_a_run_finds_out(op, operands, other, computed):
    """Shapes, bounds, axes and the like that are inputs or come from other nodes, and differ from run to run."""
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    inputs = {n: x if v is None else np.array(v, np.int64) for n, v in operands.items()}
    nodes = [("Mul", [n, "one"], [f"{n}2"], {}) for n in inputs if n != "x"] if computed else []
    read = [n if n == "x" or not computed else f"{n}2" for n in inputs]
    rank = {"Expand": 3, "Unsqueeze": 4, "Range": 1}.get(op, 2)
    dtype = np.int64 if op == "Range" else np.float32
    model = make_model([*nodes, (op, read, ["y"], {}), ("Neg", ["y"], ["z"], {})], inputs,
                       {n: (dtype, [None] * rank) for n in ("y", "z")}, {"one": np.array(1)})
    check_model(model, inputs)
    loaded = wisp.load(convert(model, verify=False))
    for changed in (inputs, inputs | {n: np.array(v) for n, v in other.items()}, inputs):
        got, want = loaded.run(changed), reference(model, changed)
        assert all(np.array_equal(got[n], want[n]) for n in ("y", "z"))


@pytest.mark.parametrize("axes,shape", [(None, [4, 2, 9]), ([0, 2], [1, 8]), ([-1], [3]), ([1], [5])])
@pytest.mark.parametrize("computed", [False, True])
def test_center_crop_pad(axes, shape, computed):
    x = np.arange(105, dtype=np.float32).reshape(3, 5, 7)
    inputs = {"x": x} | ({"s": np.array(shape)} if computed else {})
    attrs = {} if axes is None else {"axes": axes}
    model = make_model([("CenterCropPad", ["x", "s"], ["y"], attrs)], inputs, {"y": [None] * 3},
                       {} if computed else {"s": np.array(shape)}, opset=18)
    assert np.array_equal(wisp.load(convert(model, verify=False)).run(inputs)["y"], reference(model, inputs)["y"])


def test_operands_that_do_not_fit_fail_in_the_run():
    model = make_model([("Reshape", ["x", "s"], ["y"], {})], {"x": [3, 4], "s": (np.int64, [2])}, ["y"])
    loaded, x = wisp.load(convert(model, verify=False)), np.ones((3, 4), np.float32)
    with pytest.raises(wisp.WispError, match="Reshape_y.*does not fit"):
        loaded.run({"x": x, "s": np.array([5, -1])})
    assert loaded.run({"x": x, "s": np.array([2, -1])})["y"].shape == (2, 6)


def test_declared_output_shapes_are_not_believed():
    """Exporters write wrong ones: extents of a sample, even another rank."""
    x = np.ones((4, 3), np.float32)
    for declared in ([1, 3], ["a", "b"], [12], []):
        model = make_model([("Relu", ["x"], ["y"], {})], {"x": ["n", 3]}, {"y": declared})
        assert wisp.load(convert(model, verify=False)).run({"x": x})["y"].shape == (4, 3)
    for declared in ([1, 12], [2, 3, 2, 1]):
        model = make_model([("Reshape", ["x", "s"], ["y"], {})], {"x": [4, 3]}, {"y": declared},
                           {"s": np.array([2, 2, 3])})
        assert wisp.load(convert(model, verify=False)).run({"x": x})["y"].shape == (2, 2, 3)


def test_a_run_that_fails_leaves_nothing_behind():
    """Split sizes that do not fit fail alike every time, and the next run is as if they had never been."""
    model = make_model([("Split", ["x", "s"], ["a", "b"], {"axis": 0}), ("Neg", ["a"], ["y"]), ("Abs", ["b"], ["z"])],
                       {"x": (6,), "s": (np.int64, [2])}, {"y": ["m"], "z": ["n"]})
    loaded, x = wisp.load(convert(model, verify=False)), np.arange(6, dtype=np.float32)
    messages = set()
    for sizes in ([2, 4], [5, 4], [5, 4], [-1, 7], [5, 1], [5, 4], [3, 3]):
        try:
            got = loaded.run({"x": x, "s": np.array(sizes)})
        except wisp.WispError as error:
            assert sum(sizes) != 6 or min(sizes) < 0
            messages.add((tuple(sizes), str(error)))
        else:
            assert np.array_equal(got["y"], -x[:sizes[0]]) and np.array_equal(got["z"], x[sizes[0]:])
    assert len(messages) == 2, messages


@pytest.mark.parametrize(("op", "x", "operand", "shape"), [
    ("Expand", (4,), [1], (4,)), ("Expand", (2, 4), [4], (2, 4)), ("Tile", (), [], ()), ("Expand", (), [], ())])
def test_results_known_before_the_operands_are(op, x, operand, shape):
    """The shape follows from that of the input, and still it takes the run to say how to get there."""
    x, operand = np.ones(x, np.float32), np.array(operand, np.int64)
    model = make_model([(op, ["x", "s"], ["y"], {})], {"x": x, "s": operand}, {"y": (np.float32, list(shape))})
    check_model(model, {"x": x, "s": operand})


def test_a_shape_without_extents():
    model = make_model([("ConstantOfShape", ["s"], ["y"], {})], {"s": (np.int64, [0])}, {"y": []})
    check_model(model, {"s": np.zeros(0, np.int64)})
