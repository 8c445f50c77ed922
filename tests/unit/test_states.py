"""States: what `convert(state=...)` keeps inside the session. Step by step equals the whole, run by ONNX Runtime."""
# SPDX-License-Identifier: Apache-2.0
import threading

import numpy as np
import onnx.utils
import pytest
import wisp
from support import make_model, onnxruntime_outputs, tagger
from wisp.cli import main
from wisp.file import read
from wisp_converter import ModelError, VerifyError, convert, verify
from wisp_converter.reference import Reference
from wisp_converter.states import RUNS

rng = np.random.default_rng(21)


def normal(*shape):
    return (rng.standard_normal(shape) * 0.5).astype(np.float32)


def report_of(model, **options) -> tuple[wisp.Model, list[str]]:
    lines = []
    return wisp.load(convert(model, report=lines.append, **options)), lines


def streamed(model: wisp.Model, name: str, parts: list) -> np.ndarray:
    """The outputs of consecutive runs, side by side along the time axis of `name`."""
    return [model.run(part)[name] for part in parts]


@pytest.mark.parametrize("op", ["GRU", "LSTM"])
@pytest.mark.parametrize("chunks", [[1] * 12, [3, 3, 3, 3], [5, 1, 4, 2]])
def test_a_tagger_step_by_step(op, chunks):
    model, state = tagger(op)
    steps = chunks[0] if len(set(chunks)) == 1 else None
    shapes = {n: (1, 2, 19) for n in state.values()} | ({"x": (steps, 2, 5)} if steps else {})
    loaded, lines = report_of(model, state=state, shapes=shapes)
    assert [i.name for i in loaded.inputs] == ["x"] and [o.name for o in loaded.outputs] == ["tags"]
    assert {s.name: s.shape for s in loaded.states} == {n: (1, 2, 19) for n in state.values()}
    assert sum(line.startswith("run ") for line in lines) >= RUNS - 1
    x = normal(12, 2, 5)
    want = onnxruntime_outputs(model, {"x": x, **{n: np.zeros((1, 2, 19), np.float32) for n in state.values()}})["tags"]
    for _ in range(2):
        got = np.concatenate(streamed(loaded, "tags", np.split(x, np.cumsum(chunks)[:-1])))
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
        loaded.reset()


def test_a_state_that_the_export_hides(tmp_path):
    """A GRU that begins with zeros made inside, as torch exports it, cut open by onnx's own tool."""
    constants = {"w": normal(1, 21, 5), "r": normal(1, 21, 7), "shape": np.int64([1, 1, 7])}
    model = make_model([("ConstantOfShape", ["shape"], ["start"]),
                        ("GRU", ["x", "w", "r", "", "", "start"], ["y", "last"], dict(hidden_size=7)),
                        ("Tanh", ["y"], ["z"])], {"x": ["steps", 1, 5]}, ["z"], constants)
    paths = str(tmp_path / "whole.onnx"), str(tmp_path / "cut.onnx")
    onnx.save(model, paths[0])
    onnx.utils.extract_model(*paths, ["x", "start"], ["z", "last"])
    loaded, _ = report_of(paths[1], state={"last": "start"}, shapes={"x": (1, 1, 5), "start": (1, 1, 7)})
    x = normal(9, 1, 5)
    np.testing.assert_allclose(np.concatenate(streamed(loaded, "z", np.split(x, 9))),
                               onnxruntime_outputs(model, {"x": x})["z"], rtol=1e-4, atol=1e-5)


def convolution(kernel: int = 4, dilation: int = 2, channels: int = 6):
    """A causal convolution over whole sequences; the same with a cache of what it has seen, any number of samples."""
    reach = (kernel - 1) * dilation
    constants = {"w": normal(channels, channels, kernel), "b": normal(channels), "w2": normal(3, channels, 1)}
    tail = [("Relu", ["c"], ["r"]), ("Conv", ["r", "w2"], ["y"], dict(kernel_shape=[1]))]
    attrs = dict(kernel_shape=[kernel], dilations=[dilation])
    whole = make_model([("Conv", ["x", "w", "b"], ["c"], dict(attrs, pads=[reach, 0])), *tail],
                       {"x": [1, channels, "t"]}, ["y"], constants)
    bounds = {"start": np.int64([-reach]), "end": np.int64([2**62]), "axis": np.int64([2])}
    step = make_model([("Concat", ["cache", "x"], ["seen"], dict(axis=2)), ("Conv", ["seen", "w", "b"], ["c"], attrs),
                       *tail, ("Slice", ["seen", "start", "end", "axis"], ["next"])],
                      {"x": [1, channels, "t"], "cache": [1, channels, reach]}, ["y", "next"], constants | bounds)
    return whole, step


@pytest.mark.parametrize("extent", [1, 3, None])
def test_a_causal_convolution_sample_by_sample(extent):
    whole, step = convolution()
    shapes = {"x": (1, 6, extent)} if extent else None
    loaded, _ = report_of(step, state={"next": "cache"}, shapes=shapes)
    x = normal(1, 6, 12)
    got = np.concatenate(streamed(loaded, "y", np.split(x, 12 // (extent or 4), axis=2)), axis=2)
    np.testing.assert_allclose(got, onnxruntime_outputs(whole, {"x": x})["y"], rtol=1e-4, atol=1e-5)


def test_int8_keeps_states_in_float():
    """Calibration goes through the samples in their order: ranges are those of a running stream."""
    whole, step = convolution()
    x = normal(1, 6, 200)
    samples = [{"x": part} for part in np.split(x, 200, axis=2)]
    loaded, lines = report_of(step, state={"next": "cache"}, shapes={"x": (1, 6, 1)}, quantize="int8",
                              calibration=samples)
    assert any(line.startswith("int8: ") and not line.startswith("int8: 0") for line in lines)
    assert [(s.name, s.dtype, s.scale) for s in loaded.states] == [("cache", np.float32, 0.0)]
    want = onnxruntime_outputs(whole, {"x": x})["y"]
    got = np.concatenate(streamed(loaded, "y", [s["x"] for s in samples]), axis=2)
    noise = 10 * np.log10((want ** 2).sum() / ((got - want) ** 2).sum())
    assert noise > 25, noise


def test_int8_calibrates_with_what_the_stream_reaches():
    """A sum that grows from sample to sample: without the states its range would be that of one sample."""
    model = make_model([("Add", ["x", "total"], ["sum"]), ("MatMul", ["sum", "m"], ["y"])],
                       {"x": [1, 8], "total": [1, 8]}, ["y", "sum"], {"m": normal(8, 8)})
    samples = [{"x": np.full((1, 8), 0.5, np.float32)} for _ in range(40)]
    loaded, _ = report_of(model, state={"sum": "total"}, quantize="int8", calibration=samples, method="minmax")
    want = 20 * model_matrix(model).sum(axis=0)
    got = [loaded.run(s)["y"] for s in samples][-1][0]
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


def model_matrix(model: onnx.ModelProto) -> np.ndarray:
    return onnx.numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "m"))


# ---- what is a state


def counter(dtype=np.int64) -> onnx.ModelProto:
    """y = x + n, where n counts the runs."""
    return make_model([("Add", ["n", "one"], ["after"]), ("Cast", ["n"], ["f"], dict(to=1)),
                       ("Add", ["x", "f"], ["y"])],
                      {"x": ["k"], "n": (dtype, [1])}, ["y", "after"], {"one": np.ones(1, dtype)})


def test_integers_and_resizing():
    loaded, _ = report_of(counter(), state={"after": "n"})
    for run, size in enumerate((2, 2, 700, 1, 5)):
        np.testing.assert_array_equal(loaded.run(np.zeros(size, np.float32))["y"], np.full(size, run, np.float32))
    with pytest.raises(wisp.WispError):
        loaded.run(np.zeros((2, 2), np.float32))
    assert loaded.run(np.zeros(1, np.float32))["y"] == 5


@pytest.mark.parametrize("is_input", [True, False])
def test_an_initializer_is_where_it_begins(is_input):
    model = counter()
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.int64([40]), "n"))
    if not is_input:
        del model.graph.input[1]
    data = convert(model, state={"after": "n"})
    loaded = wisp.load(data)
    for _ in range(2):
        assert [float(loaded.run(np.zeros(1, np.float32))["y"][0]) for _ in range(3)] == [40, 41, 42]
        loaded.reset()
    assert read(data).states[0].initial is not None


def test_a_fixed_cache_that_a_run_writes_into():
    """Keys of the steps so far in rows of a table, its length in a state of its own."""
    model = make_model([("Unsqueeze", ["count", "zero"], ["row"]), ("ScatterND", ["past", "row", "k"], ["present"]),
                        ("ReduceSum", ["present"], ["y"], dict(keepdims=0)), ("Add", ["count", "one"], ["after"])],
                       {"k": [1, 4], "past": [8, 4], "count": (np.int64, [1])}, ["y", "present", "after"],
                       {"zero": np.int64([1]), "one": np.int64([1])})
    loaded, _ = report_of(model, state={"present": "past", "after": "count"})
    keys = normal(8, 1, 4)
    got = [float(loaded.run(k)["y"]) for k in keys]
    np.testing.assert_allclose(got, np.cumsum(keys.sum(axis=(1, 2), dtype=np.float64)), rtol=1e-4, atol=1e-5)
    with pytest.raises(wisp.InputIndexError):  # it is full: states stay as they were
        loaded.run(keys[0])
    with pytest.raises(wisp.InputIndexError):
        loaded.run(keys[0])


def test_outputs_that_stay():
    model = make_model([("Mul", ["x", "before"], ["y"]), ("Add", ["y", "one"], ["z"])], {"x": [3], "before": [3]},
                       ["y", "z"], {"one": np.float32([1, 1, 1])})
    x = np.float32([2, 3, 4])
    for state, keep, names, want in (({"z": "before"}, (), ["y"], {"y": x}),
                                     ({"z": "before"}, ["z"], ["y", "z"], {"y": x, "z": x + 1})):
        loaded, _ = report_of(model, state=state, keep_outputs=keep)
        assert [o.name for o in loaded.outputs] == names
        loaded.run(x)  # before is 0, so z is 1
        got = loaded.run(x)
        assert got.keys() == want.keys() and all(np.array_equal(got[n], want[n]) for n in want)
    alone = make_model([("Add", ["x", "before"], ["y"])], {"x": [3], "before": [3]}, ["y"])
    loaded, _ = report_of(alone, state={"y": "before"})
    loaded.run(x)
    assert np.array_equal(loaded.run(x)["y"], 2 * x)


def cache_that_grows(past) -> onnx.ModelProto:
    return make_model([("Concat", ["past", "k"], ["present"], dict(axis=0)), ("ReduceSum", ["present"], ["y"])],
                      {"k": [1, 4], "past": [past, 4]}, ["y", "present"])


@pytest.mark.parametrize("model, state, shapes, what", [
    (counter(), {"nothing": "n"}, None, "an output, and none is called 'nothing'; the model has 'y', 'after'"),
    (counter(), {"after": "nothing"}, None, "an input, and none is called 'nothing'; the model has 'x', 'n'"),
    (counter(), {"after": "n", "y": "n"}, None, "'n' would be the state of two outputs"),
    (counter(), {"y": "n"}, None, r"'y', float32 \[k\], as input 'n', int64 \[1\]: a state has one type"),
    (cache_that_grows(3), {"present": "past"}, None, r"'present', float32 \[4,4\], as input 'past', float32 \[3,4\]: a "
     "state has one shape for all runs; a cache that grows must become one of fixed size"),
    (cache_that_grows("p"), {"present": "past"}, {"past": (0, 4)}, r"\[1,4\], as input 'past', float32 \[0,4\]"),
    (tagger("GRU")[0], tagger("GRU")[1], {"x": (1, 1, 5)}, None),
    (tagger("GRU")[0], tagger("GRU")[1], None, r"extents of a state must be known: shapes={'h0': \(1, 1, 19\)}"),
])
def test_refusals(model, state, shapes, what):
    if what is None:
        assert convert(model, state=state, shapes=shapes)
        return
    with pytest.raises(ModelError, match=what):
        convert(model, state=state, shapes=shapes)


@pytest.mark.parametrize("wrong", range(RUNS))
def test_every_run_is_compared(monkeypatch, wrong):
    """The source claims another number in one of its runs."""
    runs = iter(range(RUNS))

    def claim(names, inputs):
        return [inputs["x"] + inputs["n"].astype(np.float32) + (next(runs) == wrong), inputs["n"] + 1]

    monkeypatch.setattr(verify, "references",
                        lambda *source: iter([Reference(claim, ["y", "after"], "a claim", trusted=True)]))
    with pytest.raises(VerifyError, match=f"run {wrong + 1}, with the states" if wrong else "output y"):
        convert(counter(), state={"after": "n"}, shapes={"x": (4,)})


# ---- running


def test_threads_take_turns():
    loaded, seen = wisp.load(convert(counter(), state={"after": "n"})), []

    def work():
        for _ in range(50):
            seen.append(int(loaded.run(np.zeros(1, np.float32))["y"][0]))
            assert loaded.nodes()  # a question takes no session away either

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(200))


def test_a_session_has_states_of_its_own():
    loaded = wisp.load(convert(counter(), state={"after": "n"}, shapes={"x": (1,)}))
    one, other = loaded.session(), loaded.session()
    for session in (one, one, other):
        session.inputs["x"][...] = 0
        session.run()
    assert one.outputs["y"] == 1 and other.outputs["y"] == 0 and loaded.run(np.zeros(1, np.float32))["y"] == 0
    one.reset()
    one.inputs["x"][...] = 0
    one.run()
    assert one.outputs["y"] == 0 and "n: int64[1]" in repr(loaded)


def test_the_command(tmp_path, capsys):
    model, state = tagger("LSTM")
    source, result = str(tmp_path / "m.onnx"), str(tmp_path / "m.wisp")
    onnx.save(model, source)
    options = [o for out, name in state.items() for o in ("--state", f"{out}={name}")]
    assert main(["convert", source, *options, "--shape", "x=1,1,5"]) == 0
    assert "run 2, with the states of run 1: " in capsys.readouterr().out
    assert main(["inspect", result]) == 0
    assert "state      h0: float32 1x1x19" in capsys.readouterr().out.replace("[1,1,19]", "1x1x19")
    assert main(["compare", source, result]) == 0
    assert "tags" in capsys.readouterr().out
    assert main(["convert", source, "--state", "h0_out"]) == 2
    assert "expected OUT=IN" in capsys.readouterr().err
    assert main(["convert", source, *options]) == 1
    assert "must be known: --shape NAME=1,3,224,224" in capsys.readouterr().err
