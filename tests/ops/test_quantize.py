"""QuantizeLinear and DequantizeLinear against ONNX's reference and ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from support import check_model, make_model

rng = np.random.default_rng(4)


@pytest.mark.parametrize("dtype,zero", [(np.int8, 0), (np.int8, -37), (np.uint8, 128), (np.uint8, 3)])
@pytest.mark.parametrize("count", [1, 31, 5000])
def test_there_and_back(dtype, zero, count):
    x = (rng.standard_normal(count) * 4).astype(np.float32)
    x[:1] = 1e6
    # A power of two: x / scale and x * (1 / scale) are the same number, so ties fall alike.
    inits = {"s": np.float32(1 / 32), "z": dtype(zero)}
    model = make_model([("QuantizeLinear", ["x", "s", "z"], ["q"], {}),
                        ("DequantizeLinear", ["q", "s", "z"], ["y"], {})],
                       {"x": [count]}, ["q", "y"], inits, opset=21)
    check_model(model, {"x": x}, atol=0, rtol=0)
