"""Support vector machines of ai.onnx.ml."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import combinations

import numpy as np

from ...ir import Value
from .emit import Emit
from .ml import ML, apply, classify, finish_scores, floats_of, name_classes, reduce, rows_of, two_scores
from .ml_linear import linear
from .registry import importer

SURE = 1e-7  # of one class against another, a probability is at least this, as in LIBSVM


def squared_distances(emit: Emit, a: Value, b: Value, output: Value | None = None) -> Value:
    """(rows of a, rows of b): of differences, which are exact where rows are close to each other."""
    a = emit.add("Unsqueeze", [a, emit.constant(np.int64([1]), "axis")], shape=(a.shape[0], 1, a.shape[1]))
    b = emit.add("Unsqueeze", [b, emit.constant(np.int64([0]), "axis")], shape=(1, *b.shape))
    return reduce(emit, "ReduceSumSquare", apply(emit, "Sub", a, b), output, keepdims=0)


def _kernel(emit: Emit, kind: str, numbers, vectors: np.ndarray) -> Value:
    """(rows, support vectors)."""
    x = floats_of(emit, rows_of(emit, emit.inputs[0]))
    gamma, offset, degree = (np.float32(n) for n in (*numbers, 0, 0, 0)[:3])
    if kind == "RBF":
        power = apply(emit, "Mul", squared_distances(emit, x, emit.constant(vectors, "vectors")), -gamma)
        return emit.add("Exp", [power], shape=power.shape)
    shape = (x.shape[0], len(vectors))
    product = emit.call("Gemm", [x, emit.constant(vectors, "vectors")], shape=shape, transB=1)
    if kind == "LINEAR":
        return product
    moved = apply(emit, "Add", apply(emit, "Mul", product, gamma), offset)
    if kind == "POLY":
        return apply(emit, "Pow", moved, degree)
    if kind == "SIGMOID":
        return emit.add("Tanh", [moved], shape=shape)
    raise emit.unsupported(f"kernel_type {kind!r}")


@importer("SVMRegressor", domain=ML)
def SVMRegressor(emit: Emit, *, coefficients, support_vectors=(), n_supports: int = 0, rho=(0.0,),
                 kernel_type: str = "LINEAR", kernel_params=(), one_class: int = 0,
                 post_transform: str = "NONE") -> None:
    """Kernels of all support vectors, weighted; without any the model is linear. one_class: 1 above 0, else -1."""
    if n_supports:
        kernels = _kernel(emit, kernel_type, kernel_params, np.float32(support_vectors).reshape(n_supports, -1))
        weights = emit.constant(np.float32(coefficients).reshape(1, -1), "coefficients")
        scores = emit.call("Gemm", [kernels, weights, emit.constant(np.float32(rho[:1]), "rho")],
                           shape=(kernels.shape[0], 1), transB=1)
    else:
        scores = linear(emit, coefficients, rho[:1], 1)
    if one_class:
        inside = apply(emit, "Greater", scores, np.float32(0), dtype=bool)
        scores = apply(emit, "Where", inside, np.float32(1), np.float32(-1), dtype=np.float32)
    finish_scores(emit, scores, post_transform, emit.out)


@importer("SVMClassifier", domain=ML)
def SVMClassifier(emit: Emit, *, coefficients, support_vectors=(), vectors_per_class=(), rho=(0.0,), prob_a=(),
                  prob_b=(), kernel_type: str = "LINEAR", kernel_params=(), classlabels_ints=None,
                  classlabels_strings=None, post_transform: str = "NONE") -> None:
    """Each two classes have a score, above 0 for the first one. Without support vectors the model is linear."""
    labels = classlabels_strings or classlabels_ints
    if not sum(vectors_per_class):
        targets = len(labels)
        scores = linear(emit, coefficients, list(rho[:1]) * targets, targets)
        classify(emit, scores, labels, post_transform, False)
        return
    pairs = _pair_scores(emit, np.float32(coefficients), np.asarray(vectors_per_class), np.float32(rho),
                         _kernel(emit, kernel_type, kernel_params,
                                 np.float32(support_vectors).reshape(sum(vectors_per_class), -1)))
    classes = len(vectors_per_class)
    votes = _votes(emit, pairs, classes)
    name_classes(emit, emit.add("ArgMax", [votes], shape=votes.shape[:1], dtype=np.int64, axis=1), labels)
    if len(emit.outputs) < 2 or emit.outputs[1] is None:
        return
    if len(prob_a):
        scores = _couple(emit, pairs, np.float32(prob_a), np.float32(prob_b), classes)
    elif classes == 2:  # as ONNX Runtime completes it
        scores = two_scores(emit, pairs, np.float32(post_transform not in ("NONE", "LOGISTIC")))
        post_transform = post_transform if post_transform == "LOGISTIC" else "NONE"
    else:
        scores = pairs
    finish_scores(emit, scores, post_transform, emit.outputs[1])


def _couple(emit: Emit, pairs: Value, a: np.ndarray, b: np.ndarray, classes: int) -> Value:
    """Probabilities (rows, classes) from the scores of pairs."""
    power = apply(emit, "Add", apply(emit, "Mul", pairs, -a), -b)
    chance = emit.add("Sigmoid", [power], shape=power.shape)
    chance = emit.add("Clip", [chance], shape=power.shape, min=SURE, max=1 - SURE)
    return emit.add("CouplePairs", [chance], shape=(pairs.shape[0], classes), classes=classes)


def _pair_scores(emit: Emit, coefficients: np.ndarray, counts: np.ndarray, rho: np.ndarray, kernels: Value) -> Value:
    """(rows, pairs) from (rows, support vectors): of class i against j the vectors of i with the coefficients of row
    j - 1, and those of j with the coefficients of row i."""
    coefficients, owner = coefficients.reshape(-1, counts.sum()), np.repeat(np.arange(len(counts)), counts)
    pairs = list(combinations(range(len(counts)), 2))
    matrix = np.stack([np.where(owner == i, coefficients[j - 1], np.where(owner == j, coefficients[i], 0))
                       for i, j in pairs])
    return emit.call("Gemm", [kernels, emit.constant(matrix, "coefficients"), emit.constant(rho, "rho")],
                     shape=(kernels.shape[0], len(pairs)), transB=1)


def _votes(emit: Emit, pairs: Value, classes: int) -> Value:
    """How many others each class is chosen before: (rows, classes)."""
    first = np.zeros((len(list(combinations(range(classes), 2))), classes), np.float32)
    for row, (i, j) in zip(first, combinations(range(classes), 2)):
        row[i], row[j] = 1, -1
    above = emit.add("Cast", [apply(emit, "Greater", pairs, np.float32(0), dtype=bool)], shape=pairs.shape,
                     dtype=np.float32)
    return emit.call("Gemm", [above, emit.constant(first, "votes"),
                              emit.constant((first < 0).sum(0).astype(np.float32), "others")],
                     shape=(pairs.shape[0], classes))
