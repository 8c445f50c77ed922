"""If, Loop and Scan: nodes that own graphs. Scan is a Loop whose body takes its slices by Gather."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from onnx import GraphProto

from ...errors import ModelError
from ...ir import Dim, Graph, Node, Value
from .emit import Emit
from .registry import importer

Type = tuple[np.dtype, tuple[Dim, ...] | None]
ITERATION, CONDITION = (np.dtype(np.int64), ()), (np.dtype(bool), ())


@importer("If", any_dtype=True)
def If(emit: Emit, *, then_branch: GraphProto, else_branch: GraphProto):
    condition = emit.known(0)
    if condition is not None:
        taken = emit.body(then_branch if condition.ravel()[0] else else_branch, [])
        emit.nodes += taken.nodes
        for output, value in zip(emit.outputs, taken.outputs):
            if output is not None:
                emit.alias(value, output)
        return
    branches = [emit.body(then_branch, []), emit.body(else_branch, [])]
    for output, *values in zip(emit.outputs, *(b.outputs for b in branches)):
        if output is not None:
            output.shape = _common(emit, output.name, *(v.shape for v in values))
    emit.add("If", [emit.inputs[0]], outputs=emit.outputs, then_branch=branches[0], else_branch=branches[1])


@importer("Loop", any_dtype=True)
def Loop(emit: Emit, *, body: GraphProto):
    trips, condition, *carried = (*emit.inputs, *[None] * (2 - len(emit.inputs)))
    graph = _settled(emit, body, [ITERATION, CONDITION], carried, [], 1)
    _add_loop(emit, trips, condition, carried, graph, emit.outputs)


@importer("Scan", any_dtype=True)
def Scan(emit: Emit, *, body: GraphProto, num_scan_inputs: int, scan_input_axes=(), scan_input_directions=(),
         scan_output_axes=(), scan_output_directions=()):
    if emit.opset < 9:
        raise emit.unsupported("before operator set 9 it has a batch axis")
    carried, scanned = emit.inputs[:-num_scan_inputs], emit.inputs[-num_scan_inputs:]
    axes = [axis % len(v.shape) for axis, v in zip(_filled(scan_input_axes, scanned), scanned)]
    slices = [(v.dtype, v.shape[:axis] + v.shape[axis + 1:]) for axis, v in zip(axes, scanned)]
    graph = _settled(emit, body, [], carried, slices, 0)
    iteration, condition = Value(f"{emit.out.name}.i", *ITERATION), Value(f"{emit.out.name}.go", *CONDITION)
    on = Value(f"{emit.out.name}.on", *CONDITION)
    nodes = [Node("Identity", [condition], [on], {}, emit.name)]
    trips = _extent(emit, scanned[0], axes[0])
    for value, axis, taken, backwards in zip(scanned, axes, graph.inputs[len(carried):],
                                             _filled(scan_input_directions, scanned)):
        index = iteration
        if backwards:
            last = emit.add("Sub", [trips, emit.constant(np.int64([1]))], shape=(1,))
            last = emit.add("Reshape", [last, emit.constant(np.zeros(0, np.int64))], shape=())
            index = Value(f"{taken.name}.index", *ITERATION)
            nodes.append(Node("Sub", [last, iteration], [index], {}, emit.name))
        nodes.append(Node("Gather", [value, index], [taken], {"axis": axis}, emit.name))
    loop = Graph([iteration, condition, *graph.inputs[:len(carried)]], [on, *graph.outputs], nodes + graph.nodes)
    scans = emit.outputs[len(carried):]
    axes, backwards = _filled(scan_output_axes, scans), _filled(scan_output_directions, scans)
    raw = [Value(f"{v.name}.rows", v.dtype, None) if v is not None and (a or b) else v
           for v, a, b in zip(scans, axes, backwards)]
    _add_loop(emit, trips, None, carried, loop, [*emit.outputs[:len(carried)], *raw])
    for output, value, axis, reverse in zip(scans, raw, axes, backwards):
        if value is not output:
            _arrange(emit, value, output, axis % len(value.shape), reverse)


def _arrange(emit: Emit, rows: Value, output: Value, axis: int, reverse: bool) -> None:
    """The output from values that lie behind one another along a first axis: from the last one on, along `axis`."""
    first = tuple(range(1, axis + 1))
    perm = (*first, 0, *range(axis + 1, len(rows.shape)))
    output.shape = tuple(rows.shape[p] for p in perm)
    if reverse:
        bounds = [emit.constant(np.int64([n])) for n in (-1, np.iinfo(np.int64).min, 0, -1)]
        rows = emit.add("Slice", [rows, *bounds], None if axis else output, shape=rows.shape)
    if axis:
        emit.add("Transpose", [rows], output, perm=perm)


def _filled(given, values: list) -> list[int]:
    return list(given) or [0] * len(values)


def _extent(emit: Emit, value: Value, axis: int) -> Value:
    """An extent as s64[1]."""
    if isinstance(value.shape[axis], int):
        return emit.constant(np.int64([value.shape[axis]]), "trips")
    return emit.add("Shape", [value], shape=(1,), dtype=np.int64, start=axis, end=axis + 1)


def _settled(emit: Emit, body: GraphProto, first: list[Type], carried: list[Value], last: list[Type],
             skip: int) -> Graph:
    """The body, its inputs being `first`, the carried values and `last`. Extents of carried values that it changes are
    open. `skip`: outputs before those that are carried on."""
    types: list[Type] = [(v.dtype, v.shape) for v in carried]
    while True:
        graph = emit.body(body, [*first, *types, *last])
        results = graph.outputs[skip:skip + len(carried)]
        if len(results) < len(carried):
            raise ModelError("its body has too few outputs")
        for value, (dtype, _) in zip(results, types):
            if value.dtype != dtype:
                raise ModelError(f"its body turns a carried value of {dtype} into {value.dtype} ({value.name!r})")
        found = [(v.dtype, _common(emit, v.name, v.shape, shape)) for v, (_, shape) in zip(results, types)]
        if found == types:
            return graph
        types = found


def _common(emit: Emit, name: str, *shapes: tuple[Dim, ...] | None) -> tuple[Dim, ...]:
    """What two shapes agree upon."""
    one, other = shapes
    if one is None or other is None or len(one) != len(other):
        raise emit.unsupported(f"the number of axes of {name!r} depends on the data")
    return tuple(a if a == b else None for a, b in zip(one, other))


def _add_loop(emit: Emit, trips: Value | None, condition: Value | None, carried: list[Value], body: Graph,
              outputs: list[Value | None]) -> None:
    made = body.outputs[1:]
    if len(outputs) > len(made) or len(made) < len(carried):
        raise ModelError("it has more outputs than its body")
    outputs = [*outputs, *[None] * (len(made) - len(outputs))]
    for i, (output, value) in enumerate(zip(outputs, made)):
        if output is not None:
            output.shape = value.shape if i < len(carried) else (None, *value.shape)
    for i, output in enumerate(outputs):  # one that nobody reads keeps its place
        if output is None and i < len(carried):
            outputs[i] = Value(f"{emit.name}.unread{i}", made[i].dtype, made[i].shape)
    emit.add("Loop", [trips, condition, *carried], outputs=outputs, body=body)
