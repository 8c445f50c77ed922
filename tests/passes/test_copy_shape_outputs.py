"""copy_shape_outputs: a shape that is both an output and needed at prepare."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np

from support import check_model, count, make_model, optimized

x = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_an_output_that_prepare_needs():
    model = make_model([("Shape", ["x"], ["s"]), ("Gather", ["s", "order"], ["t"]), ("Reshape", ["x", "t"], ["y"])],
                       {"x": ["n", "m"]}, {"s": (np.int64, [2]), "y": ["a", "b"]}, {"order": np.int64([1, 0])})
    assert count(optimized(model), "Identity") == 1
    got = check_model(model, {"x": x})
    assert got["s"].tolist() == [3, 4] and got["y"].shape == (4, 3)


def test_an_output_that_nobody_reads():
    model = make_model([("Shape", ["x"], ["s"]), ("Relu", ["x"], ["y"])], {"x": ["n", "m"]},
                       {"s": (np.int64, [2]), "y": ["n", "m"]})
    assert count(optimized(model), "Identity") == 0
    check_model(model, {"x": x})
