"""Unary operators of ONNX."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ...ir import Value
from ...opcodes import opcodes
from .emit import Emit
from .registry import find, importer


def _f32_only(emit: Emit) -> None:
    if emit.inputs[0].dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")


def import_float(emit: Emit) -> None:
    """At the end of this file, UNARY operators of ops.def without parameters that have no other importer."""
    _f32_only(emit)
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("Exp", "Log", "Sqrt", "Floor", "Ceil", "Round", "Reciprocal", "Sigmoid", "Softsign", "IsNaN")
def import_double(emit: Emit) -> None:
    """Operators on f32 and f64."""
    if emit.inputs[0].dtype != np.float64:
        _f32_only(emit)
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("Relu", "Neg", "Abs", "Sign")
def import_number(emit: Emit) -> None:
    """Operators that ONNX defines on integers as well."""
    if emit.inputs[0].dtype.kind not in "fiu":
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("Clip")
def Clip(emit: Emit, *, min: float | None = None, max: float | None = None) -> None:
    """Bounds are attributes before opset 11, then inputs.
    A constant range of f32 is Clip, everything else Max and Min."""
    x = emit.inputs[0]
    if x.dtype.kind not in "fiu":
        raise emit.unsupported(f"elements of type {x.dtype}")
    bounds = [_bound(emit, i, attribute) for i, attribute in ((1, min), (2, max))]
    if x.dtype == np.float32 and all(b is None or b.data is not None for b in bounds):
        low, high = (infinite if b is None else float(b.data.reshape(()))
                     for b, infinite in zip(bounds, (-math.inf, math.inf)))
        emit.add("Clip", [x], emit.out, min=low, max=high)
        return
    steps = [(op, bound) for op, bound in zip(("Max", "Min"), bounds) if bound is not None]
    if not steps:
        emit.alias(x)
    for i, (op, bound) in enumerate(steps):
        x = emit.add(op, [x, bound], emit.out if i + 1 == len(steps) else None, shape=x.shape)


def _bound(emit: Emit, i: int, attribute: float | None) -> Value | None:
    if attribute is not None:
        return emit.constant(np.array(attribute, emit.inputs[0].dtype))
    data = emit.known(i)
    if data is not None and data.size == 1 and data.ndim:
        return emit.constant(data.reshape(()))
    return emit.input(i)


@importer("HardSigmoid")
def HardSigmoid(emit: Emit, *, alpha: float = 0.2, beta: float = 0.5) -> None:
    _f32_only(emit)
    emit.add("HardSigmoid", emit.inputs, emit.out, alpha=alpha, beta=beta)


@importer("LeakyRelu")
def LeakyRelu(emit: Emit, *, alpha: float = 0.01) -> None:
    _f32_only(emit)
    emit.add("LeakyRelu", emit.inputs, emit.out, alpha=alpha)


@importer("ThresholdedRelu")
def ThresholdedRelu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("ThresholdedRelu", emit.inputs, emit.out, alpha=alpha)


@importer("Swish")
def Swish(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("Swish", emit.inputs, emit.out, alpha=alpha)


@importer("Shrink")
def Shrink(emit: Emit, *, bias: float = 0.0, lambd: float = 0.5) -> None:
    _f32_only(emit)
    emit.add("Shrink", emit.inputs, emit.out, bias=bias, lambd=lambd)


@importer("Elu")
def Elu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha, scale=1.0, rate=1.0)


@importer("Selu")
def Selu(emit: Emit, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> None:
    _f32_only(emit)
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha * gamma, scale=gamma, rate=1.0)


@importer("Celu")
def Celu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    if not alpha > 0:
        raise emit.unsupported("alpha must be positive")
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha, scale=1.0, rate=1.0 / alpha)


@importer("Gelu")
def Gelu(emit: Emit, *, approximate: str = "none") -> None:
    _f32_only(emit)
    emit.add("Gelu", emit.inputs, emit.out, tanh=int(approximate == "tanh"))


@importer("IsInf")
def IsInf(emit: Emit, *, detect_negative: int = 1, detect_positive: int = 1) -> None:
    if emit.inputs[0].dtype != np.float64:
        _f32_only(emit)
    emit.add("IsInf", emit.inputs, emit.out, detect_negative=detect_negative, detect_positive=detect_positive)


def _others() -> list[str]:
    """The UNARY operators without parameters that have no importer yet."""
    return [op.name for op in opcodes().values() if "UNARY" in op.traits and not op.params and not find("", op.name)]


importer(*_others())(import_float)
