"""Element-wise operators with numpy's broadcasting."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import qmath
from ..emit import Emit
from ..ir import Dim, Node, Value
from .activation import quantize_by_table


def broadcast_shape(a: tuple[Dim, ...] | None, b: tuple[Dim, ...] | None) -> tuple[Dim, ...] | None:
    """The shape that two shapes broadcast to, as far as it is known."""
    if a is None or b is None:
        return None
    rank = max(len(a), len(b))
    pairs = zip((1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b))
    return tuple(_broadcast(x, y) for x, y in pairs)


def _broadcast(x: Dim, y: Dim) -> Dim:
    if x == y or y == 1:
        return x
    if x == 1:
        return y
    known = [d for d in (x, y) if isinstance(d, int)]
    return known[0] if known else None


def _check(emit: Emit, *allowed: str) -> None:
    """Refuse inputs that are not of the kinds f32, f64, integer, bool."""
    for value in emit.inputs:
        kind = {"f": f"f{8 * value.dtype.itemsize}", "i": "integer", "u": "integer", "b": "bool"}.get(value.dtype.kind, "")
        if kind not in allowed:
            raise emit.unsupported(f"elements of type {value.dtype}")


def _chain(emit: Emit, op: str, output: Value | None = None) -> Value:
    """A variadic operator as binary ones, from the left."""
    result = emit.inputs[0]
    for i, value in enumerate(emit.inputs[1:], 2):
        last = i == len(emit.inputs)
        result = emit.add(op, [result, value], output if last else None, shape=broadcast_shape(result.shape, value.shape))
    return result


def _arithmetic(name: str):
    def importer(emit: Emit) -> None:
        _check(emit, "f32", "f64", "integer")
        emit.add(name, emit.inputs, emit.out)
    return importer


def _compare(name: str):
    def importer(emit: Emit) -> None:
        _check(emit, "f32", "f64", "integer", "bool")
        emit.add(name, emit.inputs, emit.out)
    return importer


def _logic(name: str, kind: str = "bool"):
    def importer(emit: Emit) -> None:
        _check(emit, kind)
        emit.add(name, emit.inputs, emit.out)
    return importer


def _variadic(name: str, op: str):
    def importer(emit: Emit) -> None:
        _check(emit, "f32", "f64", "integer")
        if len(emit.inputs) == 1:
            emit.alias(emit.inputs[0])
        else:
            _chain(emit, op, emit.out)
    return importer


Add = _arithmetic("Add")
Sub = _arithmetic("Sub")
Mul = _arithmetic("Mul")
Div = _arithmetic("Div")
PRelu = _arithmetic("PRelu")
Min = _variadic("Min", "Min")
Max = _variadic("Max", "Max")
Sum = _variadic("Sum", "Add")
Equal = _compare("Equal")
Less = _compare("Less")
LessOrEqual = _compare("LessOrEqual")
Greater = _compare("Greater")
GreaterOrEqual = _compare("GreaterOrEqual")
And = _logic("And")
Or = _logic("Or")
Xor = _logic("Xor")
Not = _logic("Not")
BitwiseAnd = _logic("BitwiseAnd", "integer")
BitwiseOr = _logic("BitwiseOr", "integer")
BitwiseXor = _logic("BitwiseXor", "integer")
BitwiseNot = _logic("BitwiseNot", "integer")


def Mean(emit: Emit) -> None:
    _check(emit, "f32", "f64")
    total = _chain(emit, "Add")
    count = emit.constant(np.array(len(emit.inputs), total.dtype), "count")
    emit.add("Div", [total, count], emit.out)


def Pow(emit: Emit) -> None:
    """The exponent may have another dtype than base and result: it becomes the base's, unless an integer has a float power."""
    _check(emit, "f32", "f64", "integer")
    base, exponent = emit.inputs
    dtype = exponent.dtype if exponent.dtype.kind == "f" and base.dtype.kind != "f" else base.dtype
    operands = [_cast(emit, base, dtype), _cast(emit, exponent, dtype)]
    if dtype == emit.out.dtype:
        emit.add("Pow", operands, emit.out)
    else:
        emit.add("Cast", [emit.add("Pow", operands, shape=emit.out.shape)], emit.out)


def _cast(emit: Emit, value: Value, dtype: np.dtype) -> Value:
    if value.dtype == dtype:
        return value
    if value.data is not None:
        return emit.constant(value.data.astype(dtype))
    return emit.add("Cast", [value], shape=value.shape, dtype=dtype)


def Mod(emit: Emit, *, fmod: int = 0) -> None:
    _check(emit, "f32", "f64", "integer")
    if emit.out.dtype.kind == "f" and not fmod:
        raise emit.unsupported("on floats needs fmod=1")
    emit.add("Mod", emit.inputs, emit.out, fmod=fmod)


def BitShift(emit: Emit, *, direction: str) -> None:
    _check(emit, "integer")
    emit.add("BitShift", emit.inputs, emit.out, left=int(direction == "LEFT"))


def Where(emit: Emit) -> None:
    emit.add("Where", emit.inputs, emit.out)


# ---- int8


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
    bias, shift, multiplier = qmath.product_params(max(scale, 2.0**-23), out_zero)
    return dict(bias=bias, shift=shift, multiplier=multiplier)


def _scalar_table(q, node: Node, function) -> bool:
    """With one number as an operand a binary operator is a unary one: a table."""
    a, b = node.inputs
    number, value = (a, b) if a.data is not None else (b, a)
    if number.data is None or number.data.size != 1 or value.data is not None or len(number.data.shape) > len(value.shape):
        return False
    c = np.float64(number.data.reshape(()))
    low, high = node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf)
    quantize_by_table(q, node, value, lambda x: np.clip(function(c, x) if number is a else function(x, c), low, high))
    return True


def quantize_Add(q, node: Node) -> None:
    if not _scalar_table(q, node, np.add):
        _quantize_sum(q, node, 1)


def quantize_Sub(q, node: Node) -> None:
    if not _scalar_table(q, node, np.subtract):
        _quantize_sum(q, node, -1)


def _quantize_sum(q, node: Node, sign: int) -> None:
    (a, b), y = node.inputs, node.outputs[0]
    (scale_a, zero_a), (scale_b, zero_b), (scale_y, zero_y) = q.scale(a), q.scale(b), q.scale(y)
    try:
        params = add_params((scale_a, sign * scale_b), (zero_a, zero_b), scale_y, zero_y)
    except ValueError as error:
        q.refuse(str(error))
        return
    lo, hi = qmath.clamp_range(node.attrs.get("min", -np.inf), node.attrs.get("max", np.inf), scale_y, zero_y)
    q.emit("Add", [q.int8(a), q.int8(b)], q.int8(y), **params, lo=lo, hi=hi)


def quantize_Mul(q, node: Node) -> None:
    if _scalar_table(q, node, np.multiply):
        return
    (a, b), y = node.inputs, node.outputs[0]
    (scale_a, _), (scale_b, _), (scale_y, zero_y) = q.scale(a), q.scale(b), q.scale(y)
    try:
        params = mul_params(scale_a * scale_b / scale_y, zero_y)
    except ValueError as error:
        q.refuse(str(error))
        return
    q.emit("Mul", [q.int8(a), q.int8(b)], q.int8(y), **params, lo=-128, hi=127)


def _only_with_a_number(function):
    def rule(q, node: Node) -> None:
        if not _scalar_table(q, node, function):
            q.refuse("there is no int8 form unless one operand is a single number")
    return rule


quantize_Div = _only_with_a_number(np.divide)
quantize_Pow = _only_with_a_number(np.power)
quantize_Min = _only_with_a_number(np.minimum)
quantize_Max = _only_with_a_number(np.maximum)
quantize_PRelu = _only_with_a_number(lambda x, slope: np.where(x < 0, x * slope, x))
