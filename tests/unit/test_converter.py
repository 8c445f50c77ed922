"""convert() end to end: what it accepts, what it refuses and how it says so, what it plans and writes."""
# SPDX-License-Identifier: Apache-2.0
import errno
import json
import os
import time

import numpy as np
import onnx
import pytest
import wisp
from conftest import small_cnn
from onnx import helper

from support import check_model, imported, make_model, optimized
from wisp_converter import CalibrationError, ConvertError, ModelError, UnsupportedError, convert, save
from wisp_converter.target.plan import lifetimes, plan_memory
from wisp_converter.target.format import tensor_size
from wisp_converter.target.pack import pack

rng = np.random.default_rng(0)


def relu(shape=(2, 3)):
    return make_model([("Relu", ["x"], ["y"])], {"x": list(shape)}, {"y": list(shape)})


def message(error) -> str:
    """The error's text, which must be one line."""
    text = str(error.value)
    assert "\n" not in text and text
    return text


# ---- what comes in


def test_a_long_chain_converts_in_linear_time():
    """4,000 nodes in under 5 s of one processor (about 0.5 s on Zen 5): no loop over nodes within a loop over nodes."""
    nodes = [("Sin" if i % 2 else "Neg", [f"t{i}"], [f"t{i + 1}"]) for i in range(4000)]
    model = make_model(nodes, {"t0": [3]}, ["t4000"])
    start = time.process_time()
    data = convert(model, verify=False)
    assert time.process_time() - start < 5
    assert len(wisp.load(data).nodes()) == 4000


def test_a_path_bytes_and_a_proto_give_the_same_model(tmp_path):
    model = relu()
    path = tmp_path / "m.onnx"
    onnx.save(model, path)
    by_path, by_bytes = convert(str(path)), convert(path.read_bytes())
    assert by_path == by_bytes == convert(path)
    assert len(convert(model)) == len(by_path)


def test_a_missing_file():
    with pytest.raises(ModelError) as error:
        convert("/nowhere/model.onnx")
    assert "/nowhere/model.onnx" in message(error) and "No such file" in message(error)


@pytest.mark.parametrize("data", [
    b"", b"not a model at all" * 10, b"\x08\x07", bytes(100)], ids=["empty", "text", "no graph", "zeros"])
def test_not_onnx(tmp_path, data):
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError) as error:
        convert(path)
    assert "m.onnx" in message(error)


def test_missing_external_weights(tmp_path):
    model = make_model([("MatMul", ["x", "w"], ["y"])], {"x": [4, 64]}, ["y"],
                       {"w": rng.standard_normal((64, 64)).astype(np.float32)})
    onnx.save(model, tmp_path / "m.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert len(convert(tmp_path / "m.onnx")) > 64 * 64 * 4
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(ModelError, match="external weights"):
        convert(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="give the path"):
        convert((tmp_path / "m.onnx").read_bytes())


def test_all_unsupported_operators_at_once():
    nodes = [("Magic", ["x"], ["a"], {"domain": "com.example"}, "first"),
             ("StringNormalizer", ["a"], ["b"], {}, "second"),
             ("Magic", ["b"], ["c"], {"domain": "com.example"}, "third"), ("Relu", ["c"], ["y"])]
    model = make_model(nodes, {"x": [3]}, {"y": [3]}, domains={"com.example": 1})
    with pytest.raises(UnsupportedError) as error:
        convert(model)
    text = message(error)
    assert all(name in text
               for name in ("Magic", "StringNormalizer", "'first'", "'second'", "'third'", "CONTRIBUTING.md"))


def test_an_unsupported_attribute_and_dtype_are_named():
    with pytest.raises(UnsupportedError, match="Conv 'Conv_y'|Conv .elements of type float64") as error:
        convert(make_model([("Conv", ["x", "x"], ["y"], {})], {"x": (np.float64, [1, 1, 4, 4])}, ["y"]))
    message(error)
    model = make_model([("Relu", ["x"], ["y"])], {"x": [3]}, {"y": [3]})
    model.graph.node[0].attribute.append(helper.make_attribute("shine", 3))
    with pytest.raises(UnsupportedError, match="'shine'"):
        convert(model)


def test_a_node_that_reads_nothing_known():
    with pytest.raises(ModelError, match="'ghost'") as error:
        convert(make_model([("Relu", ["ghost"], ["y"], {}, "r")], {"x": [3]}, {"y": [3]}))
    assert "'r'" in message(error)


def test_shapes_bind_axes():
    model = make_model([("Relu", ["x"], ["y"])], {"x": ["n", 3]}, {"y": ["n", 3]})
    assert wisp.load(convert(model, shapes={"x": (5, 3)})).inputs[0].shape == (5, 3)
    assert wisp.load(convert(model)).inputs[0].shape == ("n", 3)
    for shapes, words in (({"z": (1,)}, "'z'"), ({"x": (1, 4)}, "axis 1 is 3"), ({"x": (1,)}, "2 axes"),
                          ({"x": (1, -3)}, "whole numbers")):
        with pytest.raises(ModelError, match=words) as error:
            convert(model, shapes=shapes)
        message(error)


def test_one_symbol_in_two_inputs_is_bound_once():
    model = make_model([("Add", ["a", "b"], ["y"])], {"a": ["n", 1], "b": ["n", 4]}, {"y": ["n", 4]})
    assert [i.shape for i in wisp.load(convert(model, shapes={"a": (3, 1)})).inputs] == [(3, 1), (3, 4)]
    with pytest.raises(ModelError, match="is 4, but 3 in another input"):
        convert(model, shapes={"a": (3, 1), "b": (4, 4)})


def test_unnamed_axes_get_names():
    model = make_model([("Relu", ["x"], ["y"])], {"x": [None, 3]}, {"y": [None, 3]})
    assert wisp.load(convert(model)).inputs[0].shape == ("x_0", 3)


def test_initializers_that_are_inputs():
    model = make_model([("Add", ["x", "c"], ["y"])], {"x": [3]}, ["y"], {"c": np.float32([1, 2, 3])})
    model.graph.input.append(helper.make_tensor_value_info("c", 1, [3]))
    assert [i.name for i in wisp.load(convert(model)).inputs] == ["x"]


def test_functions_are_expanded():
    body = helper.make_function("local", "Twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])],
                                [helper.make_opsetid("", 17)])
    model = make_model([("Twice", ["x"], ["t"], {"domain": "local"}), ("MeanVarianceNormalization", ["t"], ["y"])],
                       {"x": [1, 2, 4, 4]}, {"y": [1, 2, 4, 4]}, domains={"local": 1})
    model.functions.append(body)
    check_model(model, {"x": rng.standard_normal((1, 2, 4, 4)).astype(np.float32)})


def test_shape_arithmetic_of_dynamic_axes_runs_at_prepare():
    nodes = [("Shape", ["x"], ["s"]), ("Gather", ["s", "first"], ["n"]),
             ("Concat", ["n", "minus"], ["to"], {"axis": 0}), ("Relu", ["x"], ["r"]), ("Reshape", ["r", "to"], ["y"])]
    model = make_model(nodes, {"x": ["n", 3, "m"]}, {"y": ["n", "k"], "s": (np.int64, [3])},
                       {"first": np.int64([0]), "minus": np.int64([-1])})
    x = rng.standard_normal((2, 3, 5)).astype(np.float32)
    got = check_model(model, {"x": x})
    assert got["y"].shape == (2, 15) and got["s"].tolist() == [2, 3, 5]


# ---- what goes out


def test_metadata_and_source_hash():
    import hashlib
    data = relu().SerializeToString()
    file = convert(data, metadata={"labels": ["ä", "b"]})
    assert wisp.load(file).metadata["labels"] == ["ä", "b"]
    assert hashlib.sha256(data).digest() in file[:128]
    assert wisp.load(file).metadata["accuracy"]["y"]["max_abs"] == 0
    with pytest.raises(ConvertError, match="JSON"):
        convert(relu(), metadata={"labels": np.zeros(3)})


def test_report_lines():
    lines = []
    convert(relu(), report=lines.append)
    assert any("arena" in line for line in lines) and any("max difference" in line for line in lines)


def test_unknown_quantization():
    with pytest.raises(UnsupportedError, match="int8"):
        convert(relu(), quantize="int3")


def test_save_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "m.wisp"
    save(b"old", path)
    mode = path.stat().st_mode
    save(b"new", path)
    assert path.read_bytes() == b"new" and path.stat().st_mode == mode

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConvertError, match="No space left") as error:
        save(b"newest", path)
    message(error)
    assert [p.name for p in tmp_path.iterdir()] == ["m.wisp"] and path.read_bytes() == b"new"
    with pytest.raises(ConvertError, match="No such file"):
        save(b"x", tmp_path / "missing" / "m.wisp")


# ---- the plan


def check_plan(graph):
    """No two values alive together share a byte, unless one is a copy, a part,
    or the in-place successor of the other."""
    pack(graph)
    plan = plan_memory(graph)
    lives = lifetimes(graph)
    assert set(plan.offsets) == set(lives)
    assert all(o % 64 == 0 and o + tensor_size(v) <= plan.plan_size for v, o in plan.offsets.items())
    assert plan.plan_size >= plan.lower_bound
    group = {v: v for v in lives}

    def root(v):
        return v if group[v] is v else root(group[v])

    for node in graph.nodes:
        if node.op in ("Reshape", "Identity", "Concat"):
            for v in node.inputs[:1] if node.op != "Concat" else node.inputs:
                if v in group:
                    group[root(v)] = root(node.outputs[0])
    values = list(lives)
    for i, a in enumerate(values):
        for b in values[i + 1:]:
            apart = (plan.offsets[a] + tensor_size(a) <= plan.offsets[b]
                     or plan.offsets[b] + tensor_size(b) <= plan.offsets[a])
            (first, last), (start, end) = lives[a], lives[b]
            together = min(last, end) - max(first, start)
            in_place = together == 0 and plan.offsets[a] == plan.offsets[b] and tensor_size(a) == tensor_size(b)
            assert apart or together < 0 or in_place or root(a) is root(b), f"{a!r} and {b!r} overlap"
    return plan


def test_plan_of_a_chain_works_in_place():
    model = make_model([("Sin", ["x"], ["a"]), ("Cos", ["a"], ["b"]), ("Tanh", ["b"], ["y"])], {"x": [1000]}, ["y"])
    assert check_plan(optimized(model)).plan_size == 4032


def test_plan_reuses_what_is_dead():
    nodes = [("MatMul", [a, "w"], [b]) for a, b in zip("xabcd", "abcdy")]
    model = make_model(nodes, {"x": [64, 64]}, ["y"], {"w": rng.standard_normal((64, 64)).astype(np.float32)})
    plan = check_plan(optimized(model))
    assert plan.plan_size == plan.lower_bound == 2 * 64 * 64 * 4


def test_not_in_place_while_the_input_is_needed():
    model = make_model([("Sin", ["x"], ["a"]), ("Neg", ["a"], ["b"]), ("Mul", ["a", "b"], ["y"])], {"x": [100]}, ["y"])
    check_plan(optimized(model))
    check_model(model, {"x": rng.standard_normal(100).astype(np.float32)})


def test_concat_along_the_outermost_axis_copies_nothing():
    nodes = [("Sin", ["x"], ["a"]), ("Cos", ["x"], ["b"]), ("Concat", ["a", "b"], ["c"], {"axis": 0}),
             ("Neg", ["a"], ["z"]), ("Abs", ["c"], ["y"])]
    model = make_model(nodes, {"x": [16, 4]}, ["y", "z"])
    graph = optimized(model)
    plan = check_plan(graph)
    concat = next(n for n in graph.nodes if n.op == "Concat")
    start = plan.offsets[concat.outputs[0]]
    assert [plan.offsets[v] - start for v in concat.inputs] == [0, 256]
    check_model(model, {"x": rng.standard_normal((16, 4)).astype(np.float32)})


def test_reshapes_cost_nothing():
    model = make_model([("Sin", ["x"], ["a"]), ("Reshape", ["a", "s"], ["y"])], {"x": [16, 4]}, ["y"],
                       {"s": np.int64([64])})
    assert check_plan(optimized(model)).plan_size == 256
    check_model(model, {"x": rng.standard_normal((16, 4)).astype(np.float32)})


def test_arena_is_what_the_runtime_needs(small_files):
    from wisp.file import read
    for name in ("float", "int8"):
        file = read(small_files[name])
        assert file.plan_size and wisp.load(small_files[name]).arena_bytes == file.arena_size(1)


# ---- calibration and int8


@pytest.fixture(scope="module")
def samples():
    return [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]


BAD_CALIBRATION = {
    "none": (None, "needs calibration data"),
    "empty": ([], "empty"),
    "NaN": ([{"x": np.full((1, 3, 8, 8), np.nan, np.float32)}], "NaN"),
    "infinity": ([{"x": np.full((1, 3, 8, 8), np.inf, np.float32)}], "infinity"),
    "name": ([{"z": np.zeros((1, 3, 8, 8), np.float32)}], "'x' is missing|'z' is no input"),
    "shape": ([{"x": np.zeros((1, 3, 8, 9), np.float32)}], "shape"),
    "text": ([{"x": np.array(["a"])}], "expected float32"),
    "file": ("/nowhere/data.npz", "cannot be read"),
    "number": (3, "cannot be a int"),
}


@pytest.mark.parametrize("case", BAD_CALIBRATION)
def test_bad_calibration(case):
    data, words = BAD_CALIBRATION[case]
    with pytest.raises(CalibrationError, match=words) as error:
        convert(small_cnn(), quantize="int8", calibration=data)
    message(error)


def test_every_form_of_calibration_data_gives_the_same_file(tmp_path, samples):
    stacked = np.concatenate([s["x"] for s in samples])
    np.savez(tmp_path / "all.npz", x=stacked)
    np.save(tmp_path / "all.npy", stacked)
    folder = tmp_path / "folder"
    folder.mkdir()
    for i, sample in enumerate(samples):
        np.savez(folder / f"{i}.npz", **sample)
    forms = [samples, iter(samples), {"x": stacked}, stacked, [s["x"] for s in samples], tmp_path / "all.npz",
             str(tmp_path / "all.npy"), folder]
    files = {convert(small_cnn(), quantize="int8", calibration=form) for form in forms}
    assert len(files) == 1


def test_a_folder_of_pictures(tmp_path):
    from PIL import Image
    for i in range(3):
        Image.fromarray(rng.integers(0, 256, (10, 12, 3), np.uint8)).save(tmp_path / f"{i}.png")
    preprocess = {"mean": [128.0] * 3, "std": [64.0] * 3}
    data = convert(small_cnn(), quantize="int8", calibration=tmp_path, preprocess=preprocess)
    assert wisp.load(data).metadata["preprocessing"]["mean"] == [128.0] * 3


@pytest.mark.parametrize("method", ["minmax", "percentile", "mse"])
def test_int8_is_close_to_float(samples, method):
    data = convert(small_cnn(), quantize="int8", calibration=samples, method=method)
    metadata = wisp.load(data).metadata
    assert metadata["accuracy"]["y"]["snr_db"] > 20 and metadata["quantization"]["float_nodes"] == {}
    json.dumps(metadata)


def test_what_stays_float_is_told():
    nodes = [("Conv", ["x", "w"], ["c"]), ("LayerNormalization", ["c", "g"], ["n"], {}, "norm"),
             ("Conv", ["n", "v"], ["y"])]
    model = make_model(nodes, {"x": [1, 3, 6, 6]}, ["y"],
                       {"w": rng.standard_normal((4, 3, 1, 1)).astype(np.float32), "g": np.ones(6, np.float32),
                        "v": rng.standard_normal((4, 4, 1, 1)).astype(np.float32)})
    lines = []
    data = convert(model, quantize="int8", calibration=[{"x": rng.standard_normal((1, 3, 6, 6)).astype(np.float32)}],
                   report=lines.append)
    assert "norm" in wisp.load(data).metadata["quantization"]["float_nodes"]
    assert any("stays float" in line and "norm" in line for line in lines)


def test_a_chain_of_unary_operators_is_one_table(samples):
    from wisp.file import read
    nodes = [("Conv", ["x", "w"], ["c"]), ("HardSwish", ["c"], ["h"]), ("Tanh", ["h"], ["t"]), ("Abs", ["t"], ["a"]),
             ("Conv", ["a", "v"], ["y"])]
    model = make_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], {"w": rng.standard_normal((4, 3, 1, 1)).astype(np.float32),
                                                           "v": rng.standard_normal((4, 4, 1, 1)).astype(np.float32)})
    file = read(convert(model, quantize="int8", calibration=samples))
    assert sum(o.code == 60 for o in file.operators) == 1


def test_concat_shares_one_scale(samples):
    from wisp.file import read
    nodes = [("Conv", ["x", "w"], ["a"]), ("Conv", ["x", "v"], ["b"]), ("Concat", ["a", "b"], ["c"], {"axis": 1}),
             ("MaxPool", ["c"], ["y"], {"kernel_shape": [2, 2]})]
    small, large = (rng.standard_normal((4, 3, 1, 1)).astype(np.float32) for _ in range(2))
    model = make_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], {"w": small, "v": 9 * large})
    file = read(convert(model, quantize="int8", calibration=samples))
    concat = next(o for o in file.operators if o.name == "Concat_c")
    assert len({(t.scale, t.zero_point) for t in (*concat.inputs, *concat.outputs)}) == 1


def test_an_input_named_like_nothing_else(samples):
    assert imported(small_cnn()).inputs[0].name == "x"
