"""ResNet-50 as ONNX with seeded weights: for counting and timing, it recognises nothing. usage: resnet50.py OUTPUT.onnx

The graph of the paper (He et al. 2015, table 1) at 224x224 with batch normalization folded and the stride in the 3x3
layers. Input: x, float32 [1,3,224,224]; output: y, 1000 values.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

STAGES = [(64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2)]  # width of the 3x3 layers, blocks, stride of the first
EXPANSION = 4


def build():
    """The onnx.ModelProto."""
    rng = np.random.default_rng(4)
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray) -> str:
        constants.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def conv(x: str, name: str, shape: tuple[int, ...], stride: int, gain: float) -> str:
        weight = rng.standard_normal(shape, np.float32) * np.float32(gain * np.sqrt(2 / np.prod(shape[1:])))
        inputs = [x, constant(f"{name}.weight", weight), constant(f"{name}.bias", rng.normal(0, 0.1, shape[0]))]
        nodes.append(helper.make_node("Conv", inputs, [f"{name}.out"], name, kernel_shape=list(shape[2:]),
                                      strides=[stride, stride], pads=[shape[2] // 2] * 4))
        return f"{name}.out"

    def relu(x: str) -> str:
        nodes.append(helper.make_node("Relu", [x], [f"{x}.relu"], f"{x}.relu"))
        return f"{x}.relu"

    def block(x: str, name: str, channels: int, width: int, stride: int) -> str:
        """1x1, 3x3, 1x1 beside the identity, or beside a 1x1 where the shape changes."""
        y = relu(conv(x, f"{name}.a", (width, channels, 1, 1), 1, 1))
        y = relu(conv(y, f"{name}.b", (width, width, 3, 3), stride, 1))
        # so that sixteen sums do not grow out of hand
        y = conv(y, f"{name}.c", (EXPANSION * width, width, 1, 1), 1, 0.3)
        if stride > 1 or channels != EXPANSION * width:
            x = conv(x, f"{name}.d", (EXPANSION * width, channels, 1, 1), stride, 1)
        nodes.append(helper.make_node("Add", [x, y], [f"{name}.add"], f"{name}.add"))
        return relu(f"{name}.add")

    x, channels = relu(conv("x", "first", (64, 3, 7, 7), 2, 1)), 64
    nodes.append(helper.make_node("MaxPool", [x], ["pooled"], "pool", kernel_shape=[3, 3], strides=[2, 2],
                                  pads=[1] * 4))
    x = "pooled"
    for i, (width, blocks, stride) in enumerate(STAGES):
        for j in range(blocks):
            x = block(x, f"block{i}_{j}", channels, width, stride if j == 0 else 1)
            channels = EXPANSION * width
    nodes.append(helper.make_node("ReduceMean", [x], ["mean"], "mean", axes=[2, 3], keepdims=0))
    inputs = ["mean", constant("classifier.weight", rng.normal(0, 0.02, (channels, 1000))),
              constant("classifier.bias", rng.normal(0, 0.1, 1000))]
    nodes.append(helper.make_node("Gemm", inputs, ["y"], "classifier"))
    graph = helper.make_graph(nodes, "resnet50",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1000])], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(build().SerializeToString(deterministic=True))
