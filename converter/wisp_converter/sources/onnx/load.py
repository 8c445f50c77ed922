"""From a path, bytes or ModelProto to a checked ONNX model with bound axes, known shapes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, helper, shape_inference
from onnx.external_data_helper import uses_external_data
from onnx.inliner import inline_local_functions, inline_selected_functions

from ...errors import ModelError
from ..foreign import advice
from .registry import find
from .weights import Weights, map_file, tensors_of, without_weights

MAX_ROUNDS = 50  # of expanding functions


@dataclass
class Source:
    """A loaded model. `original`: as given, axes bound, nothing expanded: what the result is compared with. In both
    large tensors only refer to `weights`."""

    model: onnx.ModelProto
    original: onnx.ModelProto
    weights: Weights
    sha256: bytes
    name: str


def load(model: str | os.PathLike | bytes | onnx.ModelProto, shapes: dict | None = None) -> Source:
    """Read and check a model, and expand its functions. `shapes` binds dynamic axes: {input name: extents}.

    ModelError (or an OSError for a file that cannot be read) in one line when that is impossible.
    """
    proto, weights, digest, name = _read(model)
    _check(proto, name)
    _drop_initializers_from_inputs(proto)
    _bind_shapes(proto, shapes or {})
    original = onnx.ModelProto()
    original.CopyFrom(proto)
    return Source(_inline(proto), original, weights, digest, name)


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
        raise ModelError(f"{name}: external weights cannot be read: {_first_line(error)}") from error
    return proto, weights, hashlib.sha256(data).digest(), name


def _check(proto: onnx.ModelProto, name: str) -> None:
    graph = proto.graph
    if not proto.opset_import or not graph.output:
        raise ModelError(f"{name}: not an ONNX model (no operator set or no outputs){advice(name)}")
    if not graph.node and not graph.initializer:
        raise ModelError(f"{name}: the graph is empty")
    known = {i.name for i in graph.initializer} | {i.values.name for i in graph.sparse_initializer}
    known |= {i.name for i in graph.input} | {""}
    for node in graph.node:
        missing = [i for i in node.input if i not in known]
        if missing:
            raise ModelError(f"{name}: {node.op_type} {node.name!r} reads {missing[0]!r}, "
                             "which nothing computes before it")
        known.update(node.output)
    for output in graph.output:
        if output.name not in known:
            raise ModelError(f"{name}: nothing computes the output {output.name!r}")
    for value in graph.input:
        if not value.type.HasField("tensor_type"):
            raise ModelError(f"{name}: input {value.name!r} is not a tensor")


def _drop_initializers_from_inputs(proto: onnx.ModelProto) -> None:
    """Before IR version 4 every initializer was an input as well; a default value is a constant to us."""
    initialized = {i.name for i in proto.graph.initializer}
    kept = [v for v in proto.graph.input if v.name not in initialized]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    if proto.ir_version < 4:
        proto.ir_version = 4


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


def _inline(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of functions by their bodies: model-local ones, and composite operators we have no importer for."""
    if proto.functions:
        proto = inline_local_functions(proto)
    declared = _forget_shapes(proto)
    versions = {o.domain: o.version for o in proto.opset_import}
    for _ in range(MAX_ROUNDS):
        calls = [n for n in _all_nodes(proto.graph) if find(n.domain, n.op_type) is None and _is_function(n, versions)]
        if not calls:
            break
        for node in calls:
            _state_defaults(node, versions)
        typed = infer(proto)  # bodies of some functions depend on their inputs' types, also of one left out
        typed.graph.value_info.append(helper.make_tensor_value_info("", TensorProto.FLOAT, None))
        try:
            inlined = inline_selected_functions(typed, sorted({(n.domain, n.op_type) for n in calls}),
                                                inline_schema_functions=True)
        except (RuntimeError, TypeError):  # it cannot, or is too old to: the import names these operators
            break
        _drop_unnamed(inlined.graph)
        if _operators(inlined) == _operators(proto):
            break
        proto = inlined
    _state_ranks(proto, declared)
    return proto


def _operators(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(n.domain, n.op_type) for n in _all_nodes(proto.graph)]


def _drop_unnamed(graph: onnx.GraphProto) -> None:
    for i in [i for i, v in enumerate(graph.value_info) if not v.name][::-1]:
        del graph.value_info[i]


def _all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _state_defaults(node: onnx.NodeProto, versions: dict[str, int]) -> None:
    """Write out attributes left at their defaults: the body of a function refers to them."""
    given = {a.name for a in node.attribute}
    schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _is_function(node: onnx.NodeProto, versions: dict[str, int]) -> bool:
    try:
        schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
    except onnx.defs.SchemaError:
        return False
    return schema.has_function or schema.has_context_dependent_function


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


def infer(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with ONNX's inference of dtypes and shapes."""
    try:
        return shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=True)
    except Exception as error:  # onnx raises several unrelated classes here
        raise ModelError(f"shapes do not fit together: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def element_type(code: int) -> str:
    """The name of an ONNX element type, for messages."""
    return TensorProto.DataType.Name(code).lower() if code in TensorProto.DataType.values() else str(code)
