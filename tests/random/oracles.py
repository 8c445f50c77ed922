"""What others make of a model: ONNX Runtime and ONNX's reference."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from support import onnxruntime_outputs, reference

NEVER = 1 << 30
REFERENCE_IS_WRONG = {  # in onnx 1.22, below this opset: it is no oracle for models with these
    "Hardmax": (13, "takes the last axis alone, not all from `axis` on"),
    "LogSoftmax": (13, "as Hardmax"),
    "Softmax": (13, "as Hardmax"),
    "GRU": (NEVER, "knows no clip"),
    "LSTM": (NEVER, "knows no clip"),
    "RNN": (NEVER, "knows no clip"),
    "GlobalMaxPool": (NEVER, "takes any input for a picture of two axes"),
    "LRN": (NEVER, "counts channels up to the size of the batch"),
    "Loop": (NEVER, "joins scan outputs along an axis instead of stacking them"),
    "MaxPool": (NEVER, "counts indices from the beginning of a channel"),
    "Normalizer": (NEVER, "keeps the element type and takes norms of matrices only"),
    "Scaler": (NEVER, "keeps the element type"),
    "Unique": (NEVER, "orders by value what is to be in the order of the first occurrence"),
}


def run_oracles(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[dict[str, np.ndarray] | None]:
    """By ONNX Runtime and by ONNX's reference: arrays by name; None where it refuses, is known to be wrong, or gives
    another element type than the operator's definition."""
    opset = next(o.version for o in model.opset_import if not o.domain)
    wrong = any(opset < REFERENCE_IS_WRONG.get(n.op_type, (0, ""))[0] for n in model.graph.node)
    types = {o.name: o.type.tensor_type.elem_type for o in model.graph.output}
    found = []
    for oracle in (onnxruntime_outputs, reference):
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                results = None if wrong and oracle is reference else oracle(model, inputs)
            except Exception:  # they raise anything
                results = None
        if results is not None and not all(isinstance(a, np.ndarray | np.generic) and a.dtype.kind not in "OUS"
                                           for a in results.values()):
            results = None
        if results is not None and any(types[n] not in (0, helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype))
                                       for n, a in results.items()):
            results = None
        found.append(results and {n: np.asarray(a) for n, a in results.items()})
    return found


HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def in_single(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """The model with float32 for its float16 and bfloat16: what these would be if only results were rounded. None
    where it has none."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    halves = [v.type.tensor_type for v in (*copy.graph.input, *copy.graph.output)
              if v.type.tensor_type.elem_type in HALVES]
    tensors = [t for t in copy.graph.initializer if t.data_type in HALVES]
    for tensor in tensors:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    for kind in halves:
        kind.elem_type = TensorProto.FLOAT
    for node in copy.graph.node:
        for attribute in node.attribute:
            if attribute.name in ("to", "dtype", "output_dtype") and attribute.i in HALVES:
                attribute.i = TensorProto.FLOAT
    return copy if halves or tensors else None
