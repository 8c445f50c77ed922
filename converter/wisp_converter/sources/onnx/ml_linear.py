"""Linear models of ai.onnx.ml."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .ml import ML, classify, finish_scores, floats_of, name_classes, rows_of, second_class, two_scores
from .registry import importer


def linear(emit: Emit, coefficients, intercepts, targets: int) -> Value:
    """The scores (rows, targets)."""
    x = floats_of(emit, rows_of(emit, emit.inputs[0]))
    matrix = np.float32(coefficients).reshape(targets, -1)
    bias = np.float32(intercepts) if len(intercepts) else np.zeros(targets, np.float32)
    operands = [x, emit.constant(matrix, "coefficients"), emit.constant(bias, "intercepts")]
    return emit.call("Gemm", operands, shape=(x.shape[0], targets), transB=1)


@importer("LinearRegressor", domain=ML)
def LinearRegressor(emit: Emit, *, coefficients, intercepts=(), targets: int = 1,
                    post_transform: str = "NONE") -> None:
    finish_scores(emit, linear(emit, coefficients, intercepts, targets), post_transform, emit.out)


@importer("LinearClassifier", domain=ML)
def LinearClassifier(emit: Emit, *, coefficients, intercepts=(), classlabels_ints=None, classlabels_strings=None,
                     multi_class: int = 0, post_transform: str = "NONE") -> None:
    """`multi_class` says how the model was trained; scores are computed the same way."""
    labels = classlabels_strings or classlabels_ints
    targets = len(intercepts) or len(labels)
    scores = linear(emit, coefficients, intercepts, targets)
    if targets == 1 and post_transform != "LOGISTIC":  # ONNX Runtime completes it to 1 and transforms nothing
        name_classes(emit, second_class(emit, scores, 0), labels)
        if len(emit.outputs) > 1 and emit.outputs[1] is not None:
            finish_scores(emit, two_scores(emit, scores, np.float32(1)), "NONE", emit.outputs[1])
    else:
        classify(emit, scores, labels, post_transform, False)
