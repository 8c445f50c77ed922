"""fuse_activation: clamps become parameters of what computes."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_model, count, make_model, optimized

rng = np.random.default_rng(0)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


PRODUCERS = {
    "Conv": (("Conv", ["x", "w"], ["p"]), {"w": random(8, 4, 1, 1)}, (1, 4, 5, 5)),
    "Gemm": (("Gemm", ["x", "w"], ["p"]), {"w": random(4, 6)}, (3, 4)),
    "Add": (("Add", ["x", "x"], ["p"]), {}, (3, 4)),
}
CLAMPS = {
    "Relu": [("Relu", ["p"], ["y"])],
    "Relu6": [("Clip", ["p", "zero", "six"], ["y"])],
    "twice": [("Clip", ["p", "minus", "six"], ["q"]), ("Relu", ["q"], ["y"])],
    "crossed": [("Clip", ["p", "six", "zero"], ["y"])],
    "half open": [("Clip", ["p", "", "half"], ["y"])],
}
BOUNDS = {"zero": np.float32(0), "six": np.float32(6), "minus": np.float32(-0.25), "half": np.float32(0.5)}


@pytest.mark.parametrize("producer", PRODUCERS)
@pytest.mark.parametrize("clamp", CLAMPS)
def test_fused(producer, clamp):
    node, weights, shape = PRODUCERS[producer]
    used = {i for n in CLAMPS[clamp] for i in n[1]}
    model = make_model([node, *CLAMPS[clamp]], {"x": list(shape)}, ["y"],
                       {**weights, **{k: v for k, v in BOUNDS.items() if k in used}})
    graph = optimized(model)
    assert count(graph, "Relu") == count(graph, "Clip") == 0 and count(graph, producer) == 1
    check_model(model, {"x": random(*shape)})


def test_not_when_the_unclamped_value_is_read_or_an_output():
    node, weights, shape = PRODUCERS["Conv"]
    for outputs, after in ((["p", "y"], []), (["z"], [("Mul", ["p", "y"], ["z"])])):
        model = make_model([node, ("Relu", ["p"], ["y"]), *after], {"x": list(shape)}, outputs, weights)
        assert count(optimized(model), "Relu") == 1
        check_model(model, {"x": random(*shape)})


def test_integers_are_left_alone():
    model = make_model([("Add", ["x", "x"], ["p"]), ("Relu", ["p"], ["y"])], {"x": (np.int32, [3])}, ["y"])
    assert count(optimized(model), "Relu") == 1
    check_model(model, {"x": np.int32([1, -2, 3])})
