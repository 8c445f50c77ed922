"""wisp bench: where the time of a model goes."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import time
from typing import Any

from ..profile import Profile
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _shared.add_model_arguments(parser)
    parser.add_argument("--runs", type=_shared.number(int, 1, 10**9, "a whole number of at least 1"), metavar="N",
                        help="number of timed runs (default: as many as fit)")
    parser.add_argument("--seconds", type=_shared.number(float, 0, 86400, "seconds, 0 to 86400"), default=2.0,
                        metavar="S", help="time for the timed runs (default 2)")
    parser.add_argument("--json", action="store_true", help="print everything as JSON")


def run(arguments: argparse.Namespace) -> None:
    start = time.perf_counter()
    model = _shared.load_model(arguments)
    load_us = (time.perf_counter() - start) * 1e6
    profile = model.profile(runs=arguments.runs, seconds=arguments.seconds)
    if arguments.json:
        print(_shared.json_text(report(profile, load_us)))
    else:
        print(profile_text(profile, load_us))


def report(profile: Profile, load_us: float) -> dict[str, Any]:
    """Everything `wisp bench --json` prints. Times in microseconds, peaks in G multiply-accumulates per second."""
    nodes = [{**vars(n), "dtype": str(n.dtype)} for n in profile.nodes]
    for node in nodes:
        node["us"] = node.pop("microseconds")
    return {"load_us": load_us, **vars(profile), "nodes": nodes}


def profile_text(profile: Profile, load_us: float | None = None) -> str:
    """A line for each operator, then the totals."""
    rows = [["node", "operator", "kernel", "output", "us", "share", "GMAC/s", "of peak"]]
    for n in profile.nodes:
        macs = [f"{n.gmacs:.1f}", f"{n.peak_share:.0%}"] if n.peak_share is not None else ["", ""]
        rows.append([n.name[-40:], n.operator, n.kernel, f"{n.dtype} {_shared.shape_text(n.shape)}",
                     f"{n.microseconds:.1f}", f"{n.share:.1%}", *macs])
    peaks = ", ".join(f"{kind} {value:.0f}" for kind, value in profile.peak_gmacs.items())
    load = "" if load_us is None else f"load {load_us / 1e3:.2f} ms, "
    return (f"{_shared.table(rows, right={4, 5, 6, 7})}\n\n{load}first run {profile.first_run_us / 1e3:.3f} ms; "
            f"then {profile.runs} runs: median {profile.median_us / 1e3:.3f} ms, "
            f"min {profile.min_us / 1e3:.3f} ms on {profile.threads} thread(s)\n"
            f"{profile.macs / 1e6:,.1f} M multiply-accumulates; peak of this machine in G/s: {peaks}\n"
            f"memory: session {_shared.size_text(profile.session_bytes)}, "
            f"arena {_shared.size_text(profile.arena_bytes)}")
