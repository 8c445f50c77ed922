"""The nodes between floats and int8, and the table that stands for a chain of unary operators."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from ..ir import Node, Value


def quantize_node(value: Value, stored: Value) -> Node:
    """stored = the int8 form of value, by the scale that `stored` has."""
    return Node("QuantizeLinear", [value], [stored], {}, f"{value.name}.quantize")


def dequantize_node(stored: Value, value: Value) -> Node:
    return Node("DequantizeLinear", [stored], [value], {}, f"{value.name}.dequantize")


def lookup_node(x: Value, table: Value, y: Value, name: str, **axis: int) -> Node:
    """y = table[byte of x ^ 0x80], for int8 table[x + 128]; with `axis`, a table for each of its indices."""
    return Node("Lookup", [x, table], [y], axis, name)


def bytes_of_table(dtype: np.dtype) -> np.ndarray:
    """The 256 numbers of int8 or uint8 in the order of a Lookup's table: entry i is for the byte i ^ 0x80."""
    return (np.arange(256, dtype=np.uint8) ^ 0x80).view(dtype)
