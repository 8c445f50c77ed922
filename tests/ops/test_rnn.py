"""GRU, LSTM and RNN against ONNX Runtime (and ONNX's reference, where it knows the form)."""
# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

import wisp
from support import check_model, count, make_model, onnxruntime_outputs, optimized
from wisp_converter import ModelError, UnsupportedError, convert

rng = np.random.default_rng(14)

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}


def normal(*shape):
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def recurrent(op, steps=5, batch=2, size=6, hidden=7, *, bias=True, lengths=None, initial=False, peepholes=False,
              outputs=None, symbolic=False, direction="forward", computed=False, **attrs):
    """(model, inputs) of one node. `computed`: its weights are inputs."""
    directions = 2 if direction == "bidirectional" else 1
    rows = GATES[op] * hidden
    inputs = {"x": normal(steps, batch, size)}
    constants = {"w": normal(directions, rows, size), "r": normal(directions, rows, hidden)}
    operands = ["x", "w", "r", "", "", ""] + (["", ""] if op == "LSTM" else [])
    if bias:
        constants["b"], operands[3] = normal(directions, 2 * rows), "b"
    if lengths is not None:
        inputs["lengths"], operands[4] = np.array(lengths, np.int32), "lengths"
    if initial:
        inputs["h0"], operands[5] = normal(directions, batch, hidden), "h0"
        if op == "LSTM":
            inputs["c0"], operands[6] = normal(directions, batch, hidden), "c0"
    if peepholes:
        constants["p"], operands[7] = normal(directions, 3 * hidden), "p"
    if computed:
        inputs.update(constants)
        constants = {}
    if attrs.get("layout"):
        inputs["x"] = np.ascontiguousarray(inputs["x"].transpose(1, 0, 2))
        inputs.update({n: np.ascontiguousarray(inputs[n].transpose(1, 0, 2)) for n in ("h0", "c0") if n in inputs})
    while operands[-1] == "":
        operands.pop()
    outputs = outputs or (["y", "h", "c"] if op == "LSTM" else ["y", "h"])
    spec = {n: (a.dtype, [f"{n}{i}" if symbolic and i < 2 and n == "x" else d for i, d in enumerate(a.shape)])
            for n, a in inputs.items()}
    node = (op, operands, outputs, dict(hidden_size=hidden, direction=direction, **attrs))
    return make_model([node], spec, [o for o in outputs if o], constants), inputs


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_directions(op, direction):
    for options in (dict(), dict(bias=False, batch=1), dict(initial=True, hidden=16),
                    dict(initial=True, batch=9, hidden=33)):
        model, inputs = recurrent(op, direction=direction, **options)
        # the reference leaves out c
        check_model(model, inputs, trust_reference=direction == "forward" and op != "LSTM")


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("hidden", [3, 16, 40])
def test_gru_linear_before_reset(direction, hidden):
    model, inputs = recurrent("GRU", direction=direction, hidden=hidden, initial=True, batch=3, linear_before_reset=1)
    check_model(model, inputs, trust_reference=direction == "forward")


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_lengths(op, direction):
    model, inputs = recurrent(op, batch=4, lengths=[5, 1, 3, 5], initial=True, direction=direction)
    check_model(model, inputs, trust_reference=False)
    session = wisp.load(convert(model, verify=False))
    for wrong in (6, -1):
        with pytest.raises(wisp.WispError, match="cannot have this length"):
            session.run({**inputs, "lengths": np.array([5, wrong, 3, 5], np.int32)})


@pytest.mark.parametrize("op", GATES)
def test_batch_first(op):
    """ONNX Runtime refuses layout 1; the same numbers with steps first are the oracle."""
    state = rng.bit_generator.state
    first, inputs = recurrent(op, layout=1, initial=True, direction="bidirectional")
    rng.bit_generator.state = state
    second, moved = recurrent(op, initial=True, direction="bidirectional")
    want = check_model(second, moved, trust_reference=False)
    got = wisp.load(convert(first, verify=False)).run(inputs)
    assert np.array_equal(got["y"], want["y"].transpose(2, 0, 1, 3))
    for name in set(got) - {"y"}:
        assert np.array_equal(got[name], want[name].transpose(1, 0, 2))


@pytest.mark.parametrize("op", GATES)
def test_clip(op):
    model, inputs = recurrent(op, clip=0.3, initial=True)
    check_model(model, inputs, trust_reference=False)


def test_lstm_peepholes():
    for direction in ("forward", "bidirectional"):
        model, inputs = recurrent("LSTM", peepholes=True, initial=True, hidden=19, direction=direction)
        check_model(model, inputs, trust_reference=False)


def test_rnn_relu():
    model, inputs = recurrent("RNN", activations=["Relu"])
    check_model(model, inputs, trust_reference=False)


@pytest.mark.parametrize("op", GATES)
def test_some_outputs(op):
    names = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
    for i in range(len(names)):
        for direction in ("forward", "bidirectional"):
            outputs = [n if k == i else "" for k, n in enumerate(names[: i + 1])]
            model, inputs = recurrent(op, direction=direction, outputs=outputs)
            check_model(model, inputs, trust_reference=False)


@pytest.mark.parametrize("op", GATES)
def test_symbolic_steps_and_batch(op):
    model, inputs = recurrent(op, symbolic=True, direction="bidirectional")
    check_model(model, inputs, trust_reference=False)


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("linear_before_reset", [0, 1])
def test_threads_do_not_matter(op, linear_before_reset):
    attrs = {"linear_before_reset": linear_before_reset} if op == "GRU" else {}
    model, inputs = recurrent(op, steps=3, batch=4, hidden=272, initial=True, **attrs)
    data = convert(model, verify=False)
    results = [wisp.load(data, threads=t).run(inputs) for t in (1, 2, 3)]
    for name in results[0]:
        assert all(np.array_equal(results[0][name], r[name]) for r in results)


def test_arena_is_exact():
    """The converter's formula for scratch is the runtime's: loading checks it. Both with and without kernels."""
    model, inputs = recurrent("GRU", batch=3, hidden=37)
    data = convert(model, verify=False)
    a, b = (wisp.load(data, cpu=cpu).run(inputs)["y"] for cpu in ("scalar", None))
    assert np.abs(a - b).max() < 1e-5


# ---- without kernels: loops, or a few steps one behind the other


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("steps", [1, 4, 9])
def test_computed_weights(op, direction, steps):
    lengths = [steps, 1, (steps + 1) // 2]
    for options in (dict(), dict(bias=False, clip=0.4), dict(initial=True, lengths=lengths, batch=3),
                    dict(symbolic=True, peepholes=op == "LSTM")):
        if op == "GRU":
            options["linear_before_reset"] = steps % 2
        model, inputs = recurrent(op, steps=steps, direction=direction, computed=True, **options)
        check_model(model, inputs, trust_reference=False)


@pytest.mark.parametrize("op", GATES)
def test_computed_weights_with_the_batch_first(op):
    """As test_batch_first."""
    state = rng.bit_generator.state
    first, inputs = recurrent(op, layout=1, initial=True, direction="bidirectional", computed=True)
    rng.bit_generator.state = state
    second, moved = recurrent(op, initial=True, direction="bidirectional", computed=True)
    want = check_model(second, moved, trust_reference=False)
    got = wisp.load(convert(first, verify=False)).run(inputs)
    assert np.array_equal(got["y"], want["y"].transpose(2, 0, 1, 3))


def test_steps_that_only_the_run_tells():
    model, inputs = recurrent("LSTM", steps=3, symbolic=True, computed=True, direction="reverse")
    session = wisp.load(convert(model))
    for steps, batch in ((1, 1), (7, 3), (0, 2)):
        x = normal(steps, batch, 6)
        got = session.run({**inputs, "x": x})
        if steps:
            for name, want in onnxruntime_outputs(model, {**inputs, "x": x}).items():
                np.testing.assert_allclose(got[name], want, rtol=1e-4, atol=1e-6)
        else:
            assert got["y"].shape == (0, 1, 2, 7) and not got["h"].any()


ACTIVATIONS = {  # names of i, of the candidate, of the output; alphas, betas
    "keras": (["HardSigmoid", "Tanh", "Tanh"], [0.2], [0.5]),
    "defaults": (["HardSigmoid", "LeakyRelu", "Elu"], [], []),
    "in order": (["HardSigmoid", "ScaledTanh", "Affine"], [0.3, 0.9, 0.7], [0.4, 0.8, 0.1]),
    "some take none": (["sigmoid", "Softsign", "LeakyRelu"], [0.3], []),
    "thresholds": (["Softplus", "Relu", "ThresholdedRelu"], [0.05], []),
}


@pytest.mark.parametrize("op", GATES)
@pytest.mark.parametrize("case", ACTIVATIONS)
def test_activations(op, case):
    names, alphas, betas = ACTIVATIONS[case]
    names = {"GRU": names[:2], "LSTM": names, "RNN": names[1:2]}[op]
    takes = [{"HardSigmoid": 2, "ScaledTanh": 2, "Affine": 2, "LeakyRelu": 1, "Elu": 1, "ThresholdedRelu": 1}.get(n, 0)
             for n in ACTIVATIONS[case][0]]
    used = slice(1, 2) if op == "RNN" else slice(0, len(names))
    first = sum(t > 0 for t in takes[:used.start]), sum(t > 1 for t in takes[:used.start])
    count = sum(t > 0 for t in takes[used]), sum(t > 1 for t in takes[used])
    attrs = {"activation_alpha": alphas[first[0]:][:count[0]], "activation_beta": betas[first[1]:][:count[1]]}
    # clipped, because some of these have no bounds
    model, inputs = recurrent(op, activations=names, clip=1.0, **{k: v for k, v in attrs.items() if v})
    check_model(model, inputs, trust_reference=False)


@pytest.mark.parametrize("op", GATES)
def test_activations_of_each_direction(op):
    names = {"GRU": ["Sigmoid", "Tanh", "HardSigmoid", "Affine"], "RNN": ["Tanh", "LeakyRelu"],
             "LSTM": ["HardSigmoid", "Tanh", "Tanh", "Sigmoid", "LeakyRelu", "Tanh"]}[op]
    attrs = {"GRU": dict(activation_alpha=[0.3, 0.7], activation_beta=[0.4, 0.2]), "RNN": dict(activation_alpha=[0.3]),
             "LSTM": dict(activation_alpha=[0.25, 0.1], activation_beta=[0.45])}[op]
    model, inputs = recurrent(op, direction="bidirectional", activations=names, **attrs)
    check_model(model, inputs, trust_reference=False)


def test_rnn_with_relu_in_one_direction_keeps_its_kernels():
    model, inputs = recurrent("RNN", direction="bidirectional", activations=["Tanh", "Relu"])
    check_model(model, inputs, trust_reference=False)
    assert count(optimized(model), "RNN") == 2


@pytest.mark.parametrize("steps", [2, 6])
@pytest.mark.parametrize("peepholes", [False, True])
def test_lstm_input_forget(steps, peepholes):
    model, inputs = recurrent("LSTM", steps=steps, input_forget=1, peepholes=peepholes, initial=True)
    check_model(model, inputs, trust_reference=False)


def test_refusals():
    for activations, error, what in ((["Sine", "Tanh"], UnsupportedError, "'Sine'"),
                                     (["Tanh"], ModelError, "1 activations, expected 2 for each direction")):
        model, _ = recurrent("GRU", activations=activations)
        with pytest.raises(error, match=what):
            convert(model)


def test_int8_of_a_product_that_no_clamp_is_stated_of():
    """A layer without a kernel is made of plain products; they get an int8 form as any others do."""
    model, inputs = recurrent("GRU", activations=["Sigmoid", "Softsign"], outputs=["y"])
    want = onnxruntime_outputs(model, inputs)["y"]
    data = convert(model, quantize="int8", calibration=[inputs], verify=False)
    got = wisp.load(data).run(inputs)["y"]
    assert got.shape == want.shape and np.abs(got - want).max() < 0.1 * np.abs(want).max()
