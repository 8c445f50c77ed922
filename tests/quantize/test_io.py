"""Inputs and outputs in integers and as NHWC: the bits of the same model between real numbers, quantized by numpy."""
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import wisp
from conftest import onnx_model, small_cnn
from onnx import TensorProto, helper
from support import make_model, onnxruntime_outputs
from wisp.file import read
from wisp_converter import UnsupportedError, convert
from wisp_converter.opcodes import opcodes

rng = np.random.default_rng(63)
SAMPLES = [{"x": rng.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(4)]
IMAGENET = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}


def quantize(real, info) -> np.ndarray:
    """docs/quantization.md, section 5."""
    limits = np.iinfo(info.dtype)
    steps = np.rint(np.float32(real) * (np.float32(1) / np.float32(info.scale)))
    return np.clip(steps + info.zero_point, limits.min, limits.max).astype(info.dtype)


def dequantize(stored, info) -> np.ndarray:
    return (stored.astype(np.int32) - info.zero_point).astype(np.float32) * np.float32(info.scale)


def int8(model=None, samples=SAMPLES, **options) -> wisp.Model:
    return wisp.load(convert(model or small_cnn(), quantize="int8", calibration=samples, method="minmax", **options))


def pixels(*shape) -> np.ndarray:
    return rng.integers(0, 256, shape).astype(np.uint8)


def normalized(values: np.ndarray, mean, std) -> np.ndarray:
    """Of pixels n,3,h,w."""
    mean, std = (np.float32(v).reshape(3, 1, 1) for v in (mean, std))
    return (values.astype(np.float32) - mean) / std


def operators(data: bytes) -> list[str]:
    names = {o.code: name for name, o in opcodes().items()}
    return [names[o.code] for o in read(data).operators]


@pytest.mark.parametrize("kind, dtype", [("int8", np.int8), ("uint8", np.uint8)])
def test_integers_are_what_the_floats_would_be(kind, dtype):
    plain, stored = int8(), int8(io=kind)
    (x,), (y,) = stored.inputs, stored.outputs
    assert (x.dtype, x.shape, y.dtype) == (dtype, (1, 3, 8, 8), dtype) and x.scale > 0 and y.scale > 0
    for _ in range(5):
        real = rng.standard_normal((1, 3, 8, 8)).astype(np.float32) * 2
        want, got = plain.run(real)["y"], stored.run(quantize(real, x))["y"]
        assert np.array_equal(got, quantize(want, y))
        assert np.array_equal(dequantize(got, y), want)


def test_no_float_is_left():
    data = convert(small_cnn(), quantize="int8", calibration=SAMPLES, io="int8", layout="NHWC")
    assert not {"QuantizeLinear", "DequantizeLinear", "Transpose", "Lookup"} & set(operators(data))
    data = convert(small_cnn(), quantize="int8", calibration=SAMPLES, io="uint8")
    assert operators(data).count("Lookup") == 2 and "QuantizeLinear" not in operators(data)
    assert all(t.dtype != "float32" for t in read(data).tensors)


@pytest.mark.parametrize("layout", [None, "NHWC"])
def test_pixels_of_a_mean_and_deviation_for_each_channel(layout):
    """Equal to the picture prepared by numpy, through the model with float inputs."""
    options = dict(preprocess=IMAGENET)
    plain, stored = int8(**options), int8(io={"x": "uint8"}, layout=layout, **options)
    (x,) = stored.inputs
    assert (x.dtype, x.scale) == (np.uint8, 0)
    picture = pixels(1, 3, 8, 8)
    got = stored.run(picture if layout is None else picture.transpose(0, 2, 3, 1))["y"]
    assert np.array_equal(got, plain.run(normalized(picture, **IMAGENET))["y"])
    said = stored.metadata["preprocessing"]
    assert {**said, **IMAGENET, "dtype": "uint8", "layout": layout or "NCHW", "size": [8, 8]} == said


@pytest.mark.parametrize("mean, std", [(0, 1), (128, 64), (255, 0.5)])
def test_pixels_go_straight_in_where_one_scale_says_all(mean, std):
    """The input's scale is 1 / std, its zero point the mean, whatever calibration saw; no pixel is rounded. A model
    that was calibrated on the darkest and the brightest picture has the same scale."""
    preprocess = {"mean": [mean] * 3, "std": [std] * 3}
    ends = normalized(np.stack([np.full((3, 8, 8), v, np.uint8) for v in (0, 255)]), **preprocess)
    plain = int8(samples=[{"x": ends[:1]}, {"x": ends[1:]}])
    stored = int8(samples=[{"x": ends[:1]}, {"x": ends[1:]}], io={"x": "uint8"}, preprocess=preprocess)
    (x,) = stored.inputs
    assert (x.scale, x.zero_point) == (1 / std, mean)
    picture = pixels(1, 3, 8, 8)
    assert np.array_equal(stored.run(picture)["y"], plain.run(normalized(picture, **preprocess))["y"])
    narrow = int8(samples=[{"x": ends[:1] / 4}], io={"x": "uint8"}, preprocess=preprocess)
    assert (narrow.inputs[0].scale, narrow.inputs[0].zero_point) == (1 / std, mean)


@pytest.mark.parametrize("layout", [None, "NHWC", {"x": "NHWC"}])
@pytest.mark.parametrize("mean, std", [(IMAGENET["mean"], IMAGENET["std"]), ([127.5] * 3, [127.5] * 3)])
def test_pixels_into_a_float_model(layout, mean, std):
    """One pass from bytes to floats: the bits of a model that is given the floats, and ONNX Runtime's numbers."""
    data = convert(small_cnn(), io={"x": "uint8"}, layout=layout, preprocess={"mean": mean, "std": std})
    picture = pixels(1, 3, 8, 8)
    got = wisp.load(data).run(picture if layout is None else picture.transpose(0, 2, 3, 1))["y"]
    real = normalized(picture, mean, std)
    assert np.array_equal(got, wisp.load(convert(small_cnn())).run(real)["y"])
    want = onnxruntime_outputs(small_cnn(), {"x": real})
    if want:
        np.testing.assert_allclose(got, want["y"], atol=1e-4 * np.abs(want["y"]).max())
    assert operators(data).count("Transpose") == (layout is None)


def test_a_source_that_is_nhwc():
    weights = {"w": rng.standard_normal((2, 3, 3, 3)).astype(np.float32)}
    nodes = [("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}), ("Conv", ["t", "w"], ["y"])]
    model = make_model(nodes, {"x": [1, 8, 8, 3]}, ["y"], weights)
    preprocess = {"mean": [100, 110, 120], "std": [50, 60, 70]}
    picture = pixels(1, 8, 8, 3)
    data = convert(model, io={"x": "uint8"}, layout={"y": "NHWC"}, preprocess=preprocess)
    got = wisp.load(data).run(picture)["y"]
    real = normalized(picture.transpose(0, 3, 1, 2), **preprocess).transpose(0, 2, 3, 1)
    plain = wisp.load(convert(model)).run(real)["y"]
    assert np.array_equal(got, plain.transpose(0, 2, 3, 1)) and "Transpose" not in operators(data)


def test_dynamic_axes():
    samples = [{"x": s["x"]} for s in SAMPLES]
    plain, stored = (int8(small_cnn(dynamic=True), samples, **o) for o in ({}, {"io": "uint8", "layout": "NHWC"}))
    assert stored.inputs[0].shape == ("N", 8, 8, 3)
    (x,), (y,) = stored.inputs, stored.outputs
    for batch in (3, 1):
        real = rng.standard_normal((batch, 3, 8, 8)).astype(np.float32)
        got = stored.run(quantize(real, x).transpose(0, 2, 3, 1))["y"]
        assert np.array_equal(got, quantize(plain.run(real)["y"], y))


def borders():
    """x is read by a convolution, by what stays float, and by a branch; outputs: of the convolution, of the float node,
    a copy of x, of the branch, indices."""
    def branch(name: str, op: str):
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(op, ["x"], [name])], name, [], [out])

    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("CumSum", ["x", "axis"], ["f"]),
             helper.make_node("Identity", ["x"], ["copy"]), helper.make_node("ArgMax", ["x"], ["i"], axis=1),
             helper.make_node("If", ["flag"], ["b"], then_branch=branch("t", "Neg"), else_branch=branch("e", "Abs"))]
    shape = [1, 3, 8, 8]
    outputs = {n: (np.float32, shape) for n in ("c", "f", "copy", "b")} | {"i": (np.int64, [1, 1, 8, 8])}
    constants = {"w": rng.standard_normal((3, 3, 1, 1)).astype(np.float32), "axis": np.int64(3)}
    return onnx_model(nodes, {"x": (np.float32, shape), "flag": (bool, [])}, outputs, constants)


@pytest.mark.parametrize("kind", ["int8", "uint8"])
def test_borders_of_every_kind(kind):
    """What stays float gets the numbers that the integers stand for."""
    model = borders()
    samples = [{**s, "flag": np.array(i % 2 == 0)} for i, s in enumerate(SAMPLES)]
    plain, stored = int8(model, samples), int8(model, samples, io=kind, layout={"x": "NHWC", "c": "NHWC"})
    infos = {t.name: t for t in (*stored.inputs, *stored.outputs)}
    assert {n: t.dtype for n, t in infos.items()} == {
        **dict.fromkeys(("x", "c", "f", "copy", "b"), kind), "flag": bool, "i": np.int64}
    x = quantize(rng.standard_normal((1, 3, 8, 8)), infos["x"])
    real = dequantize(x, infos["x"])
    for flag in (True, False):
        want = plain.run({"x": real, "flag": np.array(flag)})
        got = stored.run({"x": x.transpose(0, 2, 3, 1), "flag": np.array(flag)})
        got["c"] = got["c"].transpose(0, 3, 1, 2)
        for name in ("c", "f", "copy", "b"):
            assert np.array_equal(got[name], quantize(want[name], infos[name])), name
        assert np.array_equal(got["i"], want["i"])


def test_by_name():
    model = make_model([("Conv", ["a", "w"], ["y"]), ("Conv", ["b", "w"], ["z"])],
                       {"a": [1, 2, 4, 4], "b": [1, 2, 4, 4]}, ["y", "z"],
                       {"w": rng.standard_normal((2, 2, 1, 1)).astype(np.float32)})
    samples = [{n: rng.standard_normal((1, 2, 4, 4)).astype(np.float32) for n in "ab"}]
    stored = int8(model, samples, io={"*": "int8", "b": "float", "z": "uint8"}, layout={"b": "NHWC", "z": "NHWC"})
    assert [(t.name, t.dtype.name, t.shape) for t in (*stored.inputs, *stored.outputs)] == [
        ("a", "int8", (1, 2, 4, 4)), ("b", "float32", (1, 4, 4, 2)), ("y", "int8", (1, 2, 4, 4)),
        ("z", "uint8", (1, 4, 4, 2))]


@pytest.mark.parametrize("options, message", [
    ({"io": "int4"}, "io='int4': expected one of float, int8, uint8"),
    ({"io": {"q": "int8"}}, "no input or output is called 'q'; there are 'x', 'y'"),
    ({"layout": "CHW"}, "layout='CHW': expected one of NCHW, NHWC"),
    ({"layout": {"y": "NHWC"}}, "output 'y' cannot be NHWC: it has 2 axes, not four"),
    ({"io": "int8"}, "input 'x' cannot be int8: a float model takes uint8 pixels only"),
    ({"io": {"x": "uint8"}}, "input 'x' cannot be uint8: .* mean and std"),
    ({"io": {"y": "uint8"}}, "output 'y' cannot be uint8: it has no scale in a float model; quantize it")])
def test_refusals(options, message):
    with pytest.raises(UnsupportedError, match=message):
        convert(small_cnn(), verify=False, **options)


def test_indices_are_no_quantized_numbers():
    model = make_model([("Gather", ["t", "i"], ["y"])], {"i": (np.int64, [3])}, ["y"],
                       {"t": rng.standard_normal((5, 2)).astype(np.float32)})
    with pytest.raises(UnsupportedError, match="input 'i' cannot be int8: it is int64"):
        convert(model, io={"i": "int8"}, verify=False)


def test_what_stays_float_is_told():
    lines = []
    convert(small_cnn(), io="uint8", preprocess=IMAGENET, verify=False, report=lines.append)
    assert "output 'y' stays float: it has no scale in a float model; quantize it" in lines
    assert "input 'x' is uint8: pixels 0..255" in lines


def test_nhwc_is_asked_of_what_has_it():
    model = make_model([("Neg", ["x"], ["y"])], {"x": [1, 8, 8, 3]}, ["y"])
    assert wisp.load(convert(model, layout="NHWC")).inputs[0].shape == (1, 8, 8, 3)
    assert wisp.load(convert(model, layout={"x": "NHWC"})).inputs[0].shape == (1, 8, 3, 8)
    with pytest.raises(UnsupportedError, match="input 'x' cannot be NHWC: it is NHWC already"):
        convert(model, layout={"x": "NHWC"}, preprocess={"layout": "NHWC"}, verify=False)
