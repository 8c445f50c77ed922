"""Element-wise operators in int8."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..quantize import arithmetic
from ..ir import Node, Value
from .activation import quantize_by_table
from .rules import accepts, lower


def add_params(in_scales: tuple[float, float], in_zeros: tuple[int, int], out_scale: float, out_zero: int) -> dict:
    """Parameters of add_s8: y = (a * ma + b * mb + bias) >> shift. A negative scale subtracts.

    The shift is as large as 16-bit multipliers and a 32-bit sum allow: ma, mb are exact to about 2**-15.
    Raises ValueError where an output step is thousands of times finer than an input step.
    """
    ratios = [s / out_scale for s in in_scales]
    for shift in range(20, -1, -1):
        multipliers = [round(r * 2**shift) for r in ratios]
        bias = (out_zero << shift) + (1 << shift >> 1) - sum(m * z for m, z in zip(multipliers, in_zeros))
        if max(map(abs, multipliers)) <= 32767 and sum(128 * abs(m) for m in multipliers) + abs(bias) < 2**31:
            return dict(multiplier_a=multipliers[0], multiplier_b=multipliers[1], bias=bias, shift=shift)
    raise ValueError(f"input steps are up to {max(map(abs, ratios)):.3g} output steps")


def mul_params(scale: float, out_zero: int) -> dict:
    """Parameters of mul_s8 for y = out_zero + scale * (a - zero_a) * (b - zero_b). Raises ValueError from scale 256 on.

    Below 2**-23 no product reaches half a step; that bound keeps out_zero / scale within 32 bits.
    """
    bias, shift, multiplier = arithmetic.product_params(max(scale, 2.0**-23), out_zero)
    return dict(bias=bias, shift=shift, multiplier=multiplier)


def _number_and_value(node: Node) -> tuple[Value, Value] | None:
    """The operand that is one number, and the other; None where neither is."""
    a, b = node.inputs
    number, value = (a, b) if a.data is not None else (b, a)
    if (number.data is None or number.data.size != 1 or value.data is not None
            or len(number.data.shape) > len(value.shape)):
        return None
    return number, value


def _scalar_table(q, node: Node, function) -> bool:
    """With one number as an operand a binary operator is a unary one: a table."""
    found = _number_and_value(node)
    if found is None:
        return False
    (number, value), a = found, node.inputs[0]
    c = np.float64(number.data.reshape(()))
    low, high = node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf)
    quantize_by_table(q, node, value, lambda x: np.clip(function(c, x) if number is a else function(x, c), low, high))
    return True


@lower("Add")
def lower_Add(q, node: Node) -> None:
    if not _scalar_table(q, node, np.add):
        _quantize_sum(q, node, 1)


@lower("Sub")
def lower_Sub(q, node: Node) -> None:
    if not _scalar_table(q, node, np.subtract):
        _quantize_sum(q, node, -1)


def _quantize_sum(q, node: Node, sign: int) -> None:
    (a, b), y = node.inputs, node.outputs[0]
    (scale_a, zero_a), (scale_b, zero_b), (scale_y, zero_y) = q.scale(a), q.scale(b), q.scale(y)
    params = add_params((scale_a, sign * scale_b), (zero_a, zero_b), scale_y, zero_y)
    lo, hi = arithmetic.clamp_range(node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf), scale_y, zero_y)
    q.emit("Add", [q.int8(a), q.int8(b)], q.int8(y), **params, lo=lo, hi=hi)


@lower("Mul")
def lower_Mul(q, node: Node) -> None:
    if _scalar_table(q, node, np.multiply):
        return
    (a, b), y = node.inputs, node.outputs[0]
    (scale_a, _), (scale_b, _), (scale_y, zero_y) = q.scale(a), q.scale(b), q.scale(y)
    params = mul_params(scale_a * scale_b / scale_y, zero_y)
    q.emit("Mul", [q.int8(a), q.int8(b)], q.int8(y), **params, lo=-128, hi=127)


@accepts("Add", "Sub", "Mul")
def accepts_sum_or_product(node: Node) -> str | None:
    """Scales so far apart that 16-bit multipliers do not bridge them."""
    if _number_and_value(node):
        return None
    a, b, y = (v.quant for v in (*node.inputs, *node.outputs))
    try:
        if node.op == "Mul":
            mul_params(a.scale * b.scale / y.scale, y.zero_point)
        else:
            add_params((a.scale, -b.scale if node.op == "Sub" else b.scale), (a.zero_point, b.zero_point),
                       y.scale, y.zero_point)
    except ValueError as error:
        return str(error)
    return None


@accepts("Div", "Pow", "Min", "Max", "PRelu")
def accepts_a_number(node: Node) -> str | None:
    return None if _number_and_value(node) else "there is no int8 form unless one operand is a single number"


def _only_with_a_number(function):
    def rule(q, node: Node) -> None:
        _scalar_table(q, node, function)
    return rule


lower("Div")(_only_with_a_number(np.divide))
lower("Pow")(_only_with_a_number(np.power))
lower("Min")(_only_with_a_number(np.minimum))
lower("Max")(_only_with_a_number(np.maximum))
lower("PRelu")(_only_with_a_number(lambda x, slope: np.where(x < 0, x * slope, x)))
