"""Reductions over axes, ArgMax and ArgMin, running sums of ONNX."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from .emit import Emit
from .registry import importer


def _needs_kind(emit: Emit, kinds: str) -> None:
    x = emit.inputs[0]
    if x.dtype.kind not in kinds:
        raise emit.unsupported(f"elements of type {x.dtype}")


KINDS = {"ReduceMax": "fiub", "ReduceMin": "fiub", "ReduceL2": "f", "ReduceLogSum": "f", "ReduceLogSumExp": "f"}
"""Kinds of elements that a reduction takes; the others take "fiu"."""


@importer("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceSumSquare",
          "ReduceL2", "ReduceLogSum", "ReduceLogSumExp")
def import_reduction(emit: Emit, *, axes=None, keepdims: int = 1, noop_with_empty_axes: int = 0) -> None:
    """Axes are an attribute in old opsets (before 13 for ReduceSum, before 18 for the others), then an input."""
    _needs_kind(emit, KINDS.get(emit.op_type, "fiu"))
    axes_value = emit.input(1) if axes is None else emit.constant(np.array(axes, np.int64), "axes")
    if keepdims:
        emit.keep_rank()
    elif emit.inputs[0].shape is not None and axes_value is not None and axes_value.is_static:
        emit.state_rank(len(emit.inputs[0].shape) - math.prod(axes_value.shape))
    emit.add(emit.op_type, [emit.inputs[0], *([] if axes_value is None else [axes_value])], emit.out, keepdims=keepdims,
             noop_with_empty_axes=noop_with_empty_axes)


@importer("ArgMax", "ArgMin")
def import_arg_extreme(emit: Emit, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> None:
    _needs_kind(emit, "fiu")
    emit.add(emit.op_type, emit.inputs, emit.out, axis=axis, keepdims=keepdims, select_last_index=select_last_index)


@importer("CumSum", "CumProd")
def import_cumulative(emit: Emit, *, exclusive: int = 0, reverse: int = 0) -> None:
    _needs_kind(emit, "fiu")
    emit.keep_rank()
    emit.add(emit.op_type, emit.inputs, emit.out, exclusive=exclusive, reverse=reverse)
