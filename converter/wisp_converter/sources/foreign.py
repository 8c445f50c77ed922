"""What to do with a file that is no ONNX model but something else that people have."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
from typing import NamedTuple


class _Kind(NamedTuple):
    endings: tuple[str, ...]
    offset: int
    magic: bytes  # may be empty: the ending alone says it
    advice: str


_TF2ONNX = "pip install tf2onnx, then python -m tf2onnx.convert"
_KINDS = (
    _Kind((".wisp",), 0, b"WISP", "it is a .wisp file already: see it with wisp inspect, run it with wisp run"),
    _Kind((".tflite",), 4, b"TFL3", f"it is a TensorFlow Lite model: {_TF2ONNX} --tflite {{0}} --output {{1}}.onnx"),
    _Kind((".ort",), 4, b"ORTM", "it is in ONNX Runtime's own format: give the .onnx file it was made from"),
    _Kind((".h5", ".hdf5"), 0, b"\x89HDF\r\n\x1a\n", "it is a Keras model: in Python, "
          "keras.models.load_model('{0}').export('{1}.onnx', format='onnx')"),
    _Kind((".keras",), 0, b"PK", "it is a Keras model: in Python, "
          "keras.models.load_model('{0}').export('{1}.onnx', format='onnx')"),
    _Kind((".pt", ".pth", ".ckpt", ".bin", ".pkl"), 0, b"PK", "it is a PyTorch file: in Python, "
          "load the model and call torch.onnx.export(model, (example,), '{1}.onnx')"),
    _Kind((".pt", ".pth", ".ckpt", ".bin", ".pkl"), 0, b"\x80", "it is a pickle, perhaps of PyTorch: in Python, "
          "load the model and call torch.onnx.export(model, (example,), '{1}.onnx')"),
    _Kind((".safetensors",), 0, b"", "it holds weights without a graph: in Python, "
          "build the model, load them and call torch.onnx.export(model, (example,), '{1}.onnx')"),
    _Kind((".pb", ".pbtxt"), 0, b"", f"it seems to be a TensorFlow graph: {_TF2ONNX} --graphdef {{0}} "
          "--inputs NAME:0 --outputs NAME:0 --output {1}.onnx"),
    _Kind((".npy",), 0, b"\x93NUMPY", "it is an array"),
    _Kind((".npz", ".zip"), 0, b"PK", "it is an archive"),
)


def advice(path: str | os.PathLike[str]) -> str:
    """"; it is ...: what to do" for a file that ONNX cannot read or a folder; "" where there is nothing to say."""
    path = os.fspath(path)
    name = os.path.splitext(os.path.basename(path))[0]
    if os.path.isdir(path):
        if not os.path.exists(os.path.join(path, "saved_model.pb")):
            return ""
        return f"; it is a TensorFlow SavedModel: {_TF2ONNX} --saved-model {path} --output {name}.onnx"
    head = b""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            head = file.read(16)
    fits = [kind for kind in _KINDS if head[kind.offset:].startswith(kind.magic)]
    by_name = [kind for kind in fits if path.lower().endswith(kind.endings)]
    by_content = [kind for kind in fits if kind.magic and kind.magic != b"PK"]
    found = (by_name or by_content or [None])[0]
    return "" if found is None else "; " + found.advice.format(path, name)
