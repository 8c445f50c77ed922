"""Layer by layer, how far a converted model is from its source."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np

from .errors import InputError, SourceError
from .reference import references
from .runner import ExposedRunner
from .sources.onnx.load import Source


def compare_layers(source: Source, file: BinaryIO, inputs: dict[str, np.ndarray], *,
                   trusted: bool | None = None, threads: int = 1) -> tuple[list[dict], str]:
    """A row for each tensor that both have, in the source's order, and what ran the source (`trusted`: only ONNX
    Runtime, or only ONNX's reference). `inputs` are the source's; states have their initial values. Tensors of int8
    count as the real numbers they are.

    A row: name, shape, node (of the source), snr_db (infinite: exact), max_abs, relative, output (whether it is one).
    InputError where the model cannot be the file's source, SourceError where it cannot be run, UnsupportedError where
    the result cannot.
    """
    runner = ExposedRunner(file, threads)
    known = {v.name for v in source.original.graph.input}
    states = {name: array for name, array in runner.states.items() if name in known}
    check_source(source, {**states, **inputs})
    stored = runner.from_source({name: array for name, array in inputs.items() if name not in states})
    got, inputs = runner.run(stored), {**states, **runner.inputs_to_source(stored)}
    refusal: Exception = SourceError("the source cannot be run with all its tensors as outputs")
    for reference in references(source, runner.model.metadata, every=True):
        if isinstance(reference, SourceError) or trusted not in (None, reference.trusted):
            refusal = reference if isinstance(reference, SourceError) else refusal
            continue
        try:
            expected = reference.run(inputs)
        except SourceError as error:
            refusal = error
            continue
        return _rows(source, expected, got, runner.outputs), reference.name
    raise SourceError(f"{source.name}: {refusal}")


def check_source(source: Source, inputs: dict[str, np.ndarray]) -> None:
    """InputError if the model cannot be run on a file's inputs, in the source's form, at all: it is another one's."""
    dims = {v.name: [d.dim_value if d.HasField("dim_value") else None for d in v.type.tensor_type.shape.dim]
            for v in source.original.graph.input}
    problem = f"{source.name} is not the source of this .wisp file: "
    if set(dims) != set(inputs):
        here, there = (", ".join(map(repr, names)) or "none" for names in (dims, inputs))
        raise InputError(f"{problem}its inputs are {here}, the file's {there}")
    for name, extents in dims.items():
        shape = inputs[name].shape
        if len(extents) != len(shape) or any(d not in (None, s) for d, s in zip(extents, shape)):
            here, there = ("x".join("?" if d is None else str(d) for d in s) or "scalar" for s in (extents, shape))
            raise InputError(f"{problem}its input {name!r} is {here}, the file's {there}")


def _rows(source: Source, expected: dict, got: dict, outputs: list[str]) -> list[dict]:
    made = {name: (i, f"{node.op_type} {node.name or name!r}")
            for i, node in enumerate(source.original.graph.node) for name in node.output}
    found = []
    for name, value in got.items():
        stem, array = _source_of(name, value, expected)
        if stem is not None:
            max_abs, relative, snr, _ = difference(expected[stem], array)
            rank, node = made.get(stem, (-1, ""))
            found.append((rank, {"name": name, "shape": list(array.shape), "node": node,
                                 "snr_db": snr, "max_abs": max_abs, "relative": relative,
                                 "output": name in outputs}))
    return [row for _, row in sorted(found, key=lambda f: f[0])]


def _source_of(name: str, value: np.ndarray, expected: dict) -> tuple[str | None, np.ndarray]:
    """The source's tensor that `value` stands for, and the value in its shape. The converter works on NHWC and names
    such a form NAME.1, so a name is also tried without its last part and a rank 4 shape transposed."""
    stem, dot, last = name.rpartition(".")
    if name not in expected and dot and (last.isdigit() or last == "int8"):
        name = stem
    source = expected.get(name)
    forms = [value] + ([value.transpose(0, 3, 1, 2)] if value.ndim == 4 else [])
    forms = [f for f in forms if source is not None and source.dtype.kind in "fiub" and f.shape == source.shape]
    if not forms:
        return None, value
    return name, min(forms, key=lambda f: difference(source, f)[0])


def difference(expected: np.ndarray, got: np.ndarray) -> tuple[float, float, float, float]:
    """Of two arrays of one shape: the largest absolute difference; the same as a part of the largest |expected|; SNR in
    dB; the largest absolute value of both. Where one is infinite or NaN and the other is not, the difference is
    infinite."""
    a, b = expected.astype(np.float64).ravel(), got.astype(np.float64).ravel()
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.where(same, 0.0, np.abs(a - b))
    error = np.where(np.isnan(error), np.inf, error)
    finite = np.abs(a[np.isfinite(a)])
    largest, max_abs = float(finite.max(initial=0.0)), float(error.max(initial=0.0))
    noise, signal = float(np.sum(error ** 2)), float(np.sum(finite ** 2))
    snr = (math.inf if noise == 0 else -math.inf if signal == 0 or not noise < math.inf
           else 10 * math.log10(signal / noise))
    relative = max_abs / largest if largest else (0.0 if max_abs == 0 else math.inf)
    return max_abs, relative, snr, max(largest, float(np.abs(b[np.isfinite(b)]).max(initial=0.0)))
