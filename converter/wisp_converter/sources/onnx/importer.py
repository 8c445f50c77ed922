"""ONNX graph to ir.Graph: every node goes through its importer."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable

import numpy as np
import onnx
from onnx import helper, numpy_helper

from ...errors import ModelError, UnsupportedError
from ...target.format import DTYPES, HALF, NARROW
from ...ir import Dim, Graph, Node, Value, constant
from ...opcodes import opcodes
from ...passes.edit import copy_node
from ...passes.fold_constants import compute, fold_constants
from .emit import Emit, indices_of
from .expand import all_nodes, infers_types, operator_name, origin, same_types
from .infer import infer
from .load import Source, element_type, free_names
from .registry import find
from .weights import Weights

ML = "ai.onnx.ml"  # whose operators have strings and maps as well, which become numbers
STRING = onnx.TensorProto.STRING
WHAT_TO_DO = "replace them in the source model, or add an importer (CONTRIBUTING.md says how)"


def import_graph(source: Source) -> Graph:
    """The IR of a model, constants folded.

    What is found to be constant can settle shapes that ONNX's inference left open: then it is told, and the import
    begins anew. UnsupportedError names every operator that cannot be imported, with its nodes and the reason.
    """
    graph, importer = _import(source.model, source.weights)
    importer.raise_problems()
    return graph


def _import(model: onnx.ModelProto, weights: Weights, outer: _Importer | None = None) -> tuple[Graph, _Importer]:
    """The graph, and the importer that knows what was refused. `outer`: of the graph around a body."""
    while True:
        model = infer(model)
        importer = _Importer(model, weights, outer)
        graph = importer.run()
        fold_constants(graph, also=importer.wanted)
        found, types = importer.found(), importer.found_types()
        if not (found or types) or importer.is_settled():
            break
        _state_constants(model.graph, found, weights)
        _state_types(model.graph, types)
    if not importer.has_problems():
        _own_outputs(graph, [o.name for o in model.graph.output])
    return graph, importer


class _Importer:
    def __init__(self, model: onnx.ModelProto, weights: Weights, outer: _Importer | None = None) -> None:
        self.model, self.weights, self.outer = model, weights, outer
        self.graph = model.graph
        self.opsets = {o.domain or "ai.onnx": o.version for o in model.opset_import}
        infos = (*self.graph.input, *self.graph.value_info, *self.graph.output)
        self.read_names = {i for n in all_nodes(self.graph) for i in n.input} | {o.name for o in self.graph.output}
        self.infos = {v.name: v.type.tensor_type for v in infos if v.type.HasField("tensor_type")}
        self.values: dict[str, Value] = {}
        self.nodes: list[Node] = []
        self.makers: dict[Value, int] = {}  # of values that depend on constants only: the index of their node
        self.refused: dict[tuple[str, str], list[str]] = {}  # (operator, reason): nodes
        self.wide: dict[Value, Value] = {}  # of a float16 or bfloat16 value: it as float32
        self.wanted: list[Value] = []  # what nodes read that could not be imported
        self.errors: list[ModelError] = []
        self.metadata: dict = {} if outer is None else outer.metadata
        self.shapes_wrong = False  # since a node whose extents inference got wrong

    def run(self) -> Graph:
        """The graph; without what was refused, if anything was."""
        names = [v.name for v in self.graph.input]
        if self.outer is not None:  # what the body captures was an input for inference only
            names = [n for n in names if not self.outer.knows(n)]
        inputs = [self.new_value(n) for n in names]
        for tensor in self.graph.initializer:
            data = _array(tensor, self.weights)
            self.values[tensor.name] = constant(
                tensor.name, indices_of(data, self.metadata) if data.dtype == object else data)
        for index, node in enumerate(self.graph.node):
            self.import_node(node, node.name or f"{node.op_type}_{index}")
        return Graph(inputs, [self.values[o.name] for o in self.graph.output if o.name in self.values], self.nodes,
                     self.metadata)

    def raise_problems(self) -> None:
        if self.errors:
            raise self.errors[0]
        if self.refused:
            raise UnsupportedError(self.describe_refused())

    def has_problems(self) -> bool:
        return bool(self.errors or self.refused)

    def is_settled(self) -> bool:
        """Whether no more constants could change the outcome."""
        return (not self.has_problems()
                and all(v.is_static for n in self.nodes for v in n.outputs if v is not None))

    def found(self) -> dict[str, np.ndarray]:
        """The results of nodes that were found to be constant, by name;
        those that ONNX's inference sees by itself left out."""
        arrays = {}
        for node in self.graph.node:
            results = {name: self.values.get(name) for name in node.output if name}
            if node.op_type != "Constant" and all(v is not None and v.data is not None and self.has_own_type(name, v)
                                                  for name, v in results.items()):
                arrays.update((name, v.data) for name, v in results.items())
        return arrays

    def found_types(self) -> dict[str, Value]:
        """Values, by name, of which ONNX's inference does not know the element type, or the number of axes."""
        return {name: v for name, v in self.values.items() if v.shape is not None and v.data is None
                and (not self.element_type(name)
                     or self.has_own_type(name, v) and not self.infos[name].HasField("shape"))}

    def has_own_type(self, name: str, value: Value) -> bool:
        info = self.infos.get(name)
        return info is not None and info.elem_type == DTYPES[value.dtype] and value.dtype not in NARROW

    def compute(self, value: Value) -> np.ndarray | None:
        """The data of a value that depends on constants only, computed now; None for any other."""
        if value.data is None and value in self.makers:
            wanted, todo = {self.makers[value]}, [value]
            while todo:
                for v in self.nodes[self.makers[todo.pop()]].inputs:
                    if v in self.makers and v.data is None and self.makers[v] not in wanted:
                        wanted.add(self.makers[v])
                        todo.append(v)
            compute([self.nodes[i] for i in sorted(wanted)], [value])
        elif value.data is None and self.outer is not None:
            return self.outer.compute(value)
        return value.data

    def new_value(self, name: str, typed: bool = True) -> Value:
        """`typed`: False for what only its importer knows the type of: dtype and shape are None until then."""
        if not self.element_type(name) or not typed and self.is_text(name):
            if typed:
                raise ModelError(f"the element type of {name!r} cannot be inferred")
            self.values[name] = Value(name, None, None)
            return self.values[name]
        info, shape = self.infos[name], None
        if info.HasField("shape"):
            shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in info.shape.dim)
            if self.shapes_wrong:
                shape = (None,) * len(shape)
        dtype = np.dtype(np.int64) if info.elem_type == STRING else _dtype(info.elem_type, name)
        self.values[name] = Value(name, dtype, shape)
        return self.values[name]

    def import_node(self, node: onnx.NodeProto, name: str) -> None:
        function = find(node.domain, node.op_type)
        if function is None:
            self.refuse(node, name, "no such operator")
            return
        typed = infers_types(node, self.opsets) and node.domain != ML
        self.state_types(node)
        try:
            emit = Emit(name, node.op_type, self.opsets.get(node.domain or "ai.onnx", 1),
                        [self.read(i) for i in node.input],
                        [self.new_value(o, typed) if o and self.is_used(o) else None for o in node.output],
                        self.compute, self.import_body, metadata=self.metadata)
            emit.texts = frozenset(v for n, v in zip(node.input, emit.inputs) if self.is_text(n))
            if (any(map(self.is_text, node.output)) or emit.texts) and node.domain != ML and not moves(node.op_type):
                raise emit.unsupported("elements of type string")
            rounded = {} if function.any_dtype else self.widen(emit)
            _complete_ranks(emit)
            function(emit, **_attributes(node, function, emit, self.weights))
            _round(emit, rounded)
            self.take(node, emit)
        except _Reported:
            self.give_up(node)
        except Exception as error:
            self.explain(node, name, error)

    def state_types(self, node: onnx.NodeProto) -> None:
        """Element types of outputs that ONNX's inference did not find: it has none for some operators of old sets."""
        for output, source in same_types(node, self.opsets).items():
            value = self.find(source)
            if (output in self.read_names and not self.element_type(output) and value is not None
                    and value.dtype in DTYPES):
                self.infos[output] = onnx.TypeProto.Tensor(elem_type=DTYPES[value.dtype])

    def explain(self, node: onnx.NodeProto, name: str, error: Exception) -> None:
        """What to say of a node that could not be imported: nothing where that follows from what was refused before."""
        unknown = [i for i in node.input if i and (self.find(i) is None or self.find(i).shape is None)]
        untyped = any(o and self.is_used(o) and not self.element_type(o) for o in node.output)
        if (unknown or untyped) and self.has_refused():
            self.give_up(node)
        elif isinstance(error, UnsupportedError):
            self.refuse(node, name, str(error).removeprefix(f"{node.op_type} {name!r}: "))
        elif isinstance(error, ModelError):
            self.fail(node, f"{node.op_type} {name!r}: {error}")
        elif unknown:
            self.refuse(node, name, f"the number of axes of {unknown[0]!r} is not known")
        else:  # an importer met something it did not expect: say where
            message = f"{node.op_type} {name!r}: cannot be imported: {type(error).__name__}: {error}"
            self.fail(node, message.replace("\n", " "))

    def has_refused(self) -> bool:
        return bool(self.refused) or self.outer is not None and self.outer.has_refused()

    def element_type(self, name: str) -> int:
        return self.infos[name].elem_type if name in self.infos else 0

    def is_text(self, name: str) -> bool:
        """Whether it is a string in the source; here it is its index in the metadata, which may only be moved about."""
        return self.element_type(name) == STRING

    def is_used(self, output: str) -> bool:
        """Whether somebody reads it; an output that is only named may have a type that nobody knows."""
        return bool(self.element_type(output)) or output in self.read_names

    def import_body(self, body: onnx.GraphProto, types: list[tuple[np.dtype, tuple[Dim, ...]]]) -> Graph:
        """A graph that a node owns, given dtypes and shapes of its inputs. It may read all that was imported before.

        UnsupportedError where something in it was refused; this importer then knows what.
        """
        graph, inner = _import(self.body_model(body, types), self.weights, self)
        self.errors += inner.errors
        for key, names in inner.refused.items():
            self.refused.setdefault(key, []).extend(names)
        if inner.has_problems():
            self.wanted += [v for v in inner.wanted if v not in inner.values.values()]
            raise _Reported()
        return graph

    def body_model(self, body: onnx.GraphProto, types: list[tuple[np.dtype, tuple[Dim, ...]]]) -> onnx.ModelProto:
        """The body as a model, so that it can be inferred alone: what it captures is an input."""
        if len(body.input) != len(types):
            raise ModelError(f"its body has {len(body.input)} inputs, expected {len(types)}")
        model = onnx.ModelProto(ir_version=self.model.ir_version, opset_import=self.model.opset_import, graph=body)
        graph = model.graph
        del graph.value_info[:]
        for output in graph.output:
            output.type.tensor_type.ClearField("shape")
        for value, (dtype, shape) in zip(graph.input, types):
            value.CopyFrom(_info(value.name, dtype, shape))
        for name in sorted(free_names(body)):
            value = self.find(name)
            if value is not None and value.data is not None and value.data.size <= MAX_TOLD:
                graph.initializer.append(numpy_helper.from_array(value.data, name))
            elif value is not None:
                graph.input.append(_info(name, value.dtype, value.shape))
        return model

    def find(self, name: str) -> Value | None:
        """The value of that name here or in a graph around this one."""
        return self.values.get(name) or (self.outer.find(name) if self.outer is not None else None)

    def knows(self, name: str) -> bool:
        return self.find(name) is not None

    def widen(self, emit: Emit) -> dict[Value, Value]:
        """Let the importer see float32 where the node has float16 or bfloat16: exactly as the operator computes there,
        if it rounds each result once. Returns the outputs to be rounded, by what stands for them. A float of unknown
        type becomes what the first such input is."""
        for value in emit.inputs:
            if value is not None and value.dtype in NARROW:
                raise emit.unsupported(f"elements of type {value.dtype}")
        half = next((v.dtype for v in emit.inputs if v is not None and v.dtype in HALF), None)
        emit.inputs = [v if v is None or v.dtype not in HALF else self.widened(v) for v in emit.inputs]
        rounded = {Value(f"{v.name}.f32", v.dtype and np.dtype(np.float32), v.shape): v for v in emit.outputs
                   if v is not None and (v.dtype in HALF or half and v.dtype is None)}
        for value in rounded.values():
            value.dtype = value.dtype or half
        wide = {v: w for w, v in rounded.items()}
        emit.outputs = [wide.get(v, v) for v in emit.outputs]
        return rounded

    def widened(self, value: Value) -> Value:
        """The same numbers as float32; made once."""
        if value not in self.wide:
            name = f"{value.name}.wide"
            if value.data is not None:
                self.wide[value] = constant(name, value.data.astype(np.float32))
            else:
                wide = self.wide[value] = Value(name, np.dtype(np.float32), value.shape)
                self.add(Node("Cast", [value], [wide], {}, name))
        return self.wide[value]

    def add(self, node: Node) -> None:
        if all(v is None or v.data is not None or v in self.makers for v in node.inputs):
            self.makers.update((v, len(self.nodes)) for v in node.outputs if v is not None)
        self.nodes.append(node)

    def read(self, name: str) -> Value | None:
        value = self.find(name)
        if name and value is None:  # its node was refused
            raise _Reported()
        if value is not None and value.data is None and value.shape == (0,):  # no axes, no repeats: known to be nothing
            return constant(f"{name}.none", np.zeros(0, value.dtype))
        return value

    def take(self, node: onnx.NodeProto, emit: Emit) -> None:
        """Add what an importer emitted, and check that it made all outputs by operators that exist."""
        for value in emit.outputs:
            if value is not None and value.dtype is None:
                raise ModelError(f"the element type of {value.name!r} cannot be inferred")
        made = {id(v) for n in emit.nodes for v in n.outputs if v is not None}
        for value in emit.outputs:
            if value is not None and id(value) not in made and value not in emit.aliases:
                raise ModelError(f"{node.op_type} {emit.name!r}: its importer does not compute {value.name!r}")
        for emitted in emit.nodes:
            if emitted.op not in opcodes():
                raise emit.unsupported(f"the runtime has no operator {emitted.op}")
            for value in emitted.outputs:
                if value is not None and value.shape is None:
                    raise emit.unsupported(f"the number of axes of {value.name!r} is only known in a run; "
                                           "bind the inputs with shapes=")
        for emitted in emit.nodes:
            self.add(emitted)
        self.shapes_wrong |= emit.shapes_wrong
        for name, value in zip(node.output, emit.outputs):
            if value in emit.aliases:
                self.values[name] = emit.aliases[value]

    def fail(self, node: onnx.NodeProto, message: str) -> None:
        self.errors.append(ModelError(message))
        self.give_up(node)

    def give_up(self, node: onnx.NodeProto) -> None:
        """What follows may read the node's outputs: they are values of their types.
        What it read may help to import it."""
        self.wanted += [v for v in map(self.find, node.input) if v is not None]
        for output in node.output:
            info = self.infos.get(output)
            if output and output not in self.values and info is not None and info.elem_type:
                with contextlib.suppress(UnsupportedError):
                    self.new_value(output)

    def refuse(self, node: onnx.NodeProto, name: str, reason: str) -> None:
        self.give_up(node)
        operator, model_operator = operator_name(node), origin(node)
        if model_operator is not None:
            operator, reason = model_operator, f"its {operator}: {reason}"
        self.refused.setdefault((operator, reason), []).append(name)

    def describe_refused(self) -> str:
        parts = []
        for (operator, reason), names in self.refused.items():
            listed = ", ".join(repr(n) for n in names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            parts.append(f"{operator} ({reason}; {'node' if len(names) == 1 else 'nodes'} {listed})")
        return f"not supported: {'; '.join(parts)}: {WHAT_TO_DO}"


class _Reported(Exception):
    """What was refused is listed already."""


MAX_TOLD = 1024
"""Elements of constants from around a body that inference inside it is told."""


def _info(name: str, dtype: np.dtype, shape: tuple[Dim, ...] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, DTYPES[dtype], shape)


def _round(emit: Emit, rounded: dict[Value, Value]) -> None:
    """After the importer: the node's own outputs from those that `widen` put in their places."""
    emit.outputs = [rounded.get(v, v) for v in emit.outputs]
    for wide, value in rounded.items():
        source = emit.aliases.pop(wide, wide)
        value.shape = value.shape if wide.shape is None else wide.shape
        if wide.dtype == np.float32:
            emit.add("Cast", [source], value)
        else:  # of unknown type, and no float
            value.dtype = wide.dtype
            emit.alias(source, value)


def moves(op_type: str) -> bool:
    """Whether an operator moves elements and never looks at them."""
    return op_type == "Constant" or op_type in opcodes() and "MOVES" in opcodes()[op_type].traits


def _array(tensor: onnx.TensorProto, weights: Weights) -> np.ndarray:
    if tensor.data_type == STRING:
        return np.array([s.decode("utf-8", "replace") for s in tensor.string_data], object).reshape(tensor.dims)
    dtype = _dtype(tensor.data_type, tensor.name)
    return weights.array(tensor).astype(dtype, copy=False)  # older versions of onnx have other types here


def _state_constants(graph: onnx.GraphProto, found: dict[str, np.ndarray], weights: Weights) -> None:
    """Replace the nodes that compute `found` by initializers."""
    kept = [onnx.NodeProto.FromString(n.SerializeToString())
            for n in graph.node if not any(o in found for o in n.output)]
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(weights.add(name, array) for name, array in found.items())


def _state_types(graph: onnx.GraphProto, types: dict[str, Value]) -> None:
    """Tell inference what it did not find out."""
    infos = {v.name: v for v in (*graph.value_info, *graph.output)}
    for name, value in types.items():
        (infos.get(name) or graph.value_info.add()).CopyFrom(_info(name, value.dtype, value.shape))


def _dtype(code: int, name: str) -> np.dtype:
    dtype = next((d for d, c in DTYPES.items() if c == code), None)
    if dtype is not None:
        return dtype
    raise UnsupportedError(f"elements of type {element_type(code)} are not supported ({name!r})")


def _complete_ranks(emit: Emit) -> None:
    """Where inference gave up, an operator named as an element-wise one of Wisp has as many axes as its inputs."""
    opcode = opcodes().get(emit.op_type)
    if opcode is not None and opcode.traits & {"ELEMENTWISE", "UNARY"}:
        ranks = [None if v is None or v.shape is None else len(v.shape) for v in emit.inputs]
        emit.state_rank(None if None in ranks else max(ranks, default=None))


def _attributes(node: onnx.NodeProto, function: Callable, emit: Emit, weights: Weights) -> dict:
    """The node's attributes as keyword arguments of its importer."""
    parameters = inspect.signature(function).parameters
    accepted = {p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    attributes = {}
    for attribute in node.attribute:
        if takes_all or attribute.name in accepted:
            attributes[attribute.name] = _python(helper.get_attribute_value(attribute), weights)
        elif not _is_default(node, attribute, emit.opset):
            raise emit.unsupported(f"attribute {attribute.name!r} is not supported")
    missing = [p.name for p in parameters.values()
               if p.kind is p.KEYWORD_ONLY and p.default is p.empty and p.name not in attributes]
    if missing:
        raise ModelError(f"attribute {missing[0]!r} is missing")
    return attributes


def _is_default(node: onnx.NodeProto, attribute: onnx.AttributeProto, opset: int) -> bool:
    """Whether an attribute only says what ONNX assumes anyway."""
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, node.domain if node.domain != "ai.onnx" else "")
    except onnx.defs.SchemaError:
        return False
    known = schema.attributes.get(attribute.name)
    if known is None or not known.default_value.name:
        return False
    return helper.get_attribute_value(known.default_value) == helper.get_attribute_value(attribute)


def _python(value, weights: Weights):
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, onnx.TensorProto):
        return _array(value, weights)
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
        return list(value) if value and isinstance(value[0], (int, float)) else [_python(v, weights) for v in value]
    return value


def _own_outputs(graph: Graph, names: list[str]) -> None:
    """Give every graph output a value of its own: computed here, and no other output."""
    own = {v for n in graph.nodes for v in n.outputs}
    for i, value in enumerate(graph.outputs):
        if value not in own:
            copy = Value(names[i], value.dtype, value.shape)
            graph.nodes.append(copy_node(value, copy))
            graph.outputs[i] = copy
        own.discard(value)
        graph.outputs[i].name = names[i]
