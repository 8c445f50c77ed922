"""The command with models whose inputs and outputs are integers or NHWC: pictures, arrays, comparison, bad options."""
# SPDX-License-Identifier: Apache-2.0
import json

import numpy as np
import onnx
import pytest
import wisp
from conftest import run_wisp, small_cnn

PREPARE = ("--preprocess", "imagenet", "--channel-order", "BGR")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The small network, pictures, and what convert made of both: float.wisp, and the int8 network with float, int8 and
    uint8 borders, with uint8 ones as NHWC, and the float network that takes pixels."""
    image = pytest.importorskip("PIL.Image", reason="needs Pillow")
    folder = tmp_path_factory.mktemp("io")
    onnx.save(small_cnn(), folder / "m.onnx")
    (folder / "pictures").mkdir()
    rng = np.random.default_rng(0)
    for i in range(4):
        pixels = rng.integers(0, 256, (8, 8, 3), np.uint8)
        image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
    quantize = ("--quantize", "int8", "--calibrate", "pictures")
    for name, options in (("plain", quantize), ("int8", (*quantize, "--io", "int8")),
                          ("uint8", (*quantize, "--io", "uint8")),
                          ("nhwc", (*quantize, "--io", "uint8", "--io", "y=float", "--layout", "NHWC")),
                          ("pixels", ("--io", "x=uint8", "--layout", "x=NHWC")), ("float", ())):
        ok(folder, "convert", "m.onnx", "-o", f"{name}.wisp", *options, *PREPARE)
    np.save(folder / "last.npy", pixels)
    return folder


def ok(folder, *arguments) -> str:
    result = run_wisp(*arguments, cwd=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run(folder, name: str, source: str) -> np.ndarray:
    ok(folder, "run", f"{name}.wisp", "--input", source, "--output", f"{name}.npy")
    return np.load(folder / f"{name}.npy")


def test_a_picture_gives_the_same_whatever_the_borders(folder):
    """It is prepared as each file wants it: floats, int8, pixels, pixels as NHWC."""
    want = run(folder, "plain", "pictures/3.png")
    assert np.array_equal(run(folder, "nhwc", "pictures/3.png"), want)
    for name in ("int8", "uint8"):
        (y,) = wisp.load(folder / f"{name}.wisp").outputs
        assert np.array_equal(run(folder, name, "pictures/3.png"), y.quantize(want))
    assert np.array_equal(run(folder, "pixels", "pictures/3.png"), run(folder, "float", "pictures/3.png"))


def test_pixels_from_an_array(folder):
    """What a camera gives: height, width, then blue, green and red, as the model was trained."""
    np.save(folder / "camera.npy", np.load(folder / "last.npy")[None, :, :, ::-1])
    for name in ("nhwc", "pixels"):
        assert np.array_equal(run(folder, name, "camera.npy"), run(folder, name, "pictures/3.png"))


def test_commands_take_such_models(folder):
    for name, layout in (("int8", "1x3x8x8"), ("uint8", "1x3x8x8"), ("nhwc", "1x8x8x3"), ("pixels", "1x8x8x3")):
        dtype = "int8" if name == "int8" else "uint8"
        assert f"input      x: {dtype} {layout}" in ok(folder, "inspect", f"{name}.wisp")
        assert "conv0" in ok(folder, "bench", f"{name}.wisp", "--runs", "2")
        for options in ((), ("--input", "pictures/0.png")):
            rows = json.loads(ok(folder, "compare", "m.onnx", f"{name}.wisp", "--json", *options))
            snr = {r["name"]: r["snr_db"] for r in rows if r["output"]}
            assert snr["y"] is None or snr["y"] > (80 if name == "pixels" else 10)


def test_agreement_over_a_folder(folder):
    """The source gets the pictures as it wants them, whatever the file takes."""
    for name in ("plain", "int8", "uint8", "nhwc", "pixels"):
        report = json.loads(ok(folder, "compare", "m.onnx", f"{name}.wisp", "--images", "pictures", "--json"))
        snr = report["outputs"]["y"]["snr_db"]
        assert report["pictures"] == 4 and (snr is None or snr > (80 if name == "pixels" else 20))


def test_the_file_says_how_it_takes_pictures(folder):
    for name, layout, dtype in (("plain", "NCHW", "float32"), ("int8", "NCHW", "float32"), ("uint8", "NCHW", "uint8"),
                                ("nhwc", "NHWC", "uint8"), ("pixels", "NHWC", "uint8")):
        preprocessing = wisp.load(folder / f"{name}.wisp").metadata["preprocessing"]
        assert (preprocessing["layout"], preprocessing["dtype"]) == (layout, dtype)


@pytest.mark.parametrize("status, text, options", [
    (2, "--io int4: expected float or int8 or uint8, or NAME=uint8", ["--io", "int4"]),
    (2, "--io =int8", ["--io", "=int8"]), (2, "--layout NCHWC", ["--layout", "NCHWC"]),
    (1, "--io NAME=DTYPE: no input or output is called 'z'", ["--io", "z=int8"]),
    (1, "a float model takes uint8 pixels only, and only if mean and std are known", ["--io", "uint8"]),
    (1, "output 'y' cannot be NHWC: it has 2 axes, not four", ["--layout", "y=NHWC"])])
def test_bad_options(folder, status, text, options):
    result = run_wisp("convert", "m.onnx", "-o", "bad.wisp", *options, cwd=folder)
    assert result.returncode == status and text in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (folder / "bad.wisp").exists()
