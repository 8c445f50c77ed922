"""The nodes between floats and int8, and the table that stands for a chain of unary operators."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from ..ir import Node, Value


def quantize_node(value: Value, stored: Value) -> Node:
    """stored = the int8 form of value, by the scale that `stored` has."""
    return Node("QuantizeLinear", [value], [stored], {}, f"{value.name}.quantize")


def dequantize_node(stored: Value, value: Value) -> Node:
    return Node("DequantizeLinear", [stored], [value], {}, f"{value.name}.dequantize")


def lookup_node(x: Value, table: Value, y: Value, name: str) -> Node:
    """y = table[x + 128]; all int8."""
    return Node("Lookup", [x, table], [y], {}, name)
