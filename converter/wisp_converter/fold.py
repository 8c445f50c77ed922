"""Constant folding on the ONNX graph, with ONNX's reference implementation: what depends on nothing is computed now."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings

import numpy as np
import onnx
from onnx import AttributeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

MAX_RESULT = 64 << 20
"""Bytes above which a computed constant is not worth its place in the file."""

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial", "Dropout"}
SHAPES = {"Shape", "Size"}
# Operators that only move elements: run on a mask as well, they tell which results are known.
MOVEMENT = {"Gather", "Slice", "Concat", "Squeeze", "Unsqueeze", "Reshape", "Identity", "Cast", "Flatten", "Transpose"}
SUBGRAPHS = (AttributeProto.GRAPH, AttributeProto.GRAPHS)


def fold_constants(proto: onnx.ModelProto) -> bool:
    """Replace, in place, every node whose results are known by initializers. True if anything was replaced.

    Shapes must have been inferred: Shape of a static tensor is known, and so is what selects only static extents of a
    dynamic one. Nodes with subgraphs, random ones and those that fail are left alone.
    """
    return _Folder(proto).run()


class _Folder:
    def __init__(self, proto: onnx.ModelProto) -> None:
        self.proto, self.graph = proto, proto.graph
        self.constants = {i.name: i for i in self.graph.initializer}
        self.arrays: dict[str, np.ndarray] = {}
        self.partial: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # values, and 1 where they are known
        self.shapes = {v.name: _dims(v) for v in (*self.graph.input, *self.graph.value_info, *self.graph.output)}
        self.outputs = {o.name for o in self.graph.output}
        self.failed: set[int] = set()

    def run(self) -> bool:
        kept, folded = [], False
        for node in self.graph.node:
            results = self.fold(node)
            if results is None:
                kept.append(node)
                continue
            folded = True
            for name, array in zip(node.output, results):
                if name:
                    self.add(name, np.asarray(array))
        if folded:
            nodes = [onnx.NodeProto.FromString(n.SerializeToString()) for n in kept]
            del self.graph.node[:]
            self.graph.node.extend(nodes)
            self.drop_unused()
        return folded

    def add(self, name: str, array: np.ndarray) -> None:
        self.arrays[name] = array
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        self.graph.initializer.append(self.constants[name])

    def array(self, name: str) -> np.ndarray:
        if name not in self.arrays:
            self.arrays[name] = numpy_helper.to_array(self.constants[name])
        return self.arrays[name]

    def fold(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        """The results of a node, or None."""
        if node.op_type in RANDOM or any(a.type in SUBGRAPHS for a in node.attribute):
            return None
        if node.op_type in SHAPES:
            return self.shape_of(node)
        if any(self.size(o) > MAX_RESULT for o in node.output):
            return None
        if all(not i or i in self.constants for i in node.input):
            return self.evaluate(node, [self.array(i) for i in node.input if i])
        return self.fold_partly(node)

    def size(self, name: str) -> int:
        dims = self.shapes.get(name)
        return 8 * int(np.prod([d for d in dims if isinstance(d, int)], dtype=np.float64)) if dims else 0

    def shape_of(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        name = node.input[0]
        dims = self.array(name).shape if name in self.constants else self.shapes.get(name)
        if dims is None:
            return None
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Shape":
            dims = dims[slice(attributes.get("start", 0), attributes.get("end", len(dims)))]
        known = np.array([isinstance(d, int) for d in dims], np.int64)
        values = np.array([d if isinstance(d, int) else 0 for d in dims], np.int64)
        if known.all():
            return [values if node.op_type == "Shape" else np.array(values.prod(dtype=np.int64))]
        if node.op_type == "Shape":
            self.partial[node.output[0]] = values, known
        return None

    def fold_partly(self, node: onnx.NodeProto) -> list[np.ndarray] | None:
        """A movement of partly known integers: known if all that it selects is."""
        name = node.op_type
        moved = node.input if name == "Concat" else node.input[:1]
        if name not in MOVEMENT or not any(i in self.partial for i in moved):
            return None
        if any(i and i not in self.constants and i not in (self.partial if i in moved else ()) for i in node.input):
            return None
        values, known = [], []
        for i in filter(None, node.input):
            array = self.array(i) if i in self.constants else None
            value, mask = self.partial[i] if array is None else (array, np.ones_like(array) if i in moved else array)
            values.append(value)
            known.append(mask)
        results, masks = self.evaluate(node, values), self.evaluate(node, known)
        if results is None or masks is None:
            return None
        if masks[0].all():
            return results
        self.partial[node.output[0]] = results[0], masks[0]
        return None

    def evaluate(self, node: onnx.NodeProto, inputs: list[np.ndarray]) -> list[np.ndarray] | None:
        """Run one node by the reference implementation; None where that fails or gives anything but arrays."""
        names = list(dict.fromkeys(i for i in node.input if i))
        feeds = dict(zip([i for i in node.input if i], inputs))
        outputs = [o for o in node.output if o]
        graph = helper.make_graph([node], "node", [onnx.ValueInfoProto(name=n) for n in names],
                                  [onnx.ValueInfoProto(name=o) for o in outputs])
        model = helper.make_model(graph, opset_imports=self.proto.opset_import)
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = dict(zip(outputs, ReferenceEvaluator(model).run(None, feeds)))
        except Exception:  # whatever it cannot compute stays in the graph
            return None
        arrays = [results.get(o) for o in node.output]
        if any(o and not _usable(a) for o, a in zip(node.output, arrays)):
            return None
        return [np.zeros(0) if a is None else np.asarray(a) for a in arrays]

    def drop_unused(self) -> None:
        used = {i for n in self.graph.node for i in _reads(n)} | self.outputs
        kept = [i for i in self.graph.initializer if i.name in used]
        if len(kept) < len(self.graph.initializer):
            copies = [onnx.TensorProto.FromString(i.SerializeToString()) for i in kept]
            del self.graph.initializer[:]
            self.graph.initializer.extend(copies)


def _usable(array) -> bool:
    return isinstance(array, (np.ndarray, np.generic)) and array.dtype.kind in "fiub" and array.nbytes <= MAX_RESULT


def _reads(node: onnx.NodeProto) -> set[str]:
    """Names a node reads, those of its subgraphs included."""
    names = set(node.input)
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs) if attribute.type in SUBGRAPHS else ():
            names |= {o.name for o in graph.output}
            for inner in graph.node:
                names |= _reads(inner)
    return names


def _dims(value: onnx.ValueInfoProto) -> tuple[int | str | None, ...] | None:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim)
