"""TfIdfVectorizer: how often rows of tokens hold the n-grams of a pool."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...errors import ModelError
from ...ir import Value
from .emit import Emit
from .ml import apply
from .registry import importer
from .shape import TO_THE_END


@importer("TfIdfVectorizer")
def TfIdfVectorizer(emit: Emit, *, mode: str, min_gram_length: int, max_gram_length: int, max_skip_count: int,
                    ngram_counts, ngram_indexes, pool_int64s=(), pool_strings=(), weights=()) -> None:
    """Between the tokens of an n-gram any same number of others, up to max_skip_count, may be left out."""
    x = emit.inputs[0]
    pool = emit.indices_of(pool_strings) if len(pool_strings) else np.asarray(pool_int64s, np.int64)
    bounds, width = [*ngram_counts, len(pool)], max(ngram_indexes) + 1
    if x.dtype != np.int64:
        x = emit.add("Cast", [x], shape=x.shape, dtype=np.int64)
    counts, columns, done = [], [], 0
    for size, (begin, end) in enumerate(zip(bounds, bounds[1:]), 1):
        grams = pool[begin:end].reshape(-1, size)
        places, done = list(ngram_indexes[done:done + len(grams)]), done + len(grams)
        if len(np.unique(grams, axis=0)) != len(grams):
            raise ModelError(f"its pool has an n-gram of {size} tokens twice")
        if len(grams) and min_gram_length <= size <= max_gram_length:
            counts += [_count(emit, x, grams, 1 + skip) for skip in range(1 if size == 1 else max_skip_count + 1)]
            columns += places * (1 if size == 1 else max_skip_count + 1)
    emit.state_type(np.float32, (*x.shape[:-1], width))
    if not counts:
        raise emit.unsupported("its pool has no n-gram of the lengths that count")
    matrix = np.zeros((len(columns), width), np.float32)
    matrix[np.arange(len(columns)), columns] = 1
    shape = (*x.shape[:-1], sum(c.shape[-1] for c in counts))
    rows = counts[0] if len(counts) == 1 else emit.add("Concat", counts, shape=shape, axis=len(shape) - 1)
    weigh = np.ones(width, np.float32)
    if len(weights):
        weigh[np.asarray(ngram_indexes)] = weights
    if mode == "TFIDF":
        matrix *= weigh
    elif mode not in ("TF", "IDF"):
        raise emit.unsupported(f"mode {mode!r}")
    product = [rows, emit.constant(matrix, "columns")]
    if mode != "IDF":
        emit.call("MatMul", product, emit.out)
        return
    found = apply(emit, "Greater", emit.call("MatMul", product, shape=emit.out.shape), np.float32(0), dtype=bool)
    apply(emit, "Where", found, weigh, np.float32(0), output=emit.out)


def _count(emit: Emit, x: Value, grams: np.ndarray, step: int) -> Value:
    """How often each n-gram occurs with tokens `step` apart: x's axes, the last one now that of the n-grams."""
    same, size, axis = None, grams.shape[1], len(x.shape) - 1
    extent = x.shape[-1] - (size - 1) * step if isinstance(x.shape[-1], int) else None
    shape = (*x.shape[:-1], None if extent is None else max(extent, 0))
    for i in range(size):
        begin, end = i * step, -(size - 1 - i) * step or TO_THE_END
        bounds = [emit.constant(np.int64([v]), "bound") for v in (begin, end, axis)]
        token = x if size == 1 else emit.call("Slice", [x, *bounds], shape=shape)
        token = emit.add("Unsqueeze", [token, emit.constant(np.int64([-1]), "axis")], shape=(*shape, 1))
        here = apply(emit, "Equal", token, grams[:, i], dtype=bool)
        same = here if same is None else apply(emit, "And", same, here, dtype=bool)
    ones = emit.add("Cast", [same], shape=same.shape, dtype=np.float32)
    return emit.add("ReduceSum", [ones, emit.constant(np.int64([axis]), "tokens")],
                    shape=(*x.shape[:-1], len(grams)), keepdims=0)
