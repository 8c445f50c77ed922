"""How pictures become numbers: presets and units, and warnings that say what to write instead."""
# SPDX-License-Identifier: Apache-2.0
import json
import re

import numpy as np
import onnx
import pytest
import wisp
from support import make_model
from wisp import image
from wisp.cli import main
from wisp_converter import CalibrationError, InputError, convert

PIL = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
WEIGHTS = np.random.default_rng(0).standard_normal((5, 3, 3, 3)).astype(np.float32)


def classifier(shape=(1, 3, 8, 8)) -> onnx.ModelProto:
    return make_model([("Conv", ["x", "w"], ["c"]), ("GlobalAveragePool", ["c"], ["p"]), ("Flatten", ["p"], ["y"])],
                      {"x": list(shape)}, {"y": ["n", 5]}, {"w": WEIGHTS})


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve pictures that differ."""
    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(1)
    for i in range(12):
        PIL.fromarray(rng.integers(0, 256, (10, 12, 3), np.uint8)).save(folder / f"{i:02}.png")
    return folder


def report_of(**options) -> list[str]:
    lines = []
    convert(classifier(), report=lines.append, **options)
    return lines


def warnings_of(**options) -> list[str]:
    return [line for line in report_of(**options) if line.startswith("warning")]


PIXELS = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # torchvision's, for RGB of 0..1


@pytest.mark.parametrize("options, expected", [
    ({"preset": "imagenet"}, (PIXELS / 255 - MEAN) / STD),
    ({"preset": "imagenet", "channel_order": "BGR"}, ((PIXELS / 255 - MEAN) / STD)[..., ::-1]),
    ({"preset": "0..1"}, PIXELS / 255),
    ({"preset": "-1..1"}, PIXELS / 127.5 - 1),
    ({"preset": "bytes"}, PIXELS),
    ({"mean": MEAN, "std": list(STD), "unit": 1}, (PIXELS / 255 - MEAN) / STD),
    ({"std": [0.5, 1, 2], "unit": 1}, PIXELS / 255 / [0.5, 1, 2]),
    ({"mean": [1, 2, 3], "std": [4, 5, 6]}, (PIXELS - np.array([1., 2, 3])) / [4, 5, 6]),
    ({}, PIXELS),
])
def test_presets_and_units(options, expected):
    """Against the arithmetic that the training code does."""
    got = image.normalize(PIXELS, image.complete({**options, "layout": "NHWC"}))
    np.testing.assert_allclose(got[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("options, says", [
    ({"preset": "0..255"}, "preset: expected one of imagenet, 0..1, -1..1, bytes"),
    ({"preset": "bytes", "std": [1, 1, 1]}, "preset: states mean and std"),
    ({"unit": 2}, "unit: expected 1 or 255"), ({"mean": [1]}, "mean: expected three"),
    ({"std": [1, 0, 1]}, "std: 0 is no standard deviation"),
    ({"crop": 0}, "crop: "), ({"size": [8]}, "size: "), ({"channel_order": "GRB"}, "channel_order: "),
])
def test_what_makes_no_sense(options, says):
    with pytest.raises(InputError, match=says):
        report_of(preprocess=options)


def test_what_is_stored_is_complete(pictures):
    """Presets and units are for people; the file has numbers, and the size and layout of the model's input."""
    data = convert(classifier(), quantize="int8", calibration=pictures,
                   preprocess={"mean": MEAN, "std": STD, "unit": 1})
    stored = wisp.load(data).metadata["preprocessing"]
    assert stored["size"] == [8, 8] and stored["layout"] == "NCHW" and not {"unit", "preset"} & set(stored)
    np.testing.assert_allclose(stored["mean"], [123.675, 116.28, 103.53], rtol=1e-6)
    nhwc = make_model([("ReduceMean", ["x"], ["y"])], {"x": [1, 6, 8, 3]}, ["y"])
    stored = wisp.load(convert(nhwc, preprocess={"preset": "0..1"})).metadata["preprocessing"]
    assert stored["size"] == [6, 8] and stored["layout"] == "NHWC"
    with pytest.raises(InputError, match="'size'"):
        convert(classifier((1, 3, "h", "w")), preprocess={"preset": "0..1"})


@pytest.mark.parametrize("preprocess, says", [
    (None, "'preset': 'imagenet'}, 0..1 or -1..1"),
    ({"crop": 0.875}, "neither mean nor std"),
    ({"mean": [0.5] * 3, "std": [0.25, 0.5, 0.125]}, "std 0.25,0.5,0.125 is for pixels of 0..1.*'unit': 1"),
    ({"mean": [0.5] * 3}, "mean 0.5,0.5,0.5 is for pixels of 0..1.*'unit': 1"),
    ({"mean": [0.5] * 3, "std": [0.25] * 3, "unit": 1}, None),
    ({"preset": "bytes"}, None), ({"mean": [0, 0, 0]}, None), ({"mean": [127.5] * 3, "std": [127.5] * 3}, None),
])
def test_doubts(pictures, preprocess, says):
    found = warnings_of(quantize="int8", calibration=pictures, preprocess=preprocess, verify=False)
    found = [line for line in found if "first layer" not in line]
    if says is None:
        assert not found
    else:
        assert len(found) == 1
        assert re.search(says, found[0])


@pytest.mark.parametrize("preset, scale, says", [
    ("imagenet", 0.2, None), ("0..1", 0.2, None), ("bytes", 0.2, "spread by [0-9]+ .* wants smaller numbers"),
    ("bytes", 0.2 / 57, None), ("0..1", 0.2 / 255, "spread by 0.00[0-9]+ .* wants pixels of 0..255")])
@pytest.mark.parametrize("clamp", ["Relu", "Identity"])
def test_pixels_of_another_unit(pictures, preset, scale, says, clamp):
    """What the first layer computes gives it away, whatever a clamp behind it makes of that."""
    nodes = [("Conv", ["x", "w"], ["c"]), (clamp, ["c"], ["r"]), ("GlobalAveragePool", ["r"], ["y"])]
    model = make_model(nodes, {"x": [1, 3, 8, 8]}, ["y"], {"w": WEIGHTS * np.float32(scale)})
    lines = []
    convert(model, quantize="int8", calibration=pictures, preprocess={"preset": preset}, verify=False,
            report=lines.append)
    found = [line for line in lines if line.startswith("warning: the first layer")]
    assert len(found) == (says is not None) and (not found or re.search(says, found[0]))


def test_arrays_need_no_preprocessing():
    samples = np.random.default_rng(0).standard_normal((12, 3, 8, 8)).astype(np.float32)
    assert not warnings_of(quantize="int8", calibration=samples, verify=False)


def test_few_and_identical_samples():
    one = np.random.default_rng(0).standard_normal((1, 3, 8, 8)).astype(np.float32)
    few, same = warnings_of(quantize="int8", calibration=[one, one, -one], verify=False)
    assert "only 3 samples" in few and "1 sample of 3 are the same" in same


def test_skipped_files(pictures, tmp_path):
    folder = tmp_path / "mixed"
    (folder / "cats").mkdir(parents=True)
    (folder / "dogs").mkdir()
    with pytest.raises(CalibrationError, match="its 2 subfolders are not searched"):
        report_of(quantize="int8", calibration=folder)
    for path in pictures.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "notes.txt").write_text("none")
    warning, = warnings_of(quantize="int8", calibration=folder, preprocess={"preset": "0..1"}, verify=False)
    assert "12 files used, 2 subfolders and 1 other file skipped" in warning


@pytest.mark.parametrize("labels, warns", [(4, True), (5, False), (6, True)])
def test_labels(labels, warns):
    found = warnings_of(metadata={"labels": [str(i) for i in range(labels)]})
    assert bool(found) == warns and (not warns or f"{labels} labels" in found[0] and "'y' has 5" in found[0])


def test_calibration_without_quantization(pictures):
    with pytest.raises(CalibrationError, match="quantize='int8'"):
        report_of(calibration=pictures)


def test_command(pictures, tmp_path, capsys):
    onnx.save(classifier(), tmp_path / "m.onnx")
    command = ["convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.wisp")]
    calibrate = ["--quantize", "int8", "--calibrate", str(pictures)]
    assert main([*command, *calibrate, "--preprocess", "-1..1"]) == 0
    assert "warning" not in capsys.readouterr().out
    assert main(["inspect", str(tmp_path / "m.wisp"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metadata"]["preprocessing"]["mean"] == [127.5] * 3
    assert main([*command, *calibrate, "--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"]) == 0
    assert "add --unit 1" in capsys.readouterr().out
    assert main([*command, *calibrate]) == 0
    assert "most models want --preprocess imagenet, 0..1 or -1..1; --preprocess bytes says" in capsys.readouterr().out
    assert main([*command, "--preprocess", "bytes", "--mean", "1,2,3"]) == 2
    assert "--preprocess: states mean and std" in capsys.readouterr().err


def test_command_with_own_inputs(tmp_path, capsys):
    onnx.save(classifier(), tmp_path / "m.onnx")
    command = ["convert", str(tmp_path / "m.onnx"), "-o", str(tmp_path / "m.wisp"), "--input"]
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 8, 8), np.float32))
    for option in (f"x={tmp_path / 'x.npy'}", str(tmp_path / "x.npy")):
        assert main([*command, option]) == 0
        assert "y: max difference 0 " in capsys.readouterr().out
    np.save(tmp_path / "y.npy", np.zeros((1, 3, 8, 9), np.float32))
    assert main([*command, str(tmp_path / "y.npy")]) == 1
    assert "has shape (1, 3, 8, 9), expected (1, 3, 8, 8)" in capsys.readouterr().err
