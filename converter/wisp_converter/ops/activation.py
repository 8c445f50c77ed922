"""Unary operators in int8: the tables that stand for them."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..ir import Graph, Node, Value, constant


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
FIXED_SCALE = {"Sigmoid": (1 / 256, -128), "HardSigmoid": (1 / 255, -128)}

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
    "Elu": lambda x, a: np.where(x > 0, a.get("scale", 0) * x,
                                 a.get("alpha", 0) * np.expm1(a.get("rate", 0) * np.minimum(x, 0))),
    "Gelu": _gelu,
    "ThresholdedRelu": lambda x, a: np.where(x > a.get("alpha", 0), x, 0),
    "Mish": lambda x, a: x * np.tanh(_softplus(x)),
    "Swish": lambda x, a: x * _sigmoid(a.get("alpha", 0) * x),
    "Shrink": _shrink,
}


def unary_by_runtime(op: str):
    """The function(x, attrs) of a UNARY operator without an entry above: the runtime's, in single precision."""
    def function(x: np.ndarray, attrs: dict) -> np.ndarray:
        from ..target.plan import plan_memory
        from ..runner import Runner

        given, result = (Value(name, np.dtype(np.float32), x.shape) for name in ("x", "y"))
        graph = Graph([given], [result], [Node(op, [given], [result], attrs, op)])
        return Runner.of(graph, plan_memory(graph)).run({"x": x.astype(np.float32)})["y"].astype(np.float64)
    return function


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
