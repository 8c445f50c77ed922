"""The memory plan: where every activation lives in the arena, chosen once so that the runtime has nothing to decide.

Values that may share memory form a buffer: a Reshape and its input, an in-place operator and its input, the parts
of a Concat along the outermost axis inside its result. A buffer lives from its first write to its last read; buffers
alive at the same time must not overlap. Placing them is bin packing: several greedy orders are tried, the best kept.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import bisect
from dataclasses import dataclass, field

from . import ops
from .format import ALIGNMENT, Plan, round_up, tensor_size
from .ir import Graph, Node, Value
from .opcodes import opcodes

# Operators that compute the same bytes in the same order: output 0 may be input 0.
VIEWS = {"Reshape", "Identity", "Squeeze", "Unsqueeze", "Flatten"}
MAX_SHAPE_VALUE = 4096  # bytes of a value computed at prepare


@dataclass(eq=False)
class Buffer:
    """Memory shared by values: `members` are (value, offset within the buffer)."""

    size: int
    start: int
    end: int
    members: list[tuple[Value, int]] = field(default_factory=list)
    offset: int = 0


@dataclass
class Planned(Plan):
    """A plan and how good it is: `lower_bound` is the most bytes alive at any one time."""

    lower_bound: int = 0
    is_dynamic: bool = False

    def describe(self, threads: int = 1) -> str:
        shape = f", {self.shape_size} for shapes" if self.shape_size else ""
        if self.is_dynamic:
            return f"memory: planned at load (dynamic shapes){shape}"
        arena = self.plan_size + threads * self.scratch_size
        return (f"memory: activations {self.plan_size} bytes (lower bound {self.lower_bound}), scratch "
                f"{self.scratch_size} per thread, arena {arena} with {threads} thread{'s' if threads > 1 else ''}{shape}")


def plan_memory(graph: Graph) -> Planned:
    """Offsets for all activations, or for shape values only if some shape is dynamic."""
    plan = Planned()
    plan.shape_offsets, plan.shape_size = _place_shape_values(shape_values(graph))
    activations = [v for v in graph.values() if v.data is None and v not in plan.shape_offsets]
    if any(not v.is_static for v in activations):
        plan.is_dynamic = True
        return plan
    plan.scratch_size = max((scratch(node) for node in graph.nodes), default=0)
    tries = [_place_all(_make_buffers(graph, plan.shape_offsets, join)) for join in (True, False)]
    # At equal peaks joined buffers win: they save the copies.
    plan.plan_size, buffers = min(tries, key=lambda t: t[0])
    plan.lower_bound = lower_bound(buffers)
    plan.offsets = {value: b.offset + inner for b in buffers for value, inner in b.members}
    return plan


def scratch(node: Node) -> int:
    """Bytes of scratch a node needs for each thread: the family's formula, the same as in C."""
    function = ops.find("scratch", node.op)
    return round_up(int(function(node)), ALIGNMENT) if function else 0


def shape_values(graph: Graph, keep: list[Value] | tuple[Value, ...] | None = None) -> list[Value]:
    """Values known once the shapes are: computed only from Shape or Size results and constants, small, of static
    shape. Their nodes run at prepare. Values in `keep` (default: the graph outputs) stay activations."""
    known: dict[Value, None] = {}
    outputs = set(graph.outputs if keep is None else keep)
    for node in graph.nodes:
        results = [v for v in node.outputs if v is not None]
        reads_shape = node.op in ("Shape", "Size")
        inputs = [v for v in node.inputs if v is not None]
        from_shape = any(v in known for v in inputs) and all(v in known or v.data is not None for v in inputs)
        small = all(v.is_static and tensor_size(v) <= MAX_SHAPE_VALUE and v not in outputs for v in results)
        if (reads_shape or from_shape) and small and not ops.find("scratch", node.op):
            known.update(dict.fromkeys(results))
    return list(known)


def _place_shape_values(values: list[Value]) -> tuple[dict[Value, int], int]:
    offsets, size = {}, 0
    for value in values:
        offsets[value] = size
        size += round_up(tensor_size(value), 8)
    return offsets, size


# ---- buffers


def lifetimes(graph: Graph) -> dict[Value, list[int]]:
    """First and last node index of every activation. Inputs start at -1, outputs end after the last node."""
    lives = {v: [-1, -1] for v in graph.inputs}
    for i, node in enumerate(graph.nodes):
        for value in node.inputs:
            if value is not None and value.data is None:
                lives[value][1] = i
        for value in node.outputs:
            if value is not None:
                lives[value] = [i, i]
    for value in graph.outputs:
        lives[value][1] = len(graph.nodes)
    return lives


def _make_buffers(graph: Graph, skip: dict[Value, int], join: bool) -> list[Buffer]:
    lives, owner = lifetimes(graph), {}
    in_place, joins = ops.names("IN_PLACE"), ops.names("JOINS") if join else frozenset()

    def put(value: Value, buffer: Buffer, offset: int) -> None:
        buffer.members.append((value, offset))
        buffer.start, buffer.end = min(buffer.start, lives[value][0]), max(buffer.end, lives[value][1])
        owner[value] = buffer, offset

    for value in graph.inputs:
        put(value, Buffer(round_up(tensor_size(value), ALIGNMENT), *lives[value]), 0)
    for i, node in enumerate(graph.nodes):
        for k, value in enumerate(node.outputs):
            if value is None or value in skip:
                continue
            shared = _shared_place(node, value, i, owner, lives, in_place) if k == 0 else None
            if shared is None:
                shared = Buffer(round_up(tensor_size(value), ALIGNMENT), *lives[value]), 0
            put(value, *shared)
        if node.op in joins and node.outputs[0] in owner:
            _join(node, owner)
    return list(dict.fromkeys(buffer for buffer, _ in owner.values()))


def _shared_place(node: Node, value: Value, i: int, owner: dict, lives: dict, in_place: frozenset):
    """(buffer, offset) of an input that output 0 may take over, or None."""
    if node.op in VIEWS:
        source = node.inputs[0]
        return owner.get(source) if source is not None and tensor_size(source) == tensor_size(value) else None
    if node.op not in in_place:
        return None
    # Only element-wise operators read all their inputs at the place they write; others just the first.
    elementwise = 20 <= opcodes()[node.op].code < 60
    for source in node.inputs if elementwise else node.inputs[:1]:
        if source in owner and tensor_size(source) == tensor_size(value) and source.shape == value.shape:
            buffer, offset = owner[source]
            end = offset + tensor_size(source)
            if all(lives[v][1] <= i for v, at in buffer.members if at < end and offset < at + tensor_size(v)):
                return buffer, offset
    return None


def _join(node: Node, owner: dict) -> None:
    """Place the inputs of a Concat along the outermost axis inside its output, where they own their buffer."""
    output = node.outputs[0]
    axis = node.attrs.get("axis", 0) % max(len(output.shape), 1)
    target, at = owner[output]
    if any(d != 1 for d in output.shape[:axis]) or len(set(map(id, node.inputs))) < len(node.inputs):
        return
    for source in node.inputs:
        size = tensor_size(source)
        if source in owner and at % ALIGNMENT == 0 and size:
            buffer, offset = owner[source]
            if buffer is not target and offset == 0 and buffer.size == round_up(size, ALIGNMENT):
                for value, inner in buffer.members:
                    owner[value] = target, at + inner
                    target.members.append((value, at + inner))
                target.start, target.end = min(target.start, buffer.start), max(target.end, buffer.end)
        at += size


# ---- placing


def lower_bound(buffers: list[Buffer]) -> int:
    """The most bytes alive at any one time: no plan of these buffers can be smaller."""
    times = sorted({b.start for b in buffers})
    return max((sum(b.size for b in buffers if b.start <= t <= b.end) for t in times), default=0)


ORDERS = (
    lambda b: (-b.size, b.start),
    lambda b: (b.start - b.end, -b.size),
    lambda b: (b.size * (b.start - b.end - 1), b.start),
    lambda b: (b.start, -b.size),
    lambda b: (-b.end, -b.size),
)


def _place_all(buffers: list[Buffer]) -> tuple[int, list[Buffer]]:
    """Place the buffers in each order, keep the smallest peak, and write its offsets into the buffers."""
    results = [_place(sorted(buffers, key=order)) for order in ORDERS]
    peak, offsets = min(results, key=lambda r: r[0])
    for buffer in buffers:
        buffer.offset = offsets[buffer]
    return peak, buffers


def _place(ordered: list[Buffer]) -> tuple[int, dict[Buffer, int]]:
    """Best fit: each buffer into the tightest gap between those placed that are alive with it."""
    placed: list[tuple[int, int, int, int, Buffer]] = []  # sorted by offset
    offsets, peak = {}, 0
    for n, buffer in enumerate(ordered):
        best, best_waste, cursor = None, None, 0
        for offset, _, start, end, other in placed:
            if end < buffer.start or start > buffer.end:
                continue
            gap = offset - cursor
            if gap >= buffer.size and (best_waste is None or gap - buffer.size < best_waste):
                best, best_waste = cursor, gap - buffer.size
            cursor = max(cursor, offset + other.size)
        offsets[buffer] = cursor if best is None else best
        peak = max(peak, offsets[buffer] + buffer.size)
        bisect.insort(placed, (offsets[buffer], n, buffer.start, buffer.end, buffer))
    return peak, offsets
