"""Where the time of a model goes: what `wisp bench` prints, as data."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._library import aligned, cpu_flags, lib, pointer
from .errors import ArgumentError, InputIndexError
from .session import NodeInfo, Session

if TYPE_CHECKING:
    from .model import Model

WARM_UP = 3
LEAST_RUNS = 3
MOST_TIMED = 50  # runs that time every node
PEAK_SECONDS = 0.2  # long enough to find the processor at full speed and undisturbed once


@dataclass(frozen=True)
class NodeProfile(NodeInfo):
    """A NodeInfo with what was measured.

    `microseconds`: median of the timed runs. `share`: of the sum of all nodes, 0..1. `gmacs`: 1e9 multiply-accumulates
    per second. `peak_share`: gmacs as a part of the machine's peak for the kernel's dtype; None where macs is 0.
    """

    microseconds: float
    share: float
    gmacs: float
    peak_share: float | None


@dataclass(frozen=True)
class Profile:
    """A model measured; `print(profile)` gives the table of `wisp bench`.

    `first_run_us`: microseconds of the first run. `median_us`, `min_us`: of the `runs` that followed a warm-up. `nodes`
    were timed one by one in runs of their own, so their sum is a little more than the median. `macs`: of all nodes.
    `peak_gmacs`: 1e9 multiply-accumulates per second that this machine reaches with the model's threads, by dtype: the
    best of many short loops of the same matrix kernel on operands in the first-level cache, on one thread, times the
    threads.
    """

    threads: int
    first_run_us: float
    runs: int
    median_us: float
    min_us: float
    session_bytes: int
    arena_bytes: int
    macs: int
    peak_gmacs: dict[str, float]
    nodes: list[NodeProfile]

    def __str__(self) -> str:
        from .commands.bench import profile_text

        return profile_text(self)


def measure(model: Model, inputs: dict[str, NDArray[Any]], runs: int | None, seconds: float) -> Profile:
    """See Model.profile."""
    if runs is not None and runs < 1:
        raise ArgumentError(f"runs is {runs}, expected 1 or more")
    first = _time_one(model, inputs)
    for _ in range(WARM_UP):
        model.run(inputs)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < (runs or LEAST_RUNS) or runs is None and time.perf_counter() < end:
        times.append(_time_one(model, inputs))
    peaks = {"int8": model.threads * peak(lib.WISP_S8), "float32": model.threads * peak(lib.WISP_F32)}
    nodes = model._ask(lambda session: _time_nodes(session, inputs, min(len(times), MOST_TIMED)))
    total = sum(us for _, us in nodes) or 1.0
    return Profile(model.threads, first, len(times), float(np.median(times)), min(times), model.session_bytes,
                   model.arena_bytes, sum(node.macs for node, _ in nodes), peaks,
                   [_node(node, us, us / total, peaks) for node, us in nodes])


def _time_one(model: Model, inputs: dict[str, NDArray[Any]]) -> float:
    start = time.perf_counter()
    model.run(inputs)
    return (time.perf_counter() - start) * 1e6


def _time_nodes(session: Session, inputs: dict[str, NDArray[Any]], runs: int) -> list[tuple[NodeInfo, float]]:
    """The nodes with the median microseconds of each."""
    ticks = []
    for _ in range(runs):
        session._fill(inputs)
        ticks.append(session.run_timed())
    return [(node, float(t) / 1e3) for node, t in zip(session.nodes(), np.median(ticks, axis=0))]


def _node(node: NodeInfo, microseconds: float, share: float, peaks: dict[str, float]) -> NodeProfile:
    rate = node.macs / microseconds / 1e3 if microseconds else 0.0
    roof = peaks["int8" if "_s8" in node.kernel else "float32"]
    return NodeProfile(**vars(node), microseconds=microseconds, share=share, gmacs=rate,
                       peak_share=rate / roof if node.macs and roof else None)


def peak(dtype: int) -> float:
    """G multiply-accumulates per second of the matrix kernel on one thread, at best."""
    # Some ms for each loop: it begins by asking what the processor can, which may take 50 us in a virtual machine.
    memory, mask, best, repeats = aligned(32768), cpu_flags(), 0.0, 1024
    end = time.perf_counter() + PEAK_SECONDS
    while time.perf_counter() < end:
        start = lib.wisp_clock()
        macs = lib.wisp_roof(mask, dtype, pointer(memory), repeats)
        best = max(best, macs / max(1, lib.wisp_clock() - start))
    return best


def inputs_for(model: Model) -> dict[str, NDArray[Any]]:
    """Inputs that the model runs on: random ones, or zeros where these index past a table."""
    inputs = random_inputs(model)
    try:
        model.run(inputs)
    except InputIndexError:
        return model.zero_inputs()
    return inputs


def random_inputs(model: Model, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Inputs of the bound shapes: floats in -1..1, 8-bit integers in full range, other integers and bools 0 or 1."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, NDArray[Any]] = {}
    for name, zeros in model.zero_inputs().items():
        if zeros.dtype.kind == "f":
            inputs[name] = rng.uniform(-1, 1, zeros.shape).astype(zeros.dtype)
        elif zeros.dtype in (np.int8, np.uint8):
            inputs[name] = rng.integers(0, 256, zeros.shape, np.uint8).view(zeros.dtype)
        else:
            inputs[name] = rng.integers(0, 2, zeros.shape).astype(zeros.dtype)
    return inputs
