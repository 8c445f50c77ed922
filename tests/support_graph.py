"""Runs one operator of the runtime directly, without ONNX: for forms that only the quantizer emits."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

import wisp
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.target.pack import pack
from wisp_converter.target.plan import plan_memory


def run_node(op: str, operands: list, shape: tuple[int, ...], *, scale: float = 0.0, zero_point: int = 0,
             out_scale: float | None = None, out_zero_point: int | None = None, threads: int = 1,
             cpu: str | None = None, dtype=None, **attrs) -> np.ndarray:
    """The output, of `shape` and `dtype` or the first operand's. operands: arrays, None where left out; the first is
    the graph's input, the others are constants, as Values where they are packed already. scale, zero_point:
    of the input, and of the output unless stated."""
    first = operands[0]
    x = Value("x", first.dtype, first.shape, scale=scale, zero_point=zero_point)
    y = Value("y", np.dtype(dtype or first.dtype), shape, scale=scale if out_scale is None else out_scale,
              zero_point=zero_point if out_zero_point is None else out_zero_point)
    others = [a if a is None or isinstance(a, Value) else constant(f"c{i}", np.asarray(a))
              for i, a in enumerate(operands[1:])]
    graph = Graph([x], [y], [Node(op, [x, *others], [y], attrs, op)])
    pack(graph)
    data = fmt.write(graph, plan_memory(graph), source_sha256=bytes(32), metadata=b"{}")
    return wisp.load(data, threads=threads, cpu=cpu).run({"x": first})["y"]
