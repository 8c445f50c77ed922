"""What the quantizer makes of a graph: shared and fixed scales, chains of unary operators, the correction of biases."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
import wisp
from support import make_model, reference
from wisp.file import read
from wisp_converter import convert
from wisp_converter.target import format as fmt
from wisp_converter.ir import Graph, Node, Value, constant
from wisp_converter.target.pack import pack
from wisp_converter.target.plan import plan_memory
from wisp_converter.progress import Progress
from wisp_converter.quantize.int8 import quantize_int8
from wisp_converter.quantize.observe import calibrate

rng = np.random.default_rng(21)


def random(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def int8(model, inputs, **options) -> bytes:
    return convert(model, quantize="int8", calibration=[inputs], method="minmax", verify=False, **options)


@pytest.mark.parametrize("bounded", [
    ("Sigmoid", {}), ("HardSigmoid", {}), ("Softmax", {"axis": 1})], ids=lambda p: p[0])
@pytest.mark.parametrize("wide", [
    ("Conv", ["x", "w"], {}), ("AveragePool", ["x"], {"kernel_shape": [1, 1]}), ("Add", ["c", "c"], {}),
    ("Mul", ["c", "c"], {}), ("MaxPool", ["x"], {"kernel_shape": [1, 1]})], ids=lambda p: p[0])
def test_a_dictated_scale_does_not_rule_its_neighbours(bounded, wide):
    """Concat of values in 0..1 and others far outside: one scale, wide enough for both."""
    op, operands, attributes = wide
    nodes = [("Conv", ["x", "v"], ["c"]), (bounded[0], ["c"], ["s"], bounded[1]), (op, operands, ["d"], attributes),
             ("Concat", ["s", "d"], ["j"], {"axis": 1}), ("MaxPool", ["j"], ["y"], {"kernel_shape": [1, 1]})]
    constants = {"v": 20 * random(4, 4, 1, 1)} | ({"w": 50 * random(4, 4, 1, 1)} if "w" in operands else {})
    x = {"x": 10 * random(1, 4, 6, 6)}
    model = make_model(nodes, {"x": [1, 4, 6, 6]}, ["y"], constants)
    with np.errstate(all="ignore"):
        want = reference(model, x)["y"]
    assert np.abs(wisp.load(int8(model, x)).run(x)["y"] - want).max() < 0.03 * np.abs(want).max()


def test_a_dictated_scale_is_used_where_it_can_be():
    model = make_model([("Conv", ["x", "w"], ["c"]), ("Sigmoid", ["c"], ["s"]),
                        ("MaxPool", ["s"], ["y"], {"kernel_shape": [2, 2]})],
                       {"x": [1, 4, 6, 6]}, ["y"], {"w": random(4, 4, 1, 1)})
    file = read(int8(model, {"x": random(1, 4, 6, 6)}))
    pool = file.operators[-2] if "dequantize" in file.operators[-1].name else file.operators[-1]
    assert any((t.scale, t.zero_point) == (1 / 256, -128) for t in pool.inputs)


def test_the_bias_is_corrected_in_the_right_direction():
    """Inputs with a large mean: what rounding the weights adds to each output is nearly gone, not doubled."""
    weights, x = random(96, 24), {"x": rng.uniform(1.5, 2.5, (512, 96)).astype(np.float32)}
    model = make_model([("Gemm", ["x", "w"], ["y"])], {"x": [512, 96]}, ["y"], {"w": weights})
    want = reference(model, x)["y"].astype(np.float64)

    def mean_errors(correct: bool) -> np.ndarray:
        with patch("wisp_converter.quantize.round.BIAS_CORRECTION", correct):
            return (wisp.load(int8(model, x)).run(x)["y"] - want).mean(axis=0)

    plain, corrected = mean_errors(False), mean_errors(True)
    assert np.sqrt((corrected**2).mean()) < 0.2 * np.sqrt((plain**2).mean())


def test_the_middle_of_a_chain_may_be_an_output():
    nodes = [("Conv", ["x", "w"], ["c"]), ("Tanh", ["c"], ["t"]), ("Abs", ["t"], ["a"]), ("Conv", ["a", "v"], ["y"])]
    model = make_model(nodes, {"x": [1, 4, 6, 6]}, ["y", "t"], {"w": random(4, 4, 1, 1), "v": random(4, 4, 1, 1)})
    x = {"x": random(1, 4, 6, 6)}
    got, want = wisp.load(int8(model, x)).run(x), reference(model, x)
    for name in ("y", "t"):
        assert np.abs(got[name] - want[name]).max() < 0.08 * np.abs(want[name]).max()


@pytest.mark.parametrize("low, high", [(1.0, -1.0), (0.5, 0.5), (-1.0, np.inf), (-np.inf, -9.0)])
def test_fused_clamps(low, high):
    """ONNX's order: the upper bound wins where they cross."""
    model = make_model([("Conv", ["x", "w"], ["c"]), ("Clip", ["c", "lo", "hi"], ["y"])], {"x": [1, 4, 6, 6]}, ["y"],
                       {"w": random(4, 4, 1, 1), "lo": np.float32(low), "hi": np.float32(high)})
    x = {"x": random(1, 4, 6, 6)}
    weights = np.frombuffer(model.graph.initializer[0].raw_data, np.float32).reshape(4, 4, 1, 1)
    plain = make_model([("Conv", ["x", "w"], ["y"])], {"x": [1, 4, 6, 6]}, ["y"], {"w": weights})
    want = np.minimum(np.maximum(reference(plain, x)["y"], np.float32(low)), np.float32(high))
    assert np.abs(wisp.load(int8(model, x)).run(x)["y"] - want).max() < 0.03 * np.abs(want).max()


def test_branches_stay_float():
    """What they capture from an int8 node comes to them dequantized."""
    float32, weights = np.dtype(np.float32), random(6, 4)
    x, c, m, t, e, y = (Value(n, float32, (3, 6)) for n in "xcmtey")
    x.shape, c.dtype, c.shape = (3, 4), np.dtype(bool), ()
    then, other = (Graph([], [v], [Node(op, [m], [v], {}, op)]) for op, v in (("Neg", t), ("Tanh", e)))
    graph = Graph([x, c], [y],
                  [Node("Gemm", [x, constant("w", weights), None], [m], {"min": -np.inf, "max": np.inf}, "gemm"),
                   Node("If", [c], [y], {"then_branch": then, "else_branch": other}, "if")])
    given = [{"x": random(3, 4), "c": np.array(i % 2 == 0)} for i in range(8)]
    means, _ = calibrate(graph, given, method="minmax", percentile=100, preprocess=None, progress=Progress(False))
    quantize_int8(graph, means, lambda line: None)
    assert [n.op for n in graph.nodes] == ["QuantizeLinear", "Gemm", "DequantizeLinear", "If"]
    pack(graph)
    model = wisp.load(fmt.write(graph, plan_memory(graph)))
    for sample in given:
        product = sample["x"] @ weights.T
        np.testing.assert_allclose(model.run(sample)["y"], -product if sample["c"] else np.tanh(product),
                                   atol=0.02 * np.abs(product).max())
