"""Element-wise operators of ONNX, with numpy's broadcasting."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ...ir import Dim, Value
from .emit import Emit
from .registry import importer


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
        kinds = {"f": f"f{8 * value.dtype.itemsize}", "i": "integer", "u": "integer", "b": "bool"}
        kind = kinds.get(value.dtype.kind, "")
        if kind not in allowed:
            raise emit.unsupported(f"elements of type {value.dtype}")


def _chain(emit: Emit, op: str, output: Value | None = None) -> Value:
    """A variadic operator as binary ones, from the left."""
    result = emit.inputs[0]
    for i, value in enumerate(emit.inputs[1:], 2):
        last = i == len(emit.inputs)
        result = emit.add(op, [result, value], output if last else None,
                          shape=broadcast_shape(result.shape, value.shape))
    return result


@importer("Add", "Sub", "Mul", "Div", "PRelu")
def import_arithmetic(emit: Emit) -> None:
    _check(emit, "f32", "f64", "integer")
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual")
def import_comparison(emit: Emit) -> None:
    _check(emit, "f32", "f64", "integer", "bool")
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("And", "Or", "Xor", "Not")
def import_logic(emit: Emit) -> None:
    _check(emit, "bool")
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot")
def import_bitwise(emit: Emit) -> None:
    _check(emit, "integer")
    emit.add(emit.op_type, emit.inputs, emit.out)


@importer("Min", "Max", "Sum")
def import_variadic(emit: Emit) -> None:
    _check(emit, "f32", "f64", "integer")
    if len(emit.inputs) == 1:
        emit.alias(emit.inputs[0])
    else:
        _chain(emit, "Add" if emit.op_type == "Sum" else emit.op_type, emit.out)


@importer("Mean")
def Mean(emit: Emit) -> None:
    _check(emit, "f32", "f64")
    total = _chain(emit, "Add")
    count = emit.constant(np.array(len(emit.inputs), total.dtype), "count")
    emit.add("Div", [total, count], emit.out)


@importer("Pow")
def Pow(emit: Emit) -> None:
    """The exponent may have another dtype than base and result:
    it becomes the base's, unless an integer has a float power."""
    _check(emit, "f32", "f64", "integer")
    base, exponent = emit.inputs
    dtype = exponent.dtype if exponent.dtype.kind == "f" and base.dtype.kind != "f" else base.dtype
    operands = [emit.cast(base, dtype), emit.cast(exponent, dtype)]
    if dtype == emit.out.dtype:
        emit.add("Pow", operands, emit.out)
    else:
        emit.add("Cast", [emit.add("Pow", operands, shape=emit.out.shape)], emit.out)


@importer("Mod")
def Mod(emit: Emit, *, fmod: int = 0) -> None:
    _check(emit, "f32", "f64", "integer")
    if emit.out.dtype.kind == "f" and not fmod:
        raise emit.unsupported("on floats needs fmod=1")
    emit.add("Mod", emit.inputs, emit.out, fmod=fmod)


@importer("BitShift")
def BitShift(emit: Emit, *, direction: str) -> None:
    _check(emit, "integer")
    emit.add("BitShift", emit.inputs, emit.out, left=int(direction == "LEFT"))


@importer("Where", any_dtype=True)
def Where(emit: Emit) -> None:
    emit.add("Where", emit.inputs, emit.out)
