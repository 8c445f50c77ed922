"""wisp compare: layer by layer, how far a converted model is from its source."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import numpy as np

from ..errors import ArgumentError, ResultError, UnsupportedError
from ..expose import expose
from ..model import Model
from ..profile import random_inputs
from . import _shared
from .run import _named, _read

HELP = """Compare every layer of a .wisp file with the ONNX model it came from.

Both run on the same input (random unless --input is given); source by ONNX Runtime where it is installed, otherwise by
ONNX's own reference. Tensors are matched by name; a layer that the converter fused away has no line. int8 tensors are
compared as the real numbers they stand for. SNR = signal-to-noise ratio in dB; difference = largest, absolute and as a
part of the source tensor's largest value. Exit status 1 if an output is NaN or infinite where the source's is not."""

EXAMPLES = """
wisp compare model.onnx model.wisp
wisp compare model.onnx model.wisp --input x=x.npy --json
"""


def add_arguments(parser) -> None:
    parser.add_argument("source", metavar="MODEL.onnx")
    _shared.add_model_arguments(parser)
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE", help=".npy file or picture")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments) -> None:
    with open(arguments.model, "rb") as stream:
        data, file = expose(stream.read())
    model = Model(data, arguments.threads, _shared.parse_shapes(arguments.shape) or None)
    inputs = {name: _read(model, path) for name, path in _named(model, arguments.input).items()}
    if not inputs:
        inputs = random_inputs(model)
    got = model.run(inputs)
    scales = {t.name: (t.scale, t.zero_point) for t in model.outputs if t.scale}
    got = {name: _real(value, *scales.get(name, (0.0, 0))) for name, value in got.items()}
    rows = match(_run_source(arguments.source, inputs), got, [t.name for t in file.outputs])
    if not rows:
        raise ArgumentError(f"{arguments.model} and {arguments.source} have no tensor in common: is it the source?")
    print(_shared.json_text(rows) if arguments.json else _text(rows))
    wrong = [r["name"] for r in rows if r["output"] and r["max_abs"] == math.inf]
    if wrong:
        raise ResultError(f"output {wrong[0]!r} holds NaN or infinities where the source's does not, or the reverse")


def _text(rows: list[dict]) -> str:
    text = [["tensor", "shape", "SNR dB", "max difference", "relative", ""]]
    for r in rows:
        text.append([r["name"][-60:], _shared.shape_text(r["shape"]),
                     "exact" if r["snr_db"] == math.inf else f"{r['snr_db']:.1f}", f"{r['max_abs']:.3g}",
                     f"{r['relative']:.2g}", "output" if r["output"] else ""])
    return _shared.table(text, right={2, 3, 4})


def match(expected: dict[str, np.ndarray], got: dict[str, np.ndarray], outputs: list[str]) -> list[dict]:
    """A row for each tensor of `got` that stands for one of `expected`, in order. The converter works on NHWC and names
    such a form NAME.1, so a name is also tried without its last part and a rank 4 shape transposed."""
    rows = []
    for name, value in got.items():
        stem, dot, last = name.rpartition(".")
        source = expected.get(name)
        if source is None and dot and (last.isdigit() or last == "int8"):
            source = expected.get(stem)
        forms = [value] + ([value.transpose(0, 3, 1, 2)] if value.ndim == 4 else [])
        forms = [f for f in forms if source is not None and source.dtype.kind in "fiub" and f.shape == source.shape]
        if forms:
            best = min((_difference(source, f) for f in forms), key=lambda d: d["max_abs"])
            rows.append({"name": name, "shape": list(source.shape), **best, "output": name in outputs})
    return rows


def _difference(source: np.ndarray, value: np.ndarray) -> dict:
    a, b = source.astype(np.float64), value.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b))
    error[np.isnan(error)] = np.inf  # of the two only one is a number
    noise, signal = float((error**2).sum()), float((a[np.isfinite(a)] ** 2).sum())
    snr = math.inf if noise == 0 else 10 * math.log10(max(signal, 1e-300) / noise) if noise < math.inf else -math.inf
    worst, largest = float(error.max(initial=0.0)), float(np.abs(a[np.isfinite(a)]).max(initial=0.0))
    return {"snr_db": snr, "max_abs": worst,
            "relative": worst / largest if largest else 0.0 if worst == 0 else math.inf}


def _real(value: np.ndarray, scale: float, zero_point: int) -> np.ndarray:
    return value if not scale else np.float32(scale) * (value.astype(np.float32) - zero_point)


def _run_source(path: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Every tensor of the ONNX model that can be had, by name."""
    try:
        import onnx
    except ImportError:
        raise UnsupportedError("comparing needs onnx: pip install 'wisp[converter]'") from None
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(path))
    except OSError:
        raise
    except Exception:  # protobuf's DecodeError is no public name
        raise ArgumentError(f"{path}: not an ONNX model") from None
    _check_inputs(path, model, inputs)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(v for v in model.graph.value_info if v.name not in known)
    names = [o.name for o in model.graph.output]
    try:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        results = session.run(names, inputs)
    except Exception:  # not installed, or it refuses the model
        from onnx.reference import ReferenceEvaluator

        try:
            results = ReferenceEvaluator(model).run(names, inputs)
        except Exception as error:  # it raises anything
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise ArgumentError(f"{path}: ONNX's reference cannot run it: {reason}") from error
    return {n: np.asarray(r) for n, r in zip(names, results) if r is not None and not isinstance(r, (list, dict))}


def _check_inputs(path: str, model, inputs: dict[str, np.ndarray]) -> None:
    """Whether the source can be run on the converted model's inputs at all."""
    constants = {tensor.name for tensor in model.graph.initializer}
    shapes = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        if value.name not in constants:
            shapes[value.name] = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    problem = f"{path} is not the source of this .wisp file: "
    if set(shapes) != set(inputs):
        here, there = (", ".join(map(repr, names)) or "none" for names in (shapes, inputs))
        raise ArgumentError(f"{problem}its inputs are {here}, the file's {there}")
    for name, dims in shapes.items():
        shape = inputs[name].shape
        if dims and (len(dims) != len(shape) or any(d not in (None, s) for d, s in zip(dims, shape))):
            raise ArgumentError(f"{problem}its input {name!r} is {_shared.shape_text(dims)}, "
                                f"the file's {_shared.shape_text(shape)}")
