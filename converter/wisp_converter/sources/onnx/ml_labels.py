"""Operators of ai.onnx.ml about categories: numbers and strings (their indices in the metadata) as others."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .ml import ML, apply, reduce
from .registry import importer

INDEX = np.dtype(np.int64)


def _match(emit: Emit, x: Value, keys: np.ndarray) -> Value:
    """Whether an element is a key: bool, x's axes and one for the keys. From version 4 on NaN equals NaN."""
    x = emit.add("Unsqueeze", [x, emit.constant(INDEX.type([-1]), "axis")], shape=(*x.shape, 1))
    same = apply(emit, "Equal", x, keys, dtype=bool)
    if keys.dtype.kind == "f" and emit.opset >= 4 and np.isnan(keys).any():
        missing = emit.add("IsNaN", [x], shape=x.shape, dtype=bool)
        same = apply(emit, "Or", same, apply(emit, "And", missing, np.isnan(keys)), dtype=bool)
    return same


def _place(emit: Emit, x: Value, keys: np.ndarray) -> Value:
    """How many keys there are from the first one on that an element is, itself counted; 0 where it is none."""
    ranks = np.arange(len(keys), 0, -1, dtype=np.int64)
    found = apply(emit, "Where", _match(emit, x, keys), ranks, np.int64(0), dtype=np.int64)
    return reduce(emit, "ReduceMax", found, keepdims=0)


def _map(emit: Emit, keys: np.ndarray, values: np.ndarray, default) -> None:
    """Each element's value by its key, the first one that is equal."""
    x = emit.inputs[0]
    if x.dtype != keys.dtype:
        raise emit.unsupported(f"keys of type {keys.dtype} for elements of type {x.dtype}")
    if not len(keys) or len(keys) != len(values):
        raise emit.unsupported(f"{len(keys)} keys for {len(values)} values")
    emit.state_type(values.dtype, x.shape)
    emit.out.dtype = values.dtype
    table = np.concatenate([np.asarray(default, values.dtype).reshape(1), values[::-1]])
    emit.add("Gather", [emit.constant(table, "values"), _place(emit, x, keys)], emit.out)


def _column(emit: Emit, attributes: dict, what: str) -> np.ndarray | None:
    """keys_* or values_*: of whichever type they are."""
    for kind, dtype in (("int64s", np.int64), ("floats", np.float32), ("strings", object), ("tensor", None)):
        data = attributes.get(f"{what}_{kind}")
        if data is not None:
            return emit.constant(np.asarray(data, dtype)).data.reshape(-1)
    return None


@importer("LabelEncoder", domain=ML)
def LabelEncoder(emit: Emit, *, classes_strings=None, default_int64: int = -1, default_float: float = -0.0,
                 default_string: str | None = None, default_tensor=None, **attributes) -> None:
    """Values by keys. In version 1 strings by their indices, or indices by strings, as x has them."""
    if classes_strings is not None:
        labels, order = emit.indices_of(classes_strings), np.arange(len(classes_strings))
        if emit.inputs[0] in emit.texts:
            _map(emit, labels, order, default_int64)
        else:
            _map(emit, order, labels, emit.indices_of(["_Unused" if default_string is None else default_string]))
        return
    keys, values = (_column(emit, attributes, what) for what in ("keys", "values"))
    if keys is None or values is None:
        raise emit.unsupported("it has no keys or no values")
    if default_tensor is not None:
        default = emit.constant(default_tensor).data
    elif attributes.get("values_strings") is not None:
        default = emit.indices_of(["_Unused" if default_string is None else default_string])
    else:
        default = default_int64 if values.dtype.kind in "iu" else default_float
    _map(emit, keys, values, default)


@importer("CategoryMapper", domain=ML)
def CategoryMapper(emit: Emit, *, cats_int64s, cats_strings, default_int64: int = -1,
                   default_string: str = "_Unused") -> None:
    """Strings by numbers, or numbers by strings, as x has them."""
    numbers, labels = np.asarray(cats_int64s, np.int64), emit.indices_of(cats_strings)
    if emit.inputs[0] in emit.texts:
        _map(emit, labels, numbers, default_int64)
    else:
        _map(emit, numbers, labels, emit.indices_of([default_string]))


@importer("OneHotEncoder", domain=ML)
def OneHotEncoder(emit: Emit, *, cats_int64s=None, cats_strings=None, zeros: int = 1) -> None:
    """A new last axis: 1 at the category. Others are zeros, or, if ONNX has that an error, a bad index in the run."""
    x = emit.inputs[0]
    keys = np.asarray(cats_int64s, np.int64) if cats_strings is None else emit.indices_of(cats_strings)
    if x.dtype != np.int64:
        x = emit.add("Cast", [x], shape=x.shape, dtype=np.int64)
    emit.state_type(np.float32, (*x.shape, len(keys)))
    if zeros:
        emit.add("Cast", [_match(emit, x, keys)], emit.out)
        return
    index = apply(emit, "Sub", np.int64(len(keys)), _place(emit, x, keys))
    emit.add("Gather", [emit.constant(np.eye(len(keys), dtype=np.float32), "categories"), index], emit.out)


@importer("ZipMap", domain=ML)
def ZipMap(emit: Emit, *, classlabels_int64s=None, classlabels_strings=None) -> None:
    """The source's output is a list of maps from labels to scores; here scores, by `labels` of the metadata."""
    labels = classlabels_strings or classlabels_int64s
    if not labels:
        raise emit.unsupported("it has no labels")
    emit.metadata["labels"] = [str(label) for label in labels]
    emit.keep_type()
    emit.alias(emit.inputs[0])
