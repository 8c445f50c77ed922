"""Real networks: float against ONNX Runtime, int8 accuracy on labelled photos, opening time."""
# SPDX-License-Identifier: Apache-2.0
import re
import time
from pathlib import Path

import numpy as np
import pytest
import wisp
from wisp_converter import convert

PHOTOS = Path(__file__).resolve().parent.parent.parent.parent / "shared" / "data" / "imagenet1k"
FLOAT_TOLERANCE = 1e-4  # of an output's largest value


def against_onnxruntime(path: Path, data: bytes, inputs: dict[str, np.ndarray]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    got = wisp.load(data).run(inputs)
    names = [o.name for o in session.get_outputs()]
    for name, want in zip(names, session.run(names, inputs)):
        difference = np.abs(got[name] - want).max() / np.abs(want).max()
        print(f"{path.name} {name}: {difference:.2g} of the largest value")
        assert difference <= FLOAT_TOLERANCE, name


@pytest.mark.parametrize("name,low,high", [
    ("mnist_cnn.onnx", 0, 255), ("mobilenet_v2.onnx", -2, 2), ("espcn_subpixel.onnx", 0, 1),
    ("espcn_nn_resize.onnx", 0, 1)])
def test_float_static(asset, name, low, high):
    path = asset(name)
    data = convert(str(path), verify=False)
    x = {i.name: np.random.default_rng(3).uniform(low, high, i.shape).astype(np.float32)
         for i in wisp.load(data).inputs}
    against_onnxruntime(path, data, x)


def test_float_face_detector_on_a_photo(asset):
    image = pytest.importorskip("PIL.Image")
    pixels = np.asarray(image.open(asset("astronaut.png")).convert("RGB").resize((640, 640)))
    x = np.ascontiguousarray(pixels[:, :, ::-1].astype(np.float32).transpose(2, 0, 1)[None])
    path = asset("yunet.onnx")
    against_onnxruntime(path, convert(str(path), verify=False), {"input": x})


def test_a_camera_needs_no_float_picture(asset):
    """The face detector between floats and between bytes: the arena against the most bytes alive at one time, and the
    face found in the same place."""
    import yunet
    from wisp.image import load_image

    pytest.importorskip("PIL")
    photo = load_image(asset("astronaut.png"), yunet.PREPROCESSING)
    options = dict(quantize="int8", calibration=[{"input": photo}, {"input": photo[..., ::-1].copy()}],
                   preprocess=yunet.PREPROCESSING, verify=False)
    faces, arenas, bounds = [], [], []
    for borders in ({}, {"io": "uint8", "layout": "NHWC"}):
        lines = []
        model = wisp.load(convert(str(asset("yunet.onnx")), report=lines.append, **borders, **options))
        (memory,) = (line for line in lines if line.startswith("memory:"))
        arenas.append(model.arena_bytes)
        bounds.append(int(re.search(r"lower bound (\d+)", memory)[1]))
        assert int(re.search(r"arena (\d+)", memory)[1]) >= arenas[-1]
        got = model.run(load_image(asset("astronaut.png"), model.metadata["preprocessing"]))
        real = {t.name: t.dequantize(got[t.name]) if t.scale else got[t.name] for t in model.outputs}
        faces.append(yunet.decode(real)[0])
        print(f"{borders}: arena {arenas[-1]} bytes, lower bound {bounds[-1]}, {faces[-1]}")
    assert model.inputs[0].dtype == np.uint8 and model.inputs[0].shape == (1, 640, 640, 3)
    assert "Transpose" not in {n.operator for n in model.nodes()}
    assert arenas[1] <= 1.05 * bounds[1] and arenas[1] < 0.6 * arenas[0]
    assert yunet.intersection_over_union(faces[0].box, faces[1].box) > 0.9


@pytest.mark.parametrize("shapes", [None, {"input": (1, 40, 161)}], ids=["dynamic", "static"])
def test_float_noise_suppressor(asset, shapes):
    path = asset("nsnet2.onnx")
    data = convert(str(path), shapes=shapes, verify=False)
    for batch, frames in [(1, 40)] if shapes else [(1, 40), (2, 7), (1, 1)]:
        x = np.random.default_rng(4).standard_normal((batch, frames, 161)).astype(np.float32)
        against_onnxruntime(path, data, {"input": x})


@pytest.fixture(scope="module")
def mobilenet_pair(asset):
    """(float, int8) files, int8 calibrated on every tenth photo."""
    import mobilenet

    if not PHOTOS.is_dir():
        pytest.skip("the labelled photos are not on this machine")
    pytest.importorskip("PIL")
    from wisp.image import load_image

    samples = ({"x": load_image(p, mobilenet.PREPROCESSING)} for p in sorted(PHOTOS.glob("*.jpg"))[::10])
    options = dict(verify=False, metadata={"preprocessing": mobilenet.PREPROCESSING})
    path = str(asset("mobilenet_v2.onnx"))
    return convert(path, **options), convert(path, quantize="int8", calibration=samples, **options)


def test_int8_keeps_the_accuracy(mobilenet_pair):
    from accuracy import top1

    floats, ints = (wisp.load(data) for data in mobilenet_pair)
    result = top1(sorted(PHOTOS.glob("*.jpg")), {"float": floats, "int8": ints})
    print(result)
    assert result["float"] > 80, "the oracle itself is broken"
    assert result["int8"] >= result["float"] - 0.5


def test_opening_takes_less_than_a_millisecond(mobilenet_pair, tmp_path):
    """wisp_open of the mapped int8 file, best of ten: the check of 3.8 MB, not the noise of the machine."""
    from wisp._library import aligned, ffi, lib

    memory = aligned(len(mobilenet_pair[1]))
    memory[:] = np.frombuffer(mobilenet_pair[1], np.uint8)
    model, error, times = ffi.new("wisp_model *"), ffi.new("wisp_error *"), []
    for _ in range(10):
        start = time.perf_counter()
        assert lib.wisp_open(model, ffi.from_buffer(memory), len(memory), error) == 0
        times.append(time.perf_counter() - start)
    print(f"wisp_open: {min(times) * 1e3:.3f} ms")
    assert min(times) < 1e-3
