"""From a path, bytes or ModelProto to a checked ONNX model with bound axes, known shapes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from ...errors import ModelError
from ..foreign import advice
from .expand import all_nodes, expand
from .infer import first_line, infer
from .weights import Weights, map_file, tensors_of, without_weights


@dataclass
class Source:
    """A loaded model. `original`: as given, axes bound, nothing expanded: what the result is compared with. In both
    large tensors only refer to `weights`. `notes`: what users should know. `defaults`: of inputs that are to
    have one."""

    model: onnx.ModelProto
    original: onnx.ModelProto
    weights: Weights
    sha256: bytes
    name: str
    notes: list[str]
    defaults: dict[str, np.ndarray] = field(default_factory=dict)


def load(model: str | os.PathLike | bytes | onnx.ModelProto, shapes: dict | None = None,
         inputs: Iterable[str] = ()) -> Source:
    """Read and check a model, and expand its functions. `shapes` binds dynamic axes: {input name: extents}. `inputs`:
    names that are inputs also where the model has initializers, which are then their defaults.

    ModelError (or an OSError for a file that cannot be read) in one line when that is impossible.
    """
    proto, weights, digest, name = _read(model)
    _fill_sparse(proto)
    _sort_nodes(proto.graph, name, set())
    _check(proto, name)
    defaults = _make_inputs(proto.graph, set(inputs), weights)
    notes = _drop_initializers_from_inputs(proto)
    _bind_shapes(proto, shapes or {})
    original = onnx.ModelProto()
    original.CopyFrom(proto)
    declared = _forget_shapes(proto)
    proto = expand(proto)
    _state_ranks(proto, declared)
    return Source(proto, original, weights, digest, name, notes, defaults)


def _read(model) -> tuple[onnx.ModelProto, Weights, bytes, str]:
    if isinstance(model, (onnx.ModelProto, bytes, bytearray, memoryview)):
        data = model.SerializeToString(deterministic=True) if isinstance(model, onnx.ModelProto) else bytes(model)
        name, weights = "model", Weights(data, "model", None)
    else:
        name, path = str(Path(model)), Path(model).resolve()
        try:
            data = map_file(path)
        except OSError as error:
            raise ModelError(f"{name}: cannot be read: {error.strerror or error}{advice(name)}") from error
        weights = Weights(data, path.name, path.parent)
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(without_weights(data, weights.location))
    except Exception as error:  # protobuf's DecodeError is no public name
        raise ModelError(f"{name}: not an ONNX model (it does not parse as one){advice(name)}") from error
    try:
        for tensor in tensors_of(proto):
            if uses_external_data(tensor):
                weights.bytes_of(tensor)
    except Exception as error:  # onnx raises several unrelated classes here
        raise ModelError(f"{name}: external weights cannot be read: {first_line(error)}") from error
    return proto, weights, hashlib.sha256(data).digest(), name


def files_of(model: str | os.PathLike) -> list[Path]:
    """The files that a model is read from: its own and those that its weights are in. Empty for what is no model."""
    path, proto = Path(model).resolve(), onnx.ModelProto()
    try:
        proto.ParseFromString(without_weights(map_file(path), path.name))
    except Exception:  # load says what is wrong with it
        return []
    names = {ExternalDataInfo(t).location for t in tensors_of(proto) if uses_external_data(t)}
    return [path, *(path.parent / name for name in sorted(names - {path.name}))]


def _check(proto: onnx.ModelProto, name: str) -> None:
    graph = proto.graph
    if not proto.opset_import or not graph.output:
        raise ModelError(f"{name}: not an ONNX model (no operator set or no outputs){advice(name)}")
    if not graph.node and not graph.initializer:
        raise ModelError(f"{name}: the graph is empty")
    known = {i.name for i in (*graph.initializer, *graph.input)} | {o for n in graph.node for o in n.output}
    for output in graph.output:
        if output.name not in known:
            raise ModelError(f"{name}: nothing computes the output {output.name!r}")
    for value in graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{name}: input {value.name!r} is not a tensor")


def _fill_sparse(proto: onnx.ModelProto) -> None:
    """Sparse tensors, initializers and attributes of Constant nodes, become dense ones."""
    for node in all_nodes(proto.graph):
        for attribute in node.attribute:
            if attribute.HasField("sparse_tensor"):
                attribute.t.CopyFrom(_dense(attribute.sparse_tensor))
                attribute.ClearField("sparse_tensor")
                attribute.name, attribute.type = "value", onnx.AttributeProto.TENSOR
    for graph in [proto.graph, *(a.g for n in all_nodes(proto.graph) for a in n.attribute if a.HasField("g"))]:
        graph.initializer.extend(map(_dense, graph.sparse_initializer))
        del graph.sparse_initializer[:]


def _dense(sparse: onnx.SparseTensorProto) -> onnx.TensorProto:
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    array = np.zeros(tuple(sparse.dims), values.dtype)
    try:
        array[tuple(indices.T) if indices.ndim == 2 else np.unravel_index(indices, array.shape)] = values
    except (IndexError, ValueError) as error:
        raise ModelError(f"the sparse tensor {sparse.values.name!r}: {first_line(error)}") from error
    return numpy_helper.from_array(array, sparse.values.name)


def _sort_nodes(graph: onnx.GraphProto, name: str, outer: set[str]) -> None:
    """Put nodes behind those whose outputs they read, as some editors do not. `outer`: known around a body."""
    known = outer | {i.name for i in (*graph.initializer, *graph.input)} | {""}
    makers = {o: i for i, node in enumerate(graph.node) for o in node.output if o}
    reads = [{*node.input, *(v for a in node.attribute for g in (a.g, *a.graphs) for v in free_names(g))}
             for node in graph.node]
    order, state = [], [0] * len(reads)  # 1: on the way, 2: done
    for first in range(len(reads)):
        todo = [first]
        while todo:
            at = todo[-1]
            if state[at] == 2:
                todo.pop()
                continue
            missing = [v for v in reads[at] if v not in known and state[makers.get(v, at)] != 2]
            node = graph.node[at]
            if any(v not in makers for v in missing):
                value = next(v for v in missing if v not in makers)
                raise ModelError(f"{name}: {node.op_type} {node.name!r} reads {value!r}, which nothing computes")
            if state[at] == 1 and missing:
                raise ModelError(f"{name}: {node.op_type} {node.name!r} reads what is computed from its own output, "
                                 f"{missing[0]!r}")
            state[at] = 1
            todo += sorted((makers[v] for v in missing), reverse=True)
            if not missing:
                order.append(at)
                state[at] = 2
                todo.pop()
    if order != sorted(order):
        nodes = [onnx.NodeProto.FromString(graph.node[i].SerializeToString()) for i in order]
        del graph.node[:]
        graph.node.extend(nodes)
    inside = known | set(makers)
    for node in graph.node:
        for attribute in node.attribute:
            for body in ([attribute.g] if attribute.HasField("g") else attribute.graphs):
                _sort_nodes(body, name, inside)


def free_names(graph: onnx.GraphProto) -> set[str]:
    """What a graph, and those inside it, read but do not define."""
    read = {o.name for o in graph.output}
    defined = {v.name for v in (*graph.input, *graph.initializer)} | {s.values.name for s in graph.sparse_initializer}
    for node in graph.node:
        read.update(node.input)
        defined.update(node.output)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                read |= free_names(inner)
    return read - defined - {""}


def _make_inputs(graph: onnx.GraphProto, names: set[str], weights: Weights) -> dict[str, np.ndarray]:
    """Inputs of these initializers, and their values."""
    found = {t.name: weights.array(t) for t in graph.initializer if t.name in names}
    kept = [t for t in graph.initializer if t.name not in found]
    inputs = {v.name: v for v in graph.input}
    for tensor in (t for t in graph.initializer if t.name in found):
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        (inputs.get(tensor.name) or graph.input.add()).CopyFrom(info)
    if found:
        del graph.initializer[:]
        graph.initializer.extend(kept)
    return found


def _drop_initializers_from_inputs(proto: onnx.ModelProto) -> list[str]:
    """Before IR version 4 every initializer was an input as well. Later it is a default that callers may replace, which
    is a constant to us: the notes say so."""
    initialized = {i.name for i in proto.graph.initializer}
    defaults = [v.name for v in proto.graph.input if v.name in initialized] if proto.ir_version >= 4 else []
    kept = [v for v in proto.graph.input if v.name not in initialized]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    if proto.ir_version < 4:
        proto.ir_version = 4
    return [f"input {n!r} has a default value in the model, which becomes a constant; to feed it, remove the "
            "initializer" for n in defaults]


def _bind_shapes(proto: onnx.ModelProto, shapes: dict) -> None:
    """Write given extents into the inputs and name every axis that stays open."""
    inputs = {v.name: v for v in proto.graph.input}
    unknown = sorted(set(shapes) - set(inputs))
    if unknown:
        raise ModelError(f"no input is called {unknown[0]!r}; the model has {', '.join(map(repr, inputs))}")
    bound: dict[str, int] = {}
    for name, extents in shapes.items():
        _bind_input(inputs[name], tuple(extents), bound)
    for value in proto.graph.input:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            raise ModelError(f"input {value.name!r} has no shape; give one with shapes={{{value.name!r}: (...)}}")
        for axis, dim in enumerate(tensor.shape.dim):
            if dim.dim_param in bound:
                dim.dim_value = bound[dim.dim_param]
            elif not dim.HasField("dim_value") or dim.dim_value < 0:
                dim.dim_param = dim.dim_param or f"{value.name}_{axis}"


def _bind_input(value: onnx.ValueInfoProto, extents: tuple, bound: dict[str, int]) -> None:
    tensor = value.type.tensor_type
    if any(not isinstance(e, int) or isinstance(e, bool) or e < 0 for e in map(_as_int, extents)):
        raise ModelError(f"input {value.name!r}: a shape is made of whole numbers, not {extents}")
    if not tensor.HasField("shape"):
        tensor.shape.SetInParent()
        tensor.shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in extents)
    dims = tensor.shape.dim
    if len(dims) != len(extents):
        raise ModelError(f"input {value.name!r} has {len(dims)} axes, {len(extents)} were given")
    for axis, (dim, extent) in enumerate(zip(dims, extents)):
        extent = _as_int(extent)
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            if dim.dim_value != extent:
                raise ModelError(f"input {value.name!r}: axis {axis} is {dim.dim_value} in the model, not {extent}")
        elif dim.dim_param:
            if bound.setdefault(dim.dim_param, extent) != extent:
                raise ModelError(f"input {value.name!r}: axis {axis} ({dim.dim_param!r}) is {extent}, "
                                 f"but {bound[dim.dim_param]} in another input")
        dim.dim_value = extent


def _as_int(extent):
    return int(extent) if hasattr(extent, "__index__") and not isinstance(extent, bool) else extent


def _forget_shapes(proto: onnx.ModelProto) -> dict[str, int]:
    """Drop stored shapes: exporters declare wrong ones, and bound inputs may contradict them; inference finds them
    again. Returns the ranks that were declared for outputs."""
    del proto.graph.value_info[:]
    ranks = {}
    for output in proto.graph.output:
        tensor = output.type.tensor_type
        if tensor.HasField("shape"):
            ranks[output.name] = len(tensor.shape.dim)
            tensor.ClearField("shape")
    return ranks


def _state_ranks(proto: onnx.ModelProto, declared: dict[str, int]) -> None:
    """An output of which inference knows nothing has as many axes as declared."""
    known = {o.name for o in infer(proto).graph.output if o.type.tensor_type.HasField("shape")}
    for output in proto.graph.output:
        if output.name in declared and output.name not in known:
            shape = output.type.tensor_type.shape
            shape.SetInParent()
            shape.dim.extend(onnx.TensorShapeProto.Dimension() for _ in range(declared[output.name]))


def element_type(code: int) -> str:
    """The name of an ONNX element type, for messages."""
    return TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else str(code)
