"""int8 post-training quantization: which nodes get an int8 form, with which scales, and the borders between them.

A family module says how its operators quantize:
  @quantize(NAME)          a function(q, node) that writes the int8 form through q.emit, or calls q.refuse(reason);
  UNARY_TABLE              {operator: function(x, attrs)}: any chain of them becomes one Lookup.
Operators with the trait MOVES are int8 in, int8 out, one scale for both.
Everything else stays float; `quantize_int8` reports what and why.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from . import ops, qmath
from .calibrate import Calibration
from .ir import Graph, Node, Value, constant
from .opcodes import has_trait
from .passes import merge_common, remove_dead
from .verify_graph import verify_graph

FLOAT, INT8 = np.dtype(np.float32), np.dtype(np.int8)
SMALLEST_SCALE = 1e-30

# Outputs whose range follows from the operator: (scale, zero point).
FIXED = {"Sigmoid": (1 / 256, -128), "Softmax": (1 / 256, -128), "HardSigmoid": (1 / 255, -128)}

BIAS_CORRECTION = True

LOW_SNR = 20.0  # dB; int8 weights below this are worth a warning


def quantize_int8(graph: Graph, seen: Calibration, say: Callable[[str], None] = lambda line: None) -> dict:
    """Rewrite the float graph, in place, so that as much as possible runs in int8. Inputs and outputs stay float.

    `seen`: the activations' ranges and means, see calibrate.py. Returns what was done, for the file's metadata; every node that
    stays float is also told through `say`.
    """
    reasons: dict[int, str] = {}
    while True:
        rewriter = Rewriter(graph, seen, reasons)
        if rewriter.run():
            break
    _report(graph, rewriter, say)
    summary = {"int8_nodes": len(rewriter.chosen), "float_nodes": rewriter.float_names()}
    graph.nodes = rewriter.nodes
    merge_common(graph)
    remove_dead(graph)
    verify_graph(graph, "quantize_int8")
    return summary


class Rewriter:
    """Builds the int8 graph. This is the `q` of the families' rules; they may use what is documented as theirs."""

    def __init__(self, graph: Graph, seen: Calibration, reasons: dict[int, str]) -> None:
        self.graph, self.ranges, self.means, self.reasons = graph, seen.ranges, seen.means, reasons
        self.users, self.producers, self.outputs = graph.users(), graph.producers(), set(graph.outputs)
        self.tables = ops.tables()
        self.chosen = self.choose()
        self.parents: dict[Value, Value] = {}
        self.share_scales()
        self.scales: dict[Value, tuple[float, int]] = {}
        self.ints: dict[Value, Value] = {}
        self.floats: dict[Value, Value] = {}
        self.chains: dict[Value, list[Node]] = {}
        self.nodes: list[Node] = []
        self.weight_snr: dict[int, float] = {}
        self.current: Node | None = None
        self.refused = False

    # ---- for the rules

    def scale(self, value: Value) -> tuple[float, int]:
        """(scale, zero point) of the int8 form of a float value, activation or constant."""
        root = self.find(value)
        if root not in self.scales:
            self.scales[root] = self.fixed(root) or affine(*self.range(value))
        return self.scales[root]

    def range(self, value: Value) -> tuple[float, float]:
        """The calibrated (low, high) of a float value, with that of all values that share its scale."""
        root = self.find(value)
        members = [v for v in self.parents if self.find(v) is root] or [value]
        ranges = [r for r in map(self.own_range, members) if r is not None]
        return min(r[0] for r in ranges), max(r[1] for r in ranges)

    def int8(self, value: Value) -> Value:
        """The int8 form of a float value; quantized on first use if a float node computes it."""
        if value in self.chains:
            self.end_chain(value)
        if value not in self.ints:
            self.ints[value] = self.new_int8(value)
            if value.data is None and not (value in self.producers and id(self.producers[value]) in self.chosen):
                self.nodes.append(Node("QuantizeLinear", [value], [self.ints[value]], {}, f"{value.name}.quantize"))
        return self.ints[value]

    def emit(self, op: str, inputs: list[Value | None], output: Value, **attrs) -> None:
        """Append an int8 node in place of the current one."""
        self.nodes.append(Node(op, list(inputs), [output], attrs, self.current.name))

    def refuse(self, reason: str) -> None:
        """The current node must stay float."""
        self.reasons[id(self.current)] = reason
        self.refused = True

    # ---- what gets an int8 form

    def choose(self) -> set[int]:
        """ids of nodes to quantize: those that compute (Conv, Gemm, pools), then the cheap ones between them."""
        chosen = {id(n) for n in self.graph.nodes if self.possible(n) and not self.is_follower(n)}
        changed = True
        while changed:
            changed = False
            for node in (*self.graph.nodes, *reversed(self.graph.nodes)):
                if id(node) not in chosen and self.is_follower(node) and self.possible(node) and self.pays(node, chosen):
                    chosen.add(id(node))
                    changed = True
        return chosen

    def possible(self, node: Node) -> bool:
        """Whether the node has an int8 form and its activations have ranges; else notes the reason."""
        if id(node) in self.reasons:
            return False
        reason = None
        activations = [v for v in (*self.data_inputs(node), *node.outputs) if v is not None]
        if not any(v.dtype == FLOAT for v in node.outputs if v is not None):
            reason = "its result is not f32"
        elif not (ops.find("quantize", node.op) or has_trait(node.op, "MOVES") or node.op in self.tables):
            reason = "the operator has no int8 form"
        elif any(v.dtype != FLOAT for v in activations):
            reason = "an operand is not f32"
        elif any(self.own_range(v) is None for v in activations):
            reason = "an activation is not finite, or was never computed in calibration"
        if reason:
            self.reasons[id(node)] = reason
        return reason is None

    def is_follower(self, node: Node) -> bool:
        return has_trait(node.op, "MOVES") or node.op in self.tables or has_trait(node.op, "ELEMENTWISE")

    def pays(self, node: Node, chosen: set[int]) -> bool:
        """A cheap node follows its neighbours: when all inputs come in int8, or all readers want it so and moving it
        costs nothing."""
        sources = [self.producers.get(v) for v in self.data_inputs(node) if v.data is None]
        if sources and all(s is not None and id(s) in chosen for s in sources):
            return True
        readers = [r for v in node.outputs for r in self.users.get(v, ())]
        wanted = bool(readers) and all(id(r) in chosen for r in readers) and not any(v in self.outputs for v in node.outputs)
        return wanted and (has_trait(node.op, "MOVES") or any(s is not None and id(s) in chosen for s in sources))

    def data_inputs(self, node: Node) -> list[Value]:
        """The inputs that would be int8: of a table or mover its activations, otherwise all but weights and bias."""
        if has_trait(node.op, "JOINS") or has_trait(node.op, "ELEMENTWISE"):
            return [v for v in node.inputs if v is not None]
        return [v for v in node.inputs[:1] if v is not None]

    def own_range(self, value: Value) -> tuple[float, float] | None:
        if value.data is None:
            return self.ranges.get(value)
        if value.data.dtype != FLOAT or not value.data.size or not np.isfinite(value.data).all():
            return None
        return float(value.data.min()), float(value.data.max())

    # ---- scales

    def find(self, value: Value) -> Value:
        while self.parents.get(value, value) is not value:
            value = self.parents[value]
        return value

    def share_scales(self) -> None:
        """One scale for the inputs and outputs of every int8 node that only moves values."""
        for node in self.graph.nodes:
            if id(node) in self.chosen and has_trait(node.op, "MOVES"):
                first, *others = [v for v in (*self.data_inputs(node), *node.outputs) if v is not None]
                for value in others:
                    self.parents.setdefault(value, value)
                    self.parents.setdefault(first, first)
                    a, b = self.find(first), self.find(value)
                    if a is not b:
                        self.parents[b] = a

    def fixed(self, root: Value) -> tuple[float, int] | None:
        """The scale an operator dictates, if nothing else has a say in the group."""
        members = [v for v in self.parents if self.find(v) is root] or [root]
        made = {self.producers[v].op if v in self.producers else "" for v in members if not self.is_moved(v)}
        return FIXED.get(made.pop()) if len(made) == 1 else None

    def is_moved(self, value: Value) -> bool:
        node = self.producers.get(value)
        return node is not None and id(node) in self.chosen and has_trait(node.op, "MOVES")

    def new_int8(self, value: Value) -> Value:
        scale, zero = self.scale(value)
        if value.data is not None:
            data = np.clip(np.rint(value.data.astype(np.float64) / scale) + zero, -128, 127).astype(INT8)
            return constant(f"{value.name}.s8", data, scale=scale, zero_point=zero)
        kept = value in self.producers and id(self.producers[value]) in self.chosen and value not in self.outputs
        return Value(value.name if kept else f"{value.name}.s8", INT8, value.shape, scale=scale, zero_point=zero)

    # ---- rewriting

    def run(self) -> bool:
        """Write all nodes. False when a rule refused: then choose again without that node."""
        for node in self.graph.nodes:
            self.current = node
            if id(node) not in self.chosen:
                inputs = [self.float(v) for v in node.inputs]
                self.nodes.append(Node(node.op, inputs, node.outputs, dict(node.attrs), node.name))
                continue
            try:
                self.quantize_node(node)
            except ValueError as error:  # numbers that do not fit, see qmath.py
                self.refuse(str(error))
            if self.refused:
                return False
        for value in self.graph.outputs:
            self.float(value)
        return True

    def quantize_node(self, node: Node) -> None:
        rule = ops.find("quantize", node.op)
        if rule:
            before = len(self.nodes)
            rule(self, self.correct_bias(node))
            self.measure_weights(node, self.nodes[before:])
        elif node.op in self.tables:
            self.extend_chain(node)
        else:
            moved = set(map(id, self.data_inputs(node)))
            inputs = [self.int8(v) if v is not None and id(v) in moved else v for v in node.inputs]
            outputs = [None if v is None else self.int8(v) for v in node.outputs]
            self.nodes.append(Node(node.op, inputs, outputs, dict(node.attrs), node.name))

    def float(self, value: Value | None) -> Value | None:
        """The float form of a value for a float reader; dequantized on first use if an int8 node computes it."""
        if value is None or value.data is not None or value not in self.producers or id(self.producers[value]) not in self.chosen:
            return value
        if value not in self.floats:
            source = self.int8(value)
            self.floats[value] = value
            self.nodes.append(Node("DequantizeLinear", [source], [value], {}, f"{value.name}.dequantize"))
        return value

    def correct_bias(self, node: Node) -> Node:
        """The node with what rounding its weights adds to each output on average taken off the bias.

        The mean error of output j is sum over k of (rounded - real)[j, k] * E[x_k] (Nagel et al. 2019, "Data-Free
        Quantization", section 4.2); the means E[x_k] were seen in calibration."""
        weights = node.inputs[1].data if node.op in ("Conv", "Gemm") else None
        means = self.means.get(node.inputs[0])
        if weights is None or means is None or not BIAS_CORRECTION:
            return node
        n, group = len(weights), node.attrs.get("group", 1)
        rows = weights.reshape(n, -1)
        bias = np.zeros(n, np.float32) if node.inputs[2] is None else node.inputs[2].data
        scales = qmath.weight_scales(rows, bias, self.scale(node.inputs[0])[0], self.scale(node.outputs[0])[0])
        error = (qmath.quantize_weights(rows, scales) * scales[:, None] - rows).reshape(n, -1, weights.shape[-1]).sum(axis=1)
        inputs = np.repeat(means.reshape(group, -1), n // group, axis=0)
        corrected = (bias - (error * inputs).sum(axis=1)).astype(np.float32)
        inputs = [*node.inputs[:2], constant(f"{node.outputs[0].name}.bias", corrected)]
        return Node(node.op, inputs, node.outputs, node.attrs, node.name)

    # ---- tables

    def extend_chain(self, node: Node) -> None:
        """Remember a unary node; its Lookup is written when something else than one more unary node reads it."""
        source = node.inputs[0]
        self.chains[node.outputs[0]] = [*self.chains.get(source, []), node]
        reader = self.users[node.outputs[0]]
        alone = len(reader) == 1 and node.outputs[0] not in self.outputs
        if not (alone and id(reader[0]) in self.chosen and reader[0].op in self.tables and not ops.find("quantize", reader[0].op)):
            self.end_chain(node.outputs[0])

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
        self.nodes.append(Node("Lookup", [self.int8(source), constant(f"{value.name}.table", table.astype(INT8))],
                               [self.int8(value)], {}, nodes[-1].name))

    # ---- reports

    def measure_weights(self, node: Node, emitted: list[Node]) -> None:
        """Signal-to-noise ratio of int8 weights, with the best scale for each channel."""
        weights = node.inputs[1].data if len(node.inputs) > 1 and node.inputs[1] is not None else None
        stored = next((v.data for n in emitted if n.op == node.op and len(n.inputs) > 1 for v in n.inputs[1:2]
                       if v is not None and v.data is not None and v.data.dtype == INT8), None)
        if weights is None or stored is None or stored.size != weights.size or node.op not in ("Conv", "Gemm"):
            return
        w, s = (a.reshape(len(weights), -1).astype(np.float64) for a in (weights, stored))
        best = (w * s).sum(1) / np.maximum((s * s).sum(1), 1)
        noise, signal = ((w - s * best[:, None]) ** 2).sum(), (w ** 2).sum()
        self.weight_snr[id(node)] = math.inf if noise == 0 else 10 * math.log10(signal / noise) if signal else -math.inf

    def float_names(self) -> dict[str, str]:
        return {n.name: self.reasons.get(id(n), "its neighbours are float") for n in self.graph.nodes
                if id(n) not in self.chosen and any(v is not None and v.dtype == FLOAT for v in n.outputs)}


def affine(low: float, high: float) -> tuple[float, int]:
    """(scale, zero point) that map [low, high], widened to include 0, to -128..127; scale is a float32 number, and 0 is
    stored exactly."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = float(np.float32(max((high - low) / 255, SMALLEST_SCALE)))
    if high == low:
        return 1.0, 0
    return scale, int(np.clip(round(-128 - low / scale), -128, 127))


def _report(graph: Graph, rewriter: Rewriter, say: Callable[[str], None]) -> None:
    names = {id(n): n for n in graph.nodes}
    say(f"int8: {len(rewriter.chosen)} of {len(graph.nodes)} nodes")
    for name, reason in rewriter.float_names().items():
        node = next(n for n in graph.nodes if n.name == name)
        say(f"stays float: {node.op} {name!r}: {reason}")
    for key, snr in rewriter.weight_snr.items():
        if snr < LOW_SNR:
            say(f"warning: {names[key].op} {names[key].name!r}: int8 weights have a SNR of only {snr:.1f} dB")
    if rewriter.weight_snr:
        worst = min(rewriter.weight_snr, key=rewriter.weight_snr.get)
        say(f"int8 weights: lowest SNR {rewriter.weight_snr[worst]:.1f} dB ({names[worst].name})")
