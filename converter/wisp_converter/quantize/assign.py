"""Scales: one for each value, or for all values that a chosen node only moves about. Writes Value.quant."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import ops
from ..ir import Quant, Value
from ..opcodes import has_trait
from .choose import Choice, data_inputs, range_of

INT8 = np.dtype(np.int8)
SMALLEST_SCALE = 1e-30


def assign(choice: Choice) -> None:
    """Quant of every operand and result of the chosen nodes; of all other values none."""
    for value in choice.graph.values():
        value.quant = None
    chosen = [n for n in choice.graph.nodes if n in choice.nodes]
    group_of: dict[Value, list[Value]] = {}
    for node in chosen:
        values = [v for v in (*data_inputs(node), *node.outputs) if v is not None]
        for value in values:
            group_of.setdefault(value, [value])
        if has_trait(node.op, "MOVES"):
            for value in values[1:]:
                _join(group_of, values[0], value)
    for group in {id(g): g for g in group_of.values()}.values():
        quant = _fixed(choice, group) or affine(*_union(group))
        for value in group:
            value.quant = quant


def _join(group_of: dict[Value, list[Value]], a: Value, b: Value) -> None:
    small, large = sorted((group_of[a], group_of[b]), key=len)
    if small is not large:
        large += small
        for value in small:
            group_of[value] = large


def _union(group: list[Value]) -> tuple[float, float]:
    ranges = [r for r in map(range_of, group) if r is not None]
    return min(r[0] for r in ranges), max(r[1] for r in ranges)


def _fixed(choice: Choice, group: list[Value]) -> Quant | None:
    """The scale an operator dictates, if nothing else has a say in the group."""
    made = set()
    for value in group:
        producer = choice.producers.get(value)
        if producer is None or producer not in choice.nodes or not has_trait(producer.op, "MOVES"):
            made.add("" if producer is None else producer.op)
    scale = ops.fixed_scales().get(made.pop()) if len(made) == 1 else None
    return None if scale is None else Quant(INT8, *scale)


def affine(low: float, high: float) -> Quant:
    """The int8 scale and zero point that map [low, high], widened to include 0, to -128..127; scale is a float32
    number, and 0 is stored exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255, SMALLEST_SCALE)))
    if high == low:
        return Quant(INT8, 1.0, 0)
    return Quant(INT8, scale, int(np.clip(round(-128 - low / scale), -128, 127)))
