"""What calibration does to a float graph and how it chooses ranges, against ONNX's reference and numpy."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import wisp
from onnx.reference import ReferenceEvaluator
from support import make_model
from wisp_converter import convert
from wisp_converter.quantize import equalize
from wisp_converter.target import format as fmt
from wisp_converter.quantize.observe import BINS, Histogram
from wisp_converter.sources.onnx.importer import import_graph
from wisp_converter.sources.onnx.load import load
from wisp_converter.target.pack import pack
from wisp_converter.passes import run_passes
from wisp_converter.target.plan import plan_memory
from wisp_converter.quantize.readers import Reader, best_range, find_readers

SPREAD = np.geomspace(0.01, 1, 16).astype(np.float32)  # of the narrow channels' ranges


def narrow_block(outputs=("y",)):
    """Two convolutions without activation, added up, read by a third: x [1, 8, 6, 6] -> y [1, 24, 6, 6]."""
    rng = np.random.default_rng(1)

    def weight(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    constants = {"w0": weight(16, 8, 1, 1) * SPREAD[:, None, None, None], "b0": weight(16) * SPREAD,
                 "w1": weight(16, 8, 3, 3) * SPREAD[:, None, None, None],
                 "w2": weight(24, 16, 1, 1) / SPREAD[None, :, None, None]}
    nodes = [("Conv", ["x", "w0", "b0"], ["a"]), ("Conv", ["x", "w1"], ["b"], {"pads": [1] * 4}),
             ("Add", ["a", "b"], ["narrow"]), ("Conv", ["narrow", "w2"], ["wide"]), ("Relu", ["wide"], ["y"])]
    return make_model(nodes, {"x": [1, 8, 6, 6]}, list(outputs), constants)


def float_graph(model):
    graph = import_graph(load(model, None))
    run_passes(graph)
    return graph


def peaks_of(graph) -> dict:
    """The narrow channels' ranges, for every value with 16 of them."""
    return {v: SPREAD for node in graph.nodes for v in node.outputs if v.shape and v.shape[-1] == 16}


def test_equalized_networks_compute_the_same():
    model = narrow_block()
    graph = float_graph(model)
    assert equalize.equalize(graph, peaks_of(graph)) == 3, "a, b and their sum"
    pack(graph)
    x = np.random.default_rng(2).standard_normal((1, 8, 6, 6)).astype(np.float32)
    want = ReferenceEvaluator(model).run(None, {"x": x})[0]
    got = wisp.load(fmt.write(graph, plan_memory(graph))).run({"x": x})["y"]
    np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


def test_what_the_caller_sees_keeps_its_scale():
    graph = float_graph(narrow_block(outputs=("y", "narrow")))
    assert equalize.equalize(graph, peaks_of(graph)) == 0


def test_equalized_channels_lose_less(monkeypatch):
    model, rng = narrow_block(), np.random.default_rng(3)
    samples = [{"x": rng.standard_normal((1, 8, 6, 6)).astype(np.float32)} for _ in range(8)]
    want = ReferenceEvaluator(model).run(None, samples[0])[0]

    def error(strength: float) -> float:
        monkeypatch.setattr(equalize, "STRENGTH", strength)
        data = convert(model, quantize="int8", calibration=samples, verify=False)
        return float(np.sqrt(np.mean((wisp.load(data).run(samples[0])["y"] - want) ** 2)))

    assert error(0.5) < 0.7 * error(0.0)


def dense(weights: np.ndarray):
    """The only reader of x in x @ weights."""
    graph = float_graph(make_model([("MatMul", ["x", "w"], ["y"])], {"x": [64, len(weights)]}, ["y"], {"w": weights}))
    (readers,) = find_readers(graph, set(graph.inputs)).values()
    return readers


def stored(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """x after int8 over [low, high], in double precision."""
    step = (float(high) - float(low)) / 255
    zero = np.round(-128 - low / step)
    return (np.clip(np.round(x / step) + zero, -128, 127) - zero) * step


@pytest.mark.parametrize("seed", range(4))
def test_the_error_behind_the_weights(seed):
    rng = np.random.default_rng(seed)
    weights, x = rng.standard_normal((10, 6)).astype(np.float32), rng.standard_normal((64, 10)).astype(np.float32)
    (reader,) = dense(weights)
    assert isinstance(reader, Reader)
    reader.add(x, 1)
    reader.prepare()
    for low, high in [(-3.0, 3.0), (-1.0, 2.0), (0.0, 0.5)]:
        w = weights.astype(np.float64)
        want = np.mean(((stored(x, low, high) - x) @ w) ** 2) / np.mean((x @ w) ** 2)
        assert reader.error(low, high) == pytest.approx(want, rel=1e-3)


def test_a_value_nobody_weighs_is_cut_off():
    rng = np.random.default_rng(5)
    weights, x = rng.standard_normal((10, 6)).astype(np.float32), rng.uniform(-1, 1, (64, 10)).astype(np.float32)
    weights[0], x[:, 0] = 0, np.linspace(-100, 100, 64)
    readers = dense(weights)
    readers[0].add(x, 1)
    low, high = best_range(readers, -100, 100)
    assert -35 <= low <= -20 + 1e-6 and 20 - 1e-6 <= high <= 35


@pytest.mark.parametrize("percentile", [100, 99.9, 99, 90, 60])
@pytest.mark.parametrize("shape", ["normal", "ends", "one side"])
def test_percentiles(percentile, shape):
    """What is left when that share of the sorted values is cut off each end,
    within a bin of the histogram and no further in."""
    values = np.random.default_rng(6).standard_normal(20_000).astype(np.float32)
    if shape == "ends":  # a tenth of the values at each end of the histogram
        values = np.repeat(np.float32([-4, -1, 1, 4]), [2_000, 8_000, 8_000, 2_000])
    elif shape == "one side":
        values = np.abs(values)
    histogram = Histogram()
    for part in np.split(values, 10):
        histogram.add(part)
    low, high = histogram.range("percentile", percentile)
    bin_width = 2 * histogram.limit / BINS
    cut = int(len(values) * (100 - percentile) / 100)
    want_low, want_high = np.sort(values)[[cut, -1 - cut]]
    assert want_low - bin_width <= low <= want_low + 1e-6 and want_high - 1e-6 <= high <= want_high + bin_width
    if percentile == 100:
        assert (low, high) == (values.min(), values.max())
