"""Operators of ai.onnx.ml that prepare features: Scaler, Normalizer, Binarizer, Imputer and their like."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .ml import ML, apply, floats_of, reduce, rows_of
from .registry import importer



def _check_count(emit: Emit, what: str, count: int, x: Value) -> None:
    """Numbers for each feature of x, or one for all."""
    features = x.shape[-1] if x.shape else 1
    if count != 1 and isinstance(features, int) and count != features:
        raise emit.unsupported(f"{what} has {count} values for {features} features")


@importer("Scaler", domain=ML)
def Scaler(emit: Emit, *, offset=(0.0,), scale=(1.0,)) -> None:
    """(x - offset) * scale."""
    x = emit.inputs[0]
    for what, numbers in (("offset", offset), ("scale", scale)):
        _check_count(emit, what, len(numbers), x)
    emit.state_type(np.float32, x.shape)
    moved = apply(emit, "Sub", floats_of(emit, x), np.float32(offset))
    apply(emit, "Mul", moved, np.float32(scale), output=emit.out)


@importer("Normalizer", domain=ML)
def Normalizer(emit: Emit, *, norm: str = "MAX") -> None:
    """Rows divided by their largest value, the sum of their sizes or their length; as they are where that is 0."""
    if norm not in ("MAX", "L1", "L2"):
        raise emit.unsupported(f"norm {norm!r}")
    x = emit.inputs[0]
    emit.state_type(np.float32, x.shape)
    x = floats_of(emit, x)
    size = reduce(emit, {"MAX": "ReduceMax", "L1": "ReduceL1", "L2": "ReduceL2"}[norm], x)
    nothing = apply(emit, "Equal", size, np.float32(0), dtype=bool)
    size = apply(emit, "Where", nothing, np.float32(1), size, dtype=np.float32)
    apply(emit, "Div", x, size, output=emit.out)


@importer("Binarizer", domain=ML)
def Binarizer(emit: Emit, *, threshold: float = 0.0) -> None:
    """1 above the threshold, else 0."""
    x = emit.inputs[0]
    emit.keep_type()
    limit = np.array(threshold, x.dtype) if x.dtype.kind == "f" else np.array(np.floor(threshold), x.dtype)
    above = apply(emit, "Greater", x, limit, dtype=bool)
    emit.add("Cast", [above], emit.out)


@importer("Imputer", domain=ML)
def Imputer(emit: Emit, *, imputed_value_floats=(), imputed_value_int64s=(), replaced_value_float: float = 0.0,
            replaced_value_int64: int = 0) -> None:
    """Other numbers, one for each feature or one for all, instead of the replaced one (which may be NaN)."""
    x = emit.inputs[0]
    whole = x.dtype.kind in "iu"
    numbers = imputed_value_int64s if whole else imputed_value_floats
    if not len(numbers):
        raise emit.unsupported(f"it has no values for elements of type {x.dtype}")
    _check_count(emit, "the imputed value", len(numbers), x)
    emit.keep_type()
    replaced = np.array(replaced_value_int64 if whole else replaced_value_float, x.dtype)
    if replaced == replaced:
        missing = apply(emit, "Equal", x, replaced, dtype=bool)
    else:
        missing = emit.add("IsNaN", [x], shape=x.shape, dtype=bool)
    apply(emit, "Where", missing, np.array(numbers, x.dtype), x, output=emit.out)


@importer("ArrayFeatureExtractor", domain=ML, any_dtype=True)
def ArrayFeatureExtractor(emit: Emit) -> None:
    """Elements of the last axis; of a vector as one row."""
    x, index = emit.inputs
    index = emit.add("Reshape", [index, emit.constant(np.int64([-1]), "flat")], shape=(emit.length_of(1),))
    if len(x.shape) == 1:
        x = emit.add("Reshape", [x, emit.constant(np.int64([1, -1]), "row")], shape=(1, *x.shape))
    emit.state_type(x.dtype, (*x.shape[:-1], *index.shape))
    emit.add("Gather", [x, index], emit.out, axis=len(x.shape) - 1)


@importer("FeatureVectorizer", domain=ML)
def FeatureVectorizer(emit: Emit, *, inputdimensions=()) -> None:
    """All inputs side by side as float32, each cut or filled up with zeros to the extent that is stated for it."""
    parts = []
    for x, wanted in zip(emit.inputs, inputdimensions or [None] * len(emit.inputs)):
        x = rows_of(emit, floats_of(emit, x))
        have = x.shape[1]
        if not isinstance(have, int) and wanted is not None:
            raise emit.unsupported(f"the extent of the features of {x.name!r} must be bound with shapes=")
        if wanted is not None and wanted < have:
            x = emit.call("Slice", [x, *(emit.constant(np.int64([v]), "bound") for v in (0, wanted, 1))],
                          shape=(x.shape[0], wanted))
        elif wanted is not None and wanted > have:
            x = emit.call("Pad", [x, emit.constant(np.int64([0, 0, 0, wanted - have]), "pads")],
                          shape=(x.shape[0], wanted))
        parts.append(x)
    widths = [p.shape[1] for p in parts]
    emit.state_type(np.float32, (parts[0].shape[0], sum(widths) if all(isinstance(w, int) for w in widths) else None))
    emit.add("Concat", parts, emit.out, axis=1)
