"""Runs the source model: by ONNX Runtime where it is installed and takes the model, and by ONNX's own reference."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import onnx

from .errors import SourceError
from .sources.onnx.load import Source


@dataclass
class Reference:
    """A source model that can be run. `name`: by what, with its version. `trusted`: what people deploy with, which is
    believed; ONNX's reference computes some operators of some versions wrongly, see docs/decisions.md."""

    function: Callable[[list[str], dict[str, np.ndarray]], list]
    outputs: list[str]
    name: str
    trusted: bool

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs that are tensors of numbers, by name. SourceError, in one line, for whatever goes wrong in there."""
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                results = self.function(self.outputs, inputs)
        except Exception as error:  # these libraries raise anything
            raise SourceError(f"{self.name} refuses to run the source: {first_line(error)}") from error
        arrays = {n: np.asarray(r) for n, r in zip(self.outputs, results)
                  if r is not None and not isinstance(r, (list, dict))}
        return {n: a for n, a in arrays.items() if a.dtype.kind not in "OUS"}


def references(source: Source, *, every: bool = False) -> Iterator[Reference | SourceError]:
    """The ways to run a model, the most trusted first, each made when it is asked for; for one that refuses the model,
    why. With `every` all tensors of the graph are outputs."""
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
            yield reference


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
