"""MobileNet-v2 as ONNX, from the published weights. usage: mobilenet.py [OUTPUT.onnx]

Reads the weight file without PyTorch, folds batch normalization, and writes the graph of the paper (Sandler et al.
2018, table 2). Input: x, float32 [1,3,224,224], RGB, (pixel/255 - mean) / std; output: y, 1000 scores.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pickle
import sys
from collections import OrderedDict
from pathlib import Path

import fetch
import numpy as np
from onnx import TensorProto, helper, numpy_helper

# expansion, output channels, repeats, stride of the first
BLOCKS = [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)]
EPSILON = 1e-5

# in pixel units, for `wisp convert --mean --std`
PREPROCESSING = {"size": [224, 224], "crop": 0.875, "channel_order": "RGB", "layout": "NCHW",
                 "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


class _Reader(pickle.Unpickler):
    """Reads a state dict and nothing else: every name that could run code is refused."""

    def find_class(self, module: str, name: str):
        if name == "OrderedDict":
            return OrderedDict
        if name == "_rebuild_tensor_v2":
            return lambda storage, offset, shape, stride, *_: (storage, offset, shape)
        if module == "torch" and name.endswith("Storage"):
            return name
        raise pickle.UnpicklingError(f"{module}.{name} does not belong into a weight file")

    def persistent_load(self, reference):
        return reference[2]  # the storage's key; reference = (kind, type, key, location, count, view)


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """{name: float32 array} of a PyTorch file in the layout before version 1.6: pickles, then raw storages."""
    with open(path, "rb") as stream:
        for _ in range(3):  # magic number, protocol version, byte order
            _Reader(stream).load()
        tensors = _Reader(stream).load()
        storages = {}
        for key in _Reader(stream).load():
            count = int(np.frombuffer(stream.read(8), "<i8")[0])
            width = 8 if any(k == key and n.endswith("num_batches_tracked") for n, (k, *_) in tensors.items()) else 4
            storages[key] = stream.read(count * width)
    return {name: np.frombuffer(storages[key], "<f4", int(np.prod(shape)), 4 * offset).reshape(shape)
            for name, (key, offset, shape) in tensors.items() if not name.endswith("num_batches_tracked")}


class _Builder:
    def __init__(self, weights: dict[str, np.ndarray]):
        self.weights, self.nodes, self.constants = weights, [], []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def conv(self, x: str, conv: str, norm: str, stride: int, group: int, relu: bool) -> str:
        """Convolution with the batch normalization behind it folded in, then perhaps clamped to 0..6."""
        w = self.weights
        scale = w[f"{norm}.weight"] / np.sqrt(w[f"{norm}.running_var"] + EPSILON)
        weight = w[f"{conv}.weight"] * scale[:, None, None, None]
        bias = w[f"{norm}.bias"] - w[f"{norm}.running_mean"] * scale
        size = weight.shape[2]
        inputs = [x, self.constant(f"{conv}.weight", weight), self.constant(f"{conv}.bias", bias)]
        self.nodes.append(helper.make_node("Conv", inputs, [f"{conv}.out"], conv,
                                           kernel_shape=[size, size], group=group, strides=[stride, stride],
                                           pads=[size // 2] * 4))
        if not relu:
            return f"{conv}.out"
        self.nodes.append(helper.make_node("Clip", [f"{conv}.out", "zero", "six"], [f"{conv}.clip"], f"{conv}.clip"))
        return f"{conv}.clip"

    def block(self, x: str, index: int, channels: int, expansion: int, stride: int, add: bool) -> str:
        """An inverted residual: expand, filter each channel, project."""
        stem, step, wide = f"features.{index}.conv", 0, channels * expansion
        y = x
        if expansion != 1:
            y = self.conv(y, f"{stem}.0.0", f"{stem}.0.1", 1, 1, True)
            step = 1
        y = self.conv(y, f"{stem}.{step}.0", f"{stem}.{step}.1", stride, wide, True)
        y = self.conv(y, f"{stem}.{step + 1}", f"{stem}.{step + 2}", 1, 1, False)
        if add:
            self.nodes.append(helper.make_node("Add", [x, y], [f"{stem}.add"], f"{stem}.add"))
            y = f"{stem}.add"
        return y


def build(weights: dict[str, np.ndarray]):
    """The onnx.ModelProto."""
    b = _Builder(weights)
    b.constant("zero", np.array(0)), b.constant("six", np.array(6))
    x = b.conv("x", "features.0.0", "features.0.1", 2, 1, True)
    index, channels = 1, 32
    for expansion, out, repeats, stride in BLOCKS:
        for i in range(repeats):
            x = b.block(x, index, channels, expansion, stride if i == 0 else 1, i > 0)
            index, channels = index + 1, out
    x = b.conv(x, f"features.{index}.0", f"features.{index}.1", 1, 1, True)
    b.nodes.append(helper.make_node("ReduceMean", [x], ["mean"], "mean", axes=[2, 3], keepdims=0))
    inputs = ["mean", b.constant("classifier.weight", weights["classifier.1.weight"]),
              b.constant("classifier.bias", weights["classifier.1.bias"])]
    b.nodes.append(helper.make_node("Gemm", inputs, ["y"], "classifier", transB=1))
    graph = helper.make_graph(b.nodes, "mobilenet_v2",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 224, 224])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1000])], b.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def onnx_path() -> Path:
    """MobileNet-v2 as an ONNX file beside the other assets, made if it is not there yet."""
    path = fetch.folder() / "mobilenet_v2.onnx"
    if not path.exists():
        model = build(read_weights(fetch.fetch("mobilenet_v2.pth")))
        part = path.with_suffix(".part")
        part.write_bytes(model.SerializeToString(deterministic=True))
        part.replace(path)
    return path


if __name__ == "__main__":
    made = onnx_path()
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_bytes(made.read_bytes())
    print(sys.argv[1] if len(sys.argv) > 1 else made)
