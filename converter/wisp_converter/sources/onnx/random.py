"""Random generators of ONNX: the numbers follow from the seed, and are the same in every run."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import zlib

import numpy as np

from ...ir import Value
from .emit import Emit
from .registry import importer
from .shape import TO_THE_END


def _seed(emit: Emit, seed: float | None) -> int:
    """The bits of the seed that a node states, else one made from its name: nodes differ from each other."""
    if seed is None:
        return int(np.uint32(zlib.crc32(emit.name.encode())).astype(np.int32))
    return struct.unpack("<i", struct.pack("<f", seed))[0]


def _shape_of(emit: Emit, x: Value) -> Value:
    if x.is_static:
        return emit.constant(np.int64(x.shape), "shape")
    return emit.add("Shape", [x], shape=(len(x.shape),), dtype=np.int64, end=TO_THE_END)


def _draw(emit: Emit, op: str, shape: Value, dims, output: Value | None, **attrs) -> Value:
    """f32 numbers, and the output's dtype of them."""
    direct = output is not None and output.dtype == np.float32
    y = emit.add(op, [shape], output if direct else None, shape=dims, dtype=np.float32, **attrs)
    return y if direct or output is None else emit.add("Cast", [y], output)


def _generate(emit: Emit, op: str, seed: float | None, shape, **attrs) -> None:
    """The node's output, of a shape that is stated, or of input 0."""
    if emit.out.dtype.kind != "f":
        raise emit.unsupported(f"elements of type {emit.out.dtype}")
    if shape is None:
        emit.keep_rank()
        like = emit.inputs[0]
        wanted, shape = _shape_of(emit, like), like.shape
    else:
        wanted, shape = emit.constant(np.int64(shape), "shape"), tuple(shape)
    _draw(emit, op, wanted, shape, emit.out, seed=_seed(emit, seed), **attrs)


@importer("RandomUniform", "RandomUniformLike", any_dtype=True)
def import_uniform(emit: Emit, *, shape=None, low: float = 0.0, high: float = 1.0, seed: float | None = None,
                   dtype: int = 1) -> None:
    _generate(emit, "RandomUniform", seed, shape, low=low, high=high)


@importer("RandomNormal", "RandomNormalLike", any_dtype=True)
def import_normal(emit: Emit, *, shape=None, mean: float = 0.0, scale: float = 1.0, seed: float | None = None,
                  dtype: int = 1) -> None:
    _generate(emit, "RandomNormal", seed, shape, mean=mean, scale=scale)


@importer("Bernoulli")
def Bernoulli(emit: Emit, *, dtype: int = 0, seed: float | None = None) -> None:
    """1 with the probability that x states."""
    x = emit.inputs[0]
    emit.keep_rank()
    u = _draw(emit, "RandomUniform", _shape_of(emit, x), x.shape, None, low=0.0, high=1.0, seed=_seed(emit, seed))
    if x.dtype != np.float32:
        x = emit.add("Cast", [x], shape=x.shape, dtype=np.float32)
    hit = emit.add("Less", [u, x], emit.out if emit.out.dtype == bool else None, shape=x.shape, dtype=bool)
    if hit is not emit.out:
        emit.add("Cast", [hit], emit.out)


@importer("Multinomial")
def Multinomial(emit: Emit, *, sample_size: int = 1, seed: float | None = None, dtype: int = 6) -> None:
    """Classes drawn by (batch, classes) logarithms of weights: how many sums of probabilities a draw has passed."""
    x = emit.inputs[0]
    if x.dtype != np.float32 or not x.is_static:
        raise emit.unsupported("takes float32 of a known shape; bind the inputs with shapes=")
    batch, classes = x.shape
    odds = emit.add("Softmax", [x], shape=x.shape, axis=1)
    sums = emit.add("CumSum", [odds, emit.constant(np.int64(1), "axis")], shape=x.shape)
    sums = emit.add("Slice", [sums, *(emit.constant(np.int64([n]), "b") for n in (0, classes - 1, 1))],
                    shape=(batch, classes - 1))
    sums = emit.add("Unsqueeze", [sums, emit.constant(np.int64([1]), "axis")], shape=(batch, 1, classes - 1))
    u = _draw(emit, "RandomUniform", emit.constant(np.int64([batch, sample_size, 1]), "shape"), (batch, sample_size, 1),
              None, low=0.0, high=1.0, seed=_seed(emit, seed))
    shape = (batch, sample_size, classes - 1)
    passed = emit.add("GreaterOrEqual", [u, sums], shape=shape, dtype=bool)
    passed = emit.add("Cast", [passed], shape=shape, dtype=np.int64)
    axes = emit.constant(np.int64([2]), "axes")
    wide = emit.out.dtype == np.int64
    count = emit.add("ReduceSum", [passed, axes], emit.out if wide else None, shape=shape[:2], keepdims=0)
    if not wide:
        emit.add("Cast", [count], emit.out)
