"""The integer graph: every chosen node by its family's rule, and the borders between integers and floats."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from .. import ops
from ..ir import Graph, Node, Value, captured, constant, row_blocks
from ..ops.quantize import dequantize_node, lookup_node, quantize_node
from .assign import INT8
from .choose import Choice, data_inputs
from .round import correct_bias, weight_snr


class Lowering:
    """Builds the integer graph. This is the `q` of the families' rules; they may use scale, int8 and emit;
    numbers that do not fit are a ValueError."""

    def __init__(self, choice: Choice, means: dict[Value, np.ndarray]) -> None:
        self.choice, self.graph, self.means = choice, choice.graph, means
        self.users, self.producers, self.outputs = choice.users, choice.producers, choice.outputs
        self.tables = ops.tables()
        self.ints: dict[Value, Value] = {}
        self.floats: set[Value] = set()
        self.chains: dict[Value, list[Node]] = {}
        self.nodes: list[Node] = []
        self.weight_snr: dict[Node, float] = {}
        self.current: Node | None = None

    # ---- for the rules

    def scale(self, value: Value) -> tuple[float, int]:
        """(scale, zero point) of the int8 form of a float value, activation or constant."""
        return value.quant.scale, value.quant.zero_point

    def int8(self, value: Value) -> Value:
        """The int8 form of a float value; quantized on first use if a float node computes it."""
        if value in self.chains:
            self.end_chain(value)
        if value not in self.ints:
            self.ints[value] = self.new_int8(value)
            if value.data is None and not self.is_lowered(value):
                self.nodes.append(quantize_node(value, self.ints[value]))
        return self.ints[value]

    def emit(self, op: str, inputs: list[Value | None], output: Value, **attrs) -> None:
        """Append an int8 node in place of the current one."""
        self.nodes.append(Node(op, list(inputs), [output], attrs, self.current.name))

    # ---- the graph

    def run(self) -> Graph:
        """Write all nodes."""
        for node in self.graph.nodes:
            self.current = node
            if node in self.choice.nodes:
                try:
                    self.lower(node)
                    continue
                except ValueError as error:  # numbers that do not fit, see arithmetic.py
                    self.choice.refuse(node, str(error))
            for value in captured(node):
                self.float(value)
            self.nodes.append(Node(node.op, [self.float(v) for v in node.inputs], node.outputs,
                                   dict(node.attrs), node.name))
        for value in self.graph.outputs:
            self.float(value)
        self.graph.nodes = self.nodes
        return self.graph

    def lower(self, node: Node) -> None:
        rule = ops.find("lower", node.op)
        if rule:
            before = len(self.nodes)
            rule(self, correct_bias(node, self.means.get(node.inputs[0])))
            snr = weight_snr(node, self.nodes[before:])
            if snr is not None:
                self.weight_snr[node] = snr
        elif node.op in self.tables:
            self.extend_chain(node)
        else:
            moved = set(data_inputs(node))
            inputs = [self.int8(v) if v in moved else v for v in node.inputs]
            outputs = [None if v is None else self.int8(v) for v in node.outputs]
            self.nodes.append(Node(node.op, inputs, outputs, dict(node.attrs), node.name))

    def is_lowered(self, value: Value) -> bool:
        """Whether an int8 node computes it."""
        return self.producers.get(value) in self.choice.nodes

    def new_int8(self, value: Value) -> Value:
        scale, zero = self.scale(value)
        if value.data is not None:
            rows = np.atleast_1d(value.data)
            data = np.empty(rows.shape, INT8)
            for part in row_blocks(rows):
                data[part] = np.clip(np.rint(rows[part].astype(np.float64) / scale) + zero, -128, 127)
            return constant(f"{value.name}.s8", data.reshape(value.shape), scale=scale, zero_point=zero)
        kept = self.is_lowered(value) and value not in self.outputs
        return Value(value.name if kept else f"{value.name}.s8", INT8, value.shape, scale=scale, zero_point=zero)

    def float(self, value: Value | None) -> Value | None:
        """The float form of a value for a float reader; dequantized on first use if an int8 node computes it."""
        if value is None or value.data is not None or not self.is_lowered(value):
            return value
        if value not in self.floats:
            self.floats.add(value)
            self.nodes.append(dequantize_node(self.int8(value), value))
        return value

    # ---- tables

    def extend_chain(self, node: Node) -> None:
        """Remember a unary node; its Lookup is written when something else than one more unary node reads it."""
        source, result = node.inputs[0], node.outputs[0]
        self.chains[result] = [*self.chains.get(source, []), node]
        readers = self.users[result]
        alone = len(readers) == 1 and result not in self.outputs and readers[0] in self.choice.nodes
        if not (alone and readers[0].op in self.tables and not ops.find("lower", readers[0].op)):
            self.end_chain(result)

    def end_chain(self, value: Value) -> None:
        nodes = self.chains.pop(value)
        source = nodes[0].inputs[0]
        scale, zero = self.scale(source)
        x = ((np.arange(-128, 128) - zero) * np.float64(np.float32(scale)))
        with np.errstate(all="ignore"):
            for node in nodes:
                x = np.asarray(self.tables[node.op](x, node.attrs), np.float64)
        out_scale, out_zero = self.scale(value)
        steps = np.nan_to_num(x / np.float64(np.float32(out_scale)), nan=0.0, posinf=1e6, neginf=-1e6)
        table = np.clip(np.rint(steps) + out_zero, -128, 127)
        stored = constant(f"{value.name}.table", table.astype(INT8))
        self.nodes.append(lookup_node(self.int8(source), stored, self.int8(value), nodes[-1].name))
