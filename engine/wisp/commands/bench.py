"""wisp bench: where the time of a model goes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from .._library import aligned, cpu_flags, lib, pointer
from ..model import Model
from . import _shared

HELP = """Measure a model on random input: load, first run, latency, and the time of every operator.

A machine's peak is measured at the start: the best of many short loops of the same matrix kernel, int8 and float,
on operands that stay in the first-level cache, on one thread; times the number of threads. Operators are timed one
by one in runs of their own, so their sum is a little more than the latency."""

EXAMPLES = """
wisp bench model.wisp
wisp bench model.wisp --threads 2 --runs 100
wisp bench dynamic.wisp --shape x=1,3,8,8 --json
"""

WARM_UP = 3
PEAK_SECONDS = 0.2  # long enough to find the processor at full speed and undisturbed once


def add_arguments(parser) -> None:
    _shared.add_model_arguments(parser)
    parser.add_argument("--runs", type=_shared.number(int, 1, 10**9, "a whole number of at least 1"), metavar="N",
                        help="number of timed runs (default: as many as fit)")
    parser.add_argument("--seconds", type=_shared.number(float, 0, 86400, "seconds, 0 to 86400"), default=2.0,
                        metavar="S", help="time for the timed runs (default 2)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments) -> None:
    report = measure(lambda: _shared.load_model(arguments), arguments.threads, arguments.runs, arguments.seconds)
    if arguments.json:
        print(_shared.json_text(report))
    else:
        _print(report)


def measure(load: Callable[[], Model], threads: int, runs: int | None = None, seconds: float = 2.0) -> dict:
    """Everything `wisp bench --json` prints. Times in microseconds, peaks in G multiply-accumulates per second."""
    start = time.perf_counter()
    model = load()
    load_us = (time.perf_counter() - start) * 1e6
    inputs = _shared.random_inputs(model)
    first = _time_one(model, inputs)
    for _ in range(WARM_UP):
        model.run(inputs)
    times = _time_many(model, inputs, runs, seconds)
    peaks = {"int8": threads * peak(lib.WISP_S8), "float32": threads * peak(lib.WISP_F32)}
    nodes = model.profile(inputs, runs=min(len(times), 50))
    total = sum(n.microseconds for n in nodes) or 1.0
    return {
        "threads": threads,
        "load_us": load_us,
        "first_run_us": first,
        "runs": len(times),
        "median_us": float(np.median(times)),
        "min_us": float(np.min(times)),
        "session_bytes": model.session_bytes,
        "arena_bytes": model.arena_bytes,
        "macs": sum(n.macs for n in nodes),
        "peak_gmacs": peaks,
        "nodes": [_node(n, total, peaks) for n in nodes],
    }


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


def _time_one(model: Model, inputs: dict) -> float:
    start = time.perf_counter()
    model.run(inputs)
    return (time.perf_counter() - start) * 1e6


def _time_many(model: Model, inputs: dict, runs: int | None, seconds: float) -> list[float]:
    if runs:
        return [_time_one(model, inputs) for _ in range(runs)]
    times, end = [], time.perf_counter() + seconds
    while len(times) < 3 or time.perf_counter() < end:
        times.append(_time_one(model, inputs))
    return times


def _node(node, total: float, peaks: dict[str, float]) -> dict:
    rate = node.macs / node.microseconds / 1e3 if node.microseconds else 0.0
    roof = peaks["int8" if "_s8" in node.kernel else "float32"]
    return {"name": node.name, "operator": node.operator, "kernel": node.kernel, "dtype": str(node.dtype),
            "shape": list(node.shape), "us": node.microseconds, "share": node.microseconds / total, "macs": node.macs,
            "bytes": node.bytes, "gmacs": rate, "peak_share": rate / roof if node.macs and roof else None}


def _print(report: dict) -> None:
    rows = [["node", "operator", "kernel", "output", "us", "share", "GMAC/s", "of peak"]]
    for n in report["nodes"]:
        macs = [f"{n['gmacs']:.1f}", f"{n['peak_share']:.0%}"] if n["peak_share"] is not None else ["", ""]
        rows.append([n["name"][-40:], n["operator"], n["kernel"], f"{n['dtype']} {_shared.shape_text(n['shape'])}",
                     f"{n['us']:.1f}", f"{n['share']:.1%}", *macs])
    print(_shared.table(rows, right={4, 5, 6, 7}))
    peaks = ", ".join(f"{kind} {value:.0f}" for kind, value in report["peak_gmacs"].items())
    print(f"\nload {report['load_us'] / 1e3:.2f} ms, first run {report['first_run_us'] / 1e3:.3f} ms; "
          f"then {report['runs']} runs: median {report['median_us'] / 1e3:.3f} ms, "
          f"min {report['min_us'] / 1e3:.3f} ms on {report['threads']} thread(s)")
    print(f"{report['macs'] / 1e6:,.1f} M multiply-accumulates; peak of this machine in G/s: {peaks}")
    print(f"memory: session {_shared.size_text(report['session_bytes'])}, "
          f"arena {_shared.size_text(report['arena_bytes'])}")
