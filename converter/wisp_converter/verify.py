"""The proof of a conversion: source and result on the same input, and how far apart their outputs are."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from .errors import VerifyError
from .target.format import DTYPES
from .ir import Graph, Value
from .runner import Runner
from .sources.onnx.load import Source

TOLERANCE = 1e-3
"""A float result may differ from the source's by this part of the output's largest value..."""
FLOOR = 1e-6
"""... or by this, whatever the largest value: runtimes' own Sigmoid and Softmax are no closer to the truth near 0."""

SINGLE_AXES = {"n", "b", "bs", "batch", "batch_size", "batchsize", "num_batch"}
OPEN_EXTENT = 32  # for other axes left open; many networks halve theirs five times


@dataclass
class Difference:
    """Of one output: the largest absolute difference, the same as a part of the source's largest value, and the
    signal-to-noise ratio in dB."""

    name: str
    max_abs: float
    relative: float
    snr: float

    def describe(self) -> str:
        snr = "exact" if math.isinf(self.snr) else f"SNR {self.snr:.1f} dB"
        return f"{self.name}: max difference {self.max_abs:.3g} ({self.relative:.2g} of the largest value), {snr}"

    def as_json(self) -> dict:
        snr = None if math.isinf(self.snr) or math.isnan(self.snr) else round(self.snr, 2)
        return {"max_abs": float(f"{self.max_abs:.6g}"), "relative": float(f"{self.relative:.6g}"), "snr_db": snr}


def verify(source: Source, file: BinaryIO, inputs: dict[str, np.ndarray], *, exact: bool) -> list[Difference]:
    """Run both on `inputs`, which are the source's, and compare every output as the source has it. With `exact` (a
    float model) a difference above TOLERANCE of the output's largest value is a VerifyError."""
    runner = Runner(file)
    stored = runner.from_source(inputs)
    expected = run_source(source, runner.inputs_to_source(stored))
    got = runner.outputs_to_source(runner.run(stored))
    differences = [compare(name, expected[name], got[name]) for name in expected]
    worst = max(differences, key=lambda d: d.relative if d.max_abs > FLOOR else 0.0, default=None)
    if exact and worst is not None and worst.relative > TOLERANCE and worst.max_abs > FLOOR:
        raise VerifyError(f"the converted model differs from its source: output {worst.describe()}; "
                          "please report it, or convert with verify=False")
    return differences


def compare(name: str, expected: np.ndarray, got: np.ndarray) -> Difference:
    """How far `got` is from `expected`. Infinities and NaN must agree in place."""
    if expected.shape != got.shape:
        raise VerifyError(f"output {name!r} has shape {got.shape}, the source's has {expected.shape}")
    a, b = expected.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(same, 0.0, np.abs(a - b))
    error = np.where(np.isnan(error), np.inf, error)
    finite = np.abs(a[np.isfinite(a)])
    largest = float(finite.max(initial=0.0))
    max_abs = float(error.max(initial=0.0))
    noise, signal = float(np.sum(error ** 2)), float(np.sum(finite ** 2))
    snr = (math.inf if noise == 0 else -math.inf if signal == 0 or not noise < math.inf
           else 10 * math.log10(signal / noise))
    return Difference(name, max_abs, max_abs / largest if largest else (0.0 if max_abs == 0 else math.inf), snr)


def run_source(source: Source, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The source's outputs: by ONNX Runtime where it is installed and takes the model, else by ONNX's reference."""
    names = [o.name for o in source.original.graph.output]
    for run in (_run_mapped, _run_whole):
        try:
            results = run(source, names, inputs)
            break
        except Exception:  # not installed, or it refuses the model
            continue
    else:
        from onnx.reference import ReferenceEvaluator
        results = ReferenceEvaluator(source.weights.whole(source.original)).run(names, inputs)
    return {n: np.asarray(r) for n, r in zip(names, results)}


def _run_mapped(source: Source, names: list[str], inputs: dict[str, np.ndarray]) -> list:
    """By ONNX Runtime, which maps the weights itself. It must be told where they are, and can only since 1.19."""
    folder = {"session.model_external_initializers_file_folder_path": str(source.weights.folder)}
    return _run(source.original.SerializeToString(), names, inputs, folder)


def _run_whole(source: Source, names: list[str], inputs: dict[str, np.ndarray]) -> list:
    return _run(source.weights.whole(source.original).SerializeToString(), names, inputs, {})


def _run(model: bytes, names: list[str], inputs: dict[str, np.ndarray], settings: dict[str, str]) -> list:
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    for key, value in {"session.disable_prepacking": "1", **settings}.items():  # which would copy the weights
        options.add_session_config_entry(key, value)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(names, inputs)


def sample_inputs(graph: Graph, seed: int = 0) -> dict[str, np.ndarray]:
    """Random inputs that respect dtypes and shapes; open axes get an extent (1 for a batch)."""
    rng = np.random.default_rng(seed)
    extents: dict[str, int] = {}
    return {v.name: _sample(v, rng, extents) for v in graph.inputs}


def _sample(value: Value, rng: np.random.Generator, extents: dict[str, int]) -> np.ndarray:
    shape = []
    for axis, dim in enumerate(value.shape):
        if not isinstance(dim, int):
            single = str(dim).lower() in SINGLE_AXES or (axis == 0 and str(dim) == f"{value.name}_0")
            dim = extents.setdefault(dim, 1 if single else OPEN_EXTENT)
        shape.append(dim)
    assert value.dtype in DTYPES
    if value.dtype.kind == "f":
        return rng.standard_normal(shape).astype(value.dtype)
    if value.dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    top = 256 if value.dtype == np.uint8 else 128 if value.dtype == np.int8 else 10
    return rng.integers(0, top, shape).astype(value.dtype)
