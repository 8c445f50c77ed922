"""Quantizing what bytes stand for: one table, the same bytes as from the separate steps computed by numpy."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support import count
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.passes import fuse_tables, remove_copies, remove_dead, run_passes
from wisp_converter.target import format as fmt
from wisp_converter.target.plan import plan_memory

rng = np.random.default_rng(62)
EVERY = np.arange(256, dtype=np.uint8)


def fused(graph: Graph) -> Graph:
    run_passes(graph, (fuse_tables, remove_copies, remove_dead))
    return graph


def run(graph: Graph, x: np.ndarray) -> np.ndarray:
    return wisp.load(fmt.write(graph, plan_memory(graph))).run({"x": x})["y"]


def quantize(real, scale, zero, dtype):
    limits = np.iinfo(dtype)
    return np.clip(np.rint(real * (np.float32(1) / np.float32(scale))) + zero, limits.min, limits.max).astype(dtype)


@pytest.mark.parametrize("to, scale, zero", [(np.uint8, 0.1, 120), (np.int8, 0.03, 5), (np.uint8, 0.25, 7)])
@pytest.mark.parametrize("dtype, from_scale, from_zero", [(np.int8, 0.1, -8), (np.uint8, 0.07, 200)])
def test_dequantize_and_quantize(dtype, from_scale, from_zero, to, scale, zero):
    x = Value("x", np.dtype(dtype), (256,), scale=float(np.float32(from_scale)), zero_point=from_zero)
    f = Value("f", np.dtype(np.float32), (256,))
    y = Value("y", np.dtype(to), (256,), scale=float(np.float32(scale)), zero_point=zero)
    graph = fused(Graph([x], [y], [Node("DequantizeLinear", [x], [f]), Node("QuantizeLinear", [f], [y])]))
    assert [n.op for n in graph.nodes] == ["Lookup"]
    stored = EVERY.view(dtype)
    real = (stored.astype(np.int32) - from_zero).astype(np.float32) * np.float32(from_scale)
    assert np.array_equal(run(graph, stored), quantize(real, scale, zero, to))


def test_the_same_scale_is_no_node():
    def stored(name: str) -> Value:
        return Value(name, np.dtype(np.int8), (4,), scale=0.5, zero_point=3)

    x, a, b, y = stored("x"), stored("a"), stored("b"), stored("y")
    f = Value("f", np.dtype(np.float32), (4,))
    table = constant("t", rng.integers(-128, 128, 256).astype(np.int8))
    graph = Graph([x], [y], [Node("Lookup", [x, table], [a]), Node("DequantizeLinear", [a], [f]),
                             Node("QuantizeLinear", [f], [b]), Node("Identity", [b], [y])])
    assert [n.op for n in fused(graph).nodes] == ["Lookup"]


@pytest.mark.parametrize("axis", [None, 1])
def test_tables_of_floats_then_of_bytes(axis):
    """pixels -> floats -> int8 -> int8: what each channel's pixel ends as."""
    rows = rng.standard_normal((3, 256)).astype(np.float32)
    floats, attrs = (rows[0], {}) if axis is None else (rows, {"axis": axis})
    last = rng.integers(-128, 128, 256).astype(np.int8)
    x, f = Value("x", np.dtype(np.uint8), (2, 3, 256)), Value("f", np.dtype(np.float32), (2, 3, 256))
    q, y = (Value(n, np.dtype(np.int8), (2, 3, 256), scale=float(np.float32(0.02)), zero_point=-3) for n in "qy")
    graph = fused(Graph([x], [y], [Node("Lookup", [x, constant("r", floats)], [f], attrs),
                                   Node("QuantizeLinear", [f], [q]), Node("Lookup", [q, constant("t", last)], [y])]))
    assert [n.op for n in graph.nodes] == ["Lookup"]
    pixels = rng.integers(0, 256, (2, 3, 256)).astype(np.uint8)
    index = (pixels.astype(int) + 128) % 256
    real = floats[index] if axis is None else rows[np.arange(3)[None, :, None], index]
    assert np.array_equal(run(graph, pixels), last[quantize(real, 0.02, -3, np.int8).astype(int) + 128])


def test_what_others_read_stays():
    """Where the number itself is wanted, and between tables of two axes."""
    byte = np.dtype(np.int8)
    x, a, y, z = (Value(n, byte, (2, 2)) for n in "xayz")
    one, rows = rng.integers(-128, 128, 256).astype(byte), rng.integers(-128, 128, (2, 256)).astype(byte)
    graph = Graph([x], [y, z], [Node("Lookup", [x, constant("t", one)], [a]),
                                Node("Lookup", [a, constant("u", one)], [y]), Node("Transpose", [a], [z],
                                                                                  {"perm": (1, 0)})])
    assert count(fused(graph), "Lookup") == 2
    x, a, y = (Value(n, byte, (2, 2)) for n in "xay")
    graph = Graph([x], [y], [Node("Lookup", [x, constant("t", one)], [a]),
                             Node("Lookup", [a, constant("u", rows)], [y], {"axis": 1})])
    assert count(fused(graph), "Lookup") == 2
