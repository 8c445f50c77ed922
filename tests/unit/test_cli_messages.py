"""What the command says: of options, of files of other kinds, of NaN; in JSON, on any terminal, to closed pipes."""
# SPDX-License-Identifier: Apache-2.0
import ast
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile

import numpy as np
import onnx
import pytest
from conftest import ROOT, call_wisp, onnx_model, small_cnn
from onnx import helper
from support import tagger

import wisp
import wisp_converter
from wisp.cli import COMMANDS, OPTIONS, build_parser


@pytest.fixture
def folder(tmp_path, small_files, x8):
    """What the examples of `wisp COMMAND --help` speak of."""
    onnx.save(small_cnn(), tmp_path / "model.onnx")
    onnx.save(tagger("GRU", batch=1)[0], tmp_path / "stream.onnx")
    (tmp_path / "model.wisp").write_bytes(small_files["float"])
    (tmp_path / "dynamic.wisp").write_bytes(small_files["dynamic"])
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\ndog\n")
    np.save(tmp_path / "x.npy", x8)
    np.savez(tmp_path / "samples.npz", x=np.concatenate([x8] * 3))
    return tmp_path


def shell(folder, text, **environment):
    text = re.sub(r"(?<![\w.])wisp (?=[a-z-])", f"{shlex.quote(sys.executable)} -m wisp ", text)
    environment = {**os.environ, "PYTHONUNBUFFERED": "", **environment}
    return subprocess.run(text, shell=True, cwd=folder, capture_output=True, text=True, executable="/bin/bash",
                          env=environment, timeout=300)


def says(folder, status, text, *arguments):
    """The command ends with this status and one line, which is about the command and ends so."""
    result = call_wisp(*arguments, cwd=folder)
    assert result.returncode == status and result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.startswith("wisp") and text in result.stderr, result.stderr


# ---- examples


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_the_help(folder, command):
    image = pytest.importorskip("PIL.Image", reason="the examples have pictures: needs Pillow")
    (folder / "pictures").mkdir()
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (10, 12, 3), np.uint8)
        image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
        image.fromarray(pixels).save(folder / "picture.png")
    printed = call_wisp(command, "--help", cwd=folder).stdout
    examples = printed[printed.index("examples:"):].splitlines()[1:]
    assert len(examples) >= 2 and all(line.startswith(f"  wisp {command} ") or line == f"  wisp {command}"
                                      for line in examples)
    (folder / "labels.csv").write_text("0.png,0\n1.png,1\n")
    if command in ("run", "compare"):  # a file that says how to prepare pictures
        assert shell(folder, "wisp convert model.onnx --mean 0,0,0 --quiet").returncode == 0
    for line in examples:
        result = shell(folder, line)
        assert result.returncode == 0 and result.stdout, f"{line}\n{result.stderr}"


# ---- options


@pytest.mark.parametrize("arguments, text", [
    (["run", "model.wisp", "--thread", "2"], "wisp run: there is no option --thread; did you mean --threads? ("),
    (["convert", "--quantise", "int8", "model.onnx"], "no option --quantise; did you mean --quantize?"),
    (["convert", "model.onnx", "--channel_order=BGR"], "no option --channel_order; did you mean --channel-order?"),
    (["bench", "model.wisp", "--seed", "1"], "wisp bench: there is no option --seed"),
    (["bench", "-x"], "there is no option -x"),
    (["--verison"], "wisp: there is no option --verison; did you mean --version?"),
    (["run", "model.wisp", "x.npy"], "unexpected argument 'x.npy'"),
    (["run", "model.wisp", "--threads", "0"], "--threads: expected a number from 1 to 64, not '0'"),
    (["run", "model.wisp", "--threads"], "--threads: expected one argument"),
    (["bench", "model.wisp", "--runs", "-5"], "--runs: expected a whole number of at least 1, not '-5'"),
    (["bench", "model.wisp", "--seconds", "nan"], "--seconds: expected seconds, 0 to 86400, not 'nan'"),
])
def test_bad_options(folder, arguments, text):
    says(folder, 2, text, *arguments)


def test_values_may_begin_with_a_minus(folder):
    printed = shell(folder, "wisp convert model.onnx --mean -1,-2,-.5 && wisp inspect model.wisp --json").stdout
    assert json.loads(printed[printed.index("{"):])["metadata"]["preprocessing"]["mean"] == [-1, -2, -0.5]


def test_no_option_is_abbreviated():
    parser = build_parser()
    commands = next(a for a in parser._actions if a.dest == "command").choices
    assert not any(p.allow_abbrev for p in (parser, *commands.values()))


def test_messages_speak_of_options(folder):
    """Whatever argument of Python's a message names, the command has the option for it."""
    known = {*inspect.signature(wisp.load).parameters, *inspect.signature(wisp_converter.convert).parameters}
    said = re.compile(rf"\b({'|'.join(known)})=")
    for path in [*(ROOT / "engine" / "wisp").rglob("*.py"), *(ROOT / "converter" / "wisp_converter").rglob("*.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = [ast.get_docstring(node, clean=False) for node in ast.walk(tree)
                         if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))]
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in documentation:
                assert set(said.findall(node.value)) <= set(OPTIONS), f"{path.name}:{node.lineno}"
    words = {option.split()[0] for option in OPTIONS.values()}
    printed = "".join(call_wisp(command, "--help").stdout for command in ("convert", "run"))
    assert all(f"{word} " in printed or f"{word}\n" in printed for word in words)

    model = small_cnn()
    model.graph.input[0].type.tensor_type.ClearField("shape")
    onnx.save(model, folder / "open.onnx")
    says(folder, 1, "input 'x' has no shape; give one with --shape NAME=1,3,224,224\n", "convert", "open.onnx")
    with pytest.raises(wisp_converter.ModelError, match=r"give one with shapes=\{'x': \(\.\.\.\)\}"):
        wisp_converter.convert(model)


def test_wrong_extents_name_axis_and_input(folder):
    np.save(folder / "wide.npy", np.zeros((1, 3, 8, 9), np.float32))
    says(folder, 1, "input 'x' has shape [1,3,8,9], expected [1,3,8,8]: axis 3 is 9, not 8", "run", "model.wisp",
         "--input", "wide.npy")
    says(folder, 1, "input 'x': axis 2 is 8 in the model, not 7", "convert", "model.onnx", "--shape", "x=1,3,7,8")
    says(folder, 1, "input 'x' has 4 axes, 2 were given", "convert", "model.onnx", "--shape", "x=1,3")
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    two = onnx_model(nodes, {"a": (np.float32, ["N"]), "b": (np.float32, ["N"])}, {"y": (np.float32, ["N"])})
    onnx.save(two, folder / "two.onnx")
    says(folder, 1, "input 'b': axis 0 ('N') is 3, but 2 in another input", "convert", "two.onnx", "--shape", "a=2",
         "--shape", "b=3")


# ---- files of other kinds


def archive(path, *names):
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, b"x")


@pytest.mark.parametrize("name, data, advice", [
    ("m.wisp", None, "it is a .wisp file already: see it with wisp inspect"),
    ("m.tflite", b"\x1c\0\0\0TFL3" + bytes(20), "python -m tf2onnx.convert --tflite m.tflite --output m.onnx"),
    ("renamed.onnx", b"\x1c\0\0\0TFL3" + bytes(20), "tf2onnx.convert --tflite renamed.onnx"),
    ("m.pth", "archive/data.pkl", "torch.onnx.export(model, (example,), 'm.onnx')"),
    ("m.pt", b"\x80\x02\x8a\nl\xfc\x9cF", "torch.onnx.export(model, (example,), 'm.onnx')"),
    ("m.pb", b"\n\x0f\n\x01x\x12\x0bPlaceholder", "tf2onnx.convert --graphdef m.pb"),
    ("m.h5", b"\x89HDF\r\n\x1a\n" + bytes(9), "load_model('m.h5').export('m.onnx', format='onnx')"),
    ("m.keras", "config.json", "load_model('m.keras').export('m.onnx', format='onnx')"),
    ("m.safetensors", b"\x10\0\0\0\0\0\0\0{}", "it holds weights without a graph"),
    ("m.npz", "x.npy", "it is an archive"),
])
def test_what_to_do_with_other_files(folder, name, data, advice):
    if isinstance(data, str):
        archive(folder / name, data)
    else:
        (folder / name).write_bytes(data or (folder / "model.wisp").read_bytes())
    says(folder, 1, f"{name}: not an ONNX model", "convert", name, "-o", "out.wisp")
    says(folder, 1, advice, "convert", name, "-o", "out.wisp")


def test_a_folder_of_tensorflow(folder):
    (folder / "saved").mkdir()
    (folder / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    says(folder, 1, "tf2onnx.convert --saved-model saved --output saved.onnx", "convert", "saved")


# ---- pipes and terminals


def test_models_from_pipes(folder):
    for command in ("run <(cat model.wisp) --input x=x.npy", "inspect <(cat model.wisp)",
                    "bench --runs 1 <(cat model.wisp)", "inspect <(cat dynamic.wisp) --shape x=2,3,8,8",
                    "compare model.onnx <(cat model.wisp)", "convert <(cat model.onnx) -o piped.wisp --mean 1,1,1"):
        result = shell(folder, f"wisp {command}")
        assert result.returncode == 0 and result.stdout and not result.stderr, f"{command}: {result.stderr}"
    result = shell(folder, "wisp convert <(cat model.onnx)")
    assert result.returncode == 2 and "-o is needed" in result.stderr
    result = shell(folder, "wisp run <(true)")
    assert result.returncode == 1 and result.stderr == "wisp run: the file is empty\n"


@pytest.mark.parametrize("text", ["wisp ops", "wisp --help", "wisp compare model.onnx model.wisp"])
def test_full_disks_and_readers_that_leave(folder, text):
    result = shell(folder, f"set -o pipefail; {text} | true")
    assert (result.returncode, result.stderr) == (0, "")
    result = shell(folder, f"{text} > /dev/full")
    assert result.returncode == 1 and re.fullmatch(r"wisp.*: No space left on device\n", result.stderr), result.stderr


def test_the_file_is_written_though_nobody_reads_the_report(folder):
    """Also where each line is printed at once, as on a terminal; not so where the report cannot be kept."""
    at_once = {"PYTHONUNBUFFERED": "1"}
    for text, made in (("wisp convert model.onnx -o out.wisp", "out.wisp"),
                       ("wisp run model.wisp --input x.npy --output y.npy", "y.npy")):
        result = shell(folder, f"set -o pipefail; {text} | true", **at_once)
        assert (result.returncode, result.stderr) == (0, "") and (folder / made).exists()
        (folder / made).unlink()
        result = shell(folder, f"{text} >&-", **at_once)
        assert (result.returncode, result.stderr) == (0, "") and (folder / made).exists()
    result = shell(folder, "wisp convert model.onnx -o full.wisp > /dev/full", **at_once)
    assert (result.returncode, result.stderr) == (1, "wisp convert: <stdout>: No space left on device\n")
    assert not (folder / "full.wisp").exists()


def test_closed_outputs(folder):
    result = shell(folder, "wisp ops | head -1")
    assert (result.stdout.count("\n"), result.stderr) == (1, "")
    result = shell(folder, "wisp ops >&-")
    assert (result.returncode, result.stderr) == (0, "")
    result = shell(folder, "wisp ops --nonsense 2>&-")
    assert (result.returncode, result.stdout) == (2, "")
    result = shell(folder, "wisp run nothing.wisp 2> /dev/full")
    assert (result.returncode, result.stdout) == (1, "")


def test_terminals_without_the_letters(folder):
    """File, tensor and class names in any script, where only ASCII can be printed; names that are no text."""
    nodes = [helper.make_node("Relu", ["größe"], ["日本"])]
    model = onnx_model(nodes, {"größe": (np.float32, [1, 4])}, {"日本": (np.float32, [1, 4])})
    onnx.save(model, folder / "gemälde.onnx")
    (folder / "namen.txt").write_text("größe\nb\nc\nd\n", encoding="utf-8")
    np.save(folder / "ü.npy", np.float32([[1, 0, 0, 0]]))
    odd = os.fsdecode(b"\xff.wisp")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C.UTF-8"}
    for command in (f"convert gemälde.onnx -o {odd} --labels namen.txt", f"run {odd} --input größe=ü.npy",
                    f"inspect {odd}", f"inspect --json {odd}", f"bench --runs 1 {odd}", f"compare gemälde.onnx {odd}"):
        result = shell(folder, f"wisp {command}", **ascii_only)
        assert result.returncode == 0 and not result.stderr, f"{command}: {result.stderr}"
    assert shell(folder, f"wisp convert gemälde.onnx -o {odd}", LC_ALL="C.UTF-8").returncode == 0
    result = shell(folder, "wisp run möbel.wisp", **ascii_only)
    assert result.returncode == 1 and result.stderr == "wisp run: m\\xf6bel.wisp: No such file or directory\n"


# ---- JSON and NaN


def strict(text):
    """JSON as other languages read it."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


@pytest.fixture
def logarithm(tmp_path):
    """y = log(x): NaN below 0, -infinity at 0; as log.onnx and log.wisp, with inputs."""
    model = onnx_model([helper.make_node("Log", ["x"], ["y"])], {"x": (np.float32, [4])}, {"y": (np.float32, [4])})
    onnx.save(model, tmp_path / "log.onnx")
    assert call_wisp("convert", "log.onnx", cwd=tmp_path).returncode == 0
    for name, values in {"bad": [-1, 0, 1, 1], "zero": [0, 1, 1, 1], "nan": [np.nan, 1, 1, 1]}.items():
        np.save(tmp_path / f"{name}.npy", np.float32(values))
    return tmp_path


def test_nan_in_an_output(logarithm):
    result = call_wisp("run", "log.wisp", "--input", "bad.npy", "--output", "y.npz", cwd=logarithm)
    assert result.returncode == 1 and result.stderr == "wisp run: output 'y' holds NaN, and no input does\n"
    assert result.stdout == "y: float32 4 [ nan -inf   0.   0.] (1 NaN, 1 infinite)\n"
    assert np.isnan(np.load(logarithm / "y.npz")["y"][0])
    for name in ("zero", "nan"):  # the one is what the model says of 0, the other was given
        result = call_wisp("run", "log.wisp", "--input", f"{name}.npy", cwd=logarithm)
        assert result.returncode == 0 and not result.stderr


def test_nan_that_the_source_does_not_have(logarithm):
    model = onnx_model([helper.make_node("Abs", ["x"], ["y"])], {"x": (np.float32, [4])}, {"y": (np.float32, [4])})
    onnx.save(model, logarithm / "abs.onnx")
    for name, status in (("bad", 1), ("nan", 0)):
        result = call_wisp("compare", "abs.onnx", "log.wisp", "--input", f"{name}.npy", cwd=logarithm)
        assert result.returncode == status and "y" in result.stdout
        assert ("output 'y' holds NaN or infinities where the source's does not" in result.stderr) == (status == 1)


def test_models_that_do_not_belong_together(folder):
    x4, x8, word = (np.float32, [1, 4]), (np.float32, [1, 3, 9, 9]), "is not the source of this .wisp file: its input"
    for name, inputs in {"other": {"z": x4}, "more": {"x": x4, "z": x4}, "shape": {"x": x8}, "rank": {"x": x4}}.items():
        nodes = [helper.make_node("Sum", list(inputs), ["y"])]
        onnx.save(onnx_model(nodes, inputs, {"y": (np.float32, None)}), folder / f"{name}.onnx")
        says(folder, 1, f"{name}.onnx {word}", "compare", f"{name}.onnx", "model.wisp")
    nodes = [helper.make_node("Nonsense", ["x"], ["y"], domain="elsewhere")]
    model = onnx_model(nodes, {"x": (np.float32, [1, 3, 8, 8])}, {"y": (np.float32, None)})
    model.opset_import.append(helper.make_opsetid("elsewhere", 1))
    onnx.save(model, folder / "odd.onnx")
    says(folder, 1, "odd.onnx: ONNX's reference ", "compare", "odd.onnx", "model.wisp")


def test_json_is_valid(logarithm, folder):
    report = strict(call_wisp("run", "log.wisp", "--input", "bad.npy", "--json", cwd=logarithm).stdout)
    output = report["outputs"][0]
    assert output["values"] == [None, None, 0, 0] and (output["nan"], output["infinite"]) == (1, 1)
    assert output["note"] == "values[0] is not a number; values[1] is -inf"
    report = strict(call_wisp("run", "model.wisp", "--input", "x.npy", "--json", cwd=folder).stdout)
    assert report["outputs"][0]["shape"] == [1, 4] and len(report["classes"]) == 4
    assert report["classes"][0]["score"] == max(report["outputs"][0]["values"])
    rows = strict(call_wisp("compare", "log.onnx", "log.wisp", "--input", "x=bad.npy", "--json", cwd=logarithm).stdout)
    assert [row["snr_db"] for row in rows] == [None] and rows[0]["note"] == "snr_db is inf"  # exact, NaN included
    for command in ("bench --runs 1 --json model.wisp", "inspect --json model.wisp", "ops --json"):
        strict(call_wisp(*command.split(), cwd=folder).stdout)
