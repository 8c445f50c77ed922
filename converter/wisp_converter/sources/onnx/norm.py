"""Softmax and the normalizations of ONNX."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Value
from .emit import Emit
from .registry import importer


def _needs_f32(emit: Emit, *more: type) -> None:
    if emit.inputs[0].dtype not in (np.float32, *more):
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
    if emit.inputs[0].shape is None:
        raise emit.unsupported("the number of axes is not known")
    emit.keep_type()


def _softmax(emit: Emit, axis: int | None) -> None:
    """From opset 13 on one axis. Before, all axes from `axis` on are one:
    they are flattened where that makes a difference."""
    _needs_f32(emit, np.float64)
    x = emit.inputs[0]
    rank = len(x.shape)
    if rank == 0:
        raise emit.unsupported("a scalar has no axis")
    axis = (-1 if emit.opset >= 13 else 1) if axis is None else axis
    axis = axis + rank if axis < 0 else axis
    if emit.opset >= 13 or all(d == 1 for d in x.shape[axis + 1:]):
        _along(emit, x, axis, emit.out)
        return
    if not x.is_static:
        raise emit.unsupported("before opset 13 the axes must be fixed; bind them with shapes=")
    flat = emit.add("Reshape", [x], shape=(int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis:]))))
    emit.add("Reshape", [_along(emit, flat, 1)], emit.out)


def _along(emit: Emit, x: Value, axis: int, output: Value | None = None) -> Value:
    """Softmax or LogSoftmax on one axis; of f64 made of other operators."""
    if x.dtype == np.float32:
        return emit.add(emit.op_type, [x], output, shape=x.shape, axis=axis)
    axes, shape = emit.constant(np.int64([axis])), tuple(1 if i == axis else d for i, d in enumerate(x.shape))
    below = emit.add("Sub", [x, emit.add("ReduceMax", [x, axes], shape=shape, keepdims=1)], shape=x.shape)
    powers = emit.add("Exp", [below], shape=x.shape)
    total = emit.add("ReduceSum", [powers, axes], shape=shape, keepdims=1)
    if emit.op_type == "Softmax":
        return emit.add("Div", [powers, total], output, shape=x.shape)
    return emit.add("Sub", [below, emit.add("Log", [total], shape=shape)], output, shape=x.shape)


@importer("Softmax")
def Softmax(emit: Emit, *, axis: int | None = None) -> None:
    _softmax(emit, axis)


@importer("LogSoftmax")
def LogSoftmax(emit: Emit, *, axis: int | None = None) -> None:
    _softmax(emit, axis)


# ---- rows


@importer("LayerNormalization")
def LayerNormalization(emit: Emit, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> None:
    _needs_f32(emit)
    emit.add("LayerNormalization", emit.inputs, outputs=emit.outputs, axis=axis, epsilon=epsilon)


@importer("RMSNormalization")
def RMSNormalization(emit: Emit, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> None:
    _needs_f32(emit)
    emit.add("RMSNormalization", emit.inputs, emit.out, axis=axis, epsilon=epsilon)


@importer("LpNormalization")
def LpNormalization(emit: Emit, *, axis: int = -1, p: int = 2) -> None:
    _needs_f32(emit)
    emit.add("LpNormalization", emit.inputs, emit.out, axis=axis, p=p)


@importer("MeanVarianceNormalization")
def MeanVarianceNormalization(emit: Emit, *, axes=(0, 2, 3)) -> None:
    _needs_f32(emit)
    x, listed = emit.inputs[0], emit.constant(np.array(axes, np.int64), "axes")
    reduced = tuple(1 if i in [a % len(x.shape) for a in axes] else d for i, d in enumerate(x.shape))
    mean = emit.add("ReduceMean", [x, listed], shape=reduced, keepdims=1)
    centered = emit.add("Sub", [x, mean], shape=x.shape)
    squares = emit.add("Mul", [centered, centered], shape=x.shape)
    variance = emit.add("ReduceMean", [squares, listed], shape=reduced, keepdims=1)
    deviation = emit.add("Sqrt", [variance], shape=reduced)
    shifted = emit.add("Add", [deviation, emit.constant(np.float32([1e-9]), "epsilon")], shape=reduced)
    emit.add("Div", [centered, shifted], emit.out)


# ---- channels


@importer("InstanceNormalization")
def InstanceNormalization(emit: Emit, *, epsilon: float = 1e-5) -> None:
    _needs_f32(emit)
    emit.add("GroupNormalization", emit.inputs, emit.out, groups=0, epsilon=epsilon)


@importer("GroupNormalization")
def GroupNormalization(emit: Emit, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> None:
    """Scale and bias are for each group before opset 21, then for each channel."""
    _needs_f32(emit)
    x, *parameters = emit.inputs
    if emit.opset < 21:
        parameters = [_repeat(emit, p, x.shape[1], num_groups) for p in parameters]
    emit.add("GroupNormalization", [x, *parameters], emit.out, groups=num_groups, epsilon=epsilon)


def _repeat(emit: Emit, parameter: Value, channels, groups: int) -> Value:
    if not isinstance(channels, int):
        raise emit.unsupported("the number of channels is not known")
    if parameter.data is not None:
        return emit.constant(np.repeat(parameter.data, channels // groups), "repeated")
    column = emit.add("Reshape", [parameter], shape=(groups, 1))
    target = emit.constant(np.array([groups, channels // groups], np.int64), "shape")
    wide = emit.add("Expand", [column, target], shape=(groups, channels // groups))
    return emit.add("Reshape", [wide], shape=(channels,))


@importer("BatchNormalization")
def BatchNormalization(emit: Emit, *, epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0,
                       spatial: int = 1) -> None:
    """x * a + b for each channel: two constants where the parameters are, otherwise computed first. In training mode by
    mean and variance of x, and the running ones follow."""
    _needs_f32(emit)
    if not spatial or (not training_mode and any(o is not None for o in emit.outputs[1:])):
        raise emit.unsupported("only inference and the training mode of operator set 14 are supported")
    x = emit.inputs[0]
    if training_mode:
        a, b = _computed_factors(emit, epsilon, *_statistics(emit, momentum))
    elif all(emit.known(i) is not None for i in range(1, 5)):
        scale, bias, mean, variance = (emit.known(i).astype(np.float64) for i in range(1, 5))
        factor = scale / np.sqrt(variance + epsilon)
        a, b = (emit.constant(_as_channels(v, x).astype(np.float32), "bn") for v in (factor, bias - mean * factor))
    else:
        a, b = _computed_factors(emit, epsilon, *emit.inputs[3:5])
    y = emit.add("Mul", [x, a], shape=emit.out.shape)
    emit.add("Add", [y, b], emit.out)


def _channel_shape(channels, x: Value) -> tuple:
    return (1, channels) + (1,) * (len(x.shape) - 2) if len(x.shape) > 1 else (channels,)


def _as_channels(array: np.ndarray, x: Value) -> np.ndarray:
    return array.reshape(_channel_shape(array.size, x))


def _statistics(emit: Emit, momentum: float) -> tuple[Value, Value]:
    """Mean and variance of each channel of x; outputs 1 and 2 become the running ones."""
    x, channels = emit.inputs[0], emit.inputs[1].shape
    axes = emit.constant(np.int64([a for a in range(len(x.shape)) if a != 1]), "axes")

    def mean_of(value: Value) -> Value:
        return emit.add("ReduceMean", [value, axes], shape=_channel_shape(channels[0], x), keepdims=1)

    mean = mean_of(x)
    centred = emit.add("Sub", [x, mean], shape=x.shape)
    variance = mean_of(emit.add("Mul", [centred, centred], shape=x.shape))
    found = [emit.add("Reshape", [v], shape=channels) for v in (mean, variance)]
    for value, old, output in zip(found, emit.inputs[3:5], emit.outputs[1:]):
        if output is not None:
            kept = emit.add("Mul", [old, emit.constant(np.float32(momentum), "momentum")], shape=channels)
            new = emit.add("Mul", [value, emit.constant(np.float32(1 - momentum), "rest")], shape=channels)
            emit.add("Add", [kept, new], output, min=-np.inf, max=np.inf)
    return found[0], found[1]


def _computed_factors(emit: Emit, epsilon: float, mean: Value, variance: Value) -> tuple[Value, Value]:
    x, scale, bias = emit.inputs[:3]
    shape = scale.shape
    if shape is None or not scale.is_static or any(v.dtype != np.float32 for v in emit.inputs):
        raise emit.unsupported("computed parameters must be f32 of a fixed shape")
    shifted = emit.add("Add", [variance, emit.constant(np.float32([epsilon]), "epsilon")], shape=shape)
    deviation = emit.add("Sqrt", [shifted], shape=shape)
    factor = emit.add("Div", [scale, deviation], shape=shape)
    moved = emit.add("Mul", [mean, factor], shape=shape)
    offset = emit.add("Sub", [bias, moved], shape=shape)
    return tuple(emit.add("Reshape", [v], shape=_channel_shape(shape[0], x)) for v in (factor, offset))


@importer("LRN")
def LRN(emit: Emit, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> None:
    _needs_f32(emit)
    emit.add("LRN", emit.inputs, emit.out, alpha=alpha, beta=beta, bias=bias, size=size)
