"""Unary operators, and the tables that stand for them in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..emit import Emit
from ..ir import Node, Value, constant


def _f32_only(emit: Emit) -> None:
    if emit.inputs[0].dtype != np.float32:
        raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")


def _float(name: str):
    def importer(emit: Emit) -> None:
        _f32_only(emit)
        emit.add(name, emit.inputs, emit.out)
    return importer


def _double(name: str):
    """Operators on f32 and f64."""
    def importer(emit: Emit) -> None:
        if emit.inputs[0].dtype != np.float64:
            _f32_only(emit)
        emit.add(name, emit.inputs, emit.out)
    return importer


def _number(name: str):
    """Operators that ONNX defines on integers as well."""
    def importer(emit: Emit) -> None:
        if emit.inputs[0].dtype.kind not in "fiu" or emit.inputs[0].dtype == np.float16:
            raise emit.unsupported(f"elements of type {emit.inputs[0].dtype}")
        emit.add(name, emit.inputs, emit.out)
    return importer


Relu = _number("Relu")
Neg = _number("Neg")
Abs = _number("Abs")
Sign = _number("Sign")
Sigmoid = _float("Sigmoid")
Tanh = _float("Tanh")
Exp = _double("Exp")
Log = _double("Log")
Sqrt = _double("Sqrt")
Erf = _float("Erf")
Floor = _double("Floor")
Ceil = _double("Ceil")
Round = _double("Round")
Reciprocal = _double("Reciprocal")
Sin = _float("Sin")
Cos = _float("Cos")
Tan = _float("Tan")
Asin = _float("Asin")
Acos = _float("Acos")
Atan = _float("Atan")
Sinh = _float("Sinh")
Cosh = _float("Cosh")
Asinh = _float("Asinh")
Acosh = _float("Acosh")
Atanh = _float("Atanh")
Softplus = _float("Softplus")
Softsign = _float("Softsign")
HardSwish = _float("HardSwish")
Mish = _float("Mish")
IsNaN = _float("IsNaN")


def Clip(emit: Emit, *, min: float | None = None, max: float | None = None) -> None:
    """Bounds are attributes before opset 11, then inputs. A constant range of f32 is Clip, everything else Max and Min."""
    x = emit.inputs[0]
    if x.dtype.kind not in "fiu" or x.dtype == np.float16:
        raise emit.unsupported(f"elements of type {x.dtype}")
    bounds = [_bound(emit, i, attribute) for i, attribute in ((1, min), (2, max))]
    if x.dtype == np.float32 and all(b is None or b.data is not None for b in bounds):
        low, high = (infinite if b is None else float(b.data.reshape(())) for b, infinite in zip(bounds, (-math.inf, math.inf)))
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
    value = emit.input(i)
    if value is not None and value.data is not None and value.data.size == 1 and value.data.ndim:
        return emit.constant(value.data.reshape(()))
    return value


def HardSigmoid(emit: Emit, *, alpha: float = 0.2, beta: float = 0.5) -> None:
    _f32_only(emit)
    emit.add("HardSigmoid", emit.inputs, emit.out, alpha=alpha, beta=beta)


def LeakyRelu(emit: Emit, *, alpha: float = 0.01) -> None:
    _f32_only(emit)
    emit.add("LeakyRelu", emit.inputs, emit.out, alpha=alpha)


def ThresholdedRelu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("ThresholdedRelu", emit.inputs, emit.out, alpha=alpha)


def Swish(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("Swish", emit.inputs, emit.out, alpha=alpha)


def Shrink(emit: Emit, *, bias: float = 0.0, lambd: float = 0.5) -> None:
    _f32_only(emit)
    emit.add("Shrink", emit.inputs, emit.out, bias=bias, lambd=lambd)


def Elu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha, scale=1.0, rate=1.0)


def Selu(emit: Emit, *, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> None:
    _f32_only(emit)
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha * gamma, scale=gamma, rate=1.0)


def Celu(emit: Emit, *, alpha: float = 1.0) -> None:
    _f32_only(emit)
    if not alpha > 0:
        raise emit.unsupported("alpha must be positive")
    emit.add("Elu", emit.inputs, emit.out, alpha=alpha, scale=1.0, rate=1.0 / alpha)


def Gelu(emit: Emit, *, approximate: str = "none") -> None:
    _f32_only(emit)
    emit.add("Gelu", emit.inputs, emit.out, tanh=int(approximate == "tanh"))


def IsInf(emit: Emit, *, detect_negative: int = 1, detect_positive: int = 1) -> None:
    _f32_only(emit)
    emit.add("IsInf", emit.inputs, emit.out, detect_negative=detect_negative, detect_positive=detect_positive)


# ---- int8


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


def _gelu(x: np.ndarray, attrs: dict) -> np.ndarray:
    if attrs.get("tanh"):
        return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + _erf(x / math.sqrt(2)))


def _shrink(x: np.ndarray, attrs: dict) -> np.ndarray:
    bias, lambd = attrs.get("bias", 0), attrs.get("lambd", 0)
    return np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0))


# The real function of every unary operator: f64 x and the node's parameters.
UNARY_TABLE = {
    "Clip": lambda x, a: np.minimum(np.maximum(x, a.get("min", -math.inf)), a.get("max", math.inf)),
    "Relu": lambda x, a: np.maximum(x, 0),
    "Sigmoid": lambda x, a: _sigmoid(x),
    "Tanh": lambda x, a: np.tanh(x),
    "Exp": lambda x, a: np.exp(x),
    "Log": lambda x, a: np.log(x),
    "Sqrt": lambda x, a: np.sqrt(x),
    "Neg": lambda x, a: -x,
    "Abs": lambda x, a: np.abs(x),
    "Erf": lambda x, a: _erf(x),
    "Floor": lambda x, a: np.floor(x),
    "Ceil": lambda x, a: np.ceil(x),
    "Round": lambda x, a: np.rint(x),
    "Reciprocal": lambda x, a: 1 / x,
    "Sin": lambda x, a: np.sin(x),
    "Cos": lambda x, a: np.cos(x),
    "Tan": lambda x, a: np.tan(x),
    "Asin": lambda x, a: np.arcsin(x),
    "Acos": lambda x, a: np.arccos(x),
    "Atan": lambda x, a: np.arctan(x),
    "Sinh": lambda x, a: np.sinh(x),
    "Cosh": lambda x, a: np.cosh(x),
    "Asinh": lambda x, a: np.arcsinh(x),
    "Acosh": lambda x, a: np.arccosh(x),
    "Atanh": lambda x, a: np.arctanh(x),
    "Sign": lambda x, a: np.sign(x),
    "Softplus": lambda x, a: _softplus(x),
    "Softsign": lambda x, a: x / (1 + np.abs(x)),
    "HardSigmoid": lambda x, a: np.clip(a.get("alpha", 0) * x + a.get("beta", 0), 0, 1),
    "HardSwish": lambda x, a: x * np.clip(x / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda x, a: np.where(x < 0, x * a.get("alpha", 0), x),
    "Elu": lambda x, a: np.where(x > 0, a.get("scale", 0) * x, a.get("alpha", 0) * np.expm1(a.get("rate", 0) * np.minimum(x, 0))),
    "Gelu": _gelu,
    "ThresholdedRelu": lambda x, a: np.where(x > a.get("alpha", 0), x, 0),
    "Mish": lambda x, a: x * np.tanh(_softplus(x)),
    "Swish": lambda x, a: x * _sigmoid(a.get("alpha", 0) * x),
    "Shrink": _shrink,
}


def lookup_table(function, in_scale: float, in_zero: int, out_scale: float, out_zero: int) -> np.ndarray:
    """int8 (256,): entry x + 128 is function(in_scale * (x - in_zero)) as a stored int8, halves to even.

    Where the function has no value (log of a negative) the entry is the output's zero point; infinities saturate.
    """
    x = np.float64(np.float32(in_scale)) * (np.arange(-128, 128) - in_zero)
    with np.errstate(all="ignore"):
        y = np.asarray(function(x), np.float64) / np.float64(np.float32(out_scale))
    return np.clip(np.rint(np.where(np.isnan(y), 0, y)) + out_zero, -128, 127).astype(np.int8)


def quantize_by_table(q, node: Node, x: Value, function) -> None:
    """Replace a node by the table of function(x), x the activation among its inputs."""
    y = node.outputs[0]
    table = lookup_table(function, *q.scale(x), *q.scale(y))
    q.emit("Lookup", [q.int8(x), constant(f"{y.name}.table", table)], q.int8(y))
