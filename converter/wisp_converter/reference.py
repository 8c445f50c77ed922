"""Runs the source model: by ONNX Runtime where it is installed and takes the model, and by ONNX's own reference."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import onnx

from .errors import SourceError
from .sources.onnx.load import Source


@dataclass
class Reference:
    """A source model that can be run. `name`: by what, with its version. `trusted`: what people deploy with, which is
    believed; ONNX's reference computes some operators of some versions wrongly, see docs/decisions.md. `texts`: inputs
    that are strings in the source; what stands for these in the file, its `metadata` says."""

    function: Callable[[list[str], dict[str, np.ndarray]], list]
    outputs: list[str]
    name: str
    trusted: bool
    texts: frozenset[str] = frozenset()
    metadata: dict = field(default_factory=dict)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output that is numbers in the file, by name. SourceError, in one line, for whatever goes wrong."""
        inputs = {n: self._texts(a) if n in self.texts else a for n, a in inputs.items()}
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = self.function(self.outputs, inputs)
        except Exception as error:  # these libraries raise anything
            raise SourceError(f"{self.name} refuses to run the source: {first_line(error)}") from error
        arrays = {n: self._numbers(r) for n, r in zip(self.outputs, results)}
        return {n: a for n, a in arrays.items() if a is not None}

    def _texts(self, indices: np.ndarray) -> np.ndarray:
        strings = self.metadata.get("strings", [])
        texts = [strings[i] if 0 <= i < len(strings) else "" for i in indices.reshape(-1)]
        return np.array(texts, object).reshape(indices.shape)

    def _numbers(self, result) -> np.ndarray | None:
        """Strings become indices, a list of maps from labels to scores rows; None for what is no tensor in the file."""
        labels = self.metadata.get("labels", [])
        if isinstance(result, list) and result and all(isinstance(row, dict) and len(row) == len(labels)
                                                       for row in result):
            rows = [{str(label): score for label, score in row.items()} for row in result]
            return np.array([[row.get(label, np.nan) for label in labels] for row in rows], np.float32)
        if result is None or isinstance(result, (list, dict)):
            return None
        array = np.asarray(result)
        if array.dtype.kind not in "OUS":
            return array
        places = {text: i for i, text in enumerate(self.metadata.get("strings", []))}
        return np.array([places.get(str(text), -1) for text in array.reshape(-1)], np.int64).reshape(array.shape)


def references(source: Source, metadata: dict, *, every: bool = False) -> Iterator[Reference | SourceError]:
    """The ways to run a model, the most trusted first, each made when it is asked for; for one that refuses the model,
    why. With `every` all tensors of the graph are outputs. metadata: of the file made from the model."""
    texts = frozenset(i.name for i in source.original.graph.input
                      if i.type.tensor_type.elem_type == onnx.TensorProto.STRING)
    outputs = [o.name for o in source.original.graph.output]
    if every:
        outputs = list(dict.fromkeys([*outputs, *(n for node in source.original.graph.node for n in node.output if n)]))
    for make in (_onnxruntime, _onnx):
        try:
            reference = make(source, outputs)
        except ImportError:
            yield SourceError(f"{make.__doc__} is not installed (pip install onnxruntime)")
        except Exception as error:  # whatever they raise, it is about the source
            yield SourceError(f"{make.__doc__} refuses the source: {first_line(error)}")
        else:
            yield replace(reference, texts=texts, metadata=metadata)


def _onnxruntime(source: Source, outputs: list[str]) -> Reference:
    """ONNX Runtime"""
    import onnxruntime

    model = _exposing(source.original, outputs)
    try:
        session = _mapped_session(source, model)
    except Exception:  # it takes no folder before 1.19
        session = _session(source.weights.whole(model))
    return Reference(session.run, outputs, f"ONNX Runtime {onnxruntime.__version__}", trusted=True)


def _mapped_session(source: Source, model: onnx.ModelProto):
    """ONNX Runtime maps the weights itself, and must be told where they are."""
    return _session(model, ("session.model_external_initializers_file_folder_path", str(source.weights.folder)))


def _session(model: onnx.ModelProto, *settings: tuple[str, str]):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # what the file says, no more
    for key, value in (("session.disable_prepacking", "1"), *settings):  # which would copy the weights
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _onnx(source: Source, outputs: list[str]) -> Reference:
    """ONNX's reference"""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(source.weights.whole(source.original))
    return Reference(evaluator.run, outputs, f"ONNX's reference {onnx.__version__}", trusted=False)


def _exposing(model: onnx.ModelProto, outputs: list[str]) -> onnx.ModelProto:
    """The model with these outputs; itself where it has them."""
    known = {o.name for o in model.graph.output}
    if known.issuperset(outputs):
        return model
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs if name not in known)
    return exposed


def first_line(error: Exception) -> str:
    """An error's class and what it says, on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
