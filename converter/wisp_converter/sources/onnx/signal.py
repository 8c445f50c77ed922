"""DFT and STFT of ONNX."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .registry import importer


def _check(emit: Emit) -> None:
    if emit.out.dtype not in (np.float32, np.float64):
        raise emit.unsupported(f"elements of type {emit.out.dtype}")


@importer("DFT")
def DFT(emit: Emit, *, axis: int = 1, inverse: int = 0, onesided: int = 0) -> None:
    """Along one axis of (..., 1 or 2: parts of the numbers). The axis is an attribute before operator set 20."""
    _check(emit)
    emit.keep_rank()
    if any(emit.input(i) is not None and emit.known(i) is None for i in (1, 2)):
        emit.out.shape = (None,) * len(emit.out.shape)  # a run finds it out
    emit.add("DFT", emit.inputs, emit.out, axis=axis if emit.opset < 20 else -2, inverse=inverse, onesided=onesided)


@importer("STFT")
def STFT(emit: Emit, *, onesided: int = 1) -> None:
    """Frames of (batch, samples, 1 or 2 parts) picked by Gather, each times the window, then DFT."""
    _check(emit)
    x, window = emit.inputs[0], emit.input(2)
    if emit.input(3) is not None:
        length = int(emit.require(3, "the length").ravel()[0])
    elif window is not None and window.is_static:
        length = window.shape[0]
    else:
        raise emit.unsupported("neither the length of a frame nor that of the window is known")
    if len(x.shape) == 2:
        x = emit.add("Unsqueeze", [x, emit.constant(np.int64([2]), "axis")], shape=(*x.shape, 1))
    batch, samples, parts = x.shape
    step = emit.known(1)
    frames = (samples - length) // int(step.ravel()[0]) + 1 if isinstance(samples, int) and step is not None else None
    cut = emit.add("Gather", [x, _frames(emit, x, frames, length)], shape=(batch, frames, length, parts), axis=1)
    if window is not None:
        column = emit.add("Unsqueeze", [window, emit.constant(np.int64([1]), "axis")], shape=(length, 1))
        cut = emit.add("Mul", [cut, column], shape=cut.shape)
    emit.out.shape = (batch, frames, length // 2 + 1 if onesided else length, 2)
    emit.add("DFT", [cut], emit.out, axis=-2, onesided=onesided)


def _frames(emit: Emit, x: Value, frames: int | None, length: int) -> Value:
    """(frames, length): the samples of each frame."""
    within = np.arange(length)
    if frames is not None:
        return emit.constant(np.arange(frames)[:, None] * emit.known(1).ravel()[0] + within, "frames")
    samples = emit.add("Shape", [x], shape=(1,), dtype=np.int64, start=1, end=2)
    scalar = emit.add("Reshape", [samples, emit.constant(np.zeros(0, np.int64), "scalar")], shape=())
    end = emit.add("Sub", [scalar, emit.constant(np.int64(length - 1), "within")], shape=())
    step = emit.inputs[1]
    if step.dtype != np.int64:
        step = emit.add("Cast", [step], shape=step.shape, dtype=np.int64)
    starts = emit.add("Range", [emit.constant(np.int64(0), "zero"), end, step], shape=(None,))
    starts = emit.add("Unsqueeze", [starts, emit.constant(np.int64([1]), "axis")], shape=(None, 1))
    return emit.add("Add", [starts, emit.constant(within, "within")], shape=(None, length))
