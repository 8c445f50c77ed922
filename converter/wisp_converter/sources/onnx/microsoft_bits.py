"""Operators of com.microsoft with weights of few bits, which become float32 weights."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .emit import Emit
from .microsoft import MS
from .registry import importer


def _unpacked(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first `count` numbers of `bits` bits along the last axis of bytes, the lowest bits first."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return numbers.reshape(*packed.shape[:-1], -1)[..., :count]


@importer("MatMulNBits", domain=MS)
def MatMulNBits(emit: Emit, *, K: int, N: int, bits: int = 4, block_size: int, accuracy_level: int = 0,
                weight_prepacked: int = 0) -> None:
    """x W + bias. W is (N, blocks, bytes), each block with a scale and a zero point; g_idx: which one each k has."""
    if bits not in (2, 4, 8) or weight_prepacked:
        raise emit.unsupported(f"{'prepacked weights' if weight_prepacked else f'weights of {bits} bits'}")
    x = emit.inputs[0]
    emit.state_type(x.dtype, (*x.shape[:-1], N))
    blocks = -(-K // block_size)
    numbers = _unpacked(emit.require(1, "the weights").reshape(N, -1), bits, K).astype(np.float32)
    scales = emit.require(2, "the scales").reshape(N, blocks).astype(np.float32)
    group = np.arange(K) // block_size
    if emit.input(4) is not None:
        group = emit.require(4, "g_idx")
    matrix = (numbers - _zero_points(emit, N, blocks, bits)[:, group]) * scales[:, group]
    weights, bias = emit.constant(matrix.T, "weights"), emit.input(5)
    y = emit.call("MatMul", [x, weights], emit.out if bias is None else None, shape=emit.out.shape)
    if bias is not None:
        emit.call("Add", [y, bias], emit.out)


def _zero_points(emit: Emit, rows: int, blocks: int, bits: int) -> np.ndarray:
    """(rows, blocks). Bytes hold as many as the weights' do; a float is one."""
    if emit.input(3) is None:
        return np.full((rows, blocks), np.float32(1 << bits - 1))
    data = emit.require(3, "the zero points").reshape(rows, -1)
    return (_unpacked(data, bits, blocks) if data.dtype == np.uint8 else data).astype(np.float32)


@importer("GatherBlockQuantized", domain=MS, any_dtype=True)
def GatherBlockQuantized(emit: Emit, *, bits: int = 4, block_size: int = 128, gather_axis: int = 0,
                         quantize_axis: int = 1) -> None:
    """Gather from a table of blocks along quantize_axis, each with a scale and a zero point. Bytes of 4 bits hold two
    numbers of the last axis."""
    table, indices = emit.require(0, "the table"), emit.inputs[1]
    scales = emit.require(2, "the scales")
    points = emit.require(3, "the zero points") if emit.input(3) is not None else None
    if table.dtype == np.uint8:
        if bits not in (4, 8) or quantize_axis % table.ndim != table.ndim - 1:
            raise emit.unsupported("bytes must hold numbers of 4 or 8 bits, in blocks along the last axis")
        table = _unpacked(table, bits, table.shape[-1] * 8 // bits)
        points = np.uint8(1 << bits - 1) if points is None else _unpacked(points, bits, scales.shape[-1])
    numbers = table.astype(np.float32)
    wide = [_spread(np.broadcast_to(p, scales.shape).astype(np.float32), quantize_axis, block_size, numbers.shape)
            for p in (scales, 0 if points is None else points)]
    rows = emit.constant(((numbers - wide[1]) * wide[0]).astype(scales.dtype), "table")
    axis = gather_axis % numbers.ndim
    emit.state_type(scales.dtype, (*numbers.shape[:axis], *indices.shape, *numbers.shape[axis + 1:]))
    emit.call("Gather", [rows, indices], emit.out, axis=axis)


def _spread(values: np.ndarray, axis: int, block: int, shape: tuple[int, ...]) -> np.ndarray:
    """Each value of a block for all of the block; the last one may be shorter."""
    return np.repeat(values, block, axis).take(np.arange(shape[axis]), axis)
