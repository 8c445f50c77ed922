"""Random models: one node, or a chain of a few that read each other's results, with inputs for it."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import hints_layers  # noqa: F401  (these state what schemas cannot tell)
import hints_others  # noqa: F401
import hints_shapes  # noqa: F401
import numpy as np
import onnx
from draw import MICROSOFT, Draw, by_chance, numpy_type, opsets
from onnx import helper, numpy_helper
from oracles import run_oracles

CHAINS, LONGEST = 0.25, 6  # the share of models of more than one node; nodes of one
TRIES = 20


@dataclass
class Case:
    """A model and its inputs by name. `inputs` may be empty: where everything is constant."""

    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]

    @property
    def by_chance(self) -> bool:
        """Whether results are random: then only their types and shapes are known."""
        opset = next(o.version for o in self.model.opset_import if not o.domain)
        return any(by_chance(n.op_type, opsets(n.domain, n.op_type)[opset]) for n in self.model.graph.node)

    @property
    def operators(self) -> list[str]:
        return [n.op_type for n in self.model.graph.node]

    def save(self, folder: Path) -> None:
        """model.onnx, and an input_N.pb for each input, as ONNX's own tests are written."""
        folder.mkdir(parents=True, exist_ok=True)
        onnx.save(self.model, folder / "model.onnx")
        for i, value in enumerate(self.model.graph.input):
            tensor = numpy_helper.from_array(self.inputs[value.name], value.name)
            (folder / f"input_{i}.pb").write_bytes(tensor.SerializeToString())

    @staticmethod
    def load(folder: Path) -> Case:
        model = onnx.load(folder / "model.onnx")
        tensors = [onnx.TensorProto.FromString((folder / f"input_{i}.pb").read_bytes())
                   for i in range(len(model.graph.input))]
        return Case(model, {t.name: numpy_helper.to_array(t) for t in tensors})


@cache
def operators() -> list[tuple[str, str]]:
    """(domain, name) of everything that Wisp imports and some opset since 7 has."""
    import wisp_converter.sources.onnx.importer  # noqa: F401  (registers the importers)
    from wisp_converter.sources.onnx.registry import importers

    pairs = [("", n) if "." not in n else tuple(n.rsplit(".", 1)) for n in importers()]
    return [pair for pair in pairs if opsets(*pair)]


def generate(seed: int, index: int, only: str | None = None) -> Case | None:
    """The model of this number: the same whenever it is asked for. `only`: its first operator has this name. None
    where nothing could be drawn."""
    rng = np.random.default_rng([seed, index])
    known = [pair for pair in operators() if only in (None, pair[1])]
    if not known:
        raise ValueError(f"no operator is called {only!r} here")
    length = int(rng.integers(2, LONGEST + 1)) if rng.random() < CHAINS else 1
    for _ in range(TRIES):
        domain, name = known[int(rng.integers(len(known)))]
        opset = int(rng.choice(list(opsets(domain, name))))
        chain = _Chain(rng, opset)
        if by_chance(name, opsets(domain, name)[opset]):
            length = 1
        if chain.add(domain, name, check=length > 1):
            break
    else:
        return None
    while len(chain.nodes) < length:
        domain, name = operators()[int(rng.integers(len(operators())))]
        chain.tries += 1
        if chain.tries > 3 * TRIES:
            break
        if opset in opsets(domain, name) and not by_chance(name, opsets(domain, name)[opset]):
            chain.add(domain, name, check=True)
    return chain.case()


class _Chain:
    def __init__(self, rng: np.random.Generator, opset: int) -> None:
        self.rng, self.opset, self.tries = rng, opset, 0
        self.nodes: list[onnx.NodeProto] = []
        self.arrays: dict[str, np.ndarray] = {}  # all values by name, those that nodes make included
        self.fed: list[str] = []
        self.made: list[str] = []

    def add(self, domain: str, name: str, *, check: bool) -> bool:
        """Append a node, reading results of others if it can. `check`: only where an oracle runs it."""
        pool = [self.arrays[n] for n in self.made]
        draw = Draw(self.rng, name, opsets(domain, name)[self.opset], self.opset, pool)
        if not draw.draw() or max((a.ndim for a in draw.operands if a is not None), default=0) > 6:
            return False
        known, read, fed = {id(a): n for n, a in self.arrays.items()}, [], {}
        for array in draw.operands:
            if array is not None and id(array) not in known:
                known[id(array)] = f"x{len(self.arrays) + len(fed)}"
                fed[known[id(array)]] = array
            read.append("" if array is None else known[id(array)])
        if self.made and not set(read) & set(self.made):
            return False
        label = f"node{len(self.nodes)}"
        outputs = [f"{label}_{i}" for i in range(draw.outputs or max(draw.schema.min_output, 1))]
        if len(outputs) > 1 and self.rng.random() < 0.1 and draw.schema.outputs[0].option.name == "Optional":
            outputs[0] = ""
        node = helper.make_node(name, read, outputs, f"{label}_{name}", domain=domain, **draw.attrs)
        results = {}
        if check:
            arrays = self.arrays | fed
            model = self.model([node], sorted({n for n in read if n}), [o for o in outputs if o], arrays)
            found = [r for r in run_oracles(model, {n: arrays[n] for n in read if n}) if r is not None]
            if not found or not all(_is_plain(a) for a in found[0].values()) or not _agree(*found):
                return False
            results = found[0]
        self.nodes.append(node)
        self.arrays |= fed | results
        self.fed += fed
        self.made += results
        return True

    def case(self) -> Case:
        """Everything nobody reads is an output, and some of the rest; of what is fed some is constant, and of some
        the shape is left open."""
        read = {n for node in self.nodes for n in node.input}
        outputs = [o for node in self.nodes for o in node.output
                   if o and (o not in read or self.rng.random() < 0.2)]
        constant = self.rng.random() * (self.rng.random(len(self.fed)) < 0.6)
        inputs = [n for n, share in zip(self.fed, constant) if self.rng.random() >= share]
        model = self.model(self.nodes, inputs, outputs, self.arrays, is_open=self.rng.random() < 0.2)
        return Case(model, {n: self.arrays[n] for n in inputs})

    def model(self, nodes, inputs: list[str], outputs: list[str], arrays: dict[str, np.ndarray], *,
              is_open: bool = False) -> onnx.ModelProto:
        """What is no input and no result is an initializer."""
        made = {o for n in nodes for o in n.output}
        constants = {i for n in nodes for i in n.input if i} - made - set(inputs)
        info = partial(_info, is_open=is_open)
        graph = helper.make_graph(nodes, "random", [info(n, arrays[n]) for n in inputs],
                                  [onnx.ValueInfoProto(name=n) for n in outputs],
                                  [numpy_helper.from_array(arrays[n], n) for n in sorted(constants)])
        imports = [helper.make_opsetid("", self.opset)]
        imports += [helper.make_opsetid(domain, 1 if domain == MICROSOFT else onnx.defs.get_schema(
            next(n.op_type for n in nodes if n.domain == domain), domain).since_version)
            for domain in sorted({n.domain for n in nodes} - {""})]
        model = helper.make_model(graph, opset_imports=imports)
        model.ir_version = max(helper.find_min_ir_version_for(imports[:1], ignore_unknown=True), 8)
        return _typed(model)


def _typed(model: onnx.ModelProto) -> onnx.ModelProto:
    """With the types of the outputs, where inference finds them."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception:  # what is wrong with the model is for the oracles to say
        return model
    for value, typed in zip(model.graph.output, inferred.graph.output):
        if typed.type.tensor_type.elem_type:
            value.type.CopyFrom(typed.type)
    return model


def _info(name: str, array: np.ndarray, *, is_open: bool) -> onnx.ValueInfoProto:
    shape = [f"{name}_{i}" for i in range(array.ndim)] if is_open else list(array.shape)
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), shape)


def _agree(first: dict[str, np.ndarray], second: dict[str, np.ndarray] | None = None) -> bool:
    """Whether two oracles say much the same, so that what reads it can be judged."""
    return second is None or all(a.shape == second[n].shape and np.allclose(
        a.astype(np.float64), second[n].astype(np.float64), rtol=1e-2, atol=1e-3, equal_nan=True)
        for n, a in first.items())


def _is_plain(array) -> bool:
    """A tensor of numbers that other nodes may read: small ones."""
    if not isinstance(array, np.ndarray | np.generic) or array.dtype.kind in "OUSc" or array.size > 5000:
        return False
    with np.errstate(all="ignore"):
        return array.dtype.kind not in "fi" or bool(np.all(np.abs(array) < 1e3))


__all__ = ["Case", "generate", "numpy_type", "operators"]
