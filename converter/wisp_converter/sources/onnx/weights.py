"""Weights stay in the file: a model is parsed without its large tensors, which become views of the mapped file.

To ONNX such a tensor is one with external data: it names a file (`location`), and where in it the bytes stand. Shape
inference, inlining and the import copy the rest of the model as often as they like.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, load_external_data_for_tensor, uses_external_data

from ...runner import rest
from ...target.format import DTYPES

LARGE = 4096
"""Bytes from which a tensor stays in the file; what inference looks into, shapes and axes, is smaller."""

# Numbers of the fields, in onnx.proto, that lead to tensors...
MESSAGES = {"model": {7: "graph", 25: "function"}, "graph": {1: "node", 5: "tensor"}, "function": {7: "node"},
            "node": {5: "attribute"}, "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"}}
LISTS = {7, 8, 9}  # of an attribute: numbers and strings, maybe a million, of one that has no tensor
# ... and of those of a tensor: its type, and its elements as they are in memory, where they are of this type.
DATA_TYPE, EXTERNAL_DATA, DATA_LOCATION = 2, 13, 14
ELEMENTS = {4: onnx.TensorProto.FLOAT, 9: None, 10: onnx.TensorProto.DOUBLE}
VARINT, BYTES, FIXED = 0, 2, {1: 8, 5: 4}  # wire types


class Weights:
    """The buffers that tensors with external data name. `own`: the model itself, called `location` in `folder`, where
    the others are; without a folder, bytes in memory."""

    def __init__(self, own, location: str, folder: Path | None) -> None:
        self.folder, self.location = folder, location
        self.buffers = {location: own}

    def array(self, tensor: onnx.TensorProto) -> np.ndarray:
        """The elements; a view where that is possible. ValueError or OSError where the data cannot be had."""
        if not uses_external_data(tensor):
            return numpy_helper.to_array(tensor)
        data, dtype = self.bytes_of(tensor), helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if dtype in DTYPES and dtype.itemsize * math.prod(tensor.dims) == data.nbytes:
            elements = np.frombuffer(data, dtype.newbyteorder("<"))
            return elements.astype(dtype, copy=False).reshape(tuple(tensor.dims))
        whole = onnx.TensorProto()
        whole.CopyFrom(tensor)
        self._fill(whole)
        return numpy_helper.to_array(whole)

    def bytes_of(self, tensor: onnx.TensorProto) -> memoryview:
        info = ExternalDataInfo(tensor)
        if info.location not in self.buffers:
            self.buffers[info.location] = self._open(tensor, info.location)
        whole = memoryview(self.buffers[info.location])
        start = info.offset or 0
        end = whole.nbytes if info.length is None else start + info.length
        if not start <= end <= whole.nbytes:
            raise ValueError(f"{tensor.name!r} is not within {info.location}")
        return whole[start:end]

    def _open(self, tensor: onnx.TensorProto, location: str):
        if self.folder is None:
            raise ValueError("weights are in external files; give the path of the model instead of its bytes")
        probe = onnx.TensorProto(name=tensor.name, data_type=tensor.data_type)
        _refer(probe, location, 0, 0)
        load_external_data_for_tensor(probe, str(self.folder))  # refuses what leads out of the folder
        return map_file(self.folder / location)

    def add(self, name: str, array: np.ndarray) -> onnx.TensorProto:
        """A tensor of an array in memory."""
        if array.nbytes < LARGE:
            return numpy_helper.from_array(array, name)
        tensor = onnx.TensorProto(name=name, data_type=helper.np_dtype_to_tensor_dtype(array.dtype), dims=array.shape)
        location = f"computed: {name}"
        self.buffers[location] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        _refer(tensor, location, 0, array.nbytes)
        return tensor

    def whole(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """A copy of the model that holds all its data."""
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        for tensor in tensors_of(copy):
            if uses_external_data(tensor):
                self._fill(tensor)
        return copy

    def _fill(self, tensor: onnx.TensorProto) -> None:
        tensor.raw_data = bytes(self.bytes_of(tensor))
        tensor.ClearField("data_location")
        del tensor.external_data[:]

    def rest(self) -> None:
        """Give the memory back that mapped files use; what is read again comes from the file again."""
        for buffer in self.buffers.values():
            if isinstance(buffer, mmap.mmap):
                rest(buffer)


def map_file(path: Path):
    """A file's bytes, mapped where that can be done."""
    with open(path, "rb") as file:
        try:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # a pipe, or empty
            return file.read()


def tensors_of(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every dense tensor of a model, in graphs inside and functions too."""
    graphs: list = [model.graph, *model.functions]
    for graph in graphs:  # grows on the way
        yield from getattr(graph, "initializer", ())
        for attribute in (a for node in graph.node for a in node.attribute):
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
            graphs += [attribute.g] if attribute.HasField("g") else attribute.graphs


# ---- the protobuf encoding


def without_weights(data, location: str) -> bytes:
    """A serialized ModelProto without the raw data of large tensors: they refer to `location` instead.
    ValueError where the bytes are no message."""
    try:
        return b"".join(_rewrite(memoryview(data), 0, len(data), "model", location))
    except IndexError:
        raise ValueError("the message ends early") from None


def _rewrite(data: memoryview, at: int, end: int, kind: str, location: str) -> list:
    """A message of this kind in pieces. What is too small to hold a large tensor is copied as it is."""
    pieces, done = [], at
    for number, value, start, stop in _fields(data, at, end):
        if kind == "attribute" and number in LISTS:
            break
        inner = MESSAGES[kind].get(number)
        if inner is not None and isinstance(value, range) and len(value) >= LARGE:
            parts = (_refer_to(data, value.start, stop, location) if inner == "tensor"
                     else _rewrite(data, value.start, stop, inner, location))
            pieces += [data[done:start], _encoded(number << 3 | BYTES), _encoded(sum(map(len, parts))), *parts]
            done = stop
    return [*pieces, data[done:end]]


def _refer_to(data: memoryview, at: int, end: int, location: str) -> list:
    """A tensor in pieces: without its elements, if they are many, but with their place."""
    fields = list(_fields(data, at, end))
    kind = {number: value for number, value, _, _ in fields}.get(DATA_TYPE)
    found = [f for f in fields if f[0] in ELEMENTS]
    if (len(found) != 1 or not isinstance(found[0][1], range) or len(found[0][1]) < LARGE
            or ELEMENTS[found[0][0]] not in (None, kind) or {EXTERNAL_DATA, DATA_LOCATION} & {f[0] for f in fields}):
        return [data[at:end]]
    _, place, start, stop = found[0]
    tensor = onnx.TensorProto()
    _refer(tensor, location, place.start, len(place))
    return [data[at:start], data[stop:end], tensor.SerializeToString()]


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int | range | None, int, int]]:
    """(number, value, where it starts, where it stops) of each field; the value of bytes is their place."""
    while at < end:
        start, value = at, None
        key, at = _varint(data, at)
        if key & 7 == BYTES:
            size, at = _varint(data, at)
            value = range(at, at + size)
            at += size
        elif key & 7 == VARINT:
            value, at = _varint(data, at)
        elif key & 7 in FIXED:
            at += FIXED[key & 7]
        else:
            raise ValueError("a wire type that protobuf no longer has")
        if at > end:
            raise ValueError("a field ends behind its message")
        yield key >> 3, value, start, at


def _refer(tensor: onnx.TensorProto, location: str, offset: int, length: int) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        tensor.external_data.add(key=key, value=str(value))


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
