"""The memory plan: where every activation lives in the arena, chosen once so that the runtime has nothing to decide.

  arena = state | shared scratch | threads x scratch | activations

Values that use the same memory form a buffer.
Which do follows from the traits of ops.def by one rule, the runtime's too:

  alias(y), the input whose buffer output 0 of a node uses:
    VIEW      input 0, if it is an activation;
    IN_PLACE  an input that dies here (all values in its buffer do) and has the dims and bytes of y: with ELEMENTWISE
              the first such input, else input 0; where the node reads that buffer twice, each of these inputs must be
              such a one;
    never     where y is an output of a graph inside, or the next value of a state: those are swapped or copied.

The parts of a JOINS operator along the outermost axis may lie inside its result, and then live with it. A buffer lives
from its first write to its last read; buffers alive at the same time must not overlap. Placing them is bin packing:
several greedy orders are tried, the best kept.
"""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import BinaryIO

from .amend import amend
from .format import ALIGNMENT, Plan, State, round_up, tensor_size, tensor_table
from ..ir import Graph, Node, Value, bodies
from ..opcodes import has_trait
from ..runner import scratch_needs

MAX_SHAPE_VALUE = 4096  # bytes of a value computed while shapes are planned
AMPLE = 1 << 40  # bytes of scratch in a file that only asks how many it can use


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

    def describe(self, threads: int = 1) -> str:
        shape = f", {self.shape_size} for shapes" if self.shape_size else ""
        if not self.is_static:
            return f"memory: planned at load (dynamic shapes){shape}"
        arena = self.state_size + self.shared_size + threads * self.scratch_size + self.plan_size
        return (f"memory: activations {self.plan_size} bytes (lower bound {self.lower_bound}), scratch "
                f"{self.scratch_size} per thread, arena {arena} with "
                f"{threads} thread{'s' if threads > 1 else ''}{shape}")


def plan_memory(graph: Graph, states: list[State] | tuple[State, ...] = ()) -> Planned:
    """Offsets for all activations, or for shape values and states only if some shape is dynamic. Scratch is ample until
    `settle_scratch`."""
    plan = Planned(states=list(states))
    plan.shape_offsets, plan.shape_size = _place_in_turn(shape_values(graph), 8)
    values, kept = tensor_table(graph, plan.states), {s.tensor for s in states}
    plan.state_offsets, plan.state_size = _place_in_turn([v for v in values if v in kept], ALIGNMENT)
    activations = [v for v in values if v.data is None and v not in plan.shape_offsets and v not in kept]
    plan.is_static = all(v.is_static for v in activations)
    if not plan.is_static:
        return plan
    life = Life(graph, plan.states)
    joined, apart = (_make_buffers(life, plan.shape_offsets, join) for join in (True, False))
    plan.plan_size = _place_all(joined)
    plan.lower_bound, buffers = lower_bound(joined), joined
    # At equal peaks joined buffers win: they save the copies.
    if lower_bound(apart) < plan.plan_size and (size := _place_all(apart)) < plan.plan_size:
        plan.plan_size, plan.lower_bound, buffers = size, lower_bound(apart), apart
    plan.offsets = {value: b.offset + inner for b in buffers for value, inner in b.members}
    plan.shared_size = plan.scratch_size = AMPLE
    return plan


def settle_scratch(plan: Planned, file: BinaryIO) -> None:
    """The scratch a model can use, asked from the runtime: any algorithm that these shapes admit finds room. `file` was
    written by this plan, and is amended like it."""
    if plan.is_static:
        plan.shared_size, plan.scratch_size = scratch_needs(file)
        amend(file, shared_size=plan.shared_size, scratch_size=plan.scratch_size)


def shape_values(graph: Graph, keep: list[Value] | tuple[Value, ...] | None = None) -> list[Value]:
    """Values known once the shapes are: computed only from operators with DIMS and constants, small, of static
    shape. Their nodes run while shapes are planned, those of bodies when these are. Values in `keep` (default: the
    graph outputs) and outputs of bodies stay activations."""
    known: dict[Value, None] = {}

    def walk(nodes: list[Node], kept: set[Value]) -> None:
        for node in nodes:
            for body in bodies(node):
                walk(body.nodes, set(body.outputs))
            results = [v for v in node.outputs if v is not None]
            inputs = [v for v in node.inputs if v is not None]
            from_shape = any(v in known for v in inputs) and all(v in known or v.data is not None for v in inputs)
            small = all(v.is_static and tensor_size(v) <= MAX_SHAPE_VALUE and v not in kept for v in results)
            if ((has_trait(node.op, "DIMS") or from_shape) and small and not has_trait(node.op, "SCRATCH")
                    and not bodies(node)):
                known.update(dict.fromkeys(results))

    walk(graph.nodes, set(graph.outputs if keep is None else keep))
    return list(known)


def _place_in_turn(values: list[Value], alignment: int) -> tuple[dict[Value, int], int]:
    """Offsets of values one behind the other, and the bytes of all."""
    offsets, size = {}, 0
    for value in values:
        offsets[value] = size
        size += round_up(tensor_size(value), alignment)
    return offsets, size


# ---- time


class Life:
    """When values live. Time is the walk "node, then its bodies, then its end"; without graphs inside, a node's index.

    `spans`: first and last time of every activation. Inputs start at -1, outputs end after the last node; what a body
    reads from outside lives to the end of the body's owner; inputs and outputs of a body live as long as the owner: it
    may run many times. `steps`: (node, its end) in order. `apart`: values that take over no buffer, see above.
    """

    def __init__(self, graph: Graph, states: list[State] | tuple[State, ...] = ()) -> None:
        self.graph = graph
        self.spans: dict[Value, list[int]] = {v: [-1, -1] for v in graph.inputs}
        self.steps: list[tuple[Node, int]] = []
        self.apart = {s.next for s in states}
        end = self._walk(graph, 0)[0]
        for state in states:
            self.spans[state.next][1] = end

    def _walk(self, graph: Graph, now: int) -> tuple[int, list[Value]]:
        """From time `now` on: the time behind the graph's last node, and what it read from outside."""
        own, outside = set(graph.inputs), []

        def read(values: list[Value], time: int) -> None:
            for value in values:
                if value in own:
                    self.spans[value][1] = max(self.spans[value][1], time)
                else:
                    outside.append(value)

        for node in graph.nodes:
            begin, reads = now, [v for v in node.inputs if v is not None and v.data is None]
            for body in bodies(node):
                self.spans.update((v, [begin, begin]) for v in body.inputs)
                now, captured = self._walk(body, now + 1)
                reads += captured
            now += bool(bodies(node))
            for body in bodies(node):
                self.spans.update((v, [begin, now]) for v in (*body.inputs, *body.outputs))
                self.apart.update(body.outputs)
            read(reads, now)
            results = [v for v in node.outputs if v is not None]
            self.spans.update((v, [begin, now]) for v in results)
            own.update(results)
            self.steps.append((node, now))
            now += 1
        read(graph.outputs, now)
        return now, outside


def lifetimes(graph: Graph) -> dict[Value, list[int]]:
    """First and last time of every activation."""
    return Life(graph).spans


# ---- buffers


def _make_buffers(life: Life, skip: dict[Value, int], join: bool) -> list[Buffer]:
    """Buffers by the alias rule; with `join` the parts of joined results lie inside these."""
    owner: dict[Value, tuple[Buffer, int]] = {}

    def put(value: Value, buffer: Buffer, offset: int) -> None:
        start, end = life.spans[value]
        buffer.members.append((value, offset))
        buffer.start, buffer.end = min(buffer.start, start), max(buffer.end, end)
        owner[value] = buffer, offset

    def put_alone(value: Value) -> None:
        put(value, Buffer(round_up(tensor_size(value), ALIGNMENT), *life.spans[value]), 0)

    for value in life.graph.inputs:
        put_alone(value)
    for node, now in life.steps:
        for value in (v for body in bodies(node) for v in body.inputs):
            put_alone(value)
        for k, value in enumerate(node.outputs):
            if value is None or value in skip:
                continue
            source = alias(node, now, owner, life.apart) if k == 0 else None
            if source is None:
                put_alone(value)
            else:
                put(value, *owner[source])
        if join and has_trait(node.op, "JOINS") and node.outputs[0] in owner:
            _join(node, owner, life.apart)
    return list(dict.fromkeys(buffer for buffer, _ in owner.values()))


def alias(node: Node, now: int, owner: dict[Value, tuple[Buffer, int]], apart: set[Value]) -> Value | None:
    """The input whose buffer output 0 uses, or None: the rule at the top of this file."""
    y, first = node.outputs[0], node.inputs[0] if node.inputs else None
    if y in apart:
        return None
    if has_trait(node.op, "VIEW"):
        return first if first in owner else None
    if not has_trait(node.op, "IN_PLACE"):
        return None
    elementwise = has_trait(node.op, "ELEMENTWISE")
    fits = [v in owner and v.shape == y.shape and v.dtype.itemsize == y.dtype.itemsize and (k == 0 or elementwise)
            for k, v in enumerate(node.inputs)]
    for x, fit in zip(node.inputs, fits):
        if fit and owner[x][0].end <= now and all(f and owner[v] == owner[x] for v, f in zip(node.inputs, fits)
                                                  if v in owner and owner[v][0] is owner[x][0]):
            return x
    return None


def _join(node: Node, owner: dict[Value, tuple[Buffer, int]], apart: set[Value]) -> None:
    """Place the inputs of a Concat along the outermost axis inside its output, where each has a buffer of its own."""
    output = node.outputs[0]
    axis = node.attrs.get("axis", 0) % max(len(output.shape), 1)
    target, at = owner[output]
    if any(d != 1 for d in output.shape[:axis]) or output in apart:
        return
    uses = Counter(id(owner[v][0]) for v in node.inputs if v in owner)
    for source in node.inputs:
        size = tensor_size(source)
        if source in owner and at % ALIGNMENT == 0 and size:
            buffer, offset = owner[source]
            whole = uses[id(buffer)] == 1 and offset == 0 and buffer.size == round_up(size, ALIGNMENT)
            if whole and not any(v in apart for v, _ in buffer.members):
                for value, inner in buffer.members:
                    owner[value] = target, at + inner
                    target.members.append((value, at + inner))
                target.start, target.end = min(target.start, buffer.start), max(target.end, buffer.end)
        at += size


# ---- placing


def lower_bound(buffers: list[Buffer]) -> int:
    """The most bytes alive at any one time: no plan of these buffers can be smaller."""
    alive = most = 0
    for _, change in sorted([(b.start, b.size) for b in buffers] + [(b.end + 0.5, -b.size) for b in buffers]):
        alive += change
        most = max(most, alive)
    return most


ORDERS = (
    lambda b: (-b.size, b.start),
    lambda b: (b.start - b.end, -b.size),
    lambda b: (b.size * (b.start - b.end - 1), b.start),
    lambda b: (b.start, -b.size),
    lambda b: (-b.end, -b.size),
)


def _place_all(buffers: list[Buffer]) -> int:
    """Place the buffers in each order, keep the smallest peak and return it; its offsets go into the buffers."""
    near, least = _neighbours(buffers), lower_bound(buffers)
    peak, best = None, []
    for order in ORDERS:
        offsets = _place(buffers, near, sorted(range(len(buffers)), key=lambda i: order(buffers[i])))
        size = max((o + b.size for o, b in zip(offsets, buffers)), default=0)
        if peak is None or size < peak:
            peak, best = size, offsets
        if peak == least:
            break
    for buffer, offset in zip(buffers, best):
        buffer.offset = offset
    return peak


def _neighbours(buffers: list[Buffer]) -> list[list[int]]:
    """For each buffer those that are alive with it at some time: one walk through time, so that few are looked at."""
    near: list[list[int]] = [[] for _ in buffers]
    alive: list[int] = []
    for i in sorted(range(len(buffers)), key=lambda i: buffers[i].start):
        alive = [j for j in alive if buffers[j].end >= buffers[i].start]
        for j in alive:
            near[i].append(j)
            near[j].append(i)
        alive.append(i)
    return near


def _place(buffers: list[Buffer], near: list[list[int]], order: list[int]) -> list[int]:
    """Best fit: each buffer into the tightest gap between those placed that are alive with it."""
    offsets = [-1] * len(buffers)
    for i in order:
        size, best, best_waste, cursor = buffers[i].size, None, 0, 0
        for offset, j in sorted((offsets[j], j) for j in near[i] if offsets[j] >= 0):
            gap = offset - cursor
            if gap >= size and (best is None or gap - size < best_waste):
                best, best_waste = cursor, gap - size
            cursor = max(cursor, offset + buffers[j].size)
        offsets[i] = cursor if best is None else best
    return offsets
