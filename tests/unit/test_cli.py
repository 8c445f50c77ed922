"""The command: what it prints, its exit status, and one readable line on stderr for everything that can be wrong."""
# SPDX-License-Identifier: Apache-2.0
import json
import os
import resource
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import pytest
from conftest import call_wisp, onnx_model, run_wisp, small_cnn
from onnx import helper


@pytest.fixture
def folder(tmp_path, small_files, x8):
    """A folder with the small network as m.onnx and float.wisp, int8.wisp, dynamic.wisp, and an input x.npy."""
    onnx.save(small_cnn(), tmp_path / "m.onnx")
    for kind, data in small_files.items():
        (tmp_path / f"{kind}.wisp").write_bytes(data)
    np.save(tmp_path / "x.npy", x8)
    return tmp_path


@pytest.fixture
def calibration(folder):
    """Calibration data in three forms: a folder, an .npz file, both for input x."""
    rng = np.random.default_rng(0)
    (folder / "samples").mkdir()
    for i in range(4):
        np.save(folder / "samples" / f"{i}.npy", rng.standard_normal((1, 3, 8, 8)).astype(np.float32))
    np.savez(folder / "samples.npz", x=rng.standard_normal((6, 3, 8, 8)).astype(np.float32))
    return folder


def ok(folder, *arguments):
    result = call_wisp(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def fails(status, text, folder, *arguments):
    """The command ends with this status and says this, in one line, without a traceback."""
    before = sorted(p.name for p in folder.rglob("*"))
    result = call_wisp(*arguments, cwd=folder)
    assert result.returncode == status, result.stdout + result.stderr
    assert text in result.stderr, result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    assert result.stderr.startswith("wisp")
    assert sorted(p.name for p in folder.rglob("*")) == before, "something was left behind"


# ---- what works


def test_convert_run_float(folder, x8):
    printed = ok(folder, "convert", "m.onnx", "-o", "out.wisp", "--labels", make_labels(folder))
    assert "y:" in printed and "arena" in printed and "out.wisp" in printed
    printed = ok(folder, "run", "out.wisp", "--input", "x=x.npy", "--output", "out.npz", "--threads", "2")
    assert "y: float32 1x4" in printed
    import wisp

    y = wisp.load(folder / "out.wisp").run(x8)["y"]
    assert np.array_equal(np.load(folder / "out.npz")["y"], y)
    best = ["ant", "bee", "cat", "dog"][int(y.argmax())]
    assert printed.splitlines()[1].endswith(best)


def make_labels(folder):
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    return "labels.txt"


def test_convert_default_output(folder):
    ok(folder, "convert", "m.onnx", "--quiet", "--no-verify")
    assert (folder / "m.wisp").exists()


@pytest.mark.parametrize("data", ["samples", "samples.npz"])
@pytest.mark.parametrize("method", [[], ["--method", "minmax"], ["--method", "percentile", "--percentile", "99.9"]])
def test_convert_int8(calibration, data, method):
    printed = ok(calibration, "convert", "m.onnx", "-o", "q.wisp", "--quantize", "int8", "--calibrate", data, *method)
    assert "SNR" in printed
    report = json.loads(ok(calibration, "inspect", "q.wisp", "--json"))
    assert any(kind.startswith("int8") for kind in report["weight_bytes"])


def test_same_input_same_bytes(calibration):
    for name in ("a.wisp", "b.wisp"):
        ok(calibration, "convert", "m.onnx", "-o", name, "--quantize", "int8", "--calibrate", "samples", "--quiet")
    assert (calibration / "a.wisp").read_bytes() == (calibration / "b.wisp").read_bytes()


def test_pictures(folder):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    picture = image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    (folder / "pictures").mkdir()
    for i in range(3):
        picture.rotate(90 * i).save(folder / "pictures" / f"{i}.png")
    ok(folder, "convert", "m.onnx", "-o", "p.wisp", "--quantize", "int8", "--calibrate", "pictures", "--mean",
       "123.7,116.3,103.5", "--std", "58.4,57.1,57.4", "--crop", "0.875", "--channel-order", "BGR")
    preprocessing = json.loads(ok(folder, "inspect", "p.wisp", "--json"))["metadata"]["preprocessing"]
    assert preprocessing["size"] == [8, 8] and preprocessing["channel_order"] == "BGR"
    assert "y: float32 1x4" in ok(folder, "run", "p.wisp", "--input", "pictures/0.png")


def test_dynamic_shapes(folder):
    np.save(folder / "x2.npy", np.zeros((2, 3, 8, 8), np.float32))
    assert "y: float32 2x4" in ok(folder, "run", "dynamic.wisp", "--input", "x2.npy")
    assert "give --shape" in ok(folder, "inspect", "dynamic.wisp")
    assert "with 1 thread" in ok(folder, "inspect", "dynamic.wisp", "--shape", "x=2,3,8,8")
    assert "M multiply-accumulates" in ok(folder, "bench", "dynamic.wisp", "--runs", "3", "--shape", "x=2,3,8,8")
    assert "Nx3x8x8" in ok(folder, "inspect", "dynamic.wisp")


def test_bench(folder):
    printed = ok(folder, "bench", "int8.wisp", "--runs", "5")
    assert "GMAC/s" in printed and "Conv" in printed and "first run" in printed
    report = json.loads(ok(folder, "bench", "float.wisp", "--runs", "5", "--threads", "2", "--json"))
    assert report["threads"] == 2 and report["runs"] == 5 and report["min_us"] <= report["median_us"]
    assert sum(n["share"] for n in report["nodes"]) == pytest.approx(1)
    assert {"name", "operator", "kernel", "shape", "us", "macs", "gmacs", "peak_share"} <= set(report["nodes"][0])


def test_inspect(folder):
    printed = ok(folder, "inspect", "int8.wisp")
    assert all(word in printed for word in ("input", "output", "operators", "weights", "session", "arena", "sha256"))
    report = json.loads(ok(folder, "inspect", "float.wisp", "--json"))
    import wisp

    for threads in (1, 2, 4, 8):
        assert report["arena_bytes"][str(threads)] == wisp.load(folder / "float.wisp", threads=threads).arena_bytes
    assert report["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 3, 8, 8]}]


@pytest.mark.parametrize("kind, worst", [("float", 1e-5), ("int8", 0.1)])
def test_compare(folder, kind, worst):
    rows = json.loads(ok(folder, "compare", "m.onnx", f"{kind}.wisp", "--input", "x=x.npy", "--json"))
    assert any(r["output"] and r["name"].split(".")[0] == "y" for r in rows) and len(rows) >= 4
    assert all(r["relative"] < worst for r in rows)
    assert "SNR" in ok(folder, "compare", "m.onnx", f"{kind}.wisp")


def test_ops(folder):
    report = json.loads(ok(folder, "ops", "--json"))
    assert {"Conv", "Gemm", "Add"} <= set(report["operators"]) & set(report["importers"])
    assert "gemm_s8" in report["kernels"]["scalar"]
    assert "Kernels" in ok(folder, "ops")


def test_help_and_version(folder):
    import wisp

    assert ok(folder, "--version").strip() == f"wisp {wisp.__version__}"
    for command in ("convert", "run", "bench", "inspect", "compare", "ops"):
        assert command in ok(folder, "--help") and "usage" in ok(folder, command, "--help")


def test_installed_script(folder):
    from shutil import which

    script = os.path.join(os.path.dirname(sys.executable), "wisp")
    assert os.path.exists(script) or which("wisp")


# ---- bad usage: status 2


@pytest.mark.parametrize("arguments, text", [
    ([], "COMMAND"),
    (["fly"], "wisp: there is no 'fly'; there are convert, run, bench, inspect, compare, ops"),
    (["covert"], "there is no 'covert'; did you mean convert?"),
    (["run"], "MODEL.wisp"),
    (["run", "float.wisp", "--threads", "0"], "number from 1 to 64"),
    (["run", "float.wisp", "--shape", "x"], "expected NAME="),
    (["run", "dynamic.wisp", "--shape", "x=1,a"], "expected NAME="),
    (["run", "dynamic.wisp", "--shape", "x=-1,3,8,8"], "expected NAME="),
    (["run", "float.wisp", "--input", "x="], "expected NAME=FILE"),
    (["run", "float.wisp", "--input", "x=x.npy", "--input", "x=x.npy"], "given twice"),
    (["convert", "m.onnx", "--quantize", "int8"], "go together"),
    (["convert", "m.onnx", "--calibrate", "x.npy"], "go together"),
    (["convert", "m.onnx", "--quantize", "int3"], "--quantize: there is no 'int3'; did you mean int8?"),
    (["convert", "m.onnx", "--mean", "1,2"], "three numbers"),
    (["convert", "m.onnx", "--mean", "a"], "list of numbers"),
    (["convert", "m.onnx", "--std", "0,1,1"], "no standard deviation"),
    (["convert", "m.onnx", "--quantize", "int8", "--calibrate", "x.npy", "--percentile", "101"], "at most 100"),
    (["bench", "float.wisp", "--runs", "x"], "--runs: expected a whole number of at least 1, not 'x'"),
])
def test_bad_usage(folder, arguments, text):
    fails(2, text, folder, *arguments)


# ---- bad models and inputs: status 1


def test_missing_and_unreadable_files(folder):
    for command in (["convert", "no.onnx"], ["run", "no.wisp"], ["bench", "no.wisp"], ["inspect", "no.wisp"],
                    ["compare", "m.onnx", "no.wisp"], ["compare", "no.onnx", "float.wisp"],
                    ["run", "float.wisp", "--input", "no.npy"],
                    ["convert", "m.onnx", "--quantize", "int8", "--calibrate", "no.npz"],
                    ["convert", "m.onnx", "--labels", "no.txt"]):
        name = next(a for a in command if a.startswith("no."))
        fails(1, name, folder, *command)
    for command in (["run", "."], ["inspect", "."], ["convert", "."]):
        fails(1, "directory", folder, *command)


def test_not_a_model(folder):
    (folder / "noise").write_bytes(bytes(range(256)) * 20)
    (folder / "nothing").touch()
    for name in ("noise", "nothing", "x.npy", "float.wisp"):
        fails(1, name, folder, "convert", name, "-o", "out.wisp")
    for name in ("noise", "nothing", "x.npy", "m.onnx"):
        for command in ("run", "inspect", "bench"):
            fails(1, name, folder, command, name)
        fails(1, "", folder, "compare", "m.onnx", name)
    fails(1, "noise", folder, "compare", "noise", "float.wisp", "--input", "x.npy")
    data = (folder / "float.wisp").read_bytes()
    (folder / "cut.wisp").write_bytes(data[: len(data) // 2])
    fails(1, "cut.wisp", folder, "run", "cut.wisp")


def test_unsupported_operators_are_all_named(folder):
    nodes = [helper.make_node("NoSuchThing", ["x"], ["a"], "first", domain="elsewhere"),
             helper.make_node("Relu", ["a"], ["b"], "fine"),
             helper.make_node("NorThis", ["b"], ["y"], "second", domain="elsewhere")]
    model = onnx_model(nodes, {"x": (np.float32, [2])}, {"y": (np.float32, [2])})
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    onnx.save(model, folder / "odd.onnx")
    for word in ("NoSuchThing", "NorThis", "first", "second"):
        fails(1, word, folder, "convert", "odd.onnx", "-o", "out.wisp")


@pytest.mark.parametrize("array, text", [
    (np.full((1, 3, 8, 8), 0.1), "is float64, expected float32"),
    (np.zeros((1, 3, 8, 9), np.float32), "has shape [1,3,8,9], expected [1,3,8,8]"),
    (np.array([None]), "not an array"),
])
def test_wrong_arrays(folder, array, text):
    np.save(folder / "bad.npy", array)
    fails(1, text, folder, "run", "float.wisp", "--input", "x=bad.npy")


def test_wrong_inputs(folder):
    fails(1, "unknown input 'z'", folder, "run", "float.wisp", "--input", "z=x.npy")
    fails(1, "missing input 'x'", folder, "run", "float.wisp")
    fails(1, "not an array", folder, "run", "float.wisp", "--input", "m.onnx")
    np.savez(folder / "x.npz", x=np.zeros(3))
    fails(1, ".npz", folder, "run", "float.wisp", "--input", "x.npz")
    (folder / "picture.png").write_bytes(b"no picture")
    fails(1, "picture", folder, "run", "float.wisp", "--input", "picture.png")


def test_open_axis(folder):
    fails(1, "'N' is left unbound", folder, "bench", "dynamic.wisp")
    fails(1, "unknown input 'q'", folder, "bench", "dynamic.wisp", "--shape", "q=1")
    fails(1, "q", folder, "convert", "m.onnx", "--shape", "q=1")
    fails(1, "", folder, "bench", "dynamic.wisp", "--shape", "x=1,3,9,9")


def test_calibration(folder):
    (folder / "empty").mkdir()
    convert = ["convert", "m.onnx", "-o", "out.wisp", "--quantize", "int8", "--calibrate"]
    fails(1, "empty", folder, *convert, "empty")
    bad = {"nan": np.full((1, 3, 8, 8), np.nan, np.float32), "shape": np.zeros((1, 3, 9, 8), np.float32),
           "none": np.zeros((0, 3, 8, 8), np.float32)}
    for name, array in bad.items():
        np.savez(folder / f"{name}.npz", x=array)
    np.savez(folder / "name.npz", z=np.zeros((1, 3, 8, 8), np.float32))
    fails(1, "NaN", folder, *convert, "nan.npz")
    fails(1, "shape", folder, *convert, "shape.npz")
    fails(1, "empty", folder, *convert, "none.npz")
    fails(1, "'", folder, *convert, "name.npz")
    (folder / "junk.npz").write_bytes(b"junk")
    fails(1, "junk.npz", folder, *convert, "junk.npz")


def test_places_that_cannot_be_written(folder):
    fails(1, "missing", folder, "convert", "m.onnx", "-o", "missing/out.wisp", "--quiet")
    fails(2, "is a folder", folder, "convert", "m.onnx", "-o", ".", "--quiet")
    fails(1, "missing", folder, "run", "float.wisp", "--input", "x.npy", "--output", "missing/out.npz")


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="needs a limit on file sizes")
@pytest.mark.parametrize("command, full", [(["convert", "m.onnx", "--quiet"], tempfile.gettempdir()),
                                           (["run", "float.wisp", "--input", "x.npy"], "out.npz")])
def test_disk_full(folder, command, full):
    """A file may not grow beyond 100 bytes: nothing new is left, and the old file stays as it was."""
    old = b"the old file"
    name = "out.wisp" if command[0] == "convert" else "out.npz"
    (folder / name).write_bytes(old)
    before = sorted(p.name for p in folder.iterdir())

    def limit() -> None:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))

    option = "-o" if command[0] == "convert" else "--output"
    result = subprocess.run([sys.executable, "-B", "-m", "wisp", *command, option, name], cwd=folder,
                            capture_output=True, text=True, preexec_fn=limit, timeout=120)
    one_line = len(result.stderr.strip().splitlines()) == 1
    assert result.returncode == 1 and full in result.stderr and one_line, result.stderr
    assert (folder / name).read_bytes() == old
    assert sorted(p.name for p in folder.iterdir()) == before


def test_closed_pipe(folder):
    result = subprocess.run(f"{sys.executable} -m wisp inspect --json float.wisp | head -c 10", shell=True, cwd=folder,
                            capture_output=True, text=True)
    assert result.stderr == ""


def test_debug_shows_the_traceback(folder):
    result = run_wisp("run", "no.wisp", "--debug", cwd=folder)
    assert result.returncode == 1 and "Traceback" in result.stderr
