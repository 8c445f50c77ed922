"""MobileNet-v1 as ONNX with seeded weights: for counting and timing, it recognises nothing.

usage: mobilenet_v1.py OUTPUT.onnx

The graph of the paper (Howard et al. 2017, table 1) at width 1.0 and 224x224. Input: x, float32 [1,3,224,224]; output:
y, 1000 values.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

# output channels and stride of each depthwise separable layer
LAYERS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


def build():
    """The onnx.ModelProto."""
    rng = np.random.default_rng(3)
    nodes = []
    constants = [numpy_helper.from_array(np.float32(value), name) for name, value in (("zero", 0), ("six", 6))]

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def conv(x: str, name: str, shape: tuple[int, ...], stride: int, group: int) -> str:
        weight = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))  # keeps the variance behind a ReLU
        inputs = [x, constant(f"{name}.weight", weight), constant(f"{name}.bias", rng.normal(0, 0.1, shape[0]))]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}.out"], name, kernel_shape=list(shape[2:]), group=group,
                                      strides=[stride, stride], pads=[shape[2] // 2] * 4))
        nodes.append(helper.make_node("Clip", [f"{name}.out", "zero", "six"], [f"{name}.clip"], f"{name}.clip"))
        return f"{name}.clip"

    x, channels = conv("x", "first", (32, 3, 3, 3), 2, 1), 32
    for i, (out, stride) in enumerate(LAYERS):
        x = conv(x, f"depthwise{i}", (channels, 1, 3, 3), stride, channels)
        x = conv(x, f"pointwise{i}", (out, channels, 1, 1), 1, 1)
        channels = out
    nodes.append(helper.make_node("ReduceMean", [x], ["mean"], "mean", axes=[2, 3], keepdims=0))
    inputs = ["mean", constant("classifier.weight", rng.normal(0, 0.03, (channels, 1000))),
              constant("classifier.bias", rng.normal(0, 0.1, 1000))]
    nodes.append(helper.make_node("Gemm", inputs, ["score"], "classifier"))
    nodes.append(helper.make_node("Softmax", ["score"], ["y"], "softmax"))
    graph = helper.make_graph(nodes, "mobilenet_v1",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1000])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(build().SerializeToString(deterministic=True))
