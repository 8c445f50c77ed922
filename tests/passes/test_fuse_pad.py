"""fuse_pad: padding becomes the window's own where no value changes."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from wisp_converter import convert

from support import check_model, count, make_model, optimized

rng = np.random.default_rng(0)
x = rng.standard_normal((1, 3, 7, 6)).astype(np.float32)
W = rng.standard_normal((5, 3, 3, 3)).astype(np.float32)


def padded(*nodes, pads=(0, 0, 1, 2, 0, 0, 0, 1), mode="constant", fill=None, **constants):
    pad = ("Pad", ["x", "pads", *(["fill"] if fill is not None else [])], ["p"], {"mode": mode})
    extra = {} if fill is None else {"fill": np.float32(fill)}
    return make_model([pad, *nodes], {"x": x}, ["y"], {"pads": np.int64(pads), **extra, **constants})


CONV = ("Conv", ["p", "w"], ["y"], {"pads": [1, 0, 0, 1]})
MAX = ("MaxPool", ["p"], ["y"], {"kernel_shape": [2, 2]})
AVERAGE = ("AveragePool", ["p"], ["y"], {"kernel_shape": [2, 2]})

FUSED = [
    (padded(CONV, w=W), 0),
    (padded(CONV, fill=0, w=W), 0),
    (padded(CONV, fill=1, w=W), 1),
    (padded(CONV, mode="reflect", w=W), 1),
    (padded(CONV, pads=(0, 0, 1, 0, 1, 0, 0, 0), w=W), 1),
    (padded(MAX), 1),
    (padded(MAX, fill=-np.inf), 0),
    (padded(AVERAGE), 0),
    (padded((*AVERAGE[:3], {**AVERAGE[3], "pads": [1, 1, 1, 1]})), 1),
    (padded((*AVERAGE[:3], {**AVERAGE[3], "pads": [1, 1, 1, 1], "count_include_pad": 1})), 0),
    (padded(("GlobalAveragePool", ["p"], ["y"])), 1),
]


@pytest.mark.parametrize("case", range(len(FUSED)))
def test_fused(case):
    model, pads = FUSED[case]
    assert count(optimized(model), "Pad") == pads
    check_model(model, {"x": x})


def test_all_readers_or_none():
    both = padded(("Conv", ["p", "w"], ["c"]), ("Conv", ["p", "w"], ["d"], {"strides": [1, 1], "pads": [0, 0, 0, 0]}),
                  ("Add", ["c", "d"], ["y"]), w=W)
    assert count(optimized(both), "Pad") == 0
    one = padded(("Conv", ["p", "w"], ["c"], {"pads": [1, 1, 1, 1]}), ("ReduceSum", ["p"], ["s"]),
                 ("Add", ["c", "s"], ["y"]), w=W)
    assert count(optimized(one), "Pad") == 1
    for model in (both, one):
        check_model(model, {"x": x})


def test_negative_pads_cut_and_stay():
    model = padded(CONV, pads=(0, 0, -1, 0, 0, 0, 0, 0), w=W)
    assert count(optimized(model), "Pad") == 1
    cut = make_model([("Conv", ["x", "w"], ["y"], {"pads": [1, 0, 0, 1]})], {"x": x[:, :, 1:]}, ["y"], {"w": W})
    want = check_model(cut, {"x": x[:, :, 1:]})["y"]
    assert np.allclose(wisp.load(convert(model, verify=False)).run({"x": x})["y"], want, atol=1e-5)
