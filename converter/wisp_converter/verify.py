"""The proof of a conversion: source and result on the same input, and how far apart their outputs are."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from .errors import SourceError, UnsupportedError, VerifyError
from .layers import compare_layers, difference
from .reference import Reference, references
from .runner import Runner
from .sources.onnx.load import Source
from .sources.onnx.weights import Weights
from .states import States
from .target.format import DTYPES, HALF, is_float

TOLERANCE = 1e-3
"""A float result may differ from the source's by this part of the output's largest value..."""
FLOOR = 1e-6
"""... or by this, whatever the largest value: runtimes' own Sigmoid and Softmax are no closer to the truth near 0..."""
OWN = 4
"""... or by this many times what the source moves by itself when all its numbers change a little."""
LITTLE = 1e-6  # relative; what a sum of a few hundred f32 products may lose
LITTLE_OF_HALF = {dtype: 2.0 ** -(2 + ml_dtypes.finfo(dtype).nmant) for dtype in HALF}  # a number or its neighbour
LOW_SNR = 10.0  # dB; below, an int8 output says little about the source's
DECIDE = ("that reference is wrong about some operators; to know which is right, pip install onnxruntime and convert "
          "again")


@dataclass
class Difference:
    """Of one output: the largest absolute difference, the same as a part of the source's largest value, and the
    signal-to-noise ratio in dB; the largest absolute value of both; one step of int8 where the output has some."""

    name: str
    max_abs: float
    relative: float
    snr: float
    largest: float = math.inf
    step: float = 0.0

    @property
    def is_wrong(self) -> bool:
        return self.relative > TOLERANCE and self.max_abs > FLOOR

    @property
    def is_nothing(self) -> bool:
        """Whether both are so small that parts of the largest value say nothing."""
        limit = self.step or FLOOR
        return self.relative > TOLERANCE and self.max_abs <= limit and self.largest <= max(limit, FLOOR / TOLERANCE)

    def describe(self) -> str:
        if self.is_nothing:
            step = f", less than one step of int8 ({self.step:.2g})" if self.step else ""
            return (f"{self.name}: at most {self.largest:.2g} everywhere, in both; "
                    f"max difference {self.max_abs:.2g}{step}")
        snr = "exact" if math.isinf(self.snr) and self.snr > 0 else f"SNR {self.snr:.1f} dB"
        steps = f"{self.max_abs / self.step:.3g} steps of int8, " if self.step else ""
        return (f"{self.name}: max difference {self.max_abs:.3g} ({steps}{self.relative:.2g} of the largest value), "
                f"{snr}")

    def as_json(self) -> dict:
        numbers = {"max_abs": f"{self.max_abs:.6g}", "relative": f"{self.relative:.6g}", "snr_db": f"{self.snr:.2f}"}
        return {name: float(text) if math.isfinite(float(text)) else None for name, text in numbers.items()}

Tries = Callable[[], Iterable[dict[str, np.ndarray]]]


def verify(source: Source, file: BinaryIO, tries: Tries, *, exact: bool,
           steps: dict[str, float] | None = None, other: dict[str, np.ndarray] | None = None,
           states: States = States(),
           say: Callable[[str], None] = lambda line: None) -> dict:
    """Run both on the first of `tries()` that both take and compare every output; say what was found. `steps`: of int8,
    for each output that has some. `other`: inputs of other extents, compared too where the source takes them. With
    `states` several runs are compared, the source's outputs being its next inputs.

    With `exact` (a float model) a difference above TOLERANCE of the output's largest value is a VerifyError, if ONNX
    Runtime ran the source; a difference from ONNX's reference is a warning. Returns what is stored in the file.
    """
    runner, found, refused = Runner(file), None, []
    for reference in references(source, runner.model.metadata):
        found = _run_both(reference, runner, tries, states)
        if isinstance(found, list):
            break
        refused.append(str(found))
    why = "; ".join(refused)
    if not isinstance(found, list):
        say(f"not compared: {why}")
        return {}
    first, *following = found
    say(f"compared with the source, run by {reference.name}{f' ({why})' if why else ''}")
    judge = _Judge(source, file, reference, exact, steps or {}, states, say)
    differences = judge(*first)
    for i, run in enumerate(following, 2):
        judge(*run, f"run {i}, with the states of run {i - 1}: ")
    if other is not None and reference.trusted:
        judge.other_extents(runner, other)
    return {"accuracy": {d.name: d.as_json() for d in differences}, "reference": reference.name}


Run = tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, np.ndarray]]
"""The source's inputs, its outputs, and the file's as the source has them."""


def _run_both(reference: Reference | SourceError, runner: Runner, tries: Tries,
              states: States) -> list[Run] | Exception:
    """The first inputs that both take, and both outputs of them; else why the first ones were refused."""
    if isinstance(reference, SourceError):
        return reference
    refusal = None
    for inputs in tries():
        try:
            return _runs(reference, runner, inputs, states)
        except (SourceError, UnsupportedError) as error:
            refusal = refusal or error
    return refusal


def _runs(reference: Reference, runner: Runner, inputs: dict, states: States) -> list[Run]:
    """One run; with states several from their initial values on, with floats in other places."""
    state, found = states.initial, []
    runner.reset()
    for k in range(states.runs):
        moved = {n: np.roll(a, k) if is_float(a.dtype) else a for n, a in inputs.items()} if k else inputs
        found.append(_run_once(reference, runner, moved, state))
        state = states.carry(found[-1][1])
    return found


def _run_once(reference: Reference, runner: Runner, inputs: dict, state: dict) -> Run:
    """The source's inputs are as exact as the file stores them; `state`: those that the file keeps itself."""
    stored = runner.from_source(inputs)
    inputs = {**runner.inputs_to_source(stored), **state}
    try:
        got = runner.run(stored)
    except UnsupportedError as error:
        reference.run(inputs)  # whose refusal says more
        raise error
    runner.rest()  # both map all weights
    return inputs, reference.run(inputs), runner.outputs_to_source(got)


@dataclass
class _Judge:
    """Compares outputs, says what it finds, and raises VerifyError."""

    source: Source
    file: BinaryIO
    reference: Reference
    exact: bool
    steps: dict[str, float]
    states: States
    say: Callable[[str], None]

    def __call__(self, inputs: dict, expected: dict, got: dict, where: str = "") -> list[Difference]:
        try:
            differences = [compare(n, expected[n], got[n], self.steps.get(n, 0.0)) for n in expected
                           if n in got or n not in self.states.inputs]
        except VerifyError as error:
            self.report(f"{where}{error}", inputs)
            return []
        if where:
            self.say(f"{where}{min(differences, key=lambda d: d.snr).describe()}")
        else:
            self.describe(differences)
        wrong = self.wrong(differences, inputs, expected) if self.exact else []
        if wrong:
            self.report(f"{where}output {max(wrong, key=lambda d: d.relative).describe()}", inputs)
        return differences

    def describe(self, differences: list[Difference]) -> None:
        for d in differences:
            self.say(d.describe())
            if not self.exact and d.snr < LOW_SNR and not d.is_nothing:
                self.say(f"warning: int8 says little about {d.name}: look for the layer with wisp compare, "
                         "and whether the calibration data are what the model will see")

    def wrong(self, differences: list[Difference], inputs: dict, expected: dict) -> list[Difference]:
        """Those that no noise of the source's own explains."""
        wrong = [d for d in differences if d.is_wrong]
        own = self.own_noise(inputs, expected) if wrong else {}
        for d in [d for d in wrong if d.max_abs <= OWN * own[d.name]]:
            self.say(f"{d.name}: the source itself moves by {own[d.name]:.2g} when the last bits of its numbers change")
            wrong.remove(d)
        return wrong

    def report(self, what: str, inputs: dict) -> None:
        text = (f"the converted model differs from its source, run by {self.reference.name}: {what}"
                f"{self.first_layer(inputs)}")
        if self.reference.trusted:
            raise VerifyError(f"{text}; please report it, or convert with verify=False")
        self.say(f"warning: {text}; {DECIDE}")

    def first_layer(self, inputs: dict) -> str:
        """Where the difference begins, as far as that can be seen."""
        if any(not np.array_equal(inputs[n], a) for n, a in self.states.initial.items()):
            return ""  # in a later run
        try:
            rows, _ = compare_layers(self.source, self.file, inputs, trusted=self.reference.trusted)
        except (SourceError, UnsupportedError):
            return ""
        row = next((r for r in rows if r["relative"] > TOLERANCE and r["max_abs"] > FLOOR), None)
        return f"; first at {row['node']}" if row else ""

    def own_noise(self, inputs: dict, expected: dict) -> dict[str, float]:
        """By output how far the source moves when its inputs and weights change by LITTLE: rounding that meets a
        Round, a QuantizeLinear or a chaotic loop is no fault of ours."""
        noise = dict.fromkeys(expected, 0.0)
        for seed in range(OWN):
            rng = np.random.default_rng(seed)
            try:
                moved = next(r for r in references(_moved(self.source, rng), self.reference.metadata)
                             if isinstance(r, Reference) and r.trusted == self.reference.trusted)
                results = moved.run({n: _jitter(a, rng) for n, a in inputs.items()})
                found = {n: compare(n, expected[n], results[n]).max_abs for n in expected}
            except (SourceError, VerifyError, StopIteration):  # a number that had to be what it was
                continue
            noise = {n: max(noise[n], found[n]) if math.isfinite(found[n]) else noise[n] for n in noise}
        return noise

    def other_extents(self, runner: Runner, inputs: dict) -> None:
        """A shape that was taken for constant shows when the open axes are other ones."""
        where = f"with {', '.join(f'{n} {list(a.shape)}' for n, a in inputs.items() if a.ndim)}: "
        try:
            for run in _runs(self.reference, runner, inputs, self.states):
                self(*run, where)
        except SourceError:  # it may well be made for one extent
            return
        except UnsupportedError as error:
            self.say(f"warning: {where}{error}; the source takes that")


def _moved(source: Source, rng: np.random.Generator) -> Source:
    model = source.weights.whole(source.original)
    for tensor in model.graph.initializer:
        if tensor.data_type in (onnx.TensorProto.FLOAT, *(DTYPES[half] for half in HALF)):
            tensor.CopyFrom(numpy_helper.from_array(_jitter(numpy_helper.to_array(tensor), rng), tensor.name))
    return replace(source, original=model, weights=Weights(b"", "", None))


def _jitter(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Floats that are no whole numbers (these may be sizes or factors), moved by LITTLE."""
    if array.dtype.kind != "f" and array.dtype not in HALF:
        return array
    little = LITTLE_OF_HALF.get(array.dtype, LITTLE)
    moved = (array * (1 + little * rng.standard_normal(array.shape))).astype(array.dtype)
    return np.where(array == np.rint(array), array, moved)


def compare(name: str, expected: np.ndarray, got: np.ndarray, step: float = 0.0) -> Difference:
    """How far `got` is from `expected`. Infinities and NaN must agree in place. VerifyError for another shape."""
    if expected.shape != got.shape:
        raise VerifyError(f"output {name!r} has shape {got.shape}, the source's has {expected.shape}")
    return Difference(name, *difference(expected, got), step)
