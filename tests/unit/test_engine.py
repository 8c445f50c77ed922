"""The Python API: loading, running, checking inputs, threads, dynamic axes, memory it reports."""
# SPDX-License-Identifier: Apache-2.0
import gc
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import wisp
from conftest import CBACKEND, ROOT, onnx_model, small_cnn
from onnx import helper
from onnx.reference import ReferenceEvaluator


def test_run_matches_the_source(small_files, x8):
    expected = ReferenceEvaluator(small_cnn()).run(None, {"x": x8})[0]
    got = wisp.load(small_files["float"]).run({"x": x8})["y"]
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_inputs_outputs_metadata(small_files):
    model = wisp.load(small_files["dynamic"])
    assert [(i.name, i.dtype, i.shape) for i in model.inputs] == [("x", np.float32, ("N", 3, 8, 8))]
    assert [o.name for o in model.outputs] == ["y"]
    assert model.metadata["labels"] == ["ant", "bee", "cat", "dog"]
    assert "x: float32[N,3,8,8]" in repr(model)


def test_path_and_bytes_give_the_same(small_files, x8, tmp_path):
    path = tmp_path / "m.wisp"
    path.write_bytes(small_files["int8"])
    for source in (path, str(path), bytearray(small_files["int8"]), memoryview(small_files["int8"])):
        assert np.array_equal(wisp.load(source).run(x8)["y"], wisp.load(small_files["int8"]).run(x8)["y"])


def test_outputs_are_fresh(small_files, x8):
    model = wisp.load(small_files["float"])
    first = model.run(x8)["y"]
    kept = first.copy()
    model.run(x8 + 1)
    assert np.array_equal(first, kept)
    first[:] = 0
    assert np.array_equal(model.run(x8)["y"], kept)


def test_non_contiguous_and_byte_swapped_inputs(small_files, x8):
    model = wisp.load(small_files["float"])
    expected = model.run(x8)["y"]
    assert np.array_equal(model.run(np.asfortranarray(x8))["y"], expected)
    assert np.array_equal(model.run(x8.astype(">f4"))["y"], expected)


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
@pytest.mark.parametrize("threads", [2, 3])
def test_result_does_not_depend_on_threads(small_files, x8, kind, threads):
    one = wisp.load(small_files[kind]).run(x8)["y"]
    assert np.array_equal(wisp.load(small_files[kind], threads=threads).run(x8)["y"], one)


def test_scalar_int8_equals_the_best_instruction_set(small_files, x8):
    assert np.array_equal(wisp.load(small_files["int8"], cpu="scalar").run(x8)["y"],
                          wisp.load(small_files["int8"]).run(x8)["y"])


def test_cpu_from_the_environment(small_files, tmp_path):
    (tmp_path / "m.wisp").write_bytes(small_files["float"])
    code = "import sys, wisp; print({n.kernel for n in wisp.load(sys.argv[1]).nodes() if n.macs})"
    result = subprocess.run([sys.executable, "-c", code, tmp_path / "m.wisp"], env={**os.environ, "WISP_CPU": "scalar"},
                            capture_output=True, text=True, check=True)
    assert "scalar" in result.stdout and "avx" not in result.stdout and "neon" not in result.stdout


# ---- dynamic axes


def test_first_run_binds(small_files, x8):
    model = wisp.load(small_files["dynamic"])
    with pytest.raises(wisp.ShapeError, match="'N' is left unbound"):
        model.arena_bytes
    one = model.run(x8)["y"]
    small = model.arena_bytes
    batch = np.concatenate([x8, x8 + 1, x8])
    got = model.run(batch)["y"]
    assert got.shape == (3, 4) and np.array_equal(got[0], one[0]) and np.array_equal(got[2], one[0])
    assert model.arena_bytes > small
    assert np.array_equal(model.run(x8)["y"], one)


def test_one_session_serves_all_extents(small_files, x8):
    model, results = wisp.load(small_files["dynamic"], threads=2), {}
    for batch in (2, 5, 1, 3, 2, 5):
        got = model.run(np.repeat(x8, batch, axis=0))["y"]
        results.setdefault(1, got[0])
        assert got.shape == (batch, 4) and all(np.array_equal(row, results[1]) for row in got)
        assert len(model._idle) == 1 and model.nodes()[-1].shape == (batch, 4)
    assert model.arena_bytes == wisp.load(small_files["dynamic"], threads=2, shapes={"x": (5, 3, 8, 8)}).arena_bytes


def test_a_failed_resize_leaves_the_model_usable():
    from wisp_converter import convert

    source = onnx_model([helper.make_node("Add", ["x", "c"], ["y"], "add")], {"x": (np.float32, ["N"])},
                        {"y": (np.float32, ["N"])}, {"c": np.float32([1, 2, 3])})
    model = wisp.load(convert(source, verify=False))
    for extent in (3, 1, 3):
        assert np.array_equal(model.run(np.ones(extent, np.float32))["y"], [2, 3, 4])
        with pytest.raises(wisp.ShapeError, match="'add'"):
            model.run(np.ones(5, np.float32))


def test_shapes_at_load(small_files, x8):
    model = wisp.load(small_files["dynamic"], shapes={"x": (2, 3, 8, 8)})
    assert model.arena_bytes > 0 and model.nodes()[-1].shape == (2, 4)
    assert model.run(np.concatenate([x8, x8]))["y"].shape == (2, 4)


def test_numpy_integers_are_integers(small_files, x8):
    model = wisp.load(small_files["dynamic"], threads=np.int64(2), shapes={"x": np.array([2, 3, 8, 8])})
    assert model.threads == 2 and model.nodes()[-1].shape == (2, 4)
    assert model.session({"x": np.uint8([1, 3, 8, 8])}).outputs["y"].shape == (1, 4)


def test_empty_batch(small_files):
    assert wisp.load(small_files["dynamic"]).run(np.zeros((0, 3, 8, 8), np.float32))["y"].shape == (0, 4)


def test_one_symbol_in_two_inputs():
    from wisp_converter import convert

    model = wisp.load(convert(onnx_model([helper.make_node("Add", ["a", "b"], ["y"])],
                                         {"a": (np.float32, ["N", 2]), "b": (np.float32, ["N", 2])},
                                         {"y": (np.float32, ["N", 2])})))
    a = np.ones((3, 2), np.float32)
    assert model.run({"a": a, "b": a})["y"].sum() == 12
    with pytest.raises(wisp.ShapeError, match="axis 'N' is 3 elsewhere"):
        model.run({"a": a, "b": np.ones((4, 2), np.float32)})


# ---- wrong calls


@pytest.mark.parametrize("inputs, error, base, text", [
    ({"z": 0}, wisp.ArgumentError, ValueError, "unknown input 'z'; the model has: 'x'"),
    ({}, wisp.ArgumentError, ValueError, "missing input 'x'"),
    (np.zeros((1, 3, 8, 9), np.float32), wisp.ShapeError, ValueError,
     r"input 'x' has shape \[1,3,8,9\], expected \[1,3,8,8\]"),
    (np.zeros((3, 8, 8), np.float32), wisp.ShapeError, ValueError, "has shape"),
    (np.full((1, 3, 8, 8), 0.1), wisp.DtypeError, TypeError,
     r"is float64, expected float32, which cannot hold 0.1; convert it with .astype\(numpy.float32\)"),
])
def test_wrong_inputs(small_files, inputs, error, base, text):
    with pytest.raises(error, match=text) as caught:
        wisp.load(small_files["float"]).run(inputs)
    assert isinstance(caught.value, base) and isinstance(caught.value, wisp.WispError)


@pytest.mark.parametrize("options, error", [
    ({"threads": 0}, wisp.ArgumentError), ({"threads": 65}, wisp.ArgumentError), ({"threads": "2"}, wisp.ArgumentError),
    ({"cpu": "mmx"}, wisp.ArgumentError), ({"shapes": {"q": (1,)}}, wisp.ArgumentError),
    ({"shapes": {"x": (1, 3)}}, wisp.ShapeError), ({"shapes": {"x": 3}}, wisp.ArgumentError),
    ({"shapes": {"x": (1, 3, 8, 8.0)}}, wisp.ArgumentError), ({"shapes": {"x": (1, 3, 8, -8)}}, wisp.ShapeError),
    ({"shapes": {"x": (1, 3, 8, 1 << 40)}}, wisp.ShapeError),
])
def test_wrong_options(small_files, options, error):
    with pytest.raises(error):
        wisp.load(small_files["float"], **options)


def test_wrong_files(tmp_path, small_files):
    with pytest.raises(FileNotFoundError):
        wisp.load(tmp_path / "missing.wisp")
    (tmp_path / "empty.wisp").touch()
    for data in (b"", b"WISP", b"ONNX" * 100, small_files["float"][:-1], small_files["float"] + b"\0"):
        with pytest.raises(wisp.BadFileError):
            wisp.load(data)
    with pytest.raises(wisp.BadFileError, match="empty.wisp"):
        wisp.load(tmp_path / "empty.wisp")
    newer = bytearray(small_files["float"])
    newer[4] = 2
    with pytest.raises(wisp.BadFileError, match="version is 2.0"):
        wisp.load(newer)


def test_nan_is_a_value(small_files, x8):
    x8[0, 0, 0, 0] = np.nan
    assert np.isnan(wisp.load(small_files["float"]).run(x8)["y"]).any()


def test_index_from_the_data_out_of_range():
    from wisp_converter import convert

    nodes = [helper.make_node("Gather", ["table", "i"], ["y"], "look")]
    source = onnx_model(nodes, {"i": (np.int64, [2])}, {"y": (np.float32, [2])}, {"table": np.float32([1, 2, 3])})
    model = wisp.load(convert(source, verify=False))
    assert list(model.run(np.int64([2, -1]))["y"]) == [3, 3]
    with pytest.raises(wisp.InputIndexError, match="look"):
        model.run(np.int64([0, 3]))
    assert list(model.run(np.int64([0, 1]))["y"]) == [1, 2]


# ---- several threads, several processes, the end


@pytest.mark.parametrize("kind", ["float", "int8", "dynamic"])
def test_python_threads_on_one_model(small_files, kind):
    rng = np.random.default_rng(3)
    inputs = [rng.standard_normal((1, 3, 8, 8)).astype(np.float32) for _ in range(8)]
    if kind == "dynamic":
        inputs = [np.concatenate([x] * (1 + i % 3)) for i, x in enumerate(inputs)]
    model = wisp.load(small_files[kind], threads=2)
    expected = [wisp.load(small_files[kind]).run(x)["y"] for x in inputs]
    wrong = []

    def work(i: int) -> None:
        for _ in range(50):
            if not np.array_equal(model.run(inputs[i])["y"], expected[i]):
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_after_a_fork(small_files, x8, tmp_path):
    (tmp_path / "m.wisp").write_bytes(small_files["int8"])
    np.save(tmp_path / "x.npy", x8)
    code = """if True:
        import os, sys, numpy, wisp
        model, x = wisp.load(sys.argv[1], threads=2), numpy.load(sys.argv[2])
        y = model.run(x)["y"]
        child = os.fork()
        if not child:
            os._exit(0 if numpy.array_equal(model.run(x)["y"], y) else 1)
        status = os.waitpid(child, 0)[1]
        sys.exit(status or not numpy.array_equal(model.run(x)["y"], y))"""
    subprocess.run([sys.executable, "-c", code, tmp_path / "m.wisp", tmp_path / "x.npy"], check=True, timeout=60)


def test_close(small_files, x8):
    with wisp.load(small_files["float"], threads=2) as model:
        model.run(x8)
    model.close()
    with pytest.raises(wisp.ArgumentError, match="closed"):
        model.run(x8)


def test_threads_end_with_the_model(small_files, x8):
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("needs /proc to count threads")
    gc.collect()
    before = len(os.listdir("/proc/self/task"))
    models = [wisp.load(small_files["float"], threads=3) for _ in range(4)]
    for model in models:
        model.run(x8)
    assert len(os.listdir("/proc/self/task")) == before + 8
    del models, model
    gc.collect()
    assert len(os.listdir("/proc/self/task")) == before


# ---- what it tells


def test_profile(small_files, x8):
    model = wisp.load(small_files["float"], threads=2)
    profile = model.profile(x8, runs=np.int64(3))
    assert profile.macs == sum(n.macs for n in profile.nodes) >= 8 * 64 * 27
    assert [n.name for n in profile.nodes] == [n.name for n in model.nodes()] and profile.nodes[-1].shape == (1, 4)
    assert all(n.microseconds >= 0 for n in profile.nodes) and abs(sum(n.share for n in profile.nodes) - 1) < 1e-6
    conv = max(profile.nodes, key=lambda n: n.macs)
    assert conv.gmacs == pytest.approx(conv.macs / conv.microseconds / 1e3)
    assert conv.peak_share == pytest.approx(conv.gmacs / profile.peak_gmacs["float32"])
    assert profile.runs == 3 and 0 < profile.min_us <= profile.median_us
    assert (profile.session_bytes, profile.arena_bytes) == (model.session_bytes, model.arena_bytes)
    assert all(n.name[-40:] in str(profile) for n in profile.nodes) and "on 2 thread(s)" in str(profile)
    with pytest.raises(wisp.ArgumentError, match="runs is -5"):
        model.profile(x8, runs=-5)


@pytest.mark.parametrize("dtype, values", [
    (np.float32, None), (np.uint8, 256), (np.int8, 256), (np.int64, 2), (np.bool_, 2),
])
def test_random_inputs_are_drawn_by_dtype(dtype, values):
    from wisp.profile import random_inputs
    from wisp_converter import convert

    source = onnx_model([helper.make_node("Identity", ["x"], ["y"])], {"x": (dtype, [50, 100])},
                        {"y": (dtype, [50, 100])})
    x = random_inputs(wisp.load(convert(source, verify=False)))["x"]
    assert x.dtype == dtype and x.shape == (50, 100)
    assert len(np.unique(x)) == values if values else -1 <= x.min() < -0.9 and 0.9 < x.max() <= 1


def test_profile_of_a_table_with_one_row():
    from wisp_converter import convert

    source = onnx_model([helper.make_node("Gather", ["table", "i"], ["y"])], {"i": (np.int64, [9])},
                        {"y": (np.float32, [9])}, {"table": np.float32([1])})
    assert wisp.load(convert(source, verify=False)).profile(runs=1).runs == 1


def test_a_user_s_script(small_files, tmp_path):
    """The one whose types `make lint` checks."""
    (tmp_path / "m.wisp").write_bytes(small_files["float"])
    result = subprocess.run([sys.executable, ROOT / "tests" / "typed_user.py", tmp_path / "m.wisp"], check=True,
                            capture_output=True, text=True, timeout=60)
    assert (Path(wisp.__file__).parent / "py.typed").exists()
    first, second = result.stdout.splitlines()
    assert first.startswith("x float32 (1, 3, 8, 8) ['ant', 'bee', 'cat', 'dog']")
    assert second == "unknown input 'z'; the model has: 'x'"


def test_repr(small_files, x8, tmp_path):
    path = tmp_path / "small <net>.wisp"
    path.write_bytes(small_files["dynamic"])
    model = wisp.load(path, threads=2)
    assert repr(model) == (f"<wisp.Model x: float32[N,3,8,8] -> y: float32[?,4]; file small <net>.wisp "
                           f"{len(small_files['dynamic']):,} bytes, threads 2, arena known when the dynamic axes are "
                           "bound>")
    model.run(x8)
    assert f"arena {model.arena_bytes:,} bytes, session {model.session_bytes:,} bytes>" in repr(model)
    page = model._repr_html_()
    assert "small &lt;net&gt;.wisp" in page and "<td>x: float32[N,3,8,8]</td>" in page and "2 Conv" in page
    model.close()
    assert "closed" in repr(model) and "closed" in model._repr_html_()


def test_log(small_files, x8, caplog, capfd):
    import logging

    def work():
        model = wisp.load(small_files["dynamic"], threads=2)
        model.run(x8)
        model.run(np.concatenate([x8, x8]))
        return model

    with caplog.at_level(logging.DEBUG, "wisp"):
        arena = work().arena_bytes
    lines = [r.getMessage() for r in caplog.records]
    assert all(r.name == "wisp" for r in caplog.records)
    assert lines[0].startswith(f"load: from memory, {len(small_files['dynamic'])} bytes, 2 thread(s)")
    assert lines[1].startswith("session: extents (1,)")
    assert lines[2].startswith(f"resize: extents (2,), arena {arena} bytes")
    caplog.clear()
    work()
    assert not caplog.records and capfd.readouterr() == ("", "")


def test_opening_is_a_check_not_a_parse(asset):
    """DESIGN: microseconds, not milliseconds; the bound leaves room for a loaded machine."""
    import time

    from wisp_converter import convert

    data = convert(str(asset("mobilenet_v2.onnx")), verify=False)
    path_times = []
    for _ in range(20):
        start = time.perf_counter()
        wisp.load(data)
        path_times.append(time.perf_counter() - start)
    print(json.dumps({"load of 14 MB, ms": min(path_times) * 1e3}))
    assert min(path_times) < 0.05


def test_version_is_stated_once():
    header = (CBACKEND / "include" / "wisp.h").read_text()
    assert ".".join(re.findall(r"#define WISP_VERSION_\w+ (\d+)", header)) == wisp.__version__
    for path in ("pyproject.toml", "CMakeLists.txt", "cbackend/CMakeLists.txt", "engine/wisp/__init__.py"):
        assert wisp.__version__ not in (ROOT / path).read_text(), path
