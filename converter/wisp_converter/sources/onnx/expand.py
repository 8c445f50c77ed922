"""Functions: calls become the nodes of their bodies, each called as the node of the model that it comes from."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Iterator

import onnx
from onnx import TensorProto, helper
from onnx.inliner import inline_local_functions, inline_selected_functions

from .infer import infer
from .registry import find

MAX_ROUNDS = 50  # of expanding functions
ORIGIN = "wisp.origin"
"""Key of the metadata of a node that comes from a function: the operator of the model that it stands for."""


def expand(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Replace calls of functions by their bodies: model-local ones, and composite operators we have no importer for."""
    if proto.functions:
        proto = inline_local_functions(proto)
    versions = {o.domain: o.version for o in proto.opset_import}
    for _ in range(MAX_ROUNDS):
        calls = [n for n in all_nodes(proto.graph) if find(n.domain, n.op_type) is None and _is_function(n, versions)]
        if not calls:
            break
        for node in calls:
            _state_defaults(node, versions)
        typed = infer(proto)  # bodies of some functions depend on their inputs' types, also of one left out
        typed.graph.value_info.append(helper.make_tensor_value_info("", TensorProto.FLOAT, None))
        typed.graph.value_info.extend(helper.make_tensor_value_info(t.name, t.data_type, t.dims)
                                      for t in typed.graph.initializer)
        try:
            inlined = inline_selected_functions(typed, sorted({(n.domain, n.op_type) for n in calls}),
                                                inline_schema_functions=True)
        except (RuntimeError, TypeError):  # it cannot, or is too old to: the import names these operators
            break
        _drop_unnamed(inlined.graph)
        if _operators(inlined) == _operators(proto):
            break
        _forget_no_extents(inlined.graph)
        _state_origin(proto, inlined, calls)
        proto = inlined
    return proto


def origin(node: onnx.NodeProto) -> str | None:
    """The operator of the model that a function's node stands for; None for a node of the model."""
    return next((p.value for p in node.metadata_props if p.key == ORIGIN), None)


def _state_origin(before: onnx.ModelProto, after: onnx.ModelProto, calls: list[onnx.NodeProto]) -> None:
    """Name each new node after the call whose outputs it serves."""
    old = {o for n in all_nodes(before.graph) for o in n.output}
    called = {o for n in calls for o in n.output if o}
    makers = {o: n for n in all_nodes(after.graph) for o in n.output if o in called or o not in old}
    for call in calls:
        todo = [o for o in call.output if o]
        own = set(todo)
        while todo:
            node = makers.pop(todo.pop(), None)
            if node is None or origin(node):
                continue
            node.name = call.name or node.name
            node.metadata_props.add(key=ORIGIN, value=origin(call) or operator_name(call))
            todo += [i for i in node.input if i not in called or i in own]


def operator_name(node: onnx.NodeProto) -> str:
    """For messages: its name, after its domain where that is not ONNX's own."""
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _operators(proto: onnx.ModelProto) -> list[tuple[str, str]]:
    return [(n.domain, n.op_type) for n in all_nodes(proto.graph)]


def _drop_unnamed(graph: onnx.GraphProto) -> None:
    for i in [i for i, v in enumerate(graph.value_info) if not v.name][::-1]:
        del graph.value_info[i]


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """The nodes of a graph and of all graphs inside it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def _forget_no_extents(graph: onnx.GraphProto) -> None:
    """Let the bodies say what has an extent of 0: inference finds one in the scores of Attention without a past."""
    for value in (*graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if any(d.HasField("dim_value") and not d.dim_value for d in dims):
            for dim in dims:
                dim.Clear()


def _state_defaults(node: onnx.NodeProto, versions: dict[str, int]) -> None:
    """Write out attributes left at their defaults: the body of a function refers to them."""
    given = {a.name for a in node.attribute}
    schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _is_function(node: onnx.NodeProto, versions: dict[str, int]) -> bool:
    schema = _schema(node, versions)
    return schema is not None and (schema.has_function or schema.has_context_dependent_function)


def infers_types(node: onnx.NodeProto, versions: dict[str, int]) -> bool:
    """Whether ONNX's inference finds the operator's types, in the operator sets at hand: it may know the operator and
    none of its types, as of GroupNormalization."""
    schema = _schema(node, versions)
    return schema is not None and (schema.has_type_and_shape_inference_function or schema.has_function)


def same_types(node: onnx.NodeProto, versions: dict[str, int]) -> dict[str, str]:
    """Outputs that by the operator's definition have the element type of an input, with the name of that."""
    schema = _schema(node, versions)
    if schema is None:
        return {}
    inputs = {p.type_str: name for p, name in zip(schema.inputs, node.input) if name}
    return {name: inputs[p.type_str] for p, name in zip(schema.outputs, node.output) if name and p.type_str in inputs}


def _schema(node: onnx.NodeProto, versions: dict[str, int]):
    domain = "" if node.domain == "ai.onnx" else node.domain
    try:
        return onnx.defs.get_schema(node.op_type, versions.get(domain, versions.get(domain or "ai.onnx", 1)), domain)
    except onnx.defs.SchemaError:
        return None
