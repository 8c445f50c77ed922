"""Operators of ONNX that move, cut, repeat or make values: nothing is computed, except by Cast."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from ...target.format import NARROW, element_bits
from ...ir import Dim, Value, constant
from .emit import Emit
from .registry import importer

MAX_OPERANDS = 0xFFFF
TO_THE_END = 2**31 - 1  # of Shape

REDUCTIONS = {"none": 0, "add": 1, "mul": 2, "max": 3, "min": 4}
PAD_MODES = {"constant": 0, "reflect": 1, "edge": 2, "wrap": 3}


def _rank(emit: Emit, value: Value) -> int:
    if value.shape is None:
        raise emit.unsupported(f"the number of axes of {value.name!r} is not known")
    return len(value.shape)


def _difference(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


def _integers(emit: Emit, values, label: str) -> Value:
    return emit.constant(np.asarray(values, np.int64).reshape(-1), label)


def _choose(emit: Emit, table: dict[str, int], name: str, what: str) -> int:
    if name not in table:
        raise emit.unsupported(f"{what} {name!r} is not supported")
    return table[name]


# ---- another shape


def _new_shape(emit: Emit, op: str, inputs: list[Value | None], **attrs) -> None:
    """A Reshape to the stated shape where that is fixed, else the operator that infers it."""
    if emit.out.is_static:
        emit.add("Reshape", inputs[:1], emit.out)
    else:
        emit.add(op, inputs, emit.out, **attrs)


@importer("Reshape", any_dtype=True)
def Reshape(emit: Emit, *, allowzero: int = 0) -> None:
    emit.add_ranks(emit.length_of(1))
    _new_shape(emit, "Reshape", emit.inputs, allowzero=allowzero)


@importer("Squeeze", any_dtype=True)
def Squeeze(emit: Emit, *, axes=None) -> None:
    given = emit.input(1) if axes is None else _integers(emit, axes, "axes")
    if emit.input(1) is not None:
        emit.state_rank(_difference(emit.rank_of(0), emit.length_of(1)))
    _new_shape(emit, "Squeeze", [emit.inputs[0], given])


@importer("Unsqueeze", any_dtype=True)
def Unsqueeze(emit: Emit, *, axes=None) -> None:
    given = emit.input(1) if axes is None else _integers(emit, axes, "axes")
    if axes is None:
        emit.add_ranks(emit.rank_of(0), emit.length_of(1))
    _new_shape(emit, "Unsqueeze", [emit.inputs[0], given])


@importer("Flatten", any_dtype=True)
def Flatten(emit: Emit, *, axis: int = 1) -> None:
    _new_shape(emit, "Flatten", emit.inputs, axis=axis)


@importer("Identity", any_dtype=True)
def Identity(emit: Emit) -> None:
    emit.alias(emit.inputs[0])


@importer("Dropout", any_dtype=True)
def Dropout(emit: Emit, *, ratio: float = 0.5, seed: int = 0) -> None:
    """Of inference: the identity, and a mask of ones."""
    training = emit.known(2) if emit.input(2) is not None else np.array(False)
    rate = emit.known(1) if emit.input(1) is not None else np.array(ratio)
    if (training is None or training.any()) and (rate is None or rate.any()):
        raise emit.unsupported("training mode is not supported")
    emit.alias(emit.inputs[0])
    if len(emit.outputs) > 1 and emit.outputs[1] is not None:
        mask = emit.outputs[1]
        shape = emit.add("Shape", emit.inputs[:1], shape=(_rank(emit, emit.inputs[0]),), dtype=np.int64, end=TO_THE_END)
        emit.add("ConstantOfShape", [shape, emit.constant(np.ones(1, mask.dtype))], mask)


@importer("Transpose", any_dtype=True)
def Transpose(emit: Emit, *, perm=None) -> None:
    rank = _rank(emit, emit.inputs[0])
    emit.add("Transpose", emit.inputs, emit.out, perm=tuple(range(rank))[::-1] if perm is None else tuple(perm))


# ---- pieces


@importer("Concat", any_dtype=True)
def Concat(emit: Emit, *, axis: int = 1) -> None:
    if len(emit.inputs) == 1:
        emit.alias(emit.inputs[0])
    elif len(emit.inputs) > MAX_OPERANDS:
        raise emit.unsupported(f"more than {MAX_OPERANDS} inputs")
    else:
        emit.keep_rank()
        _sum_extents(emit, axis)
        emit.add("Concat", emit.inputs, emit.out, axis=axis)


def _sum_extents(emit: Emit, axis: int) -> None:
    """State the extent of the joined axis where all parts are known; shape inference may have seen them too late."""
    shape = emit.out.shape
    if shape and all(v.shape is not None and len(v.shape) == len(shape) and isinstance(v.shape[axis], int)
                     for v in emit.inputs):
        axis %= len(shape)
        emit.out.shape = (*shape[:axis], sum(v.shape[axis] for v in emit.inputs), *shape[axis + 1:])


@importer("Split", any_dtype=True)
def Split(emit: Emit, *, axis: int = 0, split=None, num_outputs: int | None = None) -> None:
    emit.keep_rank()
    x = emit.inputs[0]
    if len(emit.outputs) > MAX_OPERANDS:
        raise emit.unsupported(f"more than {MAX_OPERANDS} outputs")
    if num_outputs is not None and num_outputs != len(emit.outputs):
        raise emit.unsupported(f"num_outputs is {num_outputs}, but the node has {len(emit.outputs)} outputs")
    sizes = emit.input(1) if split is None else _integers(emit, split, "split")
    if len(emit.outputs) == 1:
        emit.alias(x)
        return
    unused = [Value(f"{emit.name}.unused{i}", x.dtype, _open(x.shape, axis)) for i in range(len(emit.outputs))]
    emit.add("Split", [x] if sizes is None else [x, sizes],
             outputs=[o or u for o, u in zip(emit.outputs, unused)], axis=axis)


def _open(shape: tuple[Dim, ...] | None, axis: int) -> tuple[Dim, ...] | None:
    return None if shape is None else tuple(None if i == axis % len(shape) else d for i, d in enumerate(shape))


@importer("Slice", any_dtype=True)
def Slice(emit: Emit, *, starts=None, ends=None, axes=None) -> None:
    """Bounds are attributes before opset 10, then inputs."""
    inputs = list(emit.inputs)
    if starts is not None:
        inputs = [inputs[0], _integers(emit, starts, "starts"), _integers(emit, ends, "ends")]
        inputs += [] if axes is None else [_integers(emit, axes, "axes")]
    emit.keep_rank()
    emit.add("Slice", inputs, emit.out)


@importer("Gather", any_dtype=True)
def Gather(emit: Emit, *, axis: int = 0) -> None:
    emit.add_ranks(emit.rank_of(0), emit.rank_of(1), -1)
    emit.add("Gather", emit.inputs, emit.out, axis=axis)


@importer("GatherElements", any_dtype=True)
def GatherElements(emit: Emit, *, axis: int = 0) -> None:
    emit.keep_rank()
    emit.add("GatherElements", emit.inputs, emit.out, axis=axis)


@importer("GatherND", any_dtype=True)
def GatherND(emit: Emit, *, batch_dims: int = 0) -> None:
    emit.add("GatherND", emit.inputs, emit.out, batch_dims=batch_dims)


def _reduction(emit: Emit, name: str) -> int:
    reduction = _choose(emit, REDUCTIONS, name, "reduction")
    if reduction and emit.out.dtype not in (np.float32, np.int32, np.int64):
        raise emit.unsupported(f"cannot accumulate elements of type {emit.out.dtype}")
    return reduction


@importer("ScatterElements")
def ScatterElements(emit: Emit, *, axis: int = 0, reduction: str = "none") -> None:
    emit.keep_rank()
    emit.add("ScatterElements", emit.inputs, emit.out, axis=axis, reduction=_reduction(emit, reduction))


@importer("Scatter")
def Scatter(emit: Emit, *, axis: int = 0) -> None:
    ScatterElements(emit, axis=axis)


@importer("ScatterND")
def ScatterND(emit: Emit, *, reduction: str = "none") -> None:
    emit.keep_rank()
    emit.add("ScatterND", emit.inputs, emit.out, reduction=_reduction(emit, reduction))


# ---- repetition and borders


@importer("Expand", any_dtype=True)
def Expand(emit: Emit) -> None:
    x, to = emit.rank_of(0), emit.length_of(1)
    emit.state_rank(None if x is None or to is None else max(x, to))
    emit.open_extents(1)
    emit.add("Expand", emit.inputs, emit.out)


@importer("Tile", any_dtype=True)
def Tile(emit: Emit) -> None:
    emit.keep_rank()
    emit.open_extents(1)
    emit.add("Tile", emit.inputs, emit.out)


@importer("Pad", any_dtype=True)
def Pad(emit: Emit, *, mode: str = "constant", pads=None, value: float = 0.0) -> None:
    """Pads are an attribute before opset 11, then an input. A scalar and a pad by nothing pass unchanged."""
    x, inputs = emit.inputs[0], list(emit.inputs)
    if pads is not None:
        inputs = [x, _integers(emit, pads, "pads"), emit.constant(np.array(value, x.dtype), "value")]
    if len(inputs) > 2 and inputs[2] is not None and inputs[2].shape not in ((), (1,)):
        raise emit.unsupported("the pad value must be one element")
    emit.keep_rank()
    amounts = inputs[1].data if pads is not None else emit.known(1)
    if amounts is not None and not amounts.any():
        emit.alias(x)
    else:
        emit.add("Pad", inputs, emit.out, mode=_choose(emit, PAD_MODES, mode, "mode"))


# ---- shapes as values, values from shapes


@importer("Shape", any_dtype=True)
def Shape(emit: Emit, *, start: int = 0, end: int = TO_THE_END) -> None:
    """A constant where the extents are known; prepare compares them with those it finds."""
    shape = emit.inputs[0].shape
    if shape is not None and all(isinstance(d, int) for d in shape[start:end]):
        emit.alias(constant(emit.out.name, np.array(shape[start:end], np.int64)))
        return
    emit.add("Shape", emit.inputs, emit.out, start=start, end=end)


@importer("Size", any_dtype=True)
def Size(emit: Emit) -> None:
    if emit.inputs[0].is_static:
        emit.alias(constant(emit.out.name, np.array(math.prod(emit.inputs[0].shape), np.int64)))
        return
    emit.add("Size", emit.inputs, emit.out)


@importer("Constant", any_dtype=True)
def Constant(emit: Emit, *, value=None, value_float=None, value_floats=None, value_int=None, value_ints=None) -> None:
    forms = ((value, None), (value_float, np.float32), (value_floats, np.float32), (value_int, np.int64),
             (value_ints, np.int64))
    given, dtype = next(((v, t) for v, t in forms if v is not None), (None, None))
    if given is None:
        raise emit.unsupported("it has no value")
    emit.alias(constant(emit.out.name, np.asarray(given, dtype)))


@importer("OptionalHasElement", any_dtype=True)
def OptionalHasElement(emit: Emit) -> None:
    """Optional values have no form in a file: an input is a tensor or left out."""
    emit.alias(constant(emit.out.name, np.array(emit.input(0) is not None)))


@importer("ConstantOfShape", any_dtype=True)
def ConstantOfShape(emit: Emit, *, value=None) -> None:
    value = np.zeros(1, np.float32) if value is None else np.asarray(value)
    emit.add_ranks(emit.length_of(0))
    emit.add("ConstantOfShape", [emit.inputs[0], emit.constant(value.reshape(1), "value")], emit.out)


@importer("Range")
def Range(emit: Emit) -> None:
    if emit.out.dtype not in (np.float32, np.int32, np.int64):
        raise emit.unsupported(f"elements of type {emit.out.dtype}")
    emit.state_rank(1)
    emit.add("Range", emit.inputs, emit.out)


@importer("EyeLike", any_dtype=True)
def EyeLike(emit: Emit, *, dtype: int = 0, k: int = 0) -> None:
    emit.add("EyeLike", [emit.inputs[0], emit.constant(np.array([0, 1], emit.out.dtype), "values")], emit.out, k=k)


@importer("OneHot")
def OneHot(emit: Emit, *, axis: int = -1) -> None:
    indices, depth, values = emit.inputs
    if indices.dtype not in (np.float32, np.int32, np.int64):
        indices = emit.add("Cast", [indices], shape=indices.shape, dtype=np.int64)
    if depth.dtype not in (np.int32, np.int64):
        known = emit.known(1)
        depth = (emit.add("Cast", [depth], shape=depth.shape, dtype=np.int64) if known is None
                 else _integers(emit, known, "depth"))
    emit.add_ranks(emit.rank_of(0), 1)
    emit.add("OneHot", [indices, depth, values], emit.out, axis=axis)


@importer("Trilu", any_dtype=True)
def Trilu(emit: Emit, *, upper: int = 1) -> None:
    emit.keep_rank()
    emit.add("Trilu", emit.inputs, emit.out, upper=upper)


# ---- element types

ROUND_MODES = {"up": 0, "down": 1, "nearest": 2}


@importer("Cast", "CastLike", any_dtype=True)
def import_cast(emit: Emit, *, to: int = 0, saturate: int = 1, round_mode: str = "up") -> None:
    if emit.inputs[0].dtype == emit.out.dtype:
        emit.alias(emit.inputs[0])
        return
    mode = _choose(emit, ROUND_MODES, round_mode, "round_mode")
    emit.keep_rank()
    is_scale = emit.out.dtype == ml_dtypes.float8_e8m0fnu
    emit.add("Cast", emit.inputs[:1], emit.out, unsaturated=int(emit.out.dtype in NARROW and not saturate),
             e8m0=mode if is_scale else 0)


@importer("BitCast", any_dtype=True)
def BitCast(emit: Emit, *, to: int) -> None:
    x, y = emit.inputs[0].dtype, emit.out.dtype
    if element_bits(x) != element_bits(y):
        raise emit.unsupported(f"{x} and {y} have different numbers of bits")
    if x == y:
        emit.alias(emit.inputs[0])
    else:
        emit.keep_rank()
        emit.add("BitCast", emit.inputs, emit.out)
