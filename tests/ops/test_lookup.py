"""Lookup against numpy's indexing: bytes to bytes and to floats, one table and one for each index of an axis."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import wisp
from support_graph import run_node

rng = np.random.default_rng(61)
SHAPES = [((2, 3, 5, 7), 1), ((2, 5, 7, 3), 3), ((1, 70, 90, 3), 3), ((1, 3, 170, 100), 1), ((4, 6), 0), ((300,), 0),
          ((2, 3, 0), 1), ((2, 2, 3, 2), -2)]


def random_bytes(shape, dtype) -> np.ndarray:
    return rng.integers(0, 256, shape).astype(np.uint8).view(dtype)


def table_of(dtype, *rows) -> np.ndarray:
    return rng.standard_normal((*rows, 256)).astype(dtype) if dtype == np.float32 else random_bytes((*rows, 256), dtype)


def index(x: np.ndarray) -> np.ndarray:
    """The entry for each element: -128..127, or of uint8 the byte less 128, counted from -128."""
    return x.astype(int) + 128 if x.dtype == np.int8 else (x.astype(int) + 128) % 256


@pytest.mark.parametrize("to", [np.int8, np.uint8, np.float32])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("shape", [(), (1,), (255,), (3, 1111), (2, 40000), (0, 4)], ids=str)
def test_one_table(dtype, to, shape):
    x, table = random_bytes(shape, dtype), table_of(to)
    for options in ({}, {"cpu": "scalar"}, {"threads": 2}):
        got = run_node("Lookup", [x, table], shape, dtype=to, **options)
        assert got.dtype == to and np.array_equal(got, table[index(x)])


@pytest.mark.parametrize("to", [np.int8, np.uint8, np.float32])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("shape, axis", SHAPES, ids=str)
def test_a_table_for_each_index_of_an_axis(dtype, to, shape, axis):
    x, rows = random_bytes(shape, dtype), shape[axis]
    table = table_of(to, rows)
    row = np.arange(rows).reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
    for options in ({}, {"cpu": "scalar"}, {"threads": 2}):
        got = run_node("Lookup", [x, table], shape, dtype=to, axis=axis, **options)
        assert got.dtype == to and np.array_equal(got, table[row, index(x)])


@pytest.mark.parametrize("x, table, axis, message", [
    (np.int16, np.zeros(256, np.int8), 0, "dtype is not supported here: 5"),
    (np.int8, np.zeros(256, np.int32), 0, "dtype is not supported here: 6"),
    (np.int8, np.zeros(255, np.int8), 0, "rows of 256"), (np.int8, np.zeros((2, 3, 256), np.int8), 0, "rows of 256"),
    (np.int8, np.zeros((3, 256), np.int8), 2, "no such axis: 2"),
    (np.int8, np.zeros((3, 256), np.int8), 0, "extent of the axis: 3")])
def test_what_is_no_table_is_refused(x, table, axis, message):
    with pytest.raises(wisp.WispError, match=message):
        run_node("Lookup", [np.zeros((2, 3), x), table], (2, 3), dtype=table.dtype, axis=axis)


def test_a_table_that_is_computed_is_refused():
    from wisp_converter.ir import Graph, Node, Value
    from wisp_converter.target import format as fmt
    from wisp_converter.target.plan import plan_memory

    x, table, y = (Value(n, np.dtype(np.int8), (256,)) for n in ("x", "table", "y"))
    graph = Graph([x, table], [y], [Node("Lookup", [x, table], [y], {}, "look")])
    with pytest.raises(wisp.BadFileError, match="'look' .*constant"):
        wisp.load(fmt.write(graph, plan_memory(graph)))
