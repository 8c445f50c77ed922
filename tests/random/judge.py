"""Whether Wisp computes what ONNX Runtime, or ONNX's reference where that refuses, makes of a model."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
from collections.abc import Callable

import ml_dtypes
import numpy as np
import onnx
from generate import Case
from onnx import numpy_helper
from oracles import in_single, run_oracles
from support import check_close

RIGHT, REFUSED, UNKNOWN, DISPUTED, WRONG = (
    "accepted and right", "refused with reason", "neither oracle runs it", "oracles disagree", "WRONG")
RTOL, ATOL = 1e-4, 1e-5  # of support.check_model
HALVES = (np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16))
NUDGES = {np.dtype(np.float64): 2.0 ** -49, np.dtype(np.float32): 2.0 ** -20,
          HALVES[0]: 2.0 ** -10, HALVES[1]: 2.0 ** -7}
"""16 roundings of float32 and float64, what a few nodes add up before one that tears numbers apart; a step of halves.
"""


def judge(case: Case, say: Callable[[str], None] = lambda stage: None) -> tuple[str, str]:
    """(verdict, reason). `say` is called before Wisp's turn: who dies after that is Wisp."""
    oracles = run_oracles(case.model, case.inputs)
    say("wisp")
    try:
        got = run_wisp(case)
    except _refusals() as error:
        return _refusal(case, str(error), any(o is not None for o in oracles))
    except Exception as error:
        return WRONG, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    found = [o for o in oracles if o is not None]
    if not found:
        return UNKNOWN, "accepted"
    if case.by_chance:
        got = {n: np.zeros_like(a) for n, a in got.items()}
        found = [{n: np.zeros_like(a) for n, a in o.items()} for o in found]
    reason = difference(got, found[0])
    if not reason:
        return RIGHT, ""
    if len(found) == 2 and difference(found[1], found[0]):
        return DISPUTED, difference(found[1], found[0])
    if _is_rounded_once(case, got):
        return RIGHT, ""
    if len(case.model.graph.node) > 1 and _is_shaky(case, found[0]):
        return DISPUTED, "with itself, for inputs that differ by less than the tolerance"
    return WRONG, reason


def run_wisp(case: Case) -> dict[str, np.ndarray]:
    """Convert, load, run; what numpy has no dtype for as ml_dtypes has it."""
    import wisp
    from wisp_converter import convert

    loaded = wisp.load(convert(case.model, verify=False))
    types = {o.name: o.element_type for o in loaded.outputs}
    return {n: a.view(getattr(ml_dtypes, types[n])) if types[n] else a for n, a in loaded.run(case.inputs).items()}


def _refusals() -> tuple[type[Exception], ...]:
    import wisp
    from wisp_converter import ConvertError

    return ConvertError, wisp.WispError


def _refusal(case: Case, message: str, is_valid: bool) -> tuple[str, str]:
    """A refusal says in one line which node it is about; of what nobody runs, at least why."""
    nodes = [n.name for n in case.model.graph.node]
    if "\n" in message or is_valid and "cannot be imported" in message:
        return WRONG, f"refused by accident: {message}"
    if is_valid and not any(name in message for name in nodes):
        return WRONG, f"refused without the name of a node: {message}"
    return (REFUSED, message) if is_valid else (UNKNOWN, message)


def difference(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> str:
    """Why these are not the same results, or an empty text."""
    for name, array in want.items():
        if name not in got:
            return f"{name} is missing"
        if got[name].dtype != array.dtype:
            return f"{name}: dtype {got[name].dtype}, expected {array.dtype}"
        rtol, (a, b) = RTOL, (got[name], array)
        if a.dtype == np.float64:
            rtol = 1e-9  # what float32 cannot be
        elif a.dtype in HALVES:  # a step: two roundings of nearly the same number
            rtol, a, b = float(ml_dtypes.finfo(a.dtype).eps), a.astype(np.float32), b.astype(np.float32)
        elif a.dtype.kind not in "fiub":
            a, b = a.astype(np.float32), b.astype(np.float32)
        try:
            with contextlib.redirect_stdout(io.StringIO()), np.errstate(all="ignore"):
                check_close(a, b, name, rtol=rtol, atol=ATOL)
        except AssertionError as error:
            return str(error)
    return ""


def _is_rounded_once(case: Case, got: dict[str, np.ndarray]) -> bool:
    """Whether a model of float16 or bfloat16 gives what float32 gives, rounded: the oracles may round in between."""
    model = in_single(case.model)
    if model is None:
        return False
    inputs = {n: a.astype(np.float32) if a.dtype in HALVES else a for n, a in case.inputs.items()}
    for exact in run_oracles(model, inputs):
        if exact is not None and not difference(got, {n: a.astype(got[n].dtype) for n, a in exact.items()}):
            return True
    return False


def _is_shaky(case: Case, want: dict[str, np.ndarray]) -> bool:
    """Whether an oracle's own results change as much when its inputs change by less than the tolerance."""
    rng = np.random.default_rng(0)

    def move(array: np.ndarray) -> np.ndarray:
        steps = 1 + rng.choice([-1, 1], array.shape) * NUDGES.get(array.dtype, 0)
        return (array * steps).astype(array.dtype) if array.dtype in NUDGES else array

    for _ in range(8):
        model = onnx.ModelProto.FromString(case.model.SerializeToString())
        for tensor in model.graph.initializer:
            tensor.CopyFrom(numpy_helper.from_array(move(numpy_helper.to_array(tensor)), tensor.name))
        for other in run_oracles(model, {n: move(a) for n, a in case.inputs.items()}):
            if other is not None and difference(other, want):
                return True
    return False
