"""Calibration: the range of every activation, seen while the float model runs on the user's data."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from itertools import chain, islice

import numpy as np

from ..errors import CalibrationError
from ..ir import Graph, Value
from ..opcodes import DEFAULTS, has_trait
from ..passes import remove_dead
from ..target.pack import pack
from ..target.plan import plan_memory
from ..progress import Progress
from ..runner import Runner
from ..states import States
from ..samples import count_samples, doubting, has_pictures, samples
from .equalize import SAMPLES, equalize, linear_groups
from .readers import best_range, find_readers

METHODS = ("output", "minmax", "percentile", "mse")
BINS = 4096  # of a histogram; even, so that it can grow by joining pairs
THREADS = 2
SPREAD = 0.01, 8.0
"""Of what a first layer makes of pictures: 0.2 to 6 in four trained networks with the right mean and std; 0.002 to
0.006 or 11 to 350 where pixels of 0..1 and 0..255 were exchanged (2026-11-29)."""


def calibrate(graph: Graph, calibration, *, method: str, percentile: float, states: States = States(),
              preprocess: dict | None = None, progress: Progress, say: Callable[[str], None] = lambda line: None
              ) -> tuple[dict[Value, np.ndarray], dict[str, np.ndarray]]:
    """Run the float graph on the calibration data; Value.range of each f32 activation becomes its (low, high), None
    where it is not finite. Returns the mean of each activation at each index of its last axis, over all others, where
    that axis is not dynamic; and the first sample. Channels of the graph are equalized first, see equalize.py. States
    go from each sample to the next.

    method "minmax" takes the extremes; "percentile" cuts (100 - percentile) % of the values off each end, which keeps
    a few outliers from making every step coarse; "mse" cuts where the mean squared error is least; "output" starts from
    the percentile and cuts where the error behind the next weights is least, see readers.py. CalibrationError when the
    data do not fit.
    """
    if method not in METHODS:
        raise CalibrationError(f"method {method!r}: expected one of {', '.join(METHODS)}")
    if not 50 < percentile <= 100:
        raise CalibrationError(f"percentile {percentile}: expected more than 50 and at most 100")
    stream = doubting(samples(calibration, states.visible(graph).inputs, preprocess), say)
    first = next(stream)  # bad data should fail before the model is built
    progress.step("observing channels")
    head = [first, *islice(stream, SAMPLES - 1)]
    if has_pictures(calibration):
        _doubt_spread(graph, [{**states.initial, **sample} for sample in head], say)
    equalize(graph, _channel_peaks(graph, states, head) if linear_groups(graph) else {})
    observer = _Observer(graph, states)
    watched = observer.watched
    histograms = {value: Histogram() for value in watched.values()}
    readers = find_readers(graph, set(watched.values())) if method == "output" else {}
    count = count_samples(calibration)
    for sample in progress.over("calibrating", chain(head, stream), count, "sample"):
        arrays = observer.run(sample)
        for name, value in watched.items():
            array = arrays[name]
            histograms[value].add(array)
            for reader in readers.get(value, ()):
                reader.add(array, count or 64)
    del observer, arrays
    for value, histogram in histograms.items():
        value.range = histogram.range(method, percentile)
        if value in readers and value.range is not None:
            value.range = best_range(readers.pop(value), *value.range)
    return {v: h.mean_sum / h.samples for v, h in histograms.items() if h.finite and h.mean_sum is not None}, first


def _doubt_spread(graph: Graph, head: list[dict], say: Callable[[str], None]) -> None:
    """A warning if pixels are most likely in another unit than the model was trained on."""
    spread = _first_spread(graph, head)
    if spread is None or SPREAD[0] <= spread <= SPREAD[1]:
        return
    wanted = ("pixels of 0..255: preprocess={'preset': 'bytes'}" if spread < SPREAD[0] else
              "smaller numbers: preprocess={'preset': 'imagenet'}, 0..1 or -1..1")
    say(f"warning: the first layer makes numbers that spread by {spread:.2g} of these pictures, where 0.1 to 5 is "
        f"usual; perhaps the model wants {wanted}")


def _first_spread(graph: Graph, head: list[dict]) -> float | None:
    """The standard deviation, median over channels, of what the first layer with weights computes, before any clamp;
    None without such a layer, or for pictures of one color."""
    copy, _ = graph.copy()
    layer = next((n for n in copy.nodes if has_trait(n.op, "WEIGHTS")), None)
    if layer is None:
        return None
    layer.attrs.update({name: DEFAULTS[name] for name in ("min", "max") if name in layer.attrs})
    copy.outputs = layer.outputs[:1]
    remove_dead(copy)
    pack(copy)
    runner, name = Runner.of(copy, plan_memory(copy), threads=THREADS), layer.outputs[0].name
    rows = [array.reshape(-1, array.shape[-1]) for array in (runner.run(sample)[name] for sample in head)]
    return float(np.median(np.concatenate(rows).std(axis=0))) or None


def _channel_peaks(graph: Graph, states: States, head: list[dict]) -> dict[Value, np.ndarray]:
    """The largest |x| at each index of the last axis of every activation; missing where that axis is dynamic."""
    observer = _Observer(graph, states)
    watched = observer.watched
    histograms = {name: Histogram() for name, value in watched.items() if value not in graph.inputs}
    for sample in head:
        arrays = observer.run(sample)
        for name, histogram in histograms.items():
            histogram.add(arrays[name])
    return {watched[n]: h.peak for n, h in histograms.items() if h.finite and h.mean_sum is not None}


class _Observer:
    """The float model with every f32 activation as an output. `watched`: those, and inputs, by the names they have in
    what `run` returns."""

    def __init__(self, graph: Graph, states: States) -> None:
        copy, twin = graph.copy()
        found = {f"activation {i}": v for i, v in enumerate(v for n in graph.nodes for v in n.outputs)
                 if v is not None and v.dtype == np.float32}
        self.next = {name: f"state {name}" for name in states.inputs.values()}
        others = {self.next[name]: v for name, v in states.next_values(graph).items()}
        outputs = {v: name for name, v in (*others.items(), *found.items())}
        for value, name in outputs.items():
            twin[value].name = name
        self.next = {name: outputs[others[key]] for name, key in self.next.items()}
        copy.outputs = [twin[v] for v in outputs]
        pack(copy)
        self.runner, self.state = Runner.of(copy, plan_memory(copy), threads=THREADS), states.initial
        self.watched = {**found, **{f"input {v.name}": v for v in graph.inputs if v.dtype == np.float32}}

    def run(self, sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        inputs = {**self.state, **sample}
        outputs = self.runner.run(inputs)
        self.state = {name: outputs[key] for name, key in self.next.items()}
        return {**outputs, **{f"input {name}": array for name, array in inputs.items()}}


class Histogram:
    """A streaming histogram of |BINS| equal bins over [-limit, limit]; the limit doubles when a value exceeds it."""

    def __init__(self) -> None:
        self.limit, self.counts = 0.0, np.zeros(BINS, np.int64)
        self.low, self.high, self.finite = np.inf, -np.inf, True
        self.mean_sum, self.peak, self.samples = None, None, 0

    def add(self, array: np.ndarray) -> None:
        if array.size == 0 or not self.finite:
            return
        low, high = float(array.min()), float(array.max())
        if not np.isfinite(low) or not np.isfinite(high):
            self.finite = False
            return
        self.low, self.high = min(self.low, low), max(self.high, high)
        self.add_channels(array)
        self.grow(max(abs(low), abs(high)))
        if self.limit:
            index = (array.ravel() * np.float32(BINS / 2 / self.limit) + np.float32(BINS // 2)).astype(np.int32)
            self.counts += np.bincount(np.clip(index, 0, BINS - 1), minlength=BINS)

    def add_channels(self, array: np.ndarray) -> None:
        if array.ndim:
            rows = array.reshape(-1, array.shape[-1])
            mean, peak = rows.mean(axis=0, dtype=np.float64), np.maximum(rows.max(axis=0), -rows.min(axis=0))
            if not self.samples:
                self.mean_sum, self.peak = mean, peak
            elif self.mean_sum is not None and len(mean) == len(self.mean_sum):
                self.mean_sum, self.peak = self.mean_sum + mean, np.maximum(self.peak, peak)
            else:
                self.mean_sum = self.peak = None  # the last axis is dynamic: there is no such thing as a channel
        self.samples += 1

    def grow(self, largest: float) -> None:
        if largest and not self.limit:
            self.limit = 2.0 ** np.ceil(np.log2(largest))
        while largest > self.limit:
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.concatenate([np.zeros(BINS // 4, np.int64), pairs, np.zeros(BINS // 4, np.int64)])
            self.limit *= 2

    def range(self, method: str, percentile: float) -> tuple[float, float] | None:
        if not self.finite or self.low > self.high:
            return None
        if method == "minmax" or not self.limit:
            return self.low, self.high
        if method == "mse":
            return self.least_error()
        cut = self.counts.sum() * (100 - percentile) / 100
        edges = np.linspace(-self.limit, self.limit, BINS + 1)
        below, above = np.cumsum(self.counts), np.cumsum(self.counts[::-1])[::-1]
        low = edges[np.searchsorted(below, cut, side="right")]
        high = edges[BINS - np.searchsorted(above[::-1], cut, side="right")]
        return float(max(low, self.low)), float(min(high, self.high))

    def least_error(self) -> tuple[float, float]:
        """The part of [low, high] that int8 represents with the least mean squared error: clipping what is outside
        against rounding, scale**2 / 12, what is inside."""
        centers = (np.arange(BINS) + 0.5) * (2 * self.limit / BINS) - self.limit
        best, result = np.inf, (self.low, self.high)
        for part in np.linspace(1, 0.2, 81):
            low, high = min(self.low * part, 0.0), max(self.high * part, 0.0)
            outside = np.maximum(low - centers, 0) + np.maximum(centers - high, 0)
            error = (self.counts * np.where(outside > 0, outside ** 2, ((high - low) / 255) ** 2 / 12)).sum()
            if error < best:
                best, result = error, (max(low, self.low), min(high, self.high))
        return result
